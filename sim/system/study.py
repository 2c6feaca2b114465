"""A study as asked: its base, its axes, and what is wanted of each point; from a file, flags, or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem, SpecError, gather
from sim.paths import find, is_path
from sim.system.scenario import SCHEMA as SCENARIO
from sim.system.scenario import (
    OfAModel,
    ScenarioFile,
    find_file,
    is_scenario,
    placed,
    read_scenario,
    said_by,
    scenario_kind,
)
from sim.system.study_axis import ARGUMENTS, Axis, axis_path, quantity, read_axis
from sim.system.study_file import SCHEMA, BasePart, ConstraintPart, DerivedPart, SamplePart, StudyFile
from sim.yamlfile import Document, load_file, validate_model

Folders = Sequence[str | Path]
NO_SAMPLE = SamplePart(kind="grid")
PARTS = ("base", "sample", "zip", "keep", "constraints", "derive")
OF_FILES = ("model", "runtime", "hardware", "quant")
"""Arguments that may be a ./FILE, which is beside the study."""


@dataclass(frozen=True, slots=True)
class Base:
    """What all points share. `given`: arguments of a run; `set`: overrides; `file`: an op trace.

    `kind` serve: `file` is a scenario of that kind, which says everything but overrides and the seed.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    set: Mapping[str, Any] = field(default_factory=dict)
    file: str | None = None
    kind: str = "run"


@dataclass(frozen=True, slots=True)
class Study:
    """A study. `groups`: axes whose values move together; every other axis is a group of its own.

    `lines`: where the file says its other parts.
    """

    base: Base
    axes: tuple[Axis, ...]
    groups: tuple[tuple[str, ...], ...] = ()
    sample: SamplePart = NO_SAMPLE
    keep: tuple[str, ...] = ()
    constraints: tuple[ConstraintPart, ...] = ()
    derive: tuple[DerivedPart, ...] = ()
    seed: int = 0
    title: str = ""
    file: str | None = None
    lines: Mapping[str, int | None] = field(default_factory=dict)

    def point(self, values: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arguments and overrides of the point whose axes have `values`, in their order."""
        given, changes = dict(self.base.given), dict(self.base.set)
        for axis, value in zip(self.axes, values, strict=True):
            (given if axis.is_argument else changes)[axis.path] = value
        return given, changes

    def axis(self, path: str) -> Axis:
        """The axis of that path."""
        return next(axis for axis in self.axes if axis.path == path)


def read_study(path: Path, search_dirs: Folders = ()) -> Study:
    """The study in `path`; names that begin with ./ are made relative to it.

    Raises:
        SpecError: the file is wrong, or its base names what is not there; every problem with its line.
    """
    document = load_file(path)
    file = validate_model(StudyFile, document)
    axes, base, _ = gather(
        lambda: _axes(file, document), lambda: _base(file, document, search_dirs), lambda: _check_words(file, document)
    )
    zips = [file.zip] if file.zip and isinstance(file.zip[0], str) else file.zip
    return Study(
        base,
        tuple(axes),
        tuple(tuple(map(axis_path, group)) for group in zips),
        file.sample,
        tuple(file.keep),
        tuple(file.constraints),
        tuple(file.derive),
        file.seed,
        file.title,
        str(path),
        {part: document.line_of((part,)) for part in PARTS},
    )


def _placed(step: Any, document: Document, *place: str) -> Any:
    """`step`, whose problems are of the file; those with a path below `axes` or of a part stand at its line."""
    try:
        return step()
    except InputError as error:
        raise SpecError([_at(problem, document, place) for problem in error.problems]) from None


def _at(problem: Problem, document: Document, place: tuple[str, ...]) -> Problem:
    if problem.line is not None:
        return problem
    path = (*place, problem.path) if place and problem.path else place or tuple((problem.path or "").split("."))
    line = document.line_of(path if all(path) else ())
    return replace(problem, file=document.file, line=line, path=".".join(path) or None)


def _axes(file: StudyFile, document: Document) -> list[Axis]:
    def read(path: str, given: Any) -> Axis:
        line = document.line_of(("axes", path))
        values = given if isinstance(given, str | list) else given.model_dump(exclude_defaults=True)
        return _beside(read_axis(path, values, line), Path(document.file).parent)

    return gather(
        *(partial(_placed, partial(read, path, given), document, "axes") for path, given in file.axes.items())
    )


def _beside(axis: Axis, folder: Path) -> Axis:
    if axis.path not in OF_FILES:
        return axis
    return replace(axis, values=tuple(_near(value, folder) for value in axis.values))


def _near(name: Any, folder: Path) -> Any:
    return str(folder / name) if isinstance(name, str) and name.startswith(("./", "../")) else name


def _base(file: StudyFile, document: Document, search_dirs: Folders) -> Base:
    """The base: a scenario by name, in full, or arguments, maybe on top of a scenario."""
    base, folder = file.base, Path(document.file).parent
    varied = {path.replace("-", "_") for path in file.axes}
    if isinstance(base, dict):
        data = {"schema": SCENARIO, "kind": "run", **base}
        scenario = placed(validate_model(ScenarioFile, document, at=("base",), data=data), Path(document.file))
        return _said(scenario)
    part = BasePart(scenario=base) if isinstance(base, str) else base
    given = {name: getattr(part, name) for name in ARGUMENTS if getattr(part, name, None) is not None}
    given = {name: _near(value, folder) if name in OF_FILES else value for name, value in given.items()}
    if twice := varied & {*given, *part.set}:
        line, message = document.line_of(("base",)), "is set here, and an axis too"
        raise SpecError([Problem(message, "bad_study", document.file, line, f"base.{path}") for path in sorted(twice)])
    if part.scenario is None:
        return Base(given, part.set)
    below: Base = _placed(
        partial(base_of, _near(part.scenario, folder), search_dirs, {*given, *varied}), document, "base"
    )
    return replace(below, given={**below.given, **given}, set={**below.set, **part.set})


def base_of(name: str | Path, search_dirs: Folders = (), replaced: Iterable[str] = ()) -> Base:
    """The base that a scenario of kind run or serve, or an op trace is; `replaced`: flags that override it.

    Raises:
        InputError: it is wrong, or of another kind.
    """
    path = find_file(name, search_dirs)
    if not is_scenario(path):
        return Base(file=str(path))
    if scenario_kind(path) == "serve":
        return Base(file=str(path), kind="serve")
    return _said(read_scenario(path, search_dirs, set(replaced)))


def _said(scenario: OfAModel) -> Base:
    values, sets = said_by(scenario)
    return Base({name: value for name, value in values.items() if value is not None}, sets)


def _check_words(file: StudyFile, document: Document) -> None:
    """Numbers of constraints are numbers, and no column is made twice."""
    problems = []
    for i, each in enumerate(file.constraints):
        for word in ("min", "max"):
            value = getattr(each, word)
            if value is not None and quantity(value)[1] in (None, "x"):
                line = document.line_of(("constraints", i, word))
                message = f"{str(value)[:40]!r} is no number; write a number in SI, or a quantity such as 2 s"
                problems.append(Problem(message, "bad_value", document.file, line, f"constraints.{i}.{word}"))
    names = [each.name for each in file.derive]
    for i, name in enumerate(names):
        if name in names[:i] or name in file.axes:
            line = document.line_of(("derive", i, "name"))
            problems.append(Problem(f"{name!r} is there twice", "bad_value", document.file, line, f"derive.{i}.name"))
    if problems:
        raise SpecError(problems)


def shape_problems(study: Study) -> list[Problem]:
    """Where axes and groups do not go together: an axis twice, groups of no axis or of unequal length, no values."""
    paths = [axis.path for axis in study.axes]
    found = [_of_axis(study, axis, "is an axis twice") for i, axis in enumerate(study.axes) if axis.path in paths[:i]]
    grouped = [path for group in study.groups for path in group]
    for path in dict.fromkeys(grouped):
        if path not in paths:
            found.append(problem_of(study, "zip", f"{path} is no axis of the study"))
        elif grouped.count(path) > 1:
            found.append(problem_of(study, "zip", f"{path} is in it twice"))
    if study.sample.kind == "zip" and study.groups:
        found.append(problem_of(study, "sample", "says that all axes move together: leave zip out"))
    if not found:
        groups = [tuple(paths)] if study.sample.kind == "zip" else study.groups
        found += [each for group in groups for each in _uneven(study, group)]
    if study.sample.kind in ("grid", "zip"):
        hint = "give it a step (from..to:step, or step: or n: in a file), or draw from it: sample: random 100"
        for axis in study.axes:
            if axis.interval is not None:
                found.append(replace(_of_axis(study, axis, "is a range without a step"), hint=hint))
    return found


def unserved_problems(study: Study) -> list[Problem]:
    """Arguments of a run on top of a server, whose scenario says them."""
    if study.base.kind != "serve":
        return []
    hint = "the scenario says it; axes are its seed and overrides: traffic.arrivals.rate, runtime.max_num_seqs, gpu.sms"
    axes = {axis.path: axis.line for axis in study.axes}
    named = [name for name in (*study.base.given, *axes) if name in ARGUMENTS and name != "seed"]
    message = "is nothing that a study of a server changes"
    return [Problem(message, "bad_axis", study.file, axes.get(name), name, hint) for name in named]


def problem_of(study: Study, part: str, message: str, code: str = "bad_study") -> Problem:
    """A problem of a part of a study, at its line."""
    return Problem(message, code, study.file, study.lines.get(part), part)


def _of_axis(study: Study, axis: Axis, message: str) -> Problem:
    return Problem(message, "bad_axis", study.file, axis.line, axis.path)


def _uneven(study: Study, group: Sequence[str]) -> list[Problem]:
    axes = [study.axis(path) for path in group]
    lengths = {axis.path: len(axis.values) for axis in axes if axis.interval is None}
    if len(set(lengths.values())) < 2:
        return []
    said = ", ".join(f"{path} has {n}" for path, n in lengths.items())
    return [problem_of(study, "zip", f"axes that move together have as many values: {said}")]


def find_study(name: str | Path, search_dirs: Folders = ()) -> Path:
    """The study that a name or path stands for.

    Raises:
        InputError: there is none.
    """
    return Path(name) if is_path(str(name)) else find("studies", str(name), search_dirs)


def is_study(path: Path) -> bool:
    """Whether a file says that it is a study; one that has axes and no schema is meant as one."""
    if path.suffix == ".jsonl":
        return False
    data = load_file(path).data
    return isinstance(data, dict) and data.get("schema", SCHEMA if "axes" in data else None) == SCHEMA
