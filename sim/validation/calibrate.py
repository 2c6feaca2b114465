"""Calibrated numbers refitted from the measurements that ship: is each what its own measurements say?

Each number is searched for alone within its range, so that the mean over classes of |ln(predicted / measured)| of the
measurements that inform it is least. Numbers that share measurements are searched for in turn, each with the others as
they then are, until none moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from sim.errors import InputError, Problem
from sim.paths import normalize
from sim.validation.informing import Case, Number, written_value
from sim.validation.search import Curve, Errors, class_weights
from sim.yamlfile import LEAST_RECORDS, closest

MOST_PASSES = 6
STILL = 0.02
"""Share of its range by which a number may still move in a pass."""
REPRODUCED = 0.02
"""Share of the refitted value's error by which that of the shipped value may be above it: then it is reproduced."""
IMMATERIAL = 0.003
"""So is one whose error is above it by no more than this: a third of a percent of a time."""
SURE = 2.0
"""Standard errors of the difference, over the measurements, within which it is scatter: other measurements of the same
kind could have said the opposite."""
MOST_OF_A_CLASS = 6
"""Measurements of a class of whole runs that are looked at: more of one class would say the same again."""
MOVES = 1e-3
"""A measurement is one that the number moves if its prediction changes by more than this over the whole range."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Measurements that are not looked at: of a family of models, a source, a runtime. None: all are."""

    family: str | None = None
    source: str | None = None
    runtime: str | None = None

    def keeps(self, case: Case) -> bool:
        """Whether a measurement is looked at."""
        _, source, runtime = case.group
        return not (
            (
                self.family is not None
                and normalize(str(case.fields.get("model", ""))).startswith(normalize(self.family))
            )
            or (self.source is not None and source == self.source)
            or (self.runtime is not None and runtime == self.runtime)
        )

    def check(self, numbers: Sequence[Number]) -> None:
        """Refuse what leaves out nothing.

        Raises:
            InputError: every family, source or runtime that no measurement is of.
        """
        every = {case.index: case for number in numbers for case in number.cases}.values()
        problems = []
        for position, (name, value) in enumerate(
            (("family", self.family), ("source", self.source), ("runtime", self.runtime))
        ):
            if value is not None and all(replace(ALL, **{name: value}).keeps(case) for case in every):
                known = sorted({case.group[position] for case in every} - {""})
                guess = closest(value, known)
                hint = f"did you mean '{guess}'?" if guess else f"there are: {', '.join(known)}"
                message = f"no measurement that informs a number is of {name} {value[:60]!r}"
                problems.append(Problem(message, "unknown_name", path=f"--without-{name}", hint=hint))
        if problems:
            raise InputError(problems)


ALL = LeftOut()


@dataclass(frozen=True, slots=True)
class Refit:
    """One number: its value, and errors as means over classes of |ln(predicted / measured)|.

    `better_by`: how much lower the refitted value's error is than the shipped one's, the others as they are refitted or
    all as they ship, whichever makes less of a difference; `unsure_by`: its standard error over the measurements.
    `moved`: how many of the measurements the number moves. `why_not`: why it was not refitted; all else is then empty.
    """

    number: Number
    value: float
    shipped_error: float
    error: float
    count: int
    moved: int
    better_by: float = 0.0
    unsure_by: float = 0.0
    why_not: str = ""

    @property
    def is_reproduced(self) -> bool:
        """Whether the shipped value is as good as the refitted one, by `REPRODUCED` and `IMMATERIAL`."""
        return self._is_informed and self.better_by <= max(REPRODUCED * self.error, IMMATERIAL)

    @property
    def is_scatter(self) -> bool:
        """Whether it is not, but by no more than scatter (`SURE`)."""
        return self._is_informed and not self.is_reproduced and self.better_by <= SURE * self.unsure_by

    @property
    def _is_informed(self) -> bool:
        return not self.why_not and self.moved >= LEAST_RECORDS

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if not self._is_informed:
            return self.why_not or f"moves only {self.moved} of its records"
        return "reproduced" if self.is_reproduced else "within scatter" if self.is_scatter else "NOT reproduced"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        said = self.number.said
        return {
            "name": said.name,
            "unit": said.unit,
            "shipped": said.value,
            "refitted": written_value(said, self.value),
            "range": list(said.bounds or ()),
            "error_shipped": self.shipped_error,
            "error_refitted": self.error,
            "better_by": self.better_by,
            "better_by_standard_error": self.unsure_by,
            "records": self.count,
            "records_moved": self.moved,
            "is_reproduced": self.is_reproduced,
            "is_scatter": self.is_scatter,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Calibration:
    """Every number that was asked for, and how often those that share measurements were gone through."""

    refits: tuple[Refit, ...]
    passes: int
    is_still: bool

    @property
    def values(self) -> dict[str, float]:
        """The refitted values by name, where there are any."""
        return {refit.number.name: refit.value for refit in self.refits if not refit.why_not}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "schema": "sparksim.calibration/1",
            "passes": self.passes,
            "is_still": self.is_still,
            "reproduced": sum(refit.is_reproduced for refit in self.refits),
            "numbers": [refit.to_dict() for refit in self.refits],
        }


LogError = Callable[[Case, Mapping[str, float]], float | None]


def calibrate(
    numbers: Sequence[Number],
    log_error: LogError,
    left_out: LeftOut | None = None,
    progress: Callable[[str], None] | None = None,
) -> Calibration:
    """Refit `numbers` from the measurements that inform them. `log_error`: as of `Predictor`."""
    known = {number.name: looked_at(number, log_error, left_out or ALL) for number in numbers}
    fitted = [number for number in numbers if len(known[number.name]) >= LEAST_RECORDS]
    search = _Search(fitted, known, log_error, progress)
    passes, is_still = search.run()
    return Calibration(tuple(search.refit(number) for number in numbers), passes, is_still)


def looked_at(number: Number, log_error: LogError, left_out: LeftOut = ALL) -> tuple[Case, ...]:
    """The measurements of a number that are looked at: described, not left out, few of a class of runs."""
    classes: dict[str, list[Case]] = defaultdict(list)
    for case in number.cases:
        if left_out.keeps(case):
            classes[case.label].append(case)
    few = [each for group in classes.values() for each in _spread(group)]
    return tuple(case for case in sorted(few, key=lambda case: case.index) if log_error(case, {}) is not None)


def _spread(group: list[Case]) -> list[Case]:
    """All of them where simulating one is cheap or they are few, else so many, evenly spread."""
    if group[0].file != "inference" or len(group) <= MOST_OF_A_CLASS:
        return group
    step = (len(group) - 1) / (MOST_OF_A_CLASS - 1)
    return [group[round(index * step)] for index in range(MOST_OF_A_CLASS)]


class _Search:
    """Numbers in turn, each with the others as they are now."""

    def __init__(
        self,
        numbers: Sequence[Number],
        cases: Mapping[str, tuple[Case, ...]],
        log_error: LogError,
        progress: Callable[[str], None] | None,
    ) -> None:
        self._numbers = numbers
        self._cases = cases
        self._log_error = log_error
        self._progress = progress
        self._shipped = {number.name: number.value for number in numbers}
        self._now: dict[str, float] = {}
        self._moved: dict[str, int] = {}

    def run(self) -> tuple[int, bool]:
        """How many passes it took, and whether nothing moved in the last."""
        waiting = {number.name for number in self._numbers}
        for turn in range(1, MOST_PASSES + 1):
            again: set[str] = set()
            for number in self._numbers:
                if number.name in waiting:
                    again |= self._turn(number, turn)
            waiting = again
            if not waiting:
                return turn, True
        return MOST_PASSES, False

    def _turn(self, number: Number, turn: int) -> set[str]:
        """Search for one number; the names of those that must be gone through again because it moved."""
        if self._progress is not None:
            self._progress(f"pass {turn}: {number.name}, {len(self._cases[number.name])} records")
        before = self._now.get(number.name, number.value)
        curve = Curve(number.scale, lambda value: self._errors(number, self._now | {number.name: value}))
        value = curve.find(self._weights(number), before, is_near=turn > 1)
        if turn == 1:
            self._moved[number.name] = int((curve.spread() > MOVES).sum())
        if value != number.value:
            self._now[number.name] = value
        if abs(number.scale.share(value) - number.scale.share(before)) <= STILL:
            return set()
        mine = {case.index for case in self._cases[number.name]}
        return {
            other.name
            for other in self._numbers
            if other is not number and mine & {case.index for case in self._cases[other.name]}
        }

    def _errors(self, number: Number, values: Mapping[str, float]) -> Errors:
        changed = {name: value for name, value in values.items() if value != self._shipped[name]}
        return np.array([self._log_error(case, changed) for case in self._cases[number.name]], dtype=np.float64)

    def _weights(self, number: Number) -> Errors:
        return class_weights([case.label for case in self._cases[number.name]])

    def refit(self, number: Number) -> Refit:
        """What came out for one number, all others refitted too."""
        count = len(self._cases[number.name])
        if count < LEAST_RECORDS:
            return Refit(number, number.value, 0.0, 0.0, count, 0, why_not=f"{count} of {LEAST_RECORDS} records")
        name, weights = number.name, self._weights(number)
        value = self._now.get(name, number.value)
        now = np.abs(self._errors(number, self._now))
        shipped = np.abs(self._errors(number, {}))
        own = np.abs(self._errors(number, self._now | {name: number.value}))
        gains = min(((each - now) * weights * count for each in (shipped, own)), key=lambda gain: float(gain.sum()))
        return Refit(
            number,
            value,
            float(weights @ shipped),
            float(weights @ now),
            count,
            self._moved[name],
            float(gains.mean()),
            float(gains.std(ddof=1) / sqrt(count)),
        )


def chosen(numbers: Sequence[Number], names: Sequence[str]) -> list[Number]:
    """The numbers that are named: in full, or the beginning or end of their names; all without names.

    Raises:
        InputError: every name that is none.
    """
    if not names:
        return list(numbers)
    problems = []
    picked: set[str] = set()
    for name in names:
        fitting = [
            n.name for n in numbers if n.name == name or n.name.startswith(f"{name}.") or n.name.endswith(f".{name}")
        ]
        if not fitting:
            guess = closest(name, [number.name for number in numbers])
            hint = f"did you mean '{guess}'?" if guess else "`sparksim list calibrated` names them"
            problems.append(Problem(f"no number called {name[:80]!r} names its records", "unknown_name", hint=hint))
        picked.update(fitting)
    if problems:
        raise InputError(problems)
    return [number for number in numbers if number.name in picked]
