"""What the CTA slots of one kernel wait for over time, a lane per slot that stands for its equals."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from sim.plot.style import BOUND_COLOURS, bound_patches, time_scale, time_text
from sim.result.kernel_result import KernelResult, Lane
from sim.result.trace import CAUSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LANES = 24
LANE_INCHES = 0.22
FOLDED_ALPHA = 0.45


def sm_timeline(result: KernelResult) -> Figure:
    """The longest launch: a lane per CTA slot; pale where many steps were advanced at once, by their shares."""
    from matplotlib.figure import Figure as MatplotlibFigure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    launch = result.longest
    lanes = launch.lanes[:MOST_LANES]
    height = 1.7 + LANE_INCHES * max(1, len(lanes))
    fig = MatplotlibFigure(figsize=(7.6, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
    fig.suptitle(_title(result, len(launch.lanes)), x=0.01, ha="left", fontsize=10)
    axis = fig.subplots()
    unit_ps, unit = time_scale(launch.duration_ps)
    used = {bound for row, lane in enumerate(lanes) for bound in _draw(axis, row, lane, unit_ps)}
    axis.set_yticks(range(len(lanes)), [f"{lane.name} (x {lane.count})" for lane in lanes])
    axis.set_ylim(len(lanes) - 0.4, -0.6)
    axis.set_xlim(0, launch.duration_ps / unit_ps)
    axis.set_xlabel(f"time, {unit}; pale: steps that repeat, summed by what they wait for")
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    if used:
        fig.legend(handles=bound_patches(used), loc="outside lower center", ncols=len(used), title="waits for")
    return fig


def _draw(axis: Axes, row: int, lane: Lane, unit_ps: float) -> set[str]:
    at, used = 0, set()
    for (bound, is_folded), moments in groupby(lane.moments, key=lambda moment: (CAUSES[moment[0]], moment[2])):
        duration_ps = sum(moment[1] for moment in moments)
        alpha = FOLDED_ALPHA if is_folded else 1.0
        axis.barh(row, duration_ps / unit_ps, left=at / unit_ps, height=0.8, color=BOUND_COLOURS[bound], alpha=alpha)
        at += duration_ps
        used.add(bound)
    return used


def _title(result: KernelResult, lanes: int) -> str:
    launch = result.longest
    shape = ", ".join(f"{name} {value:,.12g}" for name, value in result.shape.items())
    some = f"; the first {MOST_LANES} of {lanes} slots" if lanes > MOST_LANES else ""
    what = f"{result.op} {result.dtype}: {shape}"
    where = f"{launch.kernel} of {result.runtime}@{result.runtime_version} on {result.hardware}"
    return f"What its CTAs wait for: {what}\n{where}, {time_text(launch.duration_ps)}{some}"
