"""Pictures of a server: what ran and waited, how full the cache was, and how the latencies are spread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.plot.style import bare_figure, house_style, save
from sim.result.serve_result import ServeResult
from sim.result.served_run import ServedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RUNNING, WAITING, CACHE, LIMIT = "#0072B2", "#D55E00", "#009E73", "#555555"
SHADES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
_PS = 1e-12


def draw_serving(result: ServeResult, folder: Path) -> list[Path]:
    """Draw everything there is of a server into `folder`, as SVG and PNG; the files."""
    made: list[Path] = []
    if not any(len(run.requests["number"]) for run in result.runs):
        return made
    drawn = {"load": load, "latency": latency_spread, "arrivals": latency_over_time}
    with house_style():
        for name, draw in drawn.items():
            made += save(draw(result), folder / name)
    return made


def load(result: ServeResult) -> Figure:
    """Requests that run and wait, and bytes of KV cache in use, over time (the first seed)."""
    fig = bare_figure(f"Load over time: {_title(result)}", 7.2, 4.2)
    top, bottom = fig.subplots(2, 1, sharex=True)
    run = result.runs[0]
    time_s = run.series["time_ps"] * _PS
    top.step(time_s, run.series["running"], where="post", color=RUNNING, lw=1.1, label="running")
    top.step(time_s, run.series["waiting"], where="post", color=WAITING, lw=1.1, label="waiting")
    top.set_ylabel("requests")
    top.set_ylim(bottom=0)
    top.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    used = run.series["kv_blocks"] * result.block_bytes / 1e9
    room = result.pool_blocks * result.block_bytes / 1e9
    bottom.step(time_s, used, where="post", color=CACHE, lw=1.1)
    bottom.set_ylabel("KV cache, GB")
    bottom.set_xlabel("time, s")
    if used.max() > room / 5:
        bottom.axhline(room, color=LIMIT, lw=0.9, ls="--")
        bottom.annotate(
            f"room for {room:.0f} GB", (0.99, room), xycoords=("axes fraction", "data"), ha="right", va="bottom"
        )
    bottom.set_ylim(0, max(float(used.max()), room if used.max() > room / 5 else 0.0) * 1.15 or 1.0)
    return fig


def latency_spread(result: ServeResult) -> Figure:
    """The share of requests within each latency, a curve per seed, and what the SLO allows."""
    fig = bare_figure(f"How latencies are spread: {_title(result)}", 7.2, 3.2)
    axes = fig.subplots(1, 3, sharey=True)
    for axis, (key, name) in zip(axes, (("ttft_s", "TTFT"), ("tpot_s", "TPOT"), ("e2e_s", "end to end")), strict=True):
        for number, run in enumerate(result.runs[: len(SHADES)]):
            values = np.sort(run.seconds()[key])
            if not len(values):
                continue
            share = np.arange(1, len(values) + 1) / len(values)
            label = f"seed {run.seed}" if len(result.runs) > 1 else None
            axis.step(values, share * 100, where="post", color=SHADES[number], lw=1.2, label=label)
        for limit_name, limit in result.slo.items():
            if limit_name.startswith(key[:-2] + "_p"):
                place = float(limit_name.rpartition("_p")[2])
                axis.plot(limit, place, "x", color=LIMIT, clip_on=False, label="allowed by the SLO")
        axis.set_xlabel(f"{name}, ms" if key == "tpot_s" else f"{name}, s")
        if key == "tpot_s":
            _in_ms(axis)
        axis.set_xlim(left=0)
    axes[0].set_ylabel("requests, %")
    axes[0].set_ylim(0, 100)
    entries = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if entries:
        fig.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=min(6, len(entries)))
    return fig


def latency_over_time(result: ServeResult) -> Figure:
    """Each request's time to first token, by when it came: a queue that grows is seen at once (the first seed)."""
    fig = bare_figure(f"Latency by arrival: {_title(result)}", 7.2, 3.2)
    axis = fig.subplots()
    run = result.runs[0]
    rows = _thinned(run)
    arrival = run.requests["arrival_ps"][rows] * _PS
    axis.plot(arrival, run.seconds()["ttft_s"][rows], ".", ms=3, color=RUNNING, label="to first token")
    axis.plot(arrival, run.seconds()["e2e_s"][rows], ".", ms=3, color=WAITING, label="to last token")
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda value, _position: f"{value:g}")
    axis.set_xlabel("arrival, s")
    axis.set_ylabel("latency, s")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


def draw_load(plan: Mapping[str, Any], limits: Mapping[str, float], name: str, path: Path) -> list[Path]:
    """Draw a plan's latencies against load (`sparksim.plan/1`, limits in seconds), as SVG and PNG; the files."""
    with house_style():
        return save(load_curve(plan, limits, name), path)


def load_curve(plan: Mapping[str, Any], limits: Mapping[str, float], name: str) -> Figure:
    """A panel per limit: what came out at each load, what is allowed, and the band within which nothing is sure."""
    fig = bare_figure(f"Latency against load: {name}", 3.7 * max(1, len(limits)), 3.2)
    points, error = plan["points"], plan["model_error"]
    axes = fig.subplots(1, len(limits), squeeze=False)[0]
    for axis, (limit, most_s) in zip(axes, limits.items(), strict=True):
        shown = [(point["load"], point["values"][limit]) for point in points if limit in point["values"]]
        band = f"too close to say (times are off by {error:.0%})"
        axis.axhspan(most_s / (1 + error), most_s / (1 - error), color=LIMIT, alpha=0.15, lw=0, label=band)
        axis.axhline(most_s, color=LIMIT, lw=0.9, ls="--", label="limit")
        axis.plot([load for load, _ in shown], [value for _, value in shown], "o-", ms=4, color=RUNNING)
        if plan["most"] is not None:
            axis.axvline(plan["most"], color=CACHE, lw=1.2, label=f"surely held: {plan['most']:g} {plan['unit']}")
        _log_ticks(axis)
        axis.set_ylabel(f"{limit.replace('_', ' ')}, s")
        axis.set_xlabel(plan["unit"])
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3 if len(limits) > 1 else 1)
    return fig


def _log_ticks(axis: Axes) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 alone: all nine of a decade would cover one another."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(lambda value, _position: f"{value:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def _title(result: ServeResult) -> str:
    me = result.identity
    arrivals = dict(result.traffic.get("arrivals", {}))
    kind = arrivals.pop("kind", "")
    said = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in arrivals.items()
    )
    return (
        f"{me.model} ({me.quant}, KV {me.kv_dtype})\n{me.runtime}@{me.runtime_version} on {me.hardware}; {kind}: {said}"
    )


def _thinned(run: ServedRun, most: int = 5000) -> np.ndarray:
    count = len(run.requests["number"])
    return np.arange(0, count, max(1, -(-count // most)))


def _in_ms(axis: Axes) -> None:
    """Ticks of an axis in seconds as milliseconds."""
    axis.xaxis.set_major_formatter(lambda value, _position: f"{value * 1e3:g}")
