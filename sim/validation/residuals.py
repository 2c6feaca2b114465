"""How far predictions were off, by class: the file that ranges come from, and whether ranges hold what is left out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any, Protocol, TypeVar

from sim.result.ranges import FILE, LEVEL, ClassRange, levels
from sim.validation.baseline import Ran


class Compared(Protocol):
    """A comparison: rates in tokens per second, and the prediction behind it."""

    @property
    def phase(self) -> str: ...  # noqa: D102

    @property
    def measured(self) -> float: ...  # noqa: D102

    @property
    def predicted(self) -> float: ...  # noqa: D102

    @property
    def ran(self) -> Ran | None: ...  # noqa: D102


Row = TypeVar("Row", bound=Compared)
SCHEMA = "sparksim.residuals/1"
LEAST = 9
"""Records that a class must have: with fewer, a tenth of them lies outside of what was seen."""
HELD = (0.7, 0.9)
"""Share of left-out records that must lie in an 80 % range: more would mean that ranges are too wide."""
DIGITS = 4
MACHINE = "dgx-spark"
"""What the records were measured on."""


def class_range(ratios: Iterable[float]) -> ClassRange | None:
    """The range of a class by its measured / predicted; None with fewer than `LEAST`."""
    known = list(ratios)
    if len(known) < LEAST:
        return None
    tenths = quantiles(known, n=10)
    return ClassRange(len(known), min(1.0, tenths[0]), max(1.0, tenths[-1]))


def residuals(rows: Sequence[Compared]) -> dict[str, Any]:
    """What `residuals.json` holds: a range of measured / predicted for each class, and the cases that were measured."""
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for key in _levels(row):
            groups[" ".join(key)].append(row.measured / row.predicted)
    found = {name: each for name, ratios in sorted(groups.items()) if (each := class_range(ratios)) is not None}
    return {
        "schema": SCHEMA,
        "hardware": MACHINE,
        "level": LEVEL,
        "classes": {name: [each.records, round(each.low, DIGITS), round(each.high, DIGITS)]
                    for name, each in found.items()},
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
    known = [row for row in rows if row.ran is not None]
    for row, ratios in zip(known, _ratios_of_others(known, left_out), strict=True):
        found = next((each for each in map(class_range, ratios) if each is not None), None)
        if found is None:
            continue
        assert row.ran is not None
        is_inside = found.low <= row.measured / row.predicted <= found.high
        for name in {"all", row.phase, row.ran.runtime, *([also(row)] if also else [])}:
            counts[name][0] += is_inside
            counts[name][1] += 1
    return {name: (inside, n) for name, (inside, n) in counts.items()}


def _ratios_of_others(rows: Sequence[Row], left_out: Callable[[Row], str]) -> Iterable[list[list[float]]]:
    """For each row, by level, measured / predicted of the rows of its class that are not left out with it."""
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        for key in _levels(row):
            groups[key].append(row)
    for row in rows:
        out = left_out(row)
        yield [
            [each.measured / each.predicted for each in groups[key] if left_out(each) != out] for key in _levels(row)
        ]


def _levels(row: Compared) -> list[tuple[str, ...]]:
    assert row.ran is not None
    return levels(row.ran.runtime, row.ran.architecture, row.ran.quant, row.phase)


def stale(rows: Sequence[Compared], shipped: dict[str, ClassRange], tolerance: float) -> list[str]:
    """Classes whose shipped range is not what the rows give, in a sentence each."""
    now = {name: ClassRange(*values) for name, values in residuals(rows)["classes"].items()}
    found = [f"{name}: not in {FILE}" for name in sorted(now.keys() - shipped.keys())]
    found += [f"{name}: in {FILE}, but too few records" for name in sorted(shipped.keys() - now.keys())]
    for name in sorted(now.keys() & shipped.keys()):
        ours, theirs = now[name], shipped[name]
        if ours.records != theirs.records:
            found.append(f"{name}: {ours.records} records, {theirs.records} in {FILE}")
        elif max(abs(ours.low - theirs.low), abs(ours.high - theirs.high)) > tolerance:
            now_text, then_text = (f"{each.low:.3f} to {each.high:.3f}" for each in (ours, theirs))
            found.append(f"{name}: {now_text}, {then_text} in {FILE}")
    return found
