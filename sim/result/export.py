"""The files of `--out`: written aside, then renamed, so that nothing is ever half-written."""

from __future__ import annotations

import csv
import json
import platform
import shutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sim.errors import InputError, Problem
from sim.hwspec import HardwareSpec
from sim.result.identity import Identity
from sim.result.trace import CAUSES, StepTrace, Trace
from sim.workload.graph import Workload
from sim.workload.optrace import write_ops


class Result(Protocol):
    """What is written of a run."""

    @property
    def identity(self) -> Identity: ...  # noqa: D102

    @property
    def trace(self) -> Trace | None: ...  # noqa: D102

    @property
    def workload(self) -> Workload: ...  # noqa: D102

    @property
    def hardware(self) -> HardwareSpec: ...  # noqa: D102

    def summary(self) -> dict[str, Any]: ...  # noqa: D102


SPAN_FIELDS = ("phase", "step", "component", "op", "block", "iteration", "cause", "bound", "start_ps", "end_ps")


def write(result: Result, folder: Path, *, force: bool) -> list[Path]:
    """Write everything into `folder`; the paths, sorted.

    Raises:
        InputError: the folder exists and `force` is not set, or it cannot be written.
    """
    if folder.exists() and not force:
        raise InputError(Problem("exists already", code="exists", file=str(folder), hint="--force replaces it"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise InputError(
            Problem(f"cannot be written: {error.strerror}", code="not_writable", file=str(folder))
        ) from None
    try:
        _fill(result, aside)
        if folder.exists():
            shutil.rmtree(folder)
        aside.chmod(0o755)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _fill(result: Result, folder: Path) -> None:
    _json(folder / "summary.json", result.summary())
    write_ops(result.workload, folder / "ops.jsonl")
    steps = result.trace.steps if result.trace else ()
    with (folder / "spans.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SPAN_FIELDS)
        for step in steps:
            for s in step.all_spans():
                writer.writerow(
                    (
                        step.phase,
                        step.name,
                        s.component,
                        s.op,
                        s.block,
                        s.iteration,
                        s.cause,
                        CAUSES[s.cause],
                        s.start_ps,
                        s.end_ps,
                    )
                )
    (folder / "spec.resolved.yaml").write_text(result.hardware.to_yaml(), encoding="utf-8")
    _json(folder / "timeline.json", {"displayTimeUnit": "ns", "traceEvents": _timeline(steps)}, indent=None)
    _json(folder / "manifest.json", _manifest(result))
    (folder / "plots").mkdir()
    if result.trace is not None:
        import_module("sim.plot").draw_all(result, folder / "plots")


def _json(path: Path, data: Any, indent: int | None = 2) -> None:
    path.write_text(json.dumps(data, indent=indent, allow_nan=False) + "\n", encoding="utf-8")


def _timeline(steps: tuple[StepTrace, ...]) -> list[dict[str, Any]]:
    """Chrome trace events: a process per step, a thread per component; times in microseconds."""
    events: list[dict[str, Any]] = []
    for pid, step in enumerate(steps, 1):
        events.append({"ph": "M", "pid": pid, "name": "process_name", "args": {"name": f"{step.phase} {step.name}"}})
        threads: dict[str, int] = {}
        for span in step.all_spans():
            tid = threads.get(span.component)
            if tid is None:
                tid = threads[span.component] = len(threads) + 1
                events.append(
                    {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": span.component}}
                )
            events.append(
                {
                    "ph": "X",
                    "pid": pid,
                    "tid": tid,
                    "name": span.op,
                    "cat": span.cause,
                    "ts": span.start_ps / 1e6,
                    "dur": (span.end_ps - span.start_ps) / 1e6,
                    "args": {"cause": span.cause, "bound": CAUSES[span.cause]},
                }
            )
    return events


def _manifest(result: Result) -> dict[str, Any]:
    me = result.identity
    return {
        "schema": "sparksim.manifest/1",
        "sparksim_version": result.summary()["sparksim_version"],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv[1:],
        "written_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "inputs": {"hardware": me.hardware_digest, "model": me.model_digest},
        "seed": me.seed,
    }
