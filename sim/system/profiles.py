"""Kernel profiles: each distinct kernel is simulated once and remembered, in memory and in a cache on disk.

The key is everything the device level reads: the kernel, the device, the mode, and a digest of the simulating code. The
same bytes come out cold or warm, because a profile is all that the system level sees of a kernel.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from sim.component.kernel_run import KernelRun
from sim.component.profile import Device, Profile
from sim.cost.program import Kernel
from sim.engine import Engine

MOST_KNOWN = 4096
"""Profiles that a store keeps in memory; a process that asks thousands of points must not grow with them."""
WRITE_PERIOD_S = 0.5
"""New profiles are written at most this often, for each write waits for the disk; and when the process ends."""
CODE_FOLDERS = ("engine", "component", "cost")


@cache
def code_digest() -> str:
    """Digest of the code that a profile depends on."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for folder in CODE_FOLDERS:
        for path in sorted((root / folder).glob("*.py")):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def default_cache_folder() -> Path:
    """The user's cache folder, by the XDG rule."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sparksim"


class ProfileStore:
    """Profiles of one device. `stepped` counts the kernels that this process really simulated."""

    def __init__(
        self, make_device: Callable[[Engine], Device], device_key: str, folder: Path | None, *, is_full: bool
    ) -> None:
        self._make_device = make_device
        self._prefix = f"{code_digest()}/{device_key}/{'full' if is_full else 'folded'}/"
        self._is_full = is_full
        self._known: OrderedDict[Kernel, tuple[str, Profile]] = OrderedDict()
        self._disk = _disk(folder) if folder is not None else None
        self.stepped = 0

    def profile(self, kernel: Kernel) -> tuple[str, Profile]:
        """The digest and the profile of `kernel`, whatever it is called."""
        kernel = replace(kernel, name="kernel")
        known = self._known.get(kernel)
        if known is None:
            key = hashlib.sha256((self._prefix + repr(kernel)).encode()).hexdigest()[:24]
            profile = self._disk.get(key) if self._disk else None
            if profile is None:
                profile = self.simulate(kernel)
                if self._disk:
                    self._disk.put(key, profile)
            known = self._known[kernel] = (key, profile)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return known

    def simulate(self, kernel: Kernel) -> Profile:
        """Run `kernel` on a fresh device."""
        engine = Engine()
        self.stepped += 1
        return KernelRun(kernel, self._make_device(engine), engine, is_full=self._is_full).simulate()

    def flush(self) -> None:
        """Write new profiles to disk, unless some were written just before."""
        if self._disk and time.monotonic() - self._disk.written_at >= WRITE_PERIOD_S:
            self._disk.flush()


_DISKS: dict[tuple[int, Path], _Disk] = {}
"""By process and folder: a connection must not be used by a child."""


def _disk(folder: Path) -> _Disk:
    """The cache in `folder`, one for all devices."""
    key = (os.getpid(), folder.absolute())
    disk = _DISKS.get(key)
    if disk is None or not disk.is_there():
        disk = _DISKS[key] = _Disk(folder)
    return disk


@atexit.register
def flush_profiles() -> None:
    """Write all new profiles of this process to disk."""
    for (process, _), disk in _DISKS.items():
        if process == os.getpid():
            disk.flush()


class _Disk:
    """One SQLite file; unreadable or locked, it is left alone and nothing is cached."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "profiles.sqlite"
        self._new: dict[str, str] = {}
        self._connection: sqlite3.Connection | None = None
        self.written_at = -WRITE_PERIOD_S
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=2.0, check_same_thread=False)
            self._connection.execute("create table if not exists profile (key text primary key, value text)")
        except (OSError, sqlite3.Error):
            self._connection = None

    def is_there(self) -> bool:
        """Whether its file is; somebody may have removed it."""
        return self._connection is None or self._path.exists()

    def get(self, key: str) -> Profile | None:
        if self._connection is None:
            return None
        if key in self._new:
            return Profile(**json.loads(self._new[key]))
        try:
            row = self._connection.execute("select value from profile where key = ?", (key,)).fetchone()
            return Profile(**json.loads(row[0])) if row else None
        except (sqlite3.Error, ValueError, TypeError):
            return None

    def put(self, key: str, profile: Profile) -> None:
        self._new[key] = json.dumps(asdict(profile))

    def flush(self) -> None:
        if self._connection is None or not self._new:
            return
        try:
            with self._connection:
                self._connection.executemany("insert or ignore into profile values (?, ?)", sorted(self._new.items()))
        except sqlite3.Error:
            return
        self.written_at = time.monotonic()
        self._new.clear()
