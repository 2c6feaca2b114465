"""The pictures of one run: its timeline, its time by op, its roofline, its memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sim.plot.style import BOUND_COLOURS, figure, save
from sim.result.run_result import RunResult
from sim.result.trace import BOUNDS, CAUSES, StepTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SITES = 14


def timeline(result: RunResult) -> Figure:
    """One repeating block of the last step of each phase: ops over time, coloured by what each waits for."""
    steps = _steps(result)
    fig = figure(9, 1.2 + 1.9 * len(steps))
    axes = fig.subplots(len(steps), 1, squeeze=False)[:, 0]
    for axis, step in zip(axes, steps, strict=True):
        _timeline(axis, step)
    fig.legend(handles=_legend(), loc="outside lower center", ncols=len(BOUNDS))
    return fig


def _timeline(axis: Axes, step: StepTrace) -> None:
    block = max(
        (op.block for op in step.ops), key=lambda b: sum(op.wall_ps * op.repeat for op in step.ops if op.block == b)
    )
    spans = [span for span in step.spans if span.block == block and span.iteration == 0]
    start = min(span.start_ps for span in spans)
    sites = {op.op: op.site for op in step.ops}
    total = max(span.end_ps for span in spans) - start
    for span in spans:
        axis.barh(
            0,
            (span.end_ps - span.start_ps) / 1e6,
            left=(span.start_ps - start) / 1e6,
            color=BOUND_COLOURS[CAUSES[span.cause]],
            height=0.8,
        )
    for op in dict.fromkeys(span.op for span in spans):
        mine = [span for span in spans if span.op == op]
        begin, end = mine[0].start_ps - start, mine[-1].end_ps - start
        axis.axvline(end / 1e6, color="white", linewidth=0.5)
        if end - begin > 0.035 * total:
            axis.text((begin + end) / 2e6, 0.45, sites[op], rotation=35, ha="left", va="bottom", fontsize=8)
    axis.set_yticks([])
    axis.set_ylim(-0.45, 1.4)
    axis.set_xlim(0, total / 1e6)
    axis.set_xlabel("time within the block, µs")
    axis.set_title(f"{step.phase}: one of the repeating layers ({step.name})", loc="left")


def ops(result: RunResult) -> Figure:
    """Time by place in the model, stacked by what it waits for; one panel per phase."""
    steps = _steps(result)
    fig = figure(9, 4.6)
    axes = fig.subplots(1, len(steps), squeeze=False)[0]
    for axis, step in zip(axes, steps, strict=True):
        totals: dict[str, dict[str, float]] = {}
        for op in step.ops:
            bounds = totals.setdefault(op.site, dict.fromkeys(BOUNDS, 0.0))
            for cause, ps in op.causes.items():
                bounds[CAUSES[cause]] += ps * op.repeat / 1e9
        shown = sorted(totals.items(), key=lambda item: -sum(item[1].values()))[:MOST_SITES][::-1]
        left = [0.0] * len(shown)
        for bound in BOUNDS:
            widths = [bounds[bound] for _, bounds in shown]
            axis.barh([site for site, _ in shown], widths, left=left, color=BOUND_COLOURS[bound])
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axis.set_xlabel("time per step, ms")
        axis.set_title(f"{step.phase} ({step.duration_ps / 1e9:.1f} ms a step)", loc="left")
    fig.legend(handles=_legend(), loc="outside lower center", ncols=len(BOUNDS))
    return fig


def roofline(result: RunResult) -> Figure:
    """The ops on the machine's roofline: arithmetic intensity against achieved rate."""
    fig = figure(7, 4.8)
    axis = fig.subplots()
    me = result.identity
    used = sorted(
        {op.unit for step in _steps(result) for op in step.ops if op.unit}, key=lambda unit: me.peak_flops.get(unit, 0)
    )
    grid = [10 ** (i / 20 - 2) for i in range(0, 121)]
    for unit in used:
        peak = me.peak_flops[unit]
        axis.plot(grid, [min(peak, x * me.sustained_bytes_per_s) / 1e12 for x in grid], color="#666666", linewidth=1)
        axis.text(grid[-1], peak / 1e12, f" {unit}", va="center", fontsize=8)
    axis.plot(grid, [x * me.peak_bytes_per_s / 1e12 for x in grid], color="#666666", linewidth=0.8, linestyle=":")
    for marker, step in zip("os^v", _steps(result), strict=False):
        points = [
            (op.flops / (op.dram_read_bytes + op.dram_write_bytes), op.flops / op.duration_ps, op)
            for op in step.ops
            if op.flops
            and op.dram_read_bytes + op.dram_write_bytes > 0
            and op.wall_ps * op.repeat > 0.002 * step.duration_ps
        ]
        colours = [BOUND_COLOURS[CAUSES[max(op.causes, key=lambda c: op.causes[c])]] for _, _, op in points]
        axis.scatter(
            [x for x, _, _ in points],
            [y for _, y, _ in points],
            marker=marker,
            c=colours,
            s=28,
            label=step.phase,
            zorder=3,
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(1e-2, 1e4)
    axis.set_ylim(1e-3, 2e3)
    axis.set_xlabel("arithmetic intensity, FLOP per byte of memory traffic")
    axis.set_ylabel("achieved, TFLOP/s")
    axis.set_title(
        "roofline: lines are sustained memory (solid), its peak (dotted) and the units' peaks", loc="left", fontsize=9
    )
    axis.legend(loc="lower right")
    return fig


def memory(result: RunResult) -> Figure:
    """What fills the memory, by class, against what there is."""
    fig = figure(7, 2.4)
    axis = fig.subplots()
    use = result.memory
    if use is None:
        axis.text(0.5, 0.5, "an op trace has no memory account", ha="center")
        return fig
    parts = (
        ("system", use.reserved_bytes, "#999999"),
        ("runtime", use.runtime_bytes, "#CC79A7"),
        ("weights", use.weights_bytes, "#0072B2"),
        ("KV cache", use.kv_cache_bytes, "#E69F00"),
        ("activations", use.activation_bytes, "#009E73"),
    )
    left = 0.0
    for name, size, colour in parts:
        axis.barh(0, size / 1e9, left=left, color=colour, label=f"{name} {size / 1e9:.1f} GB")
        left += size / 1e9
    limit = (use.available_bytes + use.reserved_bytes) / 1e9
    axis.axvline(limit, color="black", linestyle="--")
    axis.text(limit, 0.55, f"limit {limit:.0f} GB", ha="right", va="bottom", fontsize=9)
    axis.set_yticks([])
    axis.set_ylim(-0.5, 0.8)
    axis.set_xlabel("GB")
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def draw_all(result: RunResult, folder: Path) -> list[Path]:
    """Every picture into `folder`, as SVG and PNG; the paths."""
    drawn = {"timeline": timeline, "ops": ops, "roofline": roofline, "memory": memory}
    return [path for name, draw in drawn.items() for path in save(draw(result), folder / name)]


def _steps(result: RunResult) -> list[StepTrace]:
    """The last simulated step of each phase."""
    if result.trace is None:
        return []
    return [result.trace.of(phase)[-1] for phase in result.trace.phases()]


def _legend() -> list:  # type: ignore[type-arg]
    from matplotlib.patches import Patch

    return [Patch(color=colour, label=bound) for bound, colour in BOUND_COLOURS.items()]
