"""The ops on the machine's roofline: what each achieves, what memory and its compute unit would allow."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING

from sim.plot.labels import place_labels
from sim.plot.style import BOUND_COLOURS, bound_patches, figure, plain, say_instead, share_text, shown_phases
from sim.result.breakdown import place_of
from sim.result.identity import Identity
from sim.result.run_result import RunResult
from sim.result.trace import CAUSES, OpRecord, StepTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WHAT = "Roofline"
SMALLEST_SHARE = 0.01
"""Places that take less of their phase are left out."""
MOST_NAMES = 6
MARKERS = "os^vDP"
LINE = "#555555"


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the model in a phase: FLOP per byte of memory traffic, FLOP/s while its kernels run, share of time."""

    phase: str
    site: str
    unit: str
    bound: str
    intensity: float
    flops_per_s: float
    share: float


def roofline(result: RunResult) -> Figure:
    """Places that take 1 % of a phase or more; area of a mark by share of the phase, the longest ones named."""
    trace = result.trace
    points = [p for phase in shown_phases(result) for p in points_of(phase, trace.of(phase))] if trace else []
    if trace is None or not points:
        return say_instead(result, WHAT, "no kernel both computes and moves bytes: nothing to place on a roofline")
    fig = figure(result, WHAT, width=7.6, height=4.8)
    axis = fig.subplots()
    _limits(axis, points, result.identity)
    _roofs(axis, points, result.identity)
    marks = {phase: MARKERS[i % len(MARKERS)] for i, phase in enumerate(shown_phases(result))}
    for p in points:
        axis.scatter(p.intensity, p.flops_per_s / 1e12, marker=marks[p.phase], c=BOUND_COLOURS[p.bound],
                     s=18 + 260 * p.share, edgecolors="black", linewidths=0.5, zorder=3)  # fmt: skip
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(lambda value, _: plain(value, 1))
    axis.set_xlabel("arithmetic intensity, FLOP per byte of memory traffic")
    axis.set_ylabel("achieved while the kernel runs, TFLOP/s")
    _legend(fig, points, {phase: mark for phase, mark in marks.items() if any(p.phase == phase for p in points)})
    place_labels(fig, axis, [(p.intensity, p.flops_per_s / 1e12) for p in points], _names(points))
    return fig


def points_of(phase: str, steps: list[StepTrace]) -> list[Point]:
    """A point per place and compute unit, all steps of the phase together, longest first."""
    total = sum(op.wall_ps * op.repeat * step.weight for step in steps for op in step.ops)
    groups: dict[tuple[str, str], list[tuple[OpRecord, float]]] = {}
    for step in steps:
        for op in step.ops:
            if op.unit and op.flops and op.duration_ps:
                groups.setdefault((place_of(op), op.unit), []).append((op, op.repeat * step.weight))
    found = []
    for (site, unit), ops in groups.items():
        moved = sum((op.dram_read_bytes + op.dram_write_bytes) * n for op, n in ops)
        wall = sum((op.wall_ps - op.causes.get("step", 0.0)) * n for op, n in ops)
        if moved <= 0 or wall < SMALLEST_SHARE * total:
            continue
        flops = sum(op.flops * n for op, n in ops)
        seconds = sum(op.duration_ps * n for op, n in ops) / 1e12
        found.append(Point(phase, site, unit, _bound(ops), flops / moved, flops / seconds, wall / total))
    return sorted(found, key=lambda p: (-p.share, p.site, p.unit))


def _bound(ops: list[tuple[OpRecord, float]]) -> str:
    """What the ops wait for longest, the host's work between steps left out: it is not the kernel's."""
    bounds: dict[str, float] = {}
    for op, n in ops:
        for cause, ps in op.causes.items():
            if cause != "step":
                bounds[CAUSES[cause]] = bounds.get(CAUSES[cause], 0.0) + ps * n
    return max(sorted(bounds), key=lambda bound: bounds[bound])


def _limits(axis: Axes, points: list[Point], me: Identity) -> None:
    """Log axes, from half a decade below the points to beyond the highest roof."""
    roofs = [me.peak_flops[p.unit] for p in points if p.unit in me.peak_flops]
    knee = max(roofs, default=1e12) / me.sustained_bytes_per_s
    low, high = min(p.intensity for p in points), max(p.intensity for p in points)
    top = max([*roofs, *(p.flops_per_s for p in points)])
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(10 ** (log10(low) - 0.5), 10 ** (log10(max(high, knee)) + 0.9))
    axis.set_ylim(10 ** (log10(min(p.flops_per_s for p in points) / 1e12) - 0.5), 10 ** (log10(top / 1e12) + 0.35))


def _roofs(axis: Axes, points: list[Point], me: Identity) -> None:
    """Slanted: memory sustained, its peak, L2. Level: every unit that a point uses, where memory can feed it."""
    left, right = axis.get_xlim()
    peaks: dict[float, list[str]] = {}
    for unit in sorted({p.unit for p in points}):
        if unit in me.peak_flops:
            peaks.setdefault(me.peak_flops[unit], []).append(unit)
    top = max(peaks, default=axis.get_ylim()[1] * 1e12)
    lines = (
        (me.sustained_bytes_per_s, "memory sustained", "-", 1.4),
        (me.peak_bytes_per_s, "memory peak", ":", 1.0),
        (me.l2_bytes_per_s, "L2 (bytes that hit)", "--", 1.0),
    )
    for rate, name, style, width in lines:
        if rate:
            end = min(right, top / rate)
            axis.plot([left, end], [left * rate / 1e12, end * rate / 1e12], color=LINE, ls=style, lw=width,
                      label=f"{name}, {rate / 1e9:,.0f} GB/s", zorder=1)  # fmt: skip
    fastest = max(me.l2_bytes_per_s, me.peak_bytes_per_s)
    for peak, units in sorted(peaks.items()):
        axis.plot([peak / fastest, right], [peak / 1e12] * 2, color=LINE, linewidth=1.0, zorder=1)
        axis.text(right, peak / 1e12 * 1.04, f"{', '.join(units)}: {peak / 1e12:.0f} TFLOP/s", ha="right", va="bottom",
                  fontsize=8)  # fmt: skip


def _names(points: list[Point]) -> dict[int, str]:
    """Names of the longest places of each phase; those that lie on one another share one label."""
    names: dict[int, list[str]] = {}
    for phase in dict.fromkeys(p.phase for p in points):
        mine = [i for i, p in enumerate(points) if p.phase == phase][:MOST_NAMES]
        for i in mine:
            near = next((j for j in names if points[j].phase == phase and _is_near(points[i], points[j])), i)
            names.setdefault(near, []).append(f"{points[i].site} {share_text(points[i].share)}")
    return {i: "\n".join(lines) for i, lines in names.items()}


def _is_near(a: Point, b: Point) -> bool:
    return max(abs(log10(a.intensity / b.intensity)), abs(log10(a.flops_per_s / b.flops_per_s))) < 0.12


def _legend(fig: Figure, points: list[Point], marks: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    axis = fig.axes[0]
    shapes = [
        Line2D([], [], marker=mark, color="white", markeredgecolor="black", label=phase)
        for phase, mark in marks.items()
    ]
    axis.legend(handles=[*axis.get_legend_handles_labels()[0], *shapes], loc="upper left", fontsize=8)
    used = {p.bound for p in points}
    fig.legend(
        handles=bound_patches(used), loc="outside lower center", ncols=len(used),
        title="waits for most (area of a mark: share of its phase, written beside it)",
    )  # fmt: skip
