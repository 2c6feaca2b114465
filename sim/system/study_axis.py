"""One axis of a study: a field, and the values that it takes in turn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem
from sim.units import EXAMPLES, parse_quantity
from sim.yamlfile import closest

ARGUMENTS = ("model", "runtime", "hardware", "quant", "kv_dtype", "batch", "prompt", "depth", "output", "seed")
"""Arguments of a run that an axis may be; any other is an override, as after `--set`."""
COUNTS = frozenset({"batch", "prompt", "depth", "output", "seed"})
MOST_VALUES = 50_000
LARGEST = Decimal("1e24")
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_UNIT = r"[A-Za-zµμ%/]*"
_QUANTITY = re.compile(rf"(x?)\s*({_NUMBER})\s*({_UNIT})", re.ASCII)
_RANGE = re.compile(rf"(x?\s*{_NUMBER}\s*{_UNIT})\s*\.\.\s*(x?\s*{_NUMBER}\s*{_UNIT})\s*(?::\s*(.*))?", re.ASCII)
_COUNT = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Interval:
    """A range without steps: values are drawn from it. `sign`: "x" where they are factors."""

    low: Decimal
    high: Decimal
    unit: str = ""
    sign: str = ""
    is_log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers: both ends are written so, and have no unit."""
        return not self.unit and not self.sign and all(_is_whole(end) for end in (self.low, self.high))

    def at(self, share: float) -> Any:
        """The value at a share (0 to 1) of the way from low to high; six digits of it."""
        low, high = float(self.low), float(self.high)
        if self.is_whole and not self.is_log:
            return min(int(self.high), int(self.low) + int(share * (int(self.high) - int(self.low) + 1)))
        number = low * (high / low) ** share if self.is_log else low + (high - low) * share
        return round(number) if self.is_whole else self.written(Decimal(f"{number:.6g}"))

    def written(self, number: Decimal) -> Any:
        """A number of this range as an override takes it: with its unit, or a plain number."""
        if self.sign or self.unit:
            return f"{self.sign}{_shortest(number)} {self.unit}".strip()
        return int(number) if _is_whole(number) else float(number)


@dataclass(frozen=True, slots=True)
class Axis:
    """A field and its values, in the order in which they are asked; or an `interval` that they are drawn from.

    `path`: an argument of a run, or an override. `line`: where the study's file says so.
    """

    path: str
    values: tuple[Any, ...] = ()
    interval: Interval | None = None
    line: int | None = None

    def pick(self, share: float) -> Any:
        """The value at a share (0 up to, not including, 1) of the way through."""
        return (
            self.interval.at(share)
            if self.interval
            else self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        )

    def extremes(self) -> list[Any]:
        """The values that have to be right for all of them to be: names one by one, of numbers the least and most."""
        if self.interval:
            return [self.interval.written(self.interval.low), self.interval.written(self.interval.high)]
        kinds: dict[Any, list[tuple[float, int, Any]]] = {}
        for at, value in enumerate(self.values):
            number, unit = quantity(value)
            same = value if isinstance(value, str | bool | None) else id(value)
            kind = (unit, type(value)) if unit is not None else (None, type(value), same)
            kinds.setdefault(kind, []).append((number, at, value))
        found = {each[1]: each[2] for group in kinds.values() for each in _ends(group)}
        return [found[at] for at in sorted(found)]

    @property
    def unit(self) -> str | None:
        """The unit of its column, a key of `units.EXAMPLES`; None for names and factors."""
        units = {quantity(value)[1] for value in self.extremes()}
        return units.pop() if len(units) == 1 and not units & {"x", None} else None

    @property
    def is_argument(self) -> bool:
        """Whether it is an argument of a run, not an override."""
        return self.path in ARGUMENTS


def _ends(group: Sequence[tuple[float, int, Any]]) -> list[tuple[float, int, Any]]:
    """The first of equal names; of numbers the least and the most, and the first, with which points begin."""
    if isnan(group[0][0]):
        return [group[0]]
    return [group[0], min(group), max(group)]


def quantity(value: Any) -> tuple[float, str | None]:
    """A number in SI and its unit ("x" for a factor, "" for a plain number); (nan, None) for anything else."""
    if isinstance(value, bool) or value is None:
        return float("nan"), None
    if isinstance(value, int | float):
        return float(value), ""
    shape = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if shape is None:
        return float("nan"), None
    sign, number, unit = shape.groups()
    if sign or not unit:
        return (float(number), "x" if sign else "") if not unit else (float("nan"), None)
    known = _known_unit(unit)
    return (parse_quantity(f"{number} {unit}", known), known) if known is not None else (float("nan"), None)


@lru_cache(maxsize=256)
def _known_unit(unit: str) -> str | None:
    """The unit of `units.EXAMPLES` that a spelling is one of: "B/s" of "GB/s"; None for none."""
    for known in EXAMPLES:
        try:
            parse_quantity(f"1 {unit}", known)
        except InputError:
            continue
        return known
    return None


def axis_path(path: str) -> str:
    """The path of an axis as we write it.

    Raises:
        InputError: neither an argument of a run nor an override.
    """
    name = path.strip().replace("-", "_")
    if name in ARGUMENTS:
        return name
    if "." in path:
        return path.strip()
    guess = closest(name, ARGUMENTS)
    hint = f"did you mean {guess}?" if guess else f"{', '.join(ARGUMENTS)}, or a field such as gpu.sms"
    raise InputError(Problem(f"{path[:60]!r} is nothing that a run has", "unknown_axis", path=path[:60], hint=hint))


def read_axis(path: str, given: Any, line: int | None = None) -> Axis:
    """An axis from a list, `{range: [a, b], step|n, log}`, "200..600:25GB/s" or "1,2,4".

    Raises:
        InputError: none of these, or a range that makes no sense; every problem.
    """
    name = axis_path(path)
    if isinstance(given, str):
        found = _RANGE.fullmatch(given.strip())
        if found is None:
            return Axis(name, tuple(_value(name, part.strip()) for part in given.split(",")), None, line)
        given = {"range": [found[1], found[2]], **({"step": found[3]} if found[3] is not None else {})}
    if isinstance(given, Mapping):
        values, interval = _ranged(name, given)
        return Axis(name, values, interval, line)
    if not isinstance(given, Sequence) or not given:
        raise InputError(Problem("has no values", "bad_axis", path=name, hint="write a list or a range"))
    return Axis(name, tuple(_value(name, each) for each in given), None, line)


def _value(name: str, given: Any) -> Any:
    """A value as a run takes it; what is no count is left as it is, and refused together with all other problems."""
    if name in COUNTS and isinstance(given, str) and _COUNT.fullmatch(given):
        return int(given)
    if isinstance(given, Path):
        return str(given)
    if given == "" or isinstance(given, Mapping | list | tuple):
        raise InputError(Problem("has an empty value or a list in its list", "bad_axis", path=name))
    return given.item() if hasattr(given, "item") and hasattr(given, "dtype") else given


def _ranged(name: str, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], Interval | None]:
    """The values of a range, or the interval that they are drawn from where neither `step` nor `n` is given."""
    ends, step, n = list(given["range"]), given.get("step"), given.get("n")
    numbers, unit, sign = _same_unit(name, [*ends, *([step] if step is not None else [])])
    interval = Interval(numbers[0], numbers[1], unit, sign, bool(given.get("log", False)))
    wrong = _complaint(interval, numbers[2] if step is not None else None, n)
    if wrong:
        raise InputError(Problem(wrong, "bad_range", path=name))
    if step is not None:
        count = int((interval.high - interval.low) / numbers[2])
        return tuple(interval.written(interval.low + numbers[2] * i) for i in range(count + 1)), None
    if n is None:
        return (), interval
    values = [_between(interval, Decimal(i) / (n - 1)) for i in range(n)]
    if len(set(values)) < n:
        message = f"holds no {n} different whole numbers; write 0.0 or 1.0 where fractions are meant"
        raise InputError(Problem(message, "bad_range", path=name))
    return tuple(values), None


def _between(interval: Interval, share: Decimal) -> Any:
    if share in (0, 1):
        return interval.written(interval.high if share else interval.low)
    if interval.is_log:
        number = Decimal(f"{float(interval.low) * (float(interval.high) / float(interval.low)) ** float(share):.6g}")
    else:
        number = interval.low + (interval.high - interval.low) * share
    return round(number) if interval.is_whole else interval.written(Decimal(f"{number:.12g}"))


def _complaint(interval: Interval, step: Decimal | None, n: int | None) -> str | None:
    """What is wrong with a range."""
    low, high = interval.low, interval.high
    complaints = {
        f"must lie within {LARGEST:.0e}": max(abs(low), abs(high)) > LARGEST,
        f"runs from {low} down to {high}: write the smaller end first": high < low,
        f"begins at {low}: a logarithmic range begins above 0": interval.is_log and low <= 0,
    }
    if step is not None:
        complaints["has a step beside n or log: say how many with n, or how far with step"] = bool(n) or interval.is_log
        complaints[f"has a step of {step}: it must be more than 0"] = step <= 0
        complaints[f"has more than {MOST_VALUES:,} values"] = step > 0 and (high - low) / step >= MOST_VALUES
    return next((complaint for complaint, holds in complaints.items() if holds), None)


def _same_unit(name: str, given: Sequence[Any]) -> tuple[list[Decimal], str, str]:
    """Numbers of a range in one unit, that of the first that has one; the unit; and "x" where they are factors."""
    shapes = [_QUANTITY.fullmatch(str(each).strip()) if not isinstance(each, bool) else None for each in given]
    if any(shape is None for shape in shapes):
        wrong = ", ".join(repr(str(each)[:40]) for each, shape in zip(given, shapes, strict=True) if shape is None)
        hint = 'e.g. {range: [200 GB/s, 600 GB/s], step: 25 GB/s} or "200..600:25GB/s"'
        raise InputError(Problem(f"{wrong} is no number of a range", "bad_range", path=name, hint=hint))
    parts = [shape.groups() for shape in shapes if shape is not None]
    sign = "x" if any(part[0] for part in parts[:2]) else ""
    units = [part[2] for part in parts if part[2]]
    if sign and units:
        raise InputError(Problem("is of factors (x) and has a unit", "bad_range", path=name))
    unit = units[0] if units else ""
    return [Decimal(part[1]) * _scale(name, part[2] or unit, unit) for part in parts], unit, sign


def _scale(name: str, unit: str, other: str) -> Decimal:
    if unit == other:
        return Decimal(1)
    (one, kind), (two, other_kind) = quantity(f"1 {unit}"), quantity(f"1 {other}")
    if kind is None or kind != other_kind:
        raise InputError(Problem(f"mixes {unit} with {other}", "bad_range", path=name))
    return Decimal(repr(one)) / Decimal(repr(two))


def _is_whole(number: Decimal) -> bool:
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= 0


def _shortest(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
