"""From the time of A to the time of B in steps: by what the time was spent on, and by op."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sim.plot.style import BOUND_COLOURS, bare_figure, plain, time_scale
from sim.result.trace import BOUNDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST = 0.002
"""Steps below this share of the larger time are left out."""
MOST_NAME = 26
ENDS = "#444444"
OPS = "#8c8c8c"
Bar = tuple[str, float, float, str]
"""Name, from, to, colour."""


def waterfall(data: Mapping[str, Any]) -> Figure:
    """Of `sparksim.compare/1`: a column per phase, by bound above and by op class below."""
    phases = list(data["phases"])[:4]
    ends = [f"{name.upper()}: {_name(data[name])}" for name in ("a", "b")]
    title = "\n".join([_title(data, phases), *ends])
    rows = [_rows(data["phases"][phase]) for phase in phases]
    heights = [max(len(pair[which]) for pair in rows) for which in (0, 1)]
    fig = bare_figure(title, width=max(4.6, 3.9 * len(phases)), height=1.9 + 0.27 * sum(heights))
    axes = fig.subplots(2, len(phases), squeeze=False, height_ratios=heights)
    for column, (phase, pair) in enumerate(zip(phases, rows, strict=True)):
        found = data["phases"][phase]
        for row, bars in enumerate(pair):
            _draw(axes[row][column], bars, found)
        axes[0][column].set_title(f"{phase}: B is {plain(found['speedup'])} times as fast", loc="left")
        axes[1][column].set_title("the same by op", loc="left")
    return fig


def _name(end: Mapping[str, Any]) -> str:
    what = f"{end['model']} ({end['quant']})" if end["model"] else "op trace"
    return f"{end['label']}: {what}, {end['runtime']}@{end['runtime_version']} on {end['hardware']}"


def _title(data: Mapping[str, Any], phases: list[str]) -> str:
    is_faster = {data["phases"][phase]["speedup"] >= 1.0 for phase in phases}
    if len(is_faster) > 1:
        return "Where B gains and where it loses against A"
    return f"Why B is {'faster' if is_faster == {True} else 'slower'} than A"


def _rows(found: Mapping[str, Any]) -> tuple[list[Bar], list[Bar]]:
    bounds = [(bound, found["by_bound"][bound], BOUND_COLOURS[bound]) for bound in BOUNDS]
    ops = [(name, parts["all"], OPS) for name, parts in found["by_op"].items()]
    return _bars(found, bounds), _bars(found, ops)


def _bars(found: Mapping[str, Any], steps: list[tuple[str, float, str]]) -> list[Bar]:
    """The two ends, and between them the steps that can be seen; the rest in one step."""
    most, at = max(found["a_s"], found["b_s"]), found["a_s"]
    bars: list[Bar] = [("A", 0.0, at, ENDS)]
    rest = 0.0
    for name, step, colour in steps:
        if abs(step) < SMALLEST * most:
            rest += step
            continue
        bars.append((name, at, at + step, colour))
        at += step
    if abs(rest) >= SMALLEST * most:
        bars.append(("others", at, at + rest, OPS))
    return [*bars, ("B", 0.0, found["b_s"], ENDS)]


def _draw(axis: Axes, bars: list[Bar], found: Mapping[str, Any]) -> None:
    most_s = max(max(start, end) for _, start, end, _ in bars)
    unit_ps, unit = time_scale(most_s * 1e12)
    scale = unit_ps / 1e12
    for row, (_, start, end, colour) in enumerate(bars):
        axis.barh(row, (end - start) / scale, left=start / scale, color=colour, height=0.72)
        text = (
            plain(end / scale) if colour == ENDS else f"{'+' if end > start else '-'}{plain(abs(end - start) / scale)}"
        )
        axis.text(max(start, end) / scale, row, f" {text}", va="center", fontsize=8)
    for row, (_, _, end, _) in enumerate(bars[:-1]):
        axis.plot([end / scale] * 2, [row - 0.36, row + 1.36], color="#777777", linewidth=0.6)
    axis.set_yticks(range(len(bars)), [name[:MOST_NAME] for name, *_ in bars])
    axis.invert_yaxis()
    low = min(0.0, *(min(start, end) for _, start, end, _ in bars)) / scale
    axis.set_xlim(low * 1.05, most_s / scale * 1.2)
    axis.set_xlabel(f"{unit} per {found['per']}")
