"""Reads what `RunResult.write` wrote: the same result again, its pictures included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sim.errors import InputError, Problem
from sim.hwspec import HardwareSpec
from sim.result.energy import EnergyUse
from sim.result.identity import Identity
from sim.result.memory import MemoryTimeline, MemoryUse
from sim.result.run_result import RunResult
from sim.result.trace import CAUSES, StepTrace, Trace
from sim.result.trace_file import FILE, SCHEMA
from sim.workload.optrace import read_ops
from sim.yamlfile import load_json

T = TypeVar("T")
MOST_PROBLEMS = 50
"""A damaged file may have as many as it has ops: those beyond are counted."""


@dataclass(frozen=True, slots=True)
class _Written:
    """What the file holds, besides the steps."""

    identity: Identity
    memory: MemoryUse | None
    memory_timeline: MemoryTimeline | None
    energy: EnergyUse | None
    prefill_passes: tuple[tuple[int, int, int, int], ...]


def read_run(folder: Path, load_machine: Callable[[Path], HardwareSpec]) -> RunResult:
    """The result that `RunResult.write` wrote into `folder`: equal to it, and draws the same pictures.

    `load_machine`: reads `spec.resolved.yaml`.

    Raises:
        InputError: a file is missing, or is not what was written; every problem.
    """
    file = folder / FILE
    if not file.is_file():
        hint = "results of older versions lack it: run it again with --out"
        raise InputError(Problem("no such file", "no_such_file", str(file), hint=hint))
    data = load_json(file).data
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(Problem(f"is no {SCHEMA}", "not_ours", str(file)))
    written = build(_Written, data, file)
    trace = None if data.get("steps") is None else Trace(tuple(_read_step(step, file) for step in _steps(data, file)))
    return RunResult(
        identity=written.identity,
        memory=written.memory,
        trace=trace,
        workload=read_ops(folder / "ops.jsonl"),
        hardware=load_machine(folder / "spec.resolved.yaml"),
        prefill_passes=written.prefill_passes,
        fill=lambda: written.memory_timeline,
        draw=lambda: written.energy,
    )


def _steps(data: Mapping[str, Any], file: Path) -> list[dict[str, Any]]:
    steps = data["steps"]
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise InputError(Problem("must be a list of steps", "bad_file", str(file), path="steps"))
    return steps


def _read_step(step: Mapping[str, Any], file: Path) -> StepTrace:
    elapsed = step.get("elapsed")
    try:
        by_op = {(block, op): dict(causes) for block, op, causes in elapsed or ()}
    except (TypeError, ValueError):
        raise InputError(Problem("must be [block, op, causes]", "bad_file", str(file), path="elapsed")) from None
    found = build(StepTrace, {**step, "elapsed": by_op}, file)
    used = {span.cause for span in found.spans} | {cause for op in found.ops for cause in op.causes}
    strange = sorted((used | found.causes.keys()) - CAUSES.keys())
    if strange:
        raise InputError(Problem(f"unknown cause {strange[0]!r}", "bad_file", str(file), path="steps"))
    return found


def build(kind: type[T], data: Mapping[str, Any], file: Path) -> T:
    """A dataclass, nested ones included, from plain data.

    Raises:
        InputError: fields are missing or of another type; each with its path.
    """
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - most runs read no result

    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = [
            Problem(each["msg"], "bad_file", str(file), path=".".join(map(str, each["loc"])))
            for each in found[:MOST_PROBLEMS]
        ]
        if len(found) > MOST_PROBLEMS:
            problems.append(Problem(f"and {len(found) - MOST_PROBLEMS:,} more problems", "bad_file", str(file)))
        raise InputError(problems) from None
