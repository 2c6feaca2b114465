"""A study from keywords, by itself or on top of a file: lists are axes, everything else is what all points share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sim.errors import InputError, Problem, gather
from sim.system.arguments import split_overrides
from sim.system.study import Base, Study, base_of, find_study, is_study, read_study
from sim.system.study_axis import Axis, axis_path, read_axis
from sim.system.study_check import is_column
from sim.system.study_file import ConstraintPart, DerivedPart, RangePart, SamplePart
from sim.yamlfile import problems_of

Folders = Sequence[str | Path]
Vary = Mapping[str, Any] | Iterable[str] | str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked besides the run itself; empty where nothing is said, and a file may say it."""

    vary: Vary = ()
    zip: Sequence[str] | Sequence[Sequence[str]] = ()
    sample: Any = None
    keep: Sequence[str] = ()
    constraints: Sequence[Mapping[str, object]] = ()
    derive: Sequence[Mapping[str, object]] = ()
    y: Sequence[str] = ()
    """Columns that are shown: they have to be kept."""


def ask_study(
    file: str | Path | None, given: Mapping[str, Any], overrides: Any, wanted: Wanted, search_dirs: Folders = ()
) -> Study:
    """The study that keywords ask for, on top of a study or a scenario in `file`.

    Of a field that the file varies, a keyword's value (or values) holds.

    Raises:
        InputError: something is wrong with the file or a keyword; every problem.
    """
    flags = {name: value for name, value in given.items() if value is not None and value is not False}
    lists = {name: value for name, value in flags.items() if _is_list(value)}
    changes = dict(overrides) if isinstance(overrides, Mapping) else None
    lists |= {path: value for path, value in (changes or {}).items() if _is_list(value)}
    fixed = {name: value for name, value in flags.items() if name not in lists}
    others = {path: value for path, value in changes.items() if path not in lists} if changes is not None else overrides
    below, axes, sets, said = gather(
        partial(_below, file, {*flags, *lists}, search_dirs),
        partial(_axes, lists, wanted.vary, {*fixed}),
        partial(_sets, others),
        partial(_said, wanted),
    )
    return _shown(_laid_over(below, axes, fixed, sets, said), wanted.y)


def _laid_over(below: Study, axes: Sequence[Axis], fixed: dict[str, Any], sets: dict[str, Any], said: Any) -> Study:
    """Keywords over what the file says."""
    both = {axis.path for axis in axes} & {*fixed, *sets}
    problems = [Problem("is both varied and set", "bad_axis", path=path) for path in sorted(both)]
    mine = {axis.path: axis for axis in axes}
    kept = [mine.pop(axis.path, axis) for axis in below.axes if axis.path not in {*fixed, *sets}]
    base = replace(below.base, given={**below.base.given, **fixed}, set={**below.base.set, **sets})
    study = replace(below, base=base, axes=(*kept, *mine.values()), **said)
    if not study.axes and not problems:
        hint = "e.g. --vary memory.bandwidth=200..600:25GB/s, or a list: batch=[1, 2, 4]"
        problems.append(Problem("nothing is varied", "missing_argument", study.file, path="vary", hint=hint))
    if problems:
        raise InputError(problems)
    return replace(study, seed=fixed["seed"]) if isinstance(fixed.get("seed"), int) else study


def _shown(study: Study, y: Sequence[str]) -> Study:
    """The study, of which the columns in `y` are kept.

    Raises:
        InputError: some that it does not have; every one.
    """
    own = {*(axis.path for axis in study.axes), *(each.name for each in study.derive)}
    wrong = [name for name in y if name not in own and not is_column(name, study.base.kind)]
    if wrong:
        hint = "`sparksim show result` names them"
        raise InputError(
            [Problem(f"no result has {name[:80]!r}", "unknown_column", path="y", hint=hint) for name in wrong]
        )
    more = [name for name in y if name not in own]
    return replace(study, keep=tuple(dict.fromkeys([*study.keep, *more]))) if study.keep else study


def _below(file: str | Path | None, replaced: set[str], search_dirs: Folders) -> Study:
    if file is None:
        return Study(Base(), ())
    try:
        path = find_study(file, search_dirs)
    except InputError as error:
        try:
            return Study(base_of(file, search_dirs, replaced), ())
        except InputError:
            raise error from None
    return read_study(path, search_dirs) if is_study(path) else Study(base_of(path, search_dirs, replaced), ())


def _is_list(value: Any) -> bool:
    """Whether a keyword's value is several: a list, a tuple, a range, an array."""
    if isinstance(value, str | bytes | Mapping):
        return False
    return isinstance(value, list | tuple | range) or (hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1)


def _axes(lists: Mapping[str, Any], vary: Vary, fixed: set[str]) -> list[Axis]:
    """Axes of lists, then those of `vary`: a mapping, or "PATH=VALUES" texts."""
    said: list[tuple[str, Any]] = [(path, list(value)) for path, value in lists.items()]
    problems = []
    for each in vary.items() if isinstance(vary, Mapping) else [vary] if isinstance(vary, str) else vary:
        path, values = each.partition("=")[::2] if isinstance(each, str) else each
        if isinstance(each, str) and not values:
            hint = "e.g. memory.bandwidth=200..600:25GB/s or batch=1,2,4"
            problems.append(Problem(f"{each[:60]!r} is not PATH=VALUES", "bad_axis", path="vary", hint=hint))
            continue
        said.append((path.strip(), list(values) if _is_list(values) else values))
    names = [path.replace("-", "_") for path, _ in said]
    problems += [
        Problem("is varied twice", "bad_axis", path=path) for path in dict.fromkeys(names) if names.count(path) > 1
    ]
    if problems:
        raise InputError(problems)
    return gather(*(partial(_axis, path, values) for path, values in said))


def _axis(path: str, values: Any) -> Axis:
    """An axis; a range as a mapping is checked as that of a file is."""
    if isinstance(values, Mapping):
        values = _part(path, RangePart, values).model_dump(exclude_defaults=True)
    return read_axis(path, values)


def _sets(overrides: Any) -> dict[str, Any]:
    changes = split_overrides(overrides)
    changes.check()
    return {**changes.given, **changes.hardware}


def _said(wanted: Wanted) -> dict[str, Any]:
    """The parts of a study that keywords say, checked as those of a file are."""
    found: dict[str, Any] = {}
    if wanted.zip:
        zips = [wanted.zip] if isinstance(wanted.zip[0], str) else wanted.zip
        found["groups"] = tuple(tuple(axis_path(str(path)) for path in group) for group in zips)
    if wanted.keep:
        found["keep"] = tuple([wanted.keep] if isinstance(wanted.keep, str) else wanted.keep)
    parts: dict[str, tuple[Any, Any]] = {"sample": (SamplePart, wanted.sample)} if wanted.sample is not None else {}
    lists = {"constraints": (ConstraintPart, wanted.constraints), "derive": (DerivedPart, wanted.derive)}
    made = gather(
        *(partial(_part, name, model, data) for name, (model, data) in parts.items()),
        *(
            lambda name=name, model=model, data=data: tuple(gather(*(partial(_part, name, model, one) for one in data)))
            for name, (model, data) in lists.items()
            if data
        ),
    )
    return found | dict(zip([*parts, *(name for name, (_, data) in lists.items() if data)], made, strict=True))


def _part(name: str, model: Any, data: Any) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = problems_of(error, model, data, lambda _path: (None, None), (name,))
        raise InputError(found) from None
