"""How much the speed hangs on each number of the machine and the runtime: a tornado, a panel per phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sim.plot.style import BOUND_COLOURS, bare_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 10
SMALLEST = 0.005
FASTER, SLOWER = BOUND_COLOURS["memory"], BOUND_COLOURS["compute"]


def sensitivity(data: Mapping[str, Any]) -> Figure:
    """Of `sparksim.explain/1`: the strongest elasticities of each phase, longest bar on top."""
    result = data["result"]
    what = f"{result['model'] or 'op trace'} on {result['hardware']}, {result['runtime']}@{result['runtime_version']}"
    phases = list(data["phases"])
    tables = {phase: _rows(data["sensitivities"], phase) for phase in phases}
    rows = max([1, *(len(table) for table in tables.values())])
    fig = bare_figure(f"What the speed hangs on: {what}", width=7.6, height=1.25 + 0.24 * rows)
    axes = fig.subplots(1, max(1, len(phases)), squeeze=False).flatten()
    for axis, phase in zip(axes, phases, strict=False):
        _draw(axis, phase, tables[phase])
    if not phases:
        axes[0].set_axis_off()
        axes[0].text(0.5, 0.5, "it does not fit: nothing was simulated", ha="center", transform=axes[0].transAxes)
    return fig


def _rows(sensitivities: list[dict[str, Any]], phase: str) -> list[tuple[str, float]]:
    named = [(each["path"], each["elasticity"][phase]) for each in sensitivities]
    strong = [row for row in named if abs(row[1]) >= SMALLEST]
    return sorted(strong, key=lambda row: (-abs(row[1]), row[0]))[:MOST_ROWS]


def _draw(axis: Axes, phase: str, table: list[tuple[str, float]]) -> None:
    axis.set_title(phase, loc="left")
    values = [value for _, value in table]
    axis.barh(range(len(table)), values, color=[FASTER if value > 0 else SLOWER for value in values], height=0.7)
    axis.axvline(0, color="#555555", linewidth=0.8)
    axis.set_yticks(range(len(table)), [path for path, _ in table])
    axis.invert_yaxis()
    low, high = min([0.0, *values]), max([0.0, *values])
    room = 0.36 * max(high - low, 0.1)
    axis.set_xlim(low - (room if low < 0 else 0.0), high + room)
    for row, value in enumerate(values):
        side = "left" if value > 0 else "right"
        axis.text(value, row, f" {value:+.2f} ", va="center", ha=side, fontsize=8)
    axis.set_xlabel("% faster for 1 % more of it")


def bars(title: str, panels: Mapping[str, Sequence[tuple[str, float]]]) -> Figure:
    """Named numbers, a panel for each result: the largest on top, those that make it larger and smaller told apart."""
    tables = {name: [row for row in rows if abs(row[1]) >= SMALLEST][:MOST_ROWS] for name, rows in panels.items()}
    heights = [0.55 + 0.24 * max(1, len(table)) for table in tables.values()]
    fig = bare_figure(title, width=7.6, height=0.7 + sum(heights))
    axes = fig.subplots(max(1, len(tables)), 1, squeeze=False, height_ratios=heights or [1]).flatten()
    for axis, (name, table) in zip(axes, tables.items(), strict=False):
        _draw(axis, name, table)
        axis.set_xlabel("")
    return fig
