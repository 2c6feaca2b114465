"""Bandwidth by tenant over time: who has how much of the one memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.plot.style import bare_figure
from sim.result.tenants import TenantsResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#777777")
HATCHES = ("", "///", "...", "xxx", "---", "ooo", "+++", "|||")
"""After Okabe and Ito; from the ninth tenant on the colours come again, hatched."""


def bandwidth(result: TenantsResult) -> Figure:
    """GB/s stacked by tenant over seconds, with what memory sustains and its peak; rates alone and together as text."""
    title = f"Bandwidth by tenant: {result.title or 'tenants'}\n{len(result.rows)} tenants on {result.hardware.name}"
    fig = bare_figure(title, height=4.2)
    axis = fig.subplots()
    edges = [each.start_s for each in result.samples]
    edges.append(edges[-1] + result.samples[-1].seconds)
    base = [0.0] * len(result.samples)
    for number, row in enumerate(result.rows):
        rates = [each.bytes_per_s[row.name] / 1e9 for each in result.samples]
        top = [low + rate for low, rate in zip(base, rates, strict=True)]
        colour, hatch = COLOURS[number % len(COLOURS)], HATCHES[number // len(COLOURS) % len(HATCHES)]
        slower = f"{row.slowdown:.2f} times slower" if row.together.rate else "gets nowhere"
        label = f"{row.name} ({slower})" if row.slowdown > 1.005 else f"{row.name} (as alone)"
        axis.stairs(
            top,
            edges,
            baseline=base,
            fill=True,
            facecolor=colour,
            edgecolor="white",
            linewidth=0,
            hatch=hatch,
            label=label,
        )
        base = top
    for rate, name, style in (
        (result.peak_bytes_per_s, "peak", ":"),
        (result.sustained_bytes_per_s, "sustained reads", "--"),
    ):
        axis.axhline(rate / 1e9, color="black", linestyle=style, linewidth=1)
        axis.text(edges[-1], rate / 1e9, f"{name} {rate / 1e9:.0f} ", ha="right", va="bottom", fontsize=8.5)
    axis.set_xlim(0, edges[-1])
    axis.set_ylim(0, 1.12 * result.peak_bytes_per_s / 1e9)
    axis.set_xlabel("s")
    axis.set_ylabel("GB/s (10⁹ bytes)")
    fig.legend(loc="outside lower center", ncols=3)
    return fig
