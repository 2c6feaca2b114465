"""The kernels of one layer over time, a lane per component, coloured by what each moment waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sim.plot.style import BOUND_COLOURS, bound_patches, figure, say_instead, shown_phases, time_scale, time_text
from sim.result.breakdown import LAYER, place_of
from sim.result.run_result import RunResult
from sim.result.trace import CAUSES, Span, StepTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WHAT = "Kernels of one layer"
SMALLEST_LABEL = 0.02
"""Ops shorter than this share of the picture get no name."""
LABEL_GAP = 0.062
"""Names stand at least this share of the width apart."""
LABEL_HEIGHT = 3.0
"""Room for the names, in lanes."""
LANE_INCHES = 0.3


class Bar(NamedTuple):
    """A piece of an op's life, ps from the left edge."""

    component: str
    op: str
    bound: str
    start_ps: int
    end_ps: int


def timeline(result: RunResult) -> Figure:
    """A panel per phase: the longest layer of its last step (an op trace: its longest block), in the steady state."""
    lasts = [result.trace.of(phase)[-1] for phase in shown_phases(result)] if result.trace else []
    steps = [step for step in lasts if step.spans]
    if not steps:
        return say_instead(result, WHAT, "nothing was simulated")
    chosen = [layer_bars(step) for step in steps]
    lanes = [sorted({bar.component for bar in bars}, key=lambda name: (name != "gpu", name)) for bars, _, _ in chosen]
    heights = [0.65 + LANE_INCHES * (LABEL_HEIGHT + len(names)) for names in lanes]
    fig = figure(result, WHAT, width=7.6, height=0.9 + sum(heights))
    axes = fig.subplots(len(steps), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, step, (bars, name, count), components in zip(axes, steps, chosen, lanes, strict=True):
        _draw(axis, step, bars, components)
        axis.set_title(_title(step, bars, name, count), loc="left")
    used = {bar.bound for bars, _, _ in chosen for bar in bars}
    fig.legend(handles=bound_patches(used), loc="outside lower center", ncols=len(used), title="waits for")
    return fig


def layer_bars(step: StepTrace) -> tuple[list[Bar], str, int]:
    """Bars of the layer (or block) that takes most of the step, its name, and how often it runs in the step.

    The last iteration that was stepped is taken: what came before it (a cold start, the host catching up) is over.
    """
    groups: dict[tuple[int, str], float] = {}
    counts: dict[tuple[int, str], int] = {}
    for op in step.ops:
        key = (op.block, _layer(op.op))
        groups[key] = groups.get(key, 0.0) + op.wall_ps * op.repeat
        counts[key] = op.repeat
    block, layer = max(groups, key=lambda key: groups[key])
    mine = [span for span in step.spans if span.block == block and _layer(span.op) == layer]
    last = max(span.iteration for span in mine)
    mine = [span for span in mine if span.iteration == last and (span.cause != "step" or span.component == "host")]
    start = min(span.start_ps for span in mine)
    return _merge(mine, start), layer, counts[block, layer]


def _layer(op: str) -> str:
    found = LAYER.match(op)
    return found[0].removesuffix(".") if found else ""


def _merge(spans: list[Span], start: int) -> list[Bar]:
    """Neighbouring spans of an op with the same bound become one bar."""
    bars: list[Bar] = []
    for span in spans:
        bar = Bar(span.component, span.op, CAUSES[span.cause], span.start_ps - start, span.end_ps - start)
        last = next((old for old in reversed(bars) if old.component == bar.component), None)
        if last is not None and (last.op, last.bound, last.end_ps) == (bar.op, bar.bound, bar.start_ps):
            bars[bars.index(last)] = last._replace(end_ps=bar.end_ps)
        else:
            bars.append(bar)
    return bars


def _draw(axis: Axes, step: StepTrace, bars: list[Bar], components: list[str]) -> None:
    total = max(bar.end_ps for bar in bars)
    unit_ps, unit = time_scale(total)
    axis.barh(
        [-components.index(bar.component) for bar in bars],
        [(bar.end_ps - bar.start_ps) / unit_ps for bar in bars],
        left=[bar.start_ps / unit_ps for bar in bars],
        color=[BOUND_COLOURS[bar.bound] for bar in bars],
        height=0.8,
    )
    _name_ops(axis, step, [bar for bar in bars if bar.component == components[0]], total, unit_ps)
    _name_inside(axis, step, [bar for bar in bars if bar.component != components[0]], components, unit_ps)
    axis.set_yticks(
        [-row for row in range(len(components))], [name.upper() if name == "gpu" else name for name in components]
    )
    axis.set_ylim(0.5 - len(components), 0.45 + LABEL_HEIGHT)
    axis.set_xlim(0, total / unit_ps)
    axis.set_xlabel(f"time, {unit}")
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _name_ops(axis: Axes, step: StepTrace, bars: list[Bar], total: int, unit_ps: float) -> None:
    """Names of the ops that take long, above the first lane, pushed apart so that none covers another."""
    places_by_op = {op.op: place_of(op) for op in step.ops}
    lives = {op: (min(b.start_ps for b in bars if b.op == op), max(b.end_ps for b in bars if b.op == op))
             for op in dict.fromkeys(bar.op for bar in bars)}  # fmt: skip
    axis.vlines([begin / unit_ps for begin, _ in lives.values()], -0.4, 0.4, color="white", linewidth=0.4)
    named = [(op, life) for op, life in lives.items() if life[1] - life[0] >= SMALLEST_LABEL * total]
    places = spread([sum(life) / 2 / total for _, life in named], LABEL_GAP)
    for (op, (begin, end)), place in zip(named, places, strict=True):
        middle = (begin + end) / 2 / unit_ps
        axis.plot([middle, place * total / unit_ps], [0.42, 0.58], color="#777777", linewidth=0.6)
        axis.text(
            place * total / unit_ps, 0.62, f"{places_by_op[op]} {time_text(end - begin)}",
            rotation=38, rotation_mode="anchor", ha="left", va="bottom", fontsize=7.5,
        )  # fmt: skip


def _name_inside(axis: Axes, step: StepTrace, bars: list[Bar], components: list[str], unit_ps: float) -> None:
    """Names in the lower lanes, in or right of the op's bar."""
    named = {op.op: place_of(op) for op in step.ops}
    for op in dict.fromkeys(bar.op for bar in bars):
        mine = [bar for bar in bars if bar.op == op]
        begin, end = min(bar.start_ps for bar in mine), max(bar.end_ps for bar in mine)
        text = f" {named[op]} {time_text(end - begin)}"
        axis.text(
            begin / unit_ps,
            -components.index(mine[0].component),
            text,
            va="center",
            fontsize=7.5,
            bbox={"facecolor": "white", "alpha": 0.6, "linewidth": 0, "pad": 0.5},
        )


def spread(places: list[float], gap: float) -> list[float]:
    """`places` (ascending, 0 to 1) moved as little as a forward and a backward pass can, to lie `gap` apart below 1."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    limit = 1 - gap
    for index in range(len(moved) - 1, -1, -1):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved


def _title(step: StepTrace, bars: list[Bar], name: str, count: int) -> str:
    what = "layer" if name else "block"
    tokens = f"{step.tokens:,} token{'s' if step.tokens != 1 else ''}"
    seen = f", {tokens} at context {step.context:,}" if step.context else ""
    which = f"one of {count} such {what}s of a step" if count > 1 else f"the longest {what}"
    return f"{step.phase}{seen}: {which}, {time_text(max(bar.end_ps for bar in bars))}"
