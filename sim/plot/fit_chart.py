"""What fits: a bar per quantisation against what the runtime may use, or models stacked side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.plot.memory_time import COLOURS
from sim.plot.style import bare_figure
from sim.result.fit_result import FitResult, ModelFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODELS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
WORDS = {True: "fits", False: "does not fit"}


def fit_chart(result: FitResult) -> Figure:
    """One model: its quantisations. Several: all of them in one bar."""
    return _side_by_side(result) if result.together else _quants(result, result.models[0])


def _quants(result: FitResult, one: ModelFit) -> Figure:
    asked = f"batch {one.batch}, {one.context:,} tokens each, KV {one.kv_dtype}"
    title = f"Which quantisation of {one.model} fits\n{one.runtime}@{one.runtime_version} on {result.hardware}; {asked}"
    fig = bare_figure(title, height=1.9 + 0.27 * len(one.quants))
    axis = fig.subplots()
    limit = one.memory.available_bytes / 1e9
    ends = [each.needed_bytes / 1e9 for each in one.quants]
    for row, each in enumerate(one.quants):
        rest = (each.needed_bytes - each.weights_bytes) / 1e9
        weights = each.weights_bytes / 1e9
        faded = 1.0 if each.fits else 0.35
        axis.barh(row, weights, color=COLOURS["weights"], alpha=faded, height=0.66)
        axis.barh(row, rest, left=weights, color=COLOURS["kv_cache"], alpha=faded, height=0.66)
        verdict = WORDS[each.fits] + (", marginally" if each.is_marginal else "")
        axis.text(weights + rest, row, f"  {weights + rest:.1f} GB, {verdict}", va="center", fontsize=8.5)
    for what, label in (("weights", "weights"), ("kv_cache", "KV cache, activations, runtime")):
        axis.barh(0, 0, color=COLOURS[what], label=label)
    names = [f"{each.quant}  {each.bits_per_weight:.1f} bit" for each in one.quants]
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.axvline(limit, color="black", linestyle="--", label=f"the runtime may use {limit:.1f} GB")
    axis.set_xlim(0, 1.42 * max([*ends, limit]))
    axis.set_xlabel("GB (10⁹ bytes)")
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def _side_by_side(result: FitResult) -> Figure:
    together = result.together
    assert together is not None
    first = result.models[0].memory
    title = f"{len(result.models)} models side by side on {result.hardware}: {result.verdict}"
    fig = bare_figure(title, height=2.6 + 0.2 * len(result.models))
    axis = fig.subplots()
    end = _bar(
        axis, 0.0, (first.reserved_bytes + first.other_bytes) / 1e9, COLOURS["reserved"], "system, other programs"
    )
    for one, colour in zip(result.models, MODELS * len(result.models), strict=False):
        size = (one.memory.needed_bytes + one.memory.host_bytes) / 1e9
        end = _bar(axis, end, size, colour, f"{one.model} ({one.quant}), {one.runtime}")
    visible = first.visible_bytes / 1e9
    axis.axvline(visible, color="black", linestyle="--", label=f"all there is, {visible:.1f} GB")
    axis.set_yticks([])
    axis.set_xlim(0, 1.06 * max(visible, end))
    axis.set_xlabel("GB (10⁹ bytes)")
    word = "left" if together.margin_bytes >= 0 else "missing"
    axis.set_title(f"{abs(together.margin_bytes) / 1e9:.1f} GB {word}", loc="left")
    fig.legend(loc="outside lower center", ncols=1)
    return fig


def _bar(axis: Axes, left: float, size: float, colour: str, name: str) -> float:
    axis.barh(0, size, left=left, color=colour, height=0.7, label=f"{name}: {size:.1f} GB")
    return left + size
