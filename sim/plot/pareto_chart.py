"""A study as a Pareto chart: two results against each other, and the points that none other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, Problem
from sim.plot.labels import place_labels
from sim.plot.style import bare_figure
from sim.plot.table import COLOURS, MARKS, Row, Table, is_number, set_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LESS_IS_BETTER = ("s", "J", "W", "J/token", "USD", "USD/Mtok", "B")
"""Units of which one wants little; of everything else (tokens per second, shares) one wants much."""
MOST_COLOURS = 7
MOST_NAMES = 14


def pareto(table: Table, x: str, y: str, by: str | None = None) -> Figure:
    """A point per row that fits; those on the front are joined and named by what was varied.

    `by`: the axis that gives the colour (None: the one with the fewest values). Better is where the arrows point.

    Raises:
        InputError: no such column, or it is no number anywhere.
    """
    table.check(x, y, *([by] if by else []))
    rows = [row for row in table.drawn if is_number(row.get(x)) and is_number(row.get(y))]
    if not rows:
        raise InputError(Problem(f"no point has both {x} and {y}", "nothing_to_draw", path="column"))
    varied = [path for path in table.axes if len(table.values(path)) > 1]
    by = by or min((path for path in varied), key=lambda path: len(table.values(path)), default=None)
    front = pareto_front(rows, x, y, [_is_less_better(table, name) for name in (x, y)])
    fig = bare_figure(table.head(f"{y} against {x}: none is better in both than the points on the line"), 7.0, 4.4)
    axis = fig.subplots()
    axis.plot([row[x] for row in front], [row[y] for row in front], color="#777777", lw=1.0, zorder=1)
    groups: list[Any] = table.values(by) if by else [None]
    for i, group in enumerate(groups):
        of = [row for row in rows if by is None or row.get(by) == group]
        label = table.text(by, group) if by and i < MOST_COLOURS else None
        colour = COLOURS[i] if i < MOST_COLOURS else "#bbbbbb"
        axis.scatter(
            [row[x] for row in of], [row[y] for row in of], s=24, color=colour, marker=MARKS[i % len(MARKS)],
            label=label, zorder=2, linewidths=0,
        )  # fmt: skip
    for ticks, name in ((axis.xaxis, x), (axis.yaxis, y)):
        set_scale(ticks, table, name, is_from_zero=False)
        arrow = "← better" if _is_less_better(table, name) else "better →"
        ticks.set_label_text(f"{table.label(name)}   ({arrow})")
    if by:
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title=by)
    named = front if len(front) <= MOST_NAMES else front[:: -(-len(front) // MOST_NAMES)]
    told = [path for path in varied if path != by] or varied
    names = {i: ", ".join(f"{path.rpartition('.')[2]} {table.text(path, row.get(path))}" for path in told)
             for i, row in enumerate(named)}  # fmt: skip
    place_labels(fig, axis, [(row[x], row[y]) for row in named], names)
    return fig


def _is_less_better(table: Table, name: str) -> bool:
    return table.unit(name) in LESS_IS_BETTER


def pareto_front(rows: Sequence[Row], x: str, y: str, less_is_better: Sequence[bool]) -> list[Row]:
    """The rows that no other beats in one column without losing in the other, along x."""
    signs = [-1.0 if less else 1.0 for less in less_is_better]
    front: list[Row] = []
    best = float("-inf")
    for row in sorted(rows, key=lambda row: (-signs[0] * row[x], -signs[1] * row[y])):
        if signs[1] * row[y] > best:
            front.append(row)
            best = signs[1] * row[y]
    return sorted(front, key=lambda row: row[x])
