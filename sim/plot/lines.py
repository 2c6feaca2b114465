"""A study as lines: results against one axis, a line for each combination of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, Problem
from sim.plot.style import BOUND_COLOURS, BOUND_WORDS, bare_figure
from sim.plot.table import COLOURS, MARKS, Row, Table, interval, is_number, set_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 12
BANDED = 3
"""With more lines than this, ranges would cover one another."""


def lines(table: Table, y: Sequence[str], x: str | None = None) -> Figure:
    """A panel for each of `y`, over `x` (None: the first axis that is numbers).

    A band is the range of a rate (`range.decode_tok_s`). A lone line is coloured by what the run waits for; points that
    do not fit stand at the bottom.

    Raises:
        InputError: no such column, nothing to draw, or more lines than anybody can tell apart.
    """
    table.check(*y, *([x] if x else []))
    x = x or next((path for path in table.axes if table.is_numeric(path)), next(iter(table.axes)))
    others = [path for path in table.axes if path != x and len(table.values(path)) > 1]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in table.drawn:
        groups.setdefault(tuple(row.get(path) for path in others), []).append(row)
    if len(groups) > MOST_LINES:
        message = f"{len(groups)} lines, at most {MOST_LINES} can be told apart"
        raise InputError(Problem(message, "too_large", path="axes", hint="fewer values, or a heat map (--kind heat)"))
    fig = bare_figure(table.head(f"{', '.join(y)} against {x}"), width=7.0, height=1.0 + 2.6 * len(y))
    panels = fig.subplots(len(y), 1, sharex=True, squeeze=False).flatten()
    for panel, name in zip(panels, y, strict=True):
        _draw(panel, table, groups, x, name, others)
    if others:
        panels[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title=", ".join(others))
    elif len(groups) == 1:
        _bounds_legend(fig, table.drawn)
    if table.is_numeric(x):
        set_scale(panels[-1].xaxis, table, x, is_from_zero=False)
    else:
        panels[-1].set_xlabel(x)
    return fig


def _draw(
    axis: Axes, table: Table, groups: dict[tuple[Any, ...], list[Row]], x: str, y: str, others: Sequence[str]
) -> None:
    for i, (key, rows) in enumerate(groups.items()):
        colour = COLOURS[i % len(COLOURS)]
        places = sorted(rows, key=lambda row: row[x]) if table.is_numeric(x) else rows
        there = [row for row in places if is_number(row.get(y))]
        label = ", ".join(table.text(name, value) for name, value in zip(others, key, strict=True))
        at, values = [_place(row[x]) for row in there], [row[y] for row in there]
        axis.plot(at, values, color=colour, label=label or None, lw=1.3, zorder=2)
        _band(axis, there, x, y, colour, is_shown=len(groups) <= BANDED)
        is_alone = len(groups) == 1
        for place, row in zip(at, there, strict=True):
            face = BOUND_COLOURS.get(str(row.get("bound")), colour) if is_alone else colour
            axis.plot([place], [row[y]], MARKS[i % len(MARKS)], color=face, ms=4.5, zorder=3, clip_on=False)
        missing = [_place(row[x]) for row in places if row["status"] == "does_not_fit"]
        if missing:
            axis.plot(
                missing, [0.0] * len(missing), "x", color=colour, ms=6, clip_on=False, zorder=3,
                transform=axis.get_xaxis_transform(),
            )  # fmt: skip
            axis.annotate(
                "does not fit", (missing[0], 0.0), xycoords=("data", "axes fraction"), xytext=(0, 6),
                textcoords="offset points", ha="center", fontsize=7.5, color="#555555",
            )  # fmt: skip
    if table.is_numeric(y):
        set_scale(axis.yaxis, table, y, is_from_zero=True)
    else:
        axis.set_ylabel(table.label(y))
        axis.set_ylim(bottom=0)


def _place(value: Any) -> Any:
    return value if is_number(value) else str(value)


def _band(axis: Axes, rows: Sequence[Row], x: str, y: str, colour: str, *, is_shown: bool) -> None:
    found = [(_place(row[x]), *both) for row in rows if (both := interval(row, y))]
    if is_shown and len(found) > 1:
        at, low, high = zip(*found, strict=True)
        axis.fill_between(at, low, high, color=colour, alpha=0.13, lw=0, zorder=1)


def _bounds_legend(fig: Figure, rows: Sequence[Row]) -> None:
    """What the colours of a lone line's marks say."""
    from matplotlib.lines import Line2D

    used = [bound for bound in BOUND_COLOURS if any(row.get("bound") == bound for row in rows)]
    marks = [
        Line2D([], [], ls="", marker="o", ms=4.5, color=BOUND_COLOURS[bound], label=BOUND_WORDS[bound])
        for bound in used
    ]
    if marks:
        fig.legend(handles=marks, loc="outside lower center", ncols=len(marks), title="waits for")
