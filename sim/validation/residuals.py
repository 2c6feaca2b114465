"""How far predictions were off, by class: the file that ranges come from, and whether ranges hold what is left out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from math import log
from operator import sub
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from sim.result.ranges import FILE, levels
from sim.result.spread import LEVEL, Spread, factors, spread_of
from sim.validation.baseline import Ran


class Compared(Protocol):
    """A comparison: rates in tokens per second, and the prediction behind it."""

    @property
    def phase(self) -> str: ...  # noqa: D102

    @property
    def source(self) -> str: ...  # noqa: D102

    @property
    def measured(self) -> float: ...  # noqa: D102

    @property
    def predicted(self) -> float: ...  # noqa: D102

    @property
    def ran(self) -> Ran | None: ...  # noqa: D102


Row = TypeVar("Row", bound=Compared)
SCHEMA = "sparksim.residuals/2"
HELD = (0.7, 0.9)
"""Share of left-out records that must lie in an 80 % range: more would mean that ranges are too wide."""
FEWEST_SOURCES = 2
"""With one source left nothing is known of how sources differ."""
DIGITS = 4
MACHINE = "dgx-spark"
"""What the records were measured on."""


def spread(rows: Sequence[Compared]) -> Spread:
    """How far the rows of a class are off, within and between their sources."""
    logs: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        logs[row.source].append(log(row.measured / row.predicted))
    return spread_of(logs)


def residuals(rows: Sequence[Compared]) -> dict[str, Any]:
    """What `residuals.json` holds: the spread of measured / predicted by class, and the cases that were measured."""
    groups: dict[str, list[Compared]] = defaultdict(list)
    for row in rows:
        for key in _levels(row):
            groups[" ".join(key)].append(row)
    return {
        "schema": SCHEMA,
        "hardware": MACHINE,
        "level": LEVEL,
        "columns": [each.name for each in fields(Spread)],
        "classes": {name: [round(each, DIGITS) for each in astuple(spread(members))]
                    for name, members in sorted(groups.items())},
        "cases": sorted({row.ran.case for row in rows if row.ran is not None}),
    }  # fmt: skip


def to_text(data: dict[str, Any]) -> str:
    """The file's text: a class a line."""
    classes = ",\n".join(f"    {json.dumps(name)}: {json.dumps(values)}" for name, values in data["classes"].items())
    cases = [json.dumps(each) for each in data["cases"]]
    lines = ",\n".join("    " + ", ".join(cases[at : at + 8]) for at in range(0, len(cases), 8))
    head = {key: value for key, value in data.items() if key not in ("classes", "cases")}
    start = json.dumps(head, indent=2).removesuffix("\n}")
    return f'{start},\n  "classes": {{\n{classes}\n  }},\n  "cases": [\n{lines}\n  ]\n}}\n'


def write(rows: Sequence[Compared], root: Path) -> Path:
    """Write the file below `root`, the folder with `workloads/`; its path."""
    path = root / FILE
    path.write_text(to_text(residuals(rows)), encoding="utf-8")
    return path


def coverage(
    rows: Sequence[Row], left_out: Callable[[Row], str], also: Callable[[Row], str] | None = None
) -> dict[str, tuple[int, int]]:
    """How many rows lie in the range that the others give them, and of how many: all, and by phase and runtime.

    `left_out`: rows with the same answer are left out together: a record, a source, a family. `also`: a name by which
    they are counted besides.
    """
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    others = _Others([row for row in rows if row.ran is not None], left_out)
    for row in others.rows:
        known = others.spreads(row)
        if not known or known[0].sources < FEWEST_SOURCES:
            continue
        assert row.ran is not None
        low, high = factors(known)
        is_inside = low <= row.measured / row.predicted <= high
        for name in {"all", row.phase, row.ran.runtime, *([also(row)] if also else [])}:
            counts[name][0] += is_inside
            counts[name][1] += 1
    return {name: (inside, n) for name, (inside, n) in counts.items()}


class _Others(Generic[Row]):
    """The spreads of a row's classes, the widest first, by the rows that are not left out with it."""

    def __init__(self, rows: Sequence[Row], left_out: Callable[[Row], str]) -> None:
        self.rows = rows
        self._left_out = left_out
        self._groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
        for row in rows:
            for key in _levels(row):
                self._groups[key].append(row)
        self._known: dict[tuple[tuple[str, ...], str], Spread | None] = {}

    def spreads(self, row: Row) -> list[Spread]:
        out = self._left_out(row)
        found = [self._spread(key, out) for key in reversed(_levels(row))]
        return [each for each in found if each is not None]

    def _spread(self, key: tuple[str, ...], out: str) -> Spread | None:
        if (key, out) not in self._known:
            kept = [row for row in self._groups[key] if self._left_out(row) != out]
            self._known[key, out] = spread(kept) if kept else None
        return self._known[key, out]


def _levels(row: Compared) -> list[tuple[str, ...]]:
    assert row.ran is not None
    return levels(row.ran.runtime, row.ran.architecture, row.ran.quant, row.phase)


def stale(rows: Sequence[Compared], known: dict[str, Spread], tolerance: float) -> list[str]:
    """Classes whose shipped spread is not what the rows give, in a sentence each. `tolerance`: of each figure."""
    now = {name: Spread(*values) for name, values in residuals(rows)["classes"].items()}
    found = [f"{name}: not in {FILE}" for name in sorted(now.keys() - known.keys())]
    found += [f"{name}: in {FILE}, but no record is of it" for name in sorted(known.keys() - now.keys())]
    for name in sorted(now.keys() & known.keys()):
        ours, theirs = now[name], known[name]
        if (ours.records, ours.sources) != (theirs.records, theirs.sources):
            ours_text, theirs_text = (f"{each.records} records of {each.sources} sources" for each in (ours, theirs))
            found.append(f"{name}: {ours_text}, {theirs_text} in {FILE}")
        elif max(map(abs, map(sub, _figures(ours), _figures(theirs)))) > tolerance:
            found.append(f"{name}: {_said(ours)}, {_said(theirs)} in {FILE}")
    return found


def _figures(one: Spread) -> tuple[float, float, float]:
    return one.centre, one.between, one.within


def _said(one: Spread) -> str:
    return f"{one.centre:+.3f}, between {one.between:.3f}, within {one.within:.3f}"
