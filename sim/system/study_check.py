"""Is every value of a study's axes one that can be asked? Each is loaded once, before any point is simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem
from sim.result.keys import RESULT_KEYS
from sim.result.serve_result import LATENCIES, NUMBERS
from sim.system.prepared import Prepared, prepare
from sim.system.serve_prepare import PreparedServe, open_serve
from sim.system.study import Study, problem_of, read_study, shape_problems, unserved_problems
from sim.system.study_axis import Axis
from sim.workload.quant import QuantRecipe, resolve_quant
from sim.yamlfile import closest

WHOLE = ("model", "runtime", "hardware")
"""Arguments that decide which fields there are to override."""
ROW = ("status", "error")
SPREAD = ("mean", "p50", "p90", "p95", "p99")
SERVED = (*NUMBERS, "traffic", "seeds", "kv_capacity_bytes", "slo", "steps_simulated", "is_interrupted")


def check_study(study: Study, search_dirs: Sequence[str | Path] = ()) -> str:
    """Load what every value of every axis names, with the first values of the other axes; a digest of what was loaded.

    Raises:
        InputError: every problem, at the line of the axis or the base.
    """
    problems = [*shape_problems(study), *unserved_problems(study), *_of_columns(study)]
    if study.base.kind == "serve" and problems:
        raise InputError(problems)
    first = [axis.extremes()[0] for axis in study.axes]
    loaded: list[str] = []

    def tried(values: Sequence[Any]) -> list[Problem]:
        try:
            loaded.append(_digest(_prepared(study, values, search_dirs), search_dirs))
        except InputError as error:
            return list(error.problems)
        return []

    of_first = tried(first)
    told: dict[Problem, None] = {}
    for i, axis in enumerate(study.axes):
        for value in axis.extremes():
            found = of_first if value is first[i] else tried([*first[:i], value, *first[i + 1 :]])
            if value is not first[i] and axis.path in WHOLE and found and _is_of_others(study, i, value, tried):
                continue
            told |= dict.fromkeys(_located(study, axis, each) for each in found if each not in of_first)
    problems += [_located(study, _axis_of(study, each), each) for each in of_first]
    problems += told
    if problems:
        raise InputError(sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0))
    return sha256("".join(sorted(set(loaded))).encode()).hexdigest()[:16]


def _prepared(study: Study, values: Sequence[Any], search_dirs: Sequence[str | Path]) -> Prepared | PreparedServe:
    given, changes = study.point(values)
    if study.base.kind == "serve":
        return open_serve(study.base.file or "", changes, search_dirs, "off")
    return prepare(given, changes, study.base.file, search_dirs, "off")


def _is_of_others(study: Study, i: int, value: Any, tried: Callable[[Sequence[Any]], list[Problem]]) -> bool:
    """Whether a model, runtime or machine is right by itself: only points that override what it lacks are refused."""
    mine = study.axes[i]
    kept = [mine, *(axis for axis in study.axes if axis is not mine and axis.is_argument)]
    alone = replace(study, axes=tuple(kept), base=replace(study.base, set={}))
    values = [value, *(axis.extremes()[0] for axis in kept[1:])]
    try:
        _prepared(alone, values, ())
    except InputError:
        return False
    return True


def _digest(prepared: Prepared | PreparedServe, search_dirs: Sequence[str | Path]) -> str:
    """Of all that a run reads: machine, runtime, model or op trace, recipe; of a server its scenario too."""
    if isinstance(prepared, PreparedServe):
        read = (
            prepared.hardware.digest,
            prepared.model.digest,
            repr(prepared.quant),
            prepared.scenario,
            prepared.runtime,
        )
        return sha256(repr(read).encode()).hexdigest()
    inputs = prepared.inputs
    runtime = inputs.runtime.spec.model_dump_json() if inputs.runtime else ""
    model = inputs.model.digest if inputs.model else repr(inputs.trace)
    recipe: QuantRecipe | None = None
    if inputs.model and inputs.runtime:
        try:
            recipe = resolve_quant(inputs.model, prepared.arguments.quant, inputs.runtime.spec.family, search_dirs)
        except InputError:  # refused where it is run, if nowhere else
            recipe = None
    return sha256(repr((prepared.hardware.digest, runtime, model, repr(recipe))).encode()).hexdigest()


def _axis_of(study: Study, problem: Problem) -> Axis | None:
    """The axis that a problem of the first point is about, if its path or its hint says so."""
    paths = {axis.path: axis for axis in study.axes}
    noun = problem.code.removeprefix("unknown_")
    named = next((axis for path, axis in paths.items() if path in problem.message), None)
    return paths.get(problem.path or noun) or paths.get(noun) or named


def _located(study: Study, axis: Axis | None, problem: Problem) -> Problem:
    if problem.file is not None:
        return problem
    line = axis.line if axis else study.lines.get("base")
    path = problem.path or (axis.path if axis else None)
    return replace(problem, file=study.file, line=line if study.file else None, path=path)


def _of_columns(study: Study) -> Iterator[Problem]:
    """Columns that are asked for and that no result has."""
    axes, derived = {axis.path for axis in study.axes}, {each.name for each in study.derive}
    wanted = [("keep", name) for name in study.keep if name not in axes]
    wanted += [("derive", name) for each in study.derive for name in each.ratio if name not in axes | derived]
    wanted += [("constraints", each.column) for each in study.constraints if each.column not in axes | derived]
    for place, name in wanted:
        if not is_column(name, study.base.kind):
            guess = closest(name, (*RESULT_KEYS, *axes))
            hint = f"did you mean {guess}?" if guess else "`sparksim show result` names them"
            yield replace(problem_of(study, place, f"no result has {name[:80]!r}", "unknown_column"), hint=hint)


def is_column(name: str, kind: str = "run") -> bool:
    """Whether a result of that kind has a key of that name (dots for nesting), or keys below it."""
    if name in ROW:
        return True
    head, *rest = name.split(".")
    if kind == "serve":
        is_known = head in SERVED or is_column(name)
        return is_known and not (head in LATENCIES and rest and rest[0] not in SPREAD)
    if head == "phases" and rest:
        name = ".".join((head, "PHASE", *rest[1:]))
    known = [key for key in RESULT_KEYS if key == name or key.startswith(f"{name}.") or name.startswith(f"{key}.")]
    return bool(known)


def check_study_file(path: Path) -> None:
    """The study in `path`, and everything that it names.

    Raises:
        InputError: every problem with its line.
    """
    check_study(read_study(path))
