"""Kernel profiles: each distinct kernel is simulated once and remembered, in memory and in a cache on disk.

The key is everything the device level reads: the kernel, the device, the mode, and a digest of the simulating code. The
same bytes come out cold or warm, because a profile is all that the system level sees of a kernel.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from sim.component.kernel_run import KernelRun
from sim.component.profile import Device, Profile
from sim.cost.program import Kernel
from sim.engine import Engine

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
        self._known: dict[Kernel, tuple[str, Profile]] = {}
        self._disk = _Disk(folder) if folder is not None else None
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
        return known

    def simulate(self, kernel: Kernel) -> Profile:
        """Run `kernel` on a fresh device."""
        engine = Engine()
        self.stepped += 1
        return KernelRun(kernel, self._make_device(engine), engine, is_full=self._is_full).simulate()

    def flush(self) -> None:
        """Write new profiles to disk."""
        if self._disk:
            self._disk.flush()


class _Disk:
    """One SQLite file; unreadable or locked, it is left alone and nothing is cached."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "profiles.sqlite"
        self._new: dict[str, str] = {}
        self._connection: sqlite3.Connection | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=2.0)
            self._connection.execute("create table if not exists profile (key text primary key, value text)")
        except (OSError, sqlite3.Error):
            self._connection = None

    def get(self, key: str) -> Profile | None:
        if self._connection is None:
            return None
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
        self._new.clear()
