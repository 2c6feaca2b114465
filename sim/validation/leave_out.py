"""How right predictions are of what nothing was calibrated on: a family, source or runtime left out at a time.

For each, the calibrated numbers that its measurements inform are refitted without them, a number with too few left
takes the middle of its range, and a model of a left-out family routes as one without a number of its own. Then its
measurements are simulated, and looked for in the range that the others give: those of their class, each as far off as
it was when it was left out itself (cross-validation).

A refit does not simulate anew: each number's curve is taken once over its range, and curves of numbers that share
measurements add up (in logarithms).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sim.paths import find
from sim.system.measurements import family_of
from sim.validation.calibrate import LeftOut, looked_at
from sim.validation.inference import Report, Row, compare
from sim.validation.informing import Case, Number, Predictor
from sim.validation.residuals import coverage
from sim.validation.search import Curve, Errors, class_weights, lowest
from sim.yamlfile import LEAST_RECORDS, load_yaml, validate_model

WHAT = ("family", "source", "runtime")
FEWEST = 5
"""Comparisons from which on a group is held to its target."""
MOST_TURNS = 20
STILL = 0.001


class _Target(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    error: float = Field(gt=0)
    inside: tuple[float, float]


class _TargetFile(BaseModel):
    """The part of the file that is ours."""

    model_config = ConfigDict(frozen=True)
    leave_out: dict[str, _Target] = {}


@dataclass(frozen=True, slots=True)
class Group:
    """One that was left out: its comparisons as predicted without it, and the numbers that its measurements inform.

    `unknown`: numbers that too few others inform, which took the middle of their range.
    """

    name: str
    rows: tuple[Row, ...]
    values: Mapping[str, float]
    unknown: tuple[str, ...]

    @property
    def error(self) -> float:
        """Mean of |predicted / measured - 1|."""
        return mean(abs(row.error) for row in self.rows)

    @property
    def bias(self) -> float:
        """Mean of predicted / measured - 1."""
        return mean(row.error for row in self.rows)


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """Every group of a kind (family, source or runtime), and how many comparisons lie in the ranges of the others."""

    what: str
    groups: tuple[Group, ...]
    inside: Mapping[str, tuple[int, int]]

    def broken_targets(self) -> list[str]:
        """Every target that does not hold, in a sentence each; a kind without targets breaks none."""
        targets = validate_model(_TargetFile, load_yaml(find("measurements", "targets"))).leave_out.get(self.what)
        if targets is None:
            return []
        broken = [
            f"without {group.name} it is off by {group.error:.1%}, target {targets.error:.0%}"
            for group in self.groups
            if len(group.rows) >= FEWEST and group.error > targets.error
        ]
        inside, count = self.inside.get("all", (0, 0))
        low, high = targets.inside
        if not count or not low <= inside / count <= high:
            broken.append(f"{inside} of {count} left-out lie in their range, target {low:.0%} to {high:.0%}")
        return broken

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        inside, count = self.inside.get("all", (0, 0))
        rows = [row for group in self.groups for row in group.rows]
        return {
            "schema": "sparksim.leave_out/1",
            "left_out": self.what,
            "comparisons": len(rows),
            "error": mean(abs(row.error) for row in rows),
            "bias": mean(row.error for row in rows),
            "inside": inside,
            "with_range": count,
            "groups": [
                {
                    "name": group.name,
                    "comparisons": len(group.rows),
                    "error": group.error,
                    "bias": group.bias,
                    "inside": self.inside.get(group.name, (0, 0))[0],
                    "with_range": self.inside.get(group.name, (0, 0))[1],
                    "refitted": dict(group.values),
                    "uninformed": list(group.unknown),
                }
                for group in self.groups
            ],
            "broken": self.broken_targets(),
        }


def leave_out(
    what: str,
    report: Report,
    numbers: Sequence[Number],
    predictor: Predictor,
    progress: Callable[[str], None] | None = None,
) -> LeaveOut:
    """Leave out every family, source or runtime of `report`, which compares all records as they ship."""
    tell = progress or (lambda _: None)
    informed = [number for number in numbers if any(case.file == "inference" for case in number.cases)]
    curves = _Curves(informed, predictor, tell)
    groups = []
    for name in sorted({_name(what, row) for row in report.rows}):
        out = LeftOut(**{what: name})
        values, unknown = curves.refit(out)
        rows = [row for row in report.rows if _name(what, row) == name]
        tell(f"without {what} {name}: {len(rows)} records")
        left = tuple(_again(row, values, predictor, is_family=what == "family") for row in rows)
        groups.append(Group(name, left, values, unknown))
    every = [row for group in groups for row in group.rows]
    inside = coverage(every, lambda row: _name(what, row), also=lambda row: _name(what, row))
    return LeaveOut(what, tuple(groups), inside)


def _name(what: str, row: Row) -> str:
    record = row.record
    return {"family": family_of(record.model), "source": record.source, "runtime": record.runtime.partition("@")[0]}[
        what
    ]


def _again(row: Row, values: Mapping[str, float], predictor: Predictor, *, is_family: bool) -> Row:
    """The comparison with other values of numbers; of a left-out family also with the usual routing."""
    if not values and not is_family:
        return row
    other = "decode" if row.phase == "prefill" else "prefill"
    record = row.record.model_copy(update={f"{other}_tok_s": None})

    def predict(**given: Any) -> Any:
        return predictor.run_with(values, given, is_typical=is_family)

    (again,) = compare(record, predict)
    return replace(row, predicted=again.predicted)


def to_text(found: LeaveOut) -> str:
    """A table for a person."""
    head = f"{'left out: ' + found.what:<28}{'n':>6}{'error':>9}{'bias':>9}{'in range':>16}"
    head += "  numbers refitted; * what no other informs"
    lines = [head]
    data = found.to_dict()
    for group in data["groups"]:
        names = [
            f"{_short(name)} {value:.4g}{'*' if name in group['uninformed'] else ''}"
            for name, value in group["refitted"].items()
        ]
        lines.append(_line(group["name"], group["comparisons"], group, ", ".join(names)))
    lines += ["", _line("all", data["comparisons"], data, "")]
    return "\n".join(lines)


def _line(name: str, count: int, one: Mapping[str, Any], names: str) -> str:
    n = one["with_range"]
    inside = f"{one['inside']} of {n}, {one['inside'] / n:.0%}" if n else "-"
    return f"{name:<28}{count:>6}{one['error']:>9.1%}{one['bias']:>+9.1%}{inside:>16}  {names}".rstrip()


def _short(name: str) -> str:
    """The last two words of a number's name."""
    return ".".join(name.split(".")[-2:])


class _Curves:
    """The log errors over each number, and refits by them."""

    def __init__(self, numbers: Sequence[Number], predictor: Predictor, tell: Callable[[str], None]) -> None:
        self._numbers = numbers
        self._cases: dict[str, tuple[Case, ...]] = {}
        self._curves: dict[str, Curve] = {}
        self._places: dict[str, dict[int, int]] = {}
        for number in numbers:
            cases = looked_at(number, predictor.log_error)
            tell(f"{number.name}: {len(cases)} records")

            def ask(value: float, number: Number = number, cases: tuple[Case, ...] = cases) -> Errors:
                values = {} if value == number.value else {number.name: value}
                return np.array([predictor.log_error(case, values) for case in cases], dtype=np.float64)

            curve = Curve(number.scale, ask)
            if len(cases) >= LEAST_RECORDS:
                curve.find(class_weights([case.label for case in cases]), number.value)
            self._cases[number.name], self._curves[number.name] = cases, curve
            self._places[number.name] = {case.index: place for place, case in enumerate(cases)}

    def refit(self, out: LeftOut) -> tuple[dict[str, float], tuple[str, ...]]:
        """Values without what is left out of those numbers that it informs, and which of them nothing else does."""
        touched: list[Number] = []
        unknown: list[Number] = []
        for number in self._numbers:
            kept = [case for case in self._cases[number.name] if out.keeps(case)]
            if len(kept) == len(self._cases[number.name]):
                continue
            (touched if len(kept) >= LEAST_RECORDS else unknown).append(number)
        shares = {number.name: 0.5 for number in unknown}
        for _ in range(MOST_TURNS):
            before = dict(shares)
            for number in touched:
                shares[number.name] = self._turn(number, shares, out)
            if all(abs(shares[name] - before.get(name, self._start(name))) <= STILL for name in shares):
                break
        scales = {number.name: number.scale for number in self._numbers}
        values = {name: scales[name].value(share) for name, share in shares.items()}
        return values, tuple(number.name for number in unknown)

    def _start(self, name: str) -> float:
        number = next(number for number in self._numbers if number.name == name)
        return number.scale.share(number.value)

    def _turn(self, number: Number, shares: Mapping[str, float], out: LeftOut) -> float:
        """The best share of one number, the others as they are now."""
        cases = self._cases[number.name]
        beside = np.zeros(len(cases))
        for other, share in shares.items():
            if other == number.name:
                continue
            known, curve = self._places[other], self._curves[other]
            change = curve.at(share) - curve.at(self._start(other))
            for place, case in enumerate(cases):
                if case.index in known:
                    beside[place] += change[known[case.index]]
        weights = np.zeros(len(cases))
        kept = [place for place, case in enumerate(cases) if out.keeps(case)]
        weights[kept] = class_weights([cases[place].label for place in kept])
        start = shares.get(number.name, self._start(number.name))
        return lowest(self._curves[number.name], weights, start, beside)
