"""What results hang on: elasticities of any number, what other machines would do, and Sobol indices over ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from sim.errors import InputError, Problem, gather
from sim.result.run_result import RunResult
from sim.study.answer import flattened
from sim.study.ask_study import Wanted, ask_study
from sim.study.explain import Asker, Sensitivity
from sim.study.parallel import Workers
from sim.study.points import missing_extra
from sim.study.sweep import sweep_study
from sim.system.prepared import Asked, Prepared
from sim.system.spec_fields import STEP, SpecField, fields_read
from sim.system.study import Study
from sim.system.study_check import is_column
from sim.system.study_file import SamplePart
from sim.units import format_quantity
from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_file import SETTABLE
from sim.yamlfile import closest

SCHEMA = "sparksim.sensitivity/1"
USUAL = ("ttft_s", "tpot_s")
MOST_SOBOL = 2**16
Numbers = dict[str, float]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What changes give. `ratio`: to the run as it is; a result that is not known there has none."""

    name: str
    overrides: Mapping[str, str]
    values: Mapping[str, float | None]
    ratio: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class SobolIndex:
    """The share of a result's variance that a field is behind: alone (`first`) and with all it acts together with.

    `..._conf`: half the width of the 95 % interval of each.
    """

    path: str
    y: str
    first: float
    first_conf: float
    total: float
    total_conf: float


@dataclass(frozen=True, slots=True)
class Sensitivities:
    """What the results `y` of a run hang on; of the three parts that one is filled that was asked for."""

    title: str
    y: tuple[str, ...]
    before: Mapping[str, float | None]
    elasticities: tuple[Sensitivity, ...] = ()
    what_ifs: tuple[WhatIf, ...] = ()
    indices: tuple[SobolIndex, ...] = ()
    skipped: tuple[str, ...] = ()
    points: int = 0
    ranges: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.sensitivity/1`: SI units, finite numbers, None where nothing applies."""
        return {
            "schema": SCHEMA,
            "title": self.title,
            "y": list(self.y),
            "before": dict(self.before),
            "elasticities": [each.to_dict() for each in self.elasticities],
            "factors": [asdict(each) for each in self.what_ifs],
            "sobol": [asdict(each) for each in self.indices],
            "ranges": dict(self.ranges),
            "points": self.points,
            "skipped": list(self.skipped),
        }

    def strongest(self, y: str) -> list[tuple[str, float]]:
        """(what, how much) of a result, the largest first: elasticity, change in %, or total index."""
        found = [(each.field.path, each.elasticity[y]) for each in self.elasticities]
        found += [(each.name, 100.0 * (ratio - 1.0)) for each in self.what_ifs if (ratio := each.ratio[y]) is not None]
        found += [(each.path, each.total) for each in self.indices if each.y == y]
        return sorted(found, key=lambda each: (-abs(each[1]), each[0]))


def sensitivity(
    asked: Asked,
    *,
    y: Sequence[str] = (),
    of: Sequence[str] = (),
    factors: Sequence[str] | Mapping[str, Any] = (),
    vary: Any = (),
    sobol: Any = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Sensitivities:
    """Elasticities of `y` (by all fields that the run reads, or those in `of`); what `factors` do; or Sobol indices.

    Raises:
        InputError: something given cannot be used; every problem.
        MissingExtraError: Sobol indices without SALib.
    """
    _check_mode(of, factors, vary, sobol)
    if sobol is not None:
        return _sobol(asked, y, vary, sobol, workers, progress)
    prepared, changes, _ = gather(asked.prepare, partial(_changed, asked, factors), partial(_check_columns, y))
    result = prepared.run(progress)
    names = _chosen(result, y)
    title = _title(result)
    if changes:
        found = tuple(_what_ifs(changes, result, names, progress))
        return Sensitivities(title, names, numbers(result, names), what_ifs=found)
    before = {name: value for name, value in numbers(result, names).items() if value is not None and value > 0}
    if unknown := [name for name in names if name not in before]:
        message = f"{', '.join(unknown)} is no number above 0 in this run: an elasticity is a ratio of logarithms"
        raise InputError(Problem(message, "bad_argument", path="y"))
    loaded = prepared.inputs.runtime
    assert loaded is not None
    fields = _fields(prepared, of, loaded.spec) if of else fields_read(result, loaded.spec)
    asker = Asker(prepared, result, partial(_known, names=names), sign=1, progress=progress)
    return Sensitivities(title, names, before, asker.ask_all(fields), skipped=tuple(asker.skipped))


def _check_mode(of: Any, factors: Any, vary: Any, sobol: Any) -> None:
    """Refuse what says nothing beside what else is asked.

    Raises:
        InputError: every one.
    """
    problems = []
    if sobol is None and vary:
        problems.append(
            Problem("ranges are for Sobol indices: say how many points", "usage", path="vary", hint="--sobol 64")
        )
    if sobol is not None:
        if isinstance(sobol, bool) or not isinstance(sobol, int) or not 2 <= sobol <= MOST_SOBOL or sobol & (sobol - 1):
            problems.append(
                Problem(f"must be a power of two up to {MOST_SOBOL:,}, not {sobol}", "bad_argument", path="sobol")
            )
        if not vary:
            hint = "e.g. --vary memory.bandwidth=200..600GB/s --vary gpu.sms=24..96"
            problems.append(Problem("has no ranges to draw from", "missing_argument", path="vary", hint=hint))
        problems += [
            Problem("says nothing about Sobol indices", "usage", path=name)
            for name, said in (("of", of), ("factor", factors))
            if said
        ]
    elif of and factors:
        problems.append(Problem("factors name their fields themselves", "usage", path="of"))
    if problems:
        raise InputError(problems)


def _check_columns(y: Sequence[str]) -> None:
    wrong = [name for name in y if not is_column(name)]
    if wrong:
        hint = "`sparksim show result` names them"
        raise InputError(
            [Problem(f"no result has {name[:60]!r}", "unknown_column", path="y", hint=hint) for name in wrong]
        )


def numbers(result: RunResult, names: Sequence[str]) -> dict[str, float | None]:
    """Columns of a result that are numbers; None where they are not known."""
    row = flattened(result.summary())
    found = {name: row.get(name) for name in names}
    return {
        name: float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        for name, value in found.items()
    }


def _known(result: RunResult, names: Sequence[str]) -> Numbers:
    return {name: value for name, value in numbers(result, names).items() if value is not None}


def _chosen(result: RunResult, y: Sequence[str]) -> tuple[str, ...]:
    """The results asked about; times to the first and to each further token if nothing is said.

    Raises:
        InputError: it does not fit, or has neither.
    """
    if result.fits is False:
        short = format_quantity(result.memory.short_bytes, "B") if result.memory else ""
        raise InputError(
            Problem(f"it does not fit: {short} short", "does_not_fit", hint="`sparksim fit` says what would")
        )
    names = tuple(y) or tuple(name for name, value in numbers(result, USUAL).items() if value is not None)
    if not names:
        raise InputError(Problem("say which result", "missing_argument", path="y", hint="e.g. --y phases.run.time_s"))
    return names


def _title(result: RunResult) -> str:
    me = result.identity
    return f"{me.model or result.workload.name} on {me.hardware}, {me.runtime}@{me.runtime_version}"


def _fields(prepared: Prepared, paths: Sequence[str], runtime: RuntimeSpec) -> list[SpecField]:
    """The fields of these paths, each with the factor that it is changed by: some 10 %, a count by 1 at least.

    Raises:
        InputError: no such field, or no number; every one.
    """
    known, problems, found = prepared.hardware.provenance, [], []
    settable = {
        f"runtime.{name}": (float(getattr(runtime, name)), kind if isinstance(kind, str) else "")
        for name, kind in SETTABLE.items()
        if isinstance(getattr(runtime, name, None), int | float)
    }
    for path in dict.fromkeys(paths):
        info = known.get(path)
        value, unit = (info.value, info.unit or "") if info else settable.get(path, (None, ""))
        if not isinstance(value, int | float) or isinstance(value, bool) or not value:
            guess = closest(path, [*known, *settable])
            hint = f"did you mean {guess}?" if guess and guess != path else None
            message = "is no number above 0" if info or path in settable else f"unknown field {path[:80]!r}"
            problems.append(Problem(message, "unknown_field", path=path, hint=hint))
            continue
        is_small_count = unit == "" and float(value).is_integer() and value < 10
        found.append(SpecField(path, float(value), unit, (value + 1) / value if is_small_count else STEP))
    if problems:
        raise InputError(problems)
    return found


def read_factors(given: Sequence[str] | Mapping[str, Any] | str) -> dict[str, dict[str, str]]:
    """Changes by name from "PATH[,PATH...]=VALUE" texts or a mapping: {"memory.bandwidth=x2": {path: "x2"}}.

    Raises:
        InputError: some that are not of this form; every one.
    """
    pairs = (
        given.items()
        if isinstance(given, Mapping)
        else [text.partition("=")[::2] for text in ([given] if isinstance(given, str) else given)]
    )
    found, problems = {}, []
    for paths, value in pairs:
        named = [path.strip() for path in str(paths).split(",")]
        text = str(value).strip()
        if not text or not all(named):
            hint = "e.g. memory.bandwidth=x2, or gpu.graph_launch,gpu.kernel_boundary=x0.5"
            problems.append(Problem(f"{str(paths)[:60]!r} is not PATH=VALUE", "bad_argument", path="factor", hint=hint))
        found[f"{', '.join(named)}={text}"] = dict.fromkeys(named, text)
    if problems:
        raise InputError(problems)
    return found


@dataclass(frozen=True, slots=True)
class _Changed:
    name: str
    overrides: dict[str, str]
    prepared: Prepared


def _changed(asked: Asked, factors: Sequence[str] | Mapping[str, Any]) -> list[_Changed]:
    """The run with each change by itself, then with all of them together."""
    sets = read_factors(factors)
    if len(sets) > 1:
        sets["all of them"] = {path: value for each in sets.values() for path, value in each.items()}
    runs = gather(*(partial(asked.prepare, None, overrides) for overrides in sets.values()))
    return [_Changed(name, sets[name], prepared) for name, prepared in zip(sets, runs, strict=True)]


def _what_ifs(
    changes: Sequence[_Changed], result: RunResult, names: Sequence[str], progress: Progress | None
) -> Iterator[WhatIf]:
    before = numbers(result, names)
    for each in changes:
        if progress is not None:
            progress(f"what if {each.name}")
        after = numbers(each.prepared.run(), names)
        ratio = {y: a / b if (a := after[y]) is not None and (b := before[y]) else None for y in names}
        yield WhatIf(each.name, each.overrides, after, ratio)


def _sobol(
    asked: Asked, y: Sequence[str], vary: Any, n: int, workers: Workers | None, progress: Progress | None
) -> Sensitivities:
    """First-order and total indices from n x (fields + 2) points, after Saltelli and Jansen (SALib)."""
    try:
        from SALib.analyze import sobol as analyze
        from SALib.sample import sobol as sample
    except ImportError:
        raise missing_extra("SALib", "sensitivity") from None
    wanted = Wanted(vary, sample=f"random {n}")
    study, _ = gather(
        partial(ask_study, asked.file, asked.arguments, asked.set, wanted, asked.search_dirs),
        partial(_check_columns, y),
    )
    paths = [axis.path for axis in study.axes]
    problem = {"num_vars": len(paths), "names": paths, "bounds": [[0.0, 1.0]] * len(paths)}
    # Both take a seed of 0 for none.
    shares = sample.sample(problem, n, calc_second_order=False, seed=study.seed + 1)
    drawn = _paired(study, shares.tolist(), tuple(y) or USUAL)
    done = sweep_study(drawn, search_dirs=asked.search_dirs, cache=asked.cache, workers=workers, progress=progress)
    if done.is_interrupted:
        raise KeyboardInterrupt
    rows = list(done.rows.values())
    names = tuple(y) or tuple(name for name in USUAL if any(row.get(name) is not None for row in rows))
    _check_known(rows, names)
    indices = []
    for name in names:
        column = done.frame[name].to_numpy(dtype=float)
        found = analyze.analyze(problem, column, calc_second_order=False, seed=study.seed + 1) if column.std() else None
        for i, path in enumerate(paths):
            four = [float(found[key][i]) if found else 0.0 for key in ("S1", "S1_conf", "ST", "ST_conf")]
            indices.append(SobolIndex(path, name, *four))
    ranges = {axis.path: " to ".join(str(value) for value in _ends(axis.extremes())) for axis in study.axes}
    base = dict.fromkeys(names)
    return Sensitivities(
        ", ".join(map(str, study.base.given.values())),
        names,
        base,
        indices=tuple(indices),
        points=len(rows),
        ranges=ranges,
    )


def _ends(values: Sequence[Any]) -> list[Any]:
    return [values[0], values[-1]]


def _paired(study: Study, shares: Sequence[Sequence[float]], keep: Sequence[str]) -> Study:
    """The study whose points are these shares of the way along each axis."""
    axes = tuple(
        replace(axis, values=tuple(axis.pick(min(row[i], 1.0 - 1e-12)) for row in shares), interval=None)
        for i, axis in enumerate(study.axes)
    )
    return replace(study, axes=axes, sample=SamplePart(kind="zip"), keep=tuple(keep))


def _check_known(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Every result is known at every point: variance has no place for others.

    Raises:
        InputError: one is not; says at how many points, and why at the first.
    """
    problems = []
    for name in names or USUAL:
        missing = [row for row in rows if not isinstance(row.get(name), int | float)]
        if missing:
            why = missing[0]["error"] or missing[0]["status"].replace("_", " ")
            message = f"{name} is not known at {len(missing):,} of {len(rows):,} points (the first: {why[:200]})"
            problems.append(Problem(message, "unknown_result", path="vary", hint="narrow the ranges"))
    if problems:
        raise InputError(problems)
