"""The files of `--out`: written aside, then renamed, so that nothing is ever half-written."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sim.errors import InputError, Problem
from sim.hwspec import HardwareSpec
from sim.result.chrome_trace import chrome_events
from sim.result.identity import version
from sim.result.span_table import write_spans
from sim.result.trace_file import FILE, Drawable, trace_to_dict
from sim.workload.graph import Workload
from sim.workload.optrace import write_ops


class Result(Drawable, Protocol):
    """What is written of a run."""

    @property
    def workload(self) -> Workload: ...  # noqa: D102

    @property
    def hardware(self) -> HardwareSpec: ...  # noqa: D102

    def summary(self) -> dict[str, Any]: ...  # noqa: D102


MANIFEST = "manifest.json"
MANIFEST_SCHEMA = "sparksim.manifest/1"


def check_target(folder: Path, *, force: bool) -> None:
    """Refuse a folder that results must not go to; worth asking before a long run.

    `force` replaces an empty folder or an earlier result, never anything else.

    Raises:
        InputError: it exists and `force` is not set, or it holds something that is not a result of ours.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not force:
        raise InputError(Problem("exists already", code="exists", file=str(folder), hint="--force replaces it"))
    if not _is_ours(folder):
        hint = "it is left alone: name a new folder, or remove it yourself"
        raise InputError(Problem("is not a result of sparksim", code="not_ours", file=str(folder), hint=hint))


def _is_ours(folder: Path) -> bool:
    """Whether `folder` is empty or holds the manifest of an earlier result."""
    if not folder.is_dir():
        return False
    if not any(folder.iterdir()):
        return True
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("schema") == MANIFEST_SCHEMA


def write(result: Result, folder: Path, *, force: bool, more: Callable[[Path], None] | None = None) -> list[Path]:
    """Write everything into `folder`; the paths, sorted. Whatever goes wrong, `folder` is as it was before.

    `more`: writes further files into the folder that it is given.

    Raises:
        InputError: the folder must not be used (see `check_target`), or cannot be written.
    """

    def fill(new: Path) -> None:
        _fill(result, new)
        if more is not None:
            more(new)

    return write_aside(folder, fill, force=force)


def write_aside(folder: Path, fill: Callable[[Path], None], *, force: bool) -> list[Path]:
    """Let `fill` write into a folder aside, which is then renamed to `folder`; the paths, sorted.

    Raises:
        InputError: the folder must not be used (see `check_target`), or cannot be written.
    """
    check_target(folder, force=force)
    try:
        target = folder.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            new = aside / "new"
            new.mkdir()
            fill(new)
            _put(new, target, aside / "old")
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(Problem(f"cannot be written: {reason}", code="not_writable", file=str(folder))) from None
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _put(new: Path, target: Path, old: Path) -> None:
    """Rename `new` to `target`; what was there is kept as `old` until that has worked."""
    if not target.exists():
        new.rename(target)
        return
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise


def _fill(result: Result, folder: Path) -> None:
    steps = result.trace.steps if result.trace else ()
    write_json(folder / "summary.json", result.summary())
    write_ops(result.workload, folder / "ops.jsonl")
    write_spans(steps, folder / "spans.csv")
    (folder / "spec.resolved.yaml").write_text(result.hardware.to_yaml(), encoding="utf-8")
    events = list(chrome_events(steps))
    write_json(folder / "timeline.json", {"displayTimeUnit": "ns", "traceEvents": events}, indent=None)
    write_json(folder / FILE, trace_to_dict(result), indent=None)
    me = result.identity
    inputs = {"hardware": me.hardware_digest, "model": me.model_digest}
    stepped = result.trace.kernels_stepped if result.trace else 0
    write_manifest(folder, inputs, seed=me.seed, kernels_stepped=stepped)
    (folder / "plots").mkdir()
    import_module("sim.plot").draw_all(result, folder / "plots")


def write_json(path: Path, data: Any, indent: int | None = 2) -> None:
    """A JSON file; finite numbers only."""
    path.write_text(json.dumps(data, indent=indent, allow_nan=False) + "\n", encoding="utf-8")


def write_manifest(folder: Path, inputs: Mapping[str, str | None], **more: object) -> None:
    """Where and when a result was made, and from what; the only file that differs from run to run."""
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "sparksim_version": version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv[1:],
        "written_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "inputs": dict(inputs),
        **more,
    }
    write_json(folder / MANIFEST, manifest)
