"""The hardware's curves: simulated lines, measured marks, and the error of every group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim.plot.style import DPI, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"tile": "#0072B2", "flat": "#D55E00", "random": "#009E73"}
MARKERS = {"tile": "o", "flat": "s", "random": "^", "": "D"}


@dataclass(frozen=True, slots=True)
class Point:
    """One comparison. `panel`: stream, loaded, neighbour, chase (with `name` as its label) or graph; others only count.

    `place`: where it stands on the panel's axis: KiB in flight per SM, CTAs, warps, or kernels of a graph. `measured`
    and `simulated` in the unit of the panel. `is_compared`: the machine is the one that was measured.
    """

    panel: str
    group: str
    name: str
    pattern: str
    place: float
    measured: float
    simulated: float
    is_counted: bool
    is_compared: bool = True


def draw(points: Sequence[Point], file: Path) -> None:
    """All panels into `file` (SVG, PNG or PDF by its ending)."""
    with house_style():
        from matplotlib.figure import Figure

        fig = Figure(figsize=(12.5, 7.4), layout="constrained")
        axes = fig.subplots(2, 3)
        curves = {
            "stream": (axes[0][0], "bandwidth, GB/s", "KiB in flight per SM"),
            "loaded": (axes[0][1], "latency of a load beside streams, ns", "CTAs that stream"),
            "neighbour": (axes[0][2], "barrier kernel beside streams, x its time alone", "warps that stream"),
            "graph": (axes[1][1], "launch of a graph, us", "kernels of the graph"),
        }
        for panel, (axis, title, place) in curves.items():
            _curve(axis, [p for p in points if p.panel == panel], title, place, is_line=panel in ("loaded", "graph"))
        axes[0][1].set_yscale("log", base=2)
        axes[0][1].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        _ladder(axes[1][0], [p for p in points if p.panel == "chase"])
        _errors(axes[1][2], [p for p in points if p.is_compared])
        for axis in (axes[0][0], axes[1][1]):
            axis.set_ylim(bottom=0)
        file.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(file, dpi=DPI, metadata={"Date": None} if file.suffix == ".svg" else None)


def _curve(axis: Axes, points: list[Point], title: str, place: str, *, is_line: bool) -> None:
    """Measured marks (open where they do not count) and what was simulated, as dashes or as a line."""
    axis.set_title(title, loc="left")
    axis.set_xlabel(place)
    for number, (name, pattern) in enumerate(dict.fromkeys((p.name, p.pattern) for p in points)):
        mine = sorted((p for p in points if (p.name, p.pattern) == (name, pattern)), key=lambda p: p.place)
        colour, label = COLOURS[pattern or list(COLOURS)[number % len(COLOURS)]], pattern or name
        faces = [colour if p.is_counted else "none" for p in mine]
        places, measured, simulated = [p.place for p in mine], [p.measured for p in mine], [p.simulated for p in mine]
        axis.scatter(
            places, measured, marker=MARKERS[pattern], facecolors=faces, edgecolors=colour, s=20,
            label=f"{label}, measured",
        )  # fmt: skip
        if is_line:
            axis.plot(places, simulated, color=colour, linewidth=1.2, label=f"{label}, simulated")
        else:
            axis.scatter(places, simulated, marker="_", c=colour, s=120, label=f"{label}, simulated")
    if points:
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.legend(loc="best")
    else:
        axis.text(0.5, 0.5, "nothing measured", ha="center", transform=axis.transAxes)


def _ladder(axis: Axes, points: list[Point]) -> None:
    """Latencies of lone loads, measured and simulated, one below the other."""
    axis.set_title("latency of a lone load, ns", loc="left")
    rows = range(len(points))
    axis.barh([row + 0.2 for row in rows], [p.measured for p in points], 0.38, color="#BBBBBB", label="measured")
    axis.barh([row - 0.2 for row in rows], [p.simulated for p in points], 0.38, color="#0072B2", label="simulated")
    axis.set_yticks(list(rows), [p.name for p in points])
    if points:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.invert_yaxis()
        axis.legend(loc="best")


def _errors(axis: Axes, points: list[Point]) -> None:
    """Simulated / measured - 1 of every comparison, group by group."""
    axis.set_title("error, % (open: not counted)", loc="left")
    groups = list(dict.fromkeys(p.group for p in points))
    for row, group in enumerate(groups):
        mine = [p for p in points if p.group == group]
        axis.scatter(
            [100 * (p.simulated / p.measured - 1) for p in mine],
            [row + 0.3 * ((n * 0.618) % 1 - 0.5) for n, _ in enumerate(mine)],
            s=14, edgecolors="#0072B2", facecolors=["#0072B2" if p.is_counted else "none" for p in mine],
        )  # fmt: skip
    axis.axvline(0, color="#999999", linewidth=0.8)
    axis.set_yticks(range(len(groups)), groups)
    axis.invert_yaxis()
