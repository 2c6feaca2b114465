"""Machines side by side: a dot for each, in a panel per quantity, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any

from sim.plot.style import bare_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = (
    ("prefill_tok_s", "prefill, tok/s", "#D55E00"),
    ("decode_tok_s", "decode, tok/s", "#0072B2"),
    ("tokens_per_joule", "tokens per joule", "#009E73"),
    ("usd_per_million_tokens", "USD per million tokens", "#CC79A7"),
)
"""What is drawn of a machine: key of `sparksim.machines/1`, its axis, its colour (after Okabe and Ito)."""
ROOM = 1.9
"""How much further than its largest value an axis goes, so that the number beside a dot has room."""


def machines(data: Mapping[str, Any]) -> Figure:
    """Of `sparksim.machines/1`: rates, tokens per joule and price per token; a machine that has none is said to."""
    rows = list(data["machines"])
    asked = f"batch {data['batch']}, prompt {data['prompt_tokens']:,}, depth {data['context_depth']:,}"
    title = f"{data['model']} ({data['quant']}) on {len(rows)} machines\n{asked}, output {data['output_tokens']:,}"
    shown = [panel for panel in PANELS if any(row[panel[0]] for row in rows)]
    fig = bare_figure(title, width=2.2 + 2.1 * max(1, len(shown)), height=1.3 + 0.3 * len(rows))
    if not shown:
        axis = fig.subplots()
        axis.set_axis_off()
        axis.text(0.5, 0.5, "it fits on none of them", ha="center", va="center", transform=axis.transAxes)
        return fig
    axes = fig.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axis, (key, label, colour) in zip(axes, shown, strict=True):
        _panel(axis, rows, key, colour)
        axis.set_xlabel(label)
    axes[0].set_yticks(range(len(rows)), [_name(row) for row in rows])
    axes[0].invert_yaxis()
    return fig


def _name(row: Mapping[str, Any]) -> str:
    runtime = (row["runtime"] or "").partition("@")[0]
    part = f", 1 of {row['gpus']} GPUs" if row["gpus"] > 1 else ""
    return f"{row['hardware']}{part}\n{runtime or 'no kernels'}"


def _panel(axis: Axes, rows: list[Mapping[str, Any]], key: str, colour: str) -> None:
    values = [row[key] for row in rows]
    found = [value for value in values if value]
    axis.set_xscale("log")
    axis.set_xlim(min(found) / ROOM, max(found) * ROOM**2)
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        if value:
            axis.plot([axis.get_xlim()[0], value], [place, place], color="#dddddd", lw=1.0, zorder=1)
            axis.plot(value, place, "o", color=colour, ms=5, zorder=2)
            text = plain(value) if value < 1000 else f"{value:,.0f}"
            axis.annotate(text, (value, place), (5, 0), textcoords="offset points", va="center", fontsize=8)
        else:
            axis.annotate(_why(row), (min(found) / ROOM, place), (3, 0), textcoords="offset points", va="center",
                          fontsize=8, color="#777777")  # fmt: skip
    axis.margins(y=0.08)
    _ticks(axis)


def _ticks(axis: Axes) -> None:
    """Plain numbers, 1-2-5 where there is room for them."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    low, high = axis.get_xlim()
    steps = (1, 2, 5) if high / low < 25 else (1, 3) if high / low < 200 else (1,)
    ticks = [step * 10.0**power for power in range(floor(log10(low)), ceil(log10(high))) for step in steps]
    axis.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,.0f}" if tick >= 1 else f"{tick:g}"))
    axis.minorticks_off()


def _why(row: Mapping[str, Any]) -> str:
    """Why a machine has no dot."""
    if row["refused"]:
        return "no kernels for it"
    return "too large" if not row["fits"] else "not known"
