"""A study as lines: one result against one axis, a line for each combination of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sim.plot.style import BOUND_COLOURS, bare_figure
from sim.result.keys import RESULT_KEYS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4d4d4d")
MARKS = "os^Dv<>"
MOST_LINES = 12
SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def sweep_lines(data: Mapping[str, Any], y: Sequence[str]) -> Figure:
    """Of `sparksim.sweep/1`: a panel for each of `y`, over the first axis that is numbers."""
    axes = [axis["path"] for axis in data["axes"]]
    rows = [row for row in data["rows"] if row["status"] in ("ok", "does_not_fit")]
    x = next((path for path in axes if all(_is_number(row[path]) for row in rows)), axes[0])
    others = [path for path in axes if path != x]
    title = data["title"] or f"{', '.join(y)} against {x}"
    fig = bare_figure(title, width=7.0, height=1.0 + 2.6 * len(y))
    panels = fig.subplots(len(y), 1, sharex=True, squeeze=False).flatten()
    for panel, name in zip(panels, y, strict=True):
        _draw(panel, rows, x, others, name)
    if others:
        panels[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title=", ".join(others))
    unit = next((axis.get("unit") for axis in data["axes"] if axis["path"] == x), None)
    panels[-1].set_xlabel(x)
    _scaled(panels[-1].xaxis, [row[x] for row in rows if _is_number(row[x])], x, unit or "")
    return fig


def _draw(axis: Axes, rows: Sequence[Mapping[str, Any]], x: str, others: Sequence[str], y: str) -> None:
    lines: dict[tuple[Any, ...], list[tuple[Any, float, Any]]] = {}
    for row in rows:
        if _is_number(row.get(y)):
            lines.setdefault(tuple(row[path] for path in others), []).append((row[x], row[y], row.get("bound")))
    for i, (key, points) in enumerate(list(lines.items())[:MOST_LINES]):
        places = sorted(points, key=lambda point: point[0]) if _is_number(points[0][0]) else points
        label = ", ".join(_text(value) for value in key)
        axis.plot([p[0] for p in places], [p[1] for p in places], color=COLOURS[i % len(COLOURS)], label=label, lw=1.3)
        for at, value, bound in places:
            colour = BOUND_COLOURS.get(bound, COLOURS[i % len(COLOURS)])
            axis.plot([at], [value], MARKS[i % len(MARKS)], color=colour, ms=4.5, clip_on=False)
    if not lines:
        axis.text(0.5, 0.5, "no point has a value", ha="center", va="center", transform=axis.transAxes)
    axis.set_ylim(bottom=0)
    unit = RESULT_KEYS.get(y, ("", ""))[0]
    axis.set_ylabel(f"{y}, {unit}" if unit else y)


def _scaled(ticks: Any, values: Sequence[float], name: str, unit: str) -> None:
    """Ticks in the unit that suits the values: 200 to 600 GB/s, not 2e11."""
    scale, prefix = next(((s, p) for s, p in SCALES if unit and values and max(values) >= s), (1.0, ""))
    ticks.set_major_formatter(lambda value, _: f"{value / scale:g}")
    ticks.set_label_text(f"{name}, {prefix}{unit}" if unit else name)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return "default" if value is None else f"{value:g}" if _is_number(value) else str(value)
