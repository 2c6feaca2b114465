"""What fills the memory, by class, against what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.plot.style import figure, say_instead
from sim.result.memory import MemoryUse
from sim.result.run_result import RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASSES = (
    ("system", "reserved_bytes", "#777777"),
    ("weights", "weights_bytes", "#0072B2"),
    ("KV cache", "kv_cache_bytes", "#E69F00"),
    ("activations", "activation_bytes", "#009E73"),
    ("runtime", "runtime_bytes", "#CC79A7"),
)
WHAT = "Memory"


def memory(result: RunResult) -> Figure:
    """One bar: system, weights, KV cache, activations and runtime; the limit, and what is left or missing."""
    use = result.memory
    if use is None:
        return say_instead(result, WHAT, "an op trace says nothing of memory")
    fig = figure(result, WHAT, height=2.7)
    axis = fig.subplots()
    end = 0.0
    for name, field, colour in CLASSES:
        size = getattr(use, field) / 1e9
        axis.barh(0, size, left=end, color=colour, label=f"{name} {size:.1f} GB", height=0.7)
        end += size
    _rest(axis, use, end)
    axis.set_yticks([])
    axis.set_ylim(-0.42, 0.62)
    axis.set_xlabel("GB (10⁹ bytes)")
    axis.set_title(verdict(use), loc="left")
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def verdict(use: MemoryUse) -> str:
    """Does it fit, in a sentence."""
    needed, available = use.needed_bytes / 1e9, use.available_bytes / 1e9
    if use.fits:
        room = f"room for {use.more_sequences:,} more such sequences"
        return f"fits: {needed:.1f} of {available:.1f} GB for the runtime; {room}"
    return f"does not fit: {use.short_bytes / 1e9:.1f} GB short; would fit: {use.would_fit}"


def _rest(axis: Axes, use: MemoryUse, end: float) -> None:
    """The limit; what is free below it, or how far the need goes beyond."""
    limit = (use.available_bytes + use.reserved_bytes) / 1e9
    capacity = max(use.capacity_bytes / 1e9, limit)
    if use.fits:
        axis.barh(0, limit - end, left=end, color="white", edgecolor="#999999", linewidth=0.8, height=0.7,
                  label=f"free {limit - end:.1f} GB")  # fmt: skip
    else:
        axis.barh(0, end - limit, left=limit, color="none", edgecolor="black", hatch="///", linewidth=0.8, height=0.7,
                  label=f"over the limit by {end - limit:.1f} GB")  # fmt: skip
    if capacity - limit > 0.01 * capacity:
        axis.axvline(capacity, color="#777777", linestyle=":", ymax=0.8, label=f"installed {capacity:.1f} GB")
    axis.axvline(limit, color="black", linestyle="--")
    axis.text(
        limit,
        0.6,
        f"limit {limit:.1f} GB = system {use.reserved_bytes / 1e9:.1f} + runtime {use.available_bytes / 1e9:.1f} ",
        ha="right",
        va="top",
        fontsize=8.5,
    )
    axis.set_xlim(0, 1.03 * max(capacity, end))
