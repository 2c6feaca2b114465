"""Bandwidth against bytes in flight, and latency beside streams: simulated lines, measured marks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim.plot.style import DPI, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"tile": "#0072B2", "flat": "#D55E00", "random": "#009E73"}
MARKERS = {"tile": "o", "flat": "s", "random": "^"}


@dataclass(frozen=True, slots=True)
class Point:
    """One comparison of a curve. `measured` and `simulated` in GB/s, or times for a latency beside streams."""

    group: str
    pattern: str
    bytes_per_sm: float
    requesters: int
    measured: float
    simulated: float
    is_counted: bool


def draw(points: list[Point], file: Path) -> None:
    """Both panels into `file` (SVG or PNG by its ending)."""
    with house_style():
        from matplotlib.figure import Figure

        fig = Figure(figsize=(9.0, 3.8), layout="constrained")
        left, right = fig.subplots(1, 2)
        groups = list(dict.fromkeys(p.group for p in points))
        for axis, group in zip((left, right), groups, strict=False):
            _panel(axis, [p for p in points if p.group == group], by_requesters=axis is right)
            axis.set_title(group, loc="left")
        left.set_ylabel("GB/s")
        right.set_ylabel("times the unloaded latency")
        handles, labels = left.get_legend_handles_labels()
        left.legend(handles, labels, loc="lower right")
        file.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(file, dpi=DPI, metadata={"Date": None} if file.suffix == ".svg" else None)


def _panel(axis: Axes, points: list[Point], *, by_requesters: bool) -> None:
    def place(p: Point) -> float:
        return p.requesters if by_requesters else p.bytes_per_sm / 1024

    for pattern, colour in COLOURS.items():
        mine = sorted((p for p in points if p.pattern == pattern), key=lambda p: (p.bytes_per_sm, p.requesters))
        for is_counted, face in ((True, colour), (False, "none")):
            shown = [p for p in mine if p.is_counted == is_counted]
            if shown:
                axis.scatter(
                    [place(p) for p in shown], [p.measured for p in shown], marker=MARKERS[pattern],
                    facecolors=face, edgecolors=colour, s=22, label=f"{pattern}, measured" if is_counted else None,
                )  # fmt: skip
        if mine:
            axis.scatter([place(p) for p in mine], [p.simulated for p in mine], marker="_",
                         c=colour, s=130, label=f"{pattern}, simulated")  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_xlabel("warps that stream beside it" if by_requesters else "KiB in flight per SM")
    axis.set_ylim(bottom=0)
