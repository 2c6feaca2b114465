"""Who has how much memory, stacked by class, over the time of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.plot.style import figure, say_instead
from sim.result.memory import CLASSES, MemoryTimeline
from sim.result.run_result import RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "reserved": "#777777",
    "other": "#444444",
    "host": "#56B4E9",
    "runtime": "#CC79A7",
    "weights": "#0072B2",
    "kv_cache": "#E69F00",
    "activation": "#009E73",
    "held": "#f3e3b3",
    "page_cache": "#e4e4e4",
}
"""As in the memory bar; what gives way, or is held and not used, is pale."""
WHAT = "Memory over time"
SHOWN = 0.002
"""Classes below this share of the capacity at all times are left out of the legend."""


def memory_time(result: RunResult) -> Figure:
    """A stack over the run: the system, the runtime, weights, KV cache, activations, and what is only held."""
    timeline = result.memory_timeline
    if timeline is None or not timeline.end_s:
        return say_instead(result, WHAT, "nothing ran: there is no time to show memory over")
    fig = figure(result, WHAT, height=3.9)
    axis = fig.subplots()
    stack(axis, timeline)
    use = result.memory
    assert use is not None
    shown = f"the machine shows {timeline.high_water_bytes / 1e9:.1f} GB as used"
    axis.set_title(f"in use {use.peak_bytes / 1e9:.1f} GB at most; {shown}", loc="left")
    if result.trace is not None and result.ttft_s:
        axis.axvline(result.ttft_s, color="black", linewidth=0.8, linestyle=":")
        axis.text(result.ttft_s, axis.get_ylim()[1], " first token", va="top", fontsize=8.5)
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def stack(axis: Axes, timeline: MemoryTimeline) -> None:
    """Steps of every class on top of each other, in GB over seconds, and the line of all that there is."""
    times, series = timeline.stacked()
    ends = [*times, timeline.end_s]
    bottom = [0.0] * len(ends)
    for what, values in series.items():
        sizes = [value / 1e9 for value in (*values, values[-1])]
        top = [below + size for below, size in zip(bottom, sizes, strict=True)]
        is_named = max(sizes) >= SHOWN * timeline.capacity_bytes / 1e9
        label = f"{CLASSES[what]}, at most {max(sizes):.1f} GB" if is_named else None
        axis.fill_between(ends, bottom, top, step="post", color=COLOURS[what], label=label, linewidth=0)
        bottom = top
    limit = timeline.capacity_bytes / 1e9
    axis.axhline(limit, color="black", linestyle="--", linewidth=1.0, label=f"all there is, {limit:.1f} GB")
    axis.set_xlim(0, timeline.end_s)
    axis.set_ylim(0, 1.08 * limit)
    axis.set_xlabel("s")
    axis.set_ylabel("GB (10⁹ bytes)")
