"""What the time of each phase of a written result went to: a bar per op class, cut by what it waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, Problem
from sim.plot.style import BOUND_COLOURS, bare_figure, bound_patches, share_text
from sim.result.trace import BOUNDS, CAUSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS = 10


def breakdown(data: Mapping[str, Any]) -> Figure:
    """Of `sparksim.result/1`: a panel per phase.

    Raises:
        InputError: the model does not fit, so that nothing ran.
    """
    phases = {name: each for name, each in (data.get("phases") or {}).items() if each.get("ops")}
    if not phases:
        raise InputError(Problem("no phase was run: there is nothing to draw", "nothing_to_draw"))
    what = f"{data['model'] or 'op trace'} ({data['quant']})"
    what += f" on {data['runtime']}@{data['runtime_version']}, {data['hardware']}"
    tallest = max(min(MOST_BARS, len(each["ops"])) for each in phases.values())
    fig = bare_figure(f"Where the time went: {what}", max(5.0, 4.0 * len(phases)), 1.6 + 0.26 * tallest)
    axes = fig.subplots(1, len(phases), squeeze=False).flatten()
    used: set[str] = set()
    for axis, (name, phase) in zip(axes, phases.items(), strict=True):
        used |= _draw(axis, name, phase)
    fig.legend(handles=bound_patches(used), loc="outside lower center", ncols=max(1, len(used)), title="waits for")
    return fig


def _draw(axis: Axes, name: str, phase: Mapping[str, Any]) -> set[str]:
    shares = {op: dict.fromkeys(BOUNDS, 0.0) for op in phase["ops"]}
    for op, causes in phase["ops"].items():
        for cause, share in causes.items():
            shares[op][CAUSES[cause]] += share
    order = sorted(shares, key=lambda op: -sum(shares[op].values()))[:MOST_BARS][::-1]
    used = set()
    for row, op in enumerate(order):
        left = 0.0
        for bound, share in shares[op].items():
            if share:
                axis.barh(row, share * 100, left=left, color=BOUND_COLOURS[bound], height=0.7)
                left += share * 100
                used.add(bound)
        axis.text(left + 1, row, share_text(left / 100), va="center", fontsize=8)
    axis.set_yticks(range(len(order)), order)
    axis.set_xlim(0, max(sum(shares[op].values()) for op in order) * 118)
    axis.set_xlabel("share of the phase, %")
    axis.set_title(f"{name}: {phase['time_s']:.4g} s, bound by {phase['bound']}", loc="left")
    return used
