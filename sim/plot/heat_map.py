"""A study as a heat map: one result over two axes, a panel for each value of a third."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, Problem
from sim.plot.style import bare_figure
from sim.plot.table import Row, Table, is_logarithmic, is_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

MOST_PANELS = 6
MOST_CELLS = 150
"""With more cells than this in a panel, numbers would not be readable."""
COLOUR_MAP = "cividis"
"""Even steps of lightness, the same in every common kind of colour blindness."""


def heat_map(table: Table, value: str, x: str | None = None, y: str | None = None) -> Figure:
    """The column `value` over two axes (None: the first two that were varied); what does not fit is hatched.

    Raises:
        InputError: no such column, no two axes, or more than one that is left.
    """
    table.check(value, *(name for name in (x, y) if name))
    varied = [path for path in table.axes if len(table.values(path)) > 1]
    free = [path for path in varied if path not in (x, y)]
    x = x or (free.pop(0) if free else None)
    y = y or (free.pop(0) if free else None)
    if x is None or y is None:
        raise InputError(Problem("a heat map needs two axes with more than one value each", "usage", path="axes"))
    panels: list[Any] = table.values(free[0]) if free else [None]
    if len(free) > 1 or len(panels) > MOST_PANELS:
        message = f"{', '.join(free)} would need {len(panels)} panels and more; at most {MOST_PANELS} of one axis"
        raise InputError(Problem(message, "too_large", path="axes", hint="keep fewer values, or draw lines"))
    numbers = [row[value] for row in table.drawn if is_number(row.get(value))]
    if not numbers:
        raise InputError(Problem(f"{value} has no number: nothing fits", "nothing_to_draw", path="column"))
    wide = 1.6 + max(3.0, 0.55 * len(table.values(x))) * min(2, len(panels))
    n_rows = -(-len(panels) // 2)
    fig = bare_figure(
        table.head(f"{value} over {x} and {y}"), width=min(10.0, max(7.0, wide)), height=1.0 + 3.2 * n_rows
    )
    axes = fig.subplots(n_rows, min(2, len(panels)), squeeze=False).flatten()
    norm = _norm(numbers)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        rows = table.drawn if not free else [row for row in table.drawn if row.get(free[0]) == panel]
        _draw(axis, table, rows, (x, y, value), norm)
        if free:
            axis.set_title(f"{free[0]} {table.text(free[0], panel)}", loc="left")
    _colour_bar(fig, list(axes[: len(panels)]), table, value, norm)
    return fig


def _norm(numbers: Sequence[float]) -> Normalize:
    from matplotlib.colors import LogNorm, Normalize

    low, high = min(numbers), max(numbers)
    return LogNorm(low, high) if is_logarithmic(sorted(numbers)) else Normalize(min(low, 0.0) if low < 0 else 0.0, high)


def _draw(axis: Axes, table: Table, rows: Sequence[Row], names: tuple[str, str, str], norm: Normalize) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    x, y, value = names
    columns, lines = table.values(x), table.values(y)
    colours, size = colormaps[COLOUR_MAP], table.scale(value)[0]
    is_written = len(columns) * len(lines) <= MOST_CELLS
    for row in rows:
        left, bottom = columns.index(row.get(x)) - 0.5, lines.index(row.get(y)) - 0.5
        number = row.get(value)
        if not isinstance(number, int | float):
            axis.add_patch(Rectangle((left, bottom), 1, 1, facecolor="#eeeeee", edgecolor="#999999", hatch="///", lw=0))
            continue
        shade = colours(float(norm(number)))
        axis.add_patch(Rectangle((left, bottom), 1, 1, facecolor=shade, edgecolor="white", lw=0.6))
        if is_written:
            ink = "white" if sum(shade[:3]) < 1.4 else "black"
            axis.text(left + 0.5, bottom + 0.5, _short(number / size), ha="center", va="center", fontsize=7, color=ink)
    axis.set_xlim(-0.5, len(columns) - 0.5)
    axis.set_ylim(-0.5, len(lines) - 0.5)
    _ticks(axis, table, x, columns, is_x=True)
    _ticks(axis, table, y, lines, is_x=False)
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.tick_params(length=0)


def _ticks(axis: Axes, table: Table, name: str, values: Sequence[Any], *, is_x: bool) -> None:
    size = table.scale(name)[0]
    texts = [_short(value / size) if is_number(value) else table.text(name, value) for value in values]
    every = max(1, -(-len(values) // 16))
    places = list(range(0, len(values), every))
    if is_x:
        is_long = max(map(len, texts)) > 6 and len(values) > 6
        axis.set_xticks(places, texts[::every], rotation=45 if is_long else 0, ha="right" if is_long else "center")
        axis.set_xlabel(table.label(name))
    else:
        axis.set_yticks(places, texts[::every])
        axis.set_ylabel(table.label(name))


def _short(number: float) -> str:
    return f"{number:,.3g}" if abs(number) < 1000 else f"{number:,.0f}"


def _colour_bar(fig: Figure, axes: list[Axes], table: Table, value: str, norm: Normalize) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Patch
    from matplotlib.ticker import LogLocator, NullLocator

    size = table.scale(value)[0]
    bar = fig.colorbar(ScalarMappable(norm, COLOUR_MAP), ax=axes, pad=0.02, aspect=30)
    if isinstance(norm, LogNorm):
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(lambda number, _: _short(number / size))
    bar.set_label(table.label(value))
    bar.outline.set_visible(False)
    if any(row["status"] == "does_not_fit" for row in table.drawn):
        patch = Patch(facecolor="#eeeeee", edgecolor="#999999", hatch="///", label="does not fit")
        fig.legend(handles=[patch], loc="outside lower center")
