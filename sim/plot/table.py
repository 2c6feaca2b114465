"""A table of points as pictures want it: its rows, its axes, and how a column is written and scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import log10
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, Problem
from sim.result.keys import RESULT_KEYS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axis import Axis

SCHEMA = "sparksim.sweep/1"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4d4d4d")
"""After Okabe and Ito, as everywhere."""
MARKS = "os^Dv<>"
SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
SMALL = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
ARGUMENT_UNITS = {"prompt": "tokens", "depth": "tokens", "output": "tokens"}
PREFIXED = ("B", "B/s", "Hz", "FLOP", "FLOP/s", "W", "J")
MOST_TICKS = 12
LOGARITHMIC = 16
"""Values further apart than this, and spread evenly on such a scale, stand on a logarithmic axis."""
DRAWN = ("ok", "does_not_fit")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Points of a study. `axes`: the columns that were varied, with their units; every row has a `status`."""

    rows: Sequence[Row]
    axes: Mapping[str, str]
    title: str = ""
    fixed: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(data: Mapping[str, Any]) -> Table:
        """Of `sparksim.sweep/1`."""
        axes = {axis["path"]: axis.get("unit") or "" for axis in data["axes"]}
        rows = data["rows"]
        return Table(rows, axes, data.get("title") or "", _fixed(rows, axes))

    @staticmethod
    def of_frame(frame: pd.DataFrame) -> Table:
        """Of a DataFrame of `sim.sweep`, or one read back from its points.csv: columns before the result are axes."""
        columns = [str(name) for name in frame.columns if name != "point"]
        known = next((i for i, name in enumerate(columns) if _is_result(name)), len(columns))
        units = frame.attrs.get("axes", {})
        axes = {name: str(units.get(name) or "") for name in units or columns[:known]}
        missing = frame.astype(object).where(frame.notna(), None)
        rows = [{"status": "ok", **row} for row in missing.to_dict("records")]
        return Table(rows, axes, "", _fixed(rows, axes))

    @property
    def drawn(self) -> list[Row]:
        """Rows that have an answer."""
        return [row for row in self.rows if row["status"] in DRAWN]

    def check(self, *names: str) -> None:
        """Raise where a column is not there.

        Raises:
            InputError: every such column, with what there is; or no point has an answer.
        """
        if not self.drawn:
            raise InputError(Problem("no point has an answer: there is nothing to draw", "nothing_to_draw"))
        there = {name: None for row in self.drawn for name in row}
        problems = []
        for name in names:
            if name not in there:
                near = get_close_matches(name, list(there), 3, 0.5)
                hint = f"did you mean {' or '.join(near)}?" if near else f"varied: {', '.join(self.axes)}"
                problems.append(Problem(f"no column {name[:60]!r}", "unknown_name", path="column", hint=hint))
        if problems:
            raise InputError(problems)

    def unit(self, name: str) -> str:
        """The unit of a column, "" where it has none."""
        return self.axes.get(name) or ARGUMENT_UNITS.get(name) or RESULT_KEYS.get(name, ("", ""))[0]

    def values(self, name: str) -> list[Any]:
        """The different values of a column in rows with an answer: numbers by size, words as they come."""
        found = dict.fromkeys(row.get(name) for row in self.drawn)
        return sorted(found) if all(map(is_number, found)) else list(found)

    def is_numeric(self, name: str) -> bool:
        """Whether a column is numbers in every row with an answer."""
        return all(is_number(row.get(name)) for row in self.drawn)

    def scale(self, name: str) -> tuple[float, str]:
        """What to divide a column's values by, and the unit that is then written: (1e9, "GB/s")."""
        unit = self.unit(name)
        sizes = [abs(row[name]) for row in self.drawn if is_number(row.get(name)) and row[name]]
        if not sizes or unit not in (*PREFIXED, "s"):
            return 1.0, unit
        steps = SMALL if unit == "s" else SCALES
        largest = max(sizes)
        found = next(((size, prefix) for size, prefix in steps if largest >= size), (1.0, ""))
        return found[0], f"{found[1]}{unit}"

    def label(self, name: str) -> str:
        """A column's name with its unit: "memory.bandwidth, GB/s"."""
        unit = self.scale(name)[1]
        return f"{name}, {unit}" if unit else name

    def text(self, name: str, value: Any) -> str:
        """A value as it stands in a legend: "350 GB/s", "fp8"."""
        if value is None:
            return "default"
        if not is_number(value):
            return str(value)
        size, unit = self.scale(name)
        shown = _tick(value / size)
        return f"{shown} {unit}" if unit and name not in ("batch", "prompt", "depth", "output") else shown

    def head(self, what: str) -> str:
        """The title of a picture: what is drawn, and of what."""
        fixed = self.fixed
        of = f"{fixed['model']} ({fixed['quant']})" if {"model", "quant"} <= fixed.keys() else fixed.get("model", "")
        on = " on ".join(fixed[name] for name in ("runtime", "hardware") if name in fixed)
        return "\n".join(line for line in (self.title or what, ", ".join(part for part in (of, on) if part)) if line)


def set_scale(axis: Axis, table: Table, name: str, *, is_from_zero: bool) -> None:
    """Ticks in the unit that suits a column's values; a logarithmic axis where they ask for one."""
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

    size, _ = table.scale(name)
    values = [value for value in table.values(name) if is_number(value)]
    if is_logarithmic(values):
        (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
        is_axis = name in table.axes and len(values) <= MOST_TICKS
        axis.set_major_locator(FixedLocator(values) if is_axis else LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: _tick(value / size))
    axis.set_label_text(table.label(name))
    if is_from_zero and not is_logarithmic(values):
        axis.axes.set_ylim(bottom=0)


def _tick(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values are spread over orders of magnitude, as 1, 2, 4, ... are."""
    if len(values) < 3 or min(values) <= 0 or max(values) / min(values) < LOGARITHMIC:
        return False
    places = sorted(log10(value) for value in values)
    middle = places[len(places) // 2]
    return 0.2 < (middle - places[0]) / (places[-1] - places[0]) < 0.8


def interval(row: Row, name: str) -> tuple[float, float] | None:
    """The range of a rate, as a flattened result has it ("low; high"), or as two numbers."""
    found = row.get(f"range.{name}")
    if isinstance(found, str):
        low, _, high = found.partition(";")
        try:
            return float(low), float(high)
        except ValueError:
            return None
    if isinstance(found, list | tuple) and len(found) == 2:
        return float(found[0]), float(found[1])
    return None


def is_number(value: Any) -> bool:
    """Whether a value is a number and no flag."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_result(name: str) -> bool:
    return name in RESULT_KEYS and name not in ("model", "runtime", "hardware", "quant", "kv_dtype", "batch", "seed")


def _fixed(rows: Sequence[Row], axes: Mapping[str, str]) -> dict[str, str]:
    """What all rows have in common of model, recipe, runtime and machine."""
    found = {}
    for name in ("model", "quant", "runtime", "hardware"):
        said = {row.get(name) for row in rows} - {None}
        if len(said) == 1 and name not in axes:
            found[name] = str(said.pop())
    return found
