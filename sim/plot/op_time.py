"""Time by place in the model, ranked, coloured by what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.plot.style import (
    BOUND_COLOURS,
    bound_patches,
    figure,
    plain,
    say_instead,
    share_text,
    shown_phases,
    time_scale,
    time_text,
)
from sim.result.breakdown import by_place
from sim.result.run_result import RunResult
from sim.result.trace import BOUNDS, CAUSES, StepTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 11
WHAT = "Time by op"


def ops(result: RunResult) -> Figure:
    """A panel per phase: mean time per step by place in the model, the rest summed up, each with its share.

    Bars of a panel sum to the mean time of a step; where components work side by side each moment counts once.
    """
    phases = shown_phases(result)
    if result.trace is None or not phases:
        return say_instead(result, WHAT, "nothing was simulated")
    tables = [(phase, rows(result.trace.of(phase))) for phase in phases]
    height = 1.5 + 0.21 * max(min(len(table), MOST_ROWS + 1) for _, table in tables)
    columns = min(2, len(tables))
    lines = -(-len(tables) // columns)
    fig = figure(result, WHAT, width=7.6, height=0.5 + lines * height)
    axes = fig.subplots(lines, columns, squeeze=False).flatten()
    for axis, (phase, table) in zip(axes, tables, strict=False):
        _draw(axis, phase, result.trace.of(phase), table)
    for axis in axes[len(tables) :]:
        axis.set_axis_off()
    used = {bound for _, table in tables for _, parts in table for bound, ps in parts.items() if ps}
    fig.legend(handles=bound_patches(used), loc="outside lower center", ncols=len(used), title="waits for")
    return fig


def rows(steps: list[StepTrace]) -> list[tuple[str, dict[str, float]]]:
    """(place in the model, ps by bound) of a mean step of a phase, longest first; small ones in one last row."""
    weights = sum(step.weight for step in steps) or 1.0
    spent = by_place(steps)
    totals = {place: dict.fromkeys(BOUNDS, 0.0) for place in spent}
    for place, causes in spent.items():
        for cause, ps in causes.items():
            totals[place][CAUSES[cause]] += ps / weights
    ranked = sorted(totals.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    if len(ranked) <= MOST_ROWS + 1:
        return ranked
    rest = ranked[MOST_ROWS:]
    other = {bound: sum(parts[bound] for _, parts in rest) for bound in BOUNDS}
    return [*ranked[:MOST_ROWS], (f"{len(rest)} others", other)]


def _draw(axis: Axes, phase: str, steps: list[StepTrace], table: list[tuple[str, dict[str, float]]]) -> None:
    lengths = [sum(parts.values()) for _, parts in table]
    total, longest = sum(lengths), max(lengths, default=0.0)
    unit_ps, unit = time_scale(longest)
    left = [0.0] * len(table)
    for bound in BOUNDS:
        widths = [parts[bound] / unit_ps for _, parts in table]
        if any(widths):
            axis.barh(range(len(table)), widths, left=left, color=BOUND_COLOURS[bound], height=0.78)
            left = [a + b for a, b in zip(left, widths, strict=True)]
    for row, ps in enumerate(lengths):
        share = ps / total if total else 0.0
        axis.text(ps / unit_ps, row, f" {plain(ps / unit_ps)} {unit}, {share_text(share)}", va="center", fontsize=8)
    axis.set_yticks(range(len(table)), [place for place, _ in table])
    axis.invert_yaxis()
    axis.set_xlim(0, longest / unit_ps * 1.42 or 1)
    axis.set_xlabel(f"time per step, {unit}")
    count, mean = sum(step.weight for step in steps), _mean_ps(steps)
    axis.set_title(f"{phase}: {count:,.0f} step{'s' if count != 1 else ''} of {time_text(mean, 4)}", loc="left")


def _mean_ps(steps: list[StepTrace]) -> float:
    weights = sum(step.weight for step in steps) or 1.0
    return sum(step.duration_ps * step.weight for step in steps) / weights
