"""Predicted kernels beside measured ones: parity clouds, and staircases of latency against rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim.plot.style import DPI, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
COLUMNS = 3
STAIRS = 6
"""Staircases in a picture, at most."""
FEWEST_STEPS = 6
"""Points that a staircase needs."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A kernel. `panel`: op, chip and runtime; `series`: format; `stair`: what all of a staircase share; `rows`: its M.

    `is_held_out`: no number rests on it.
    """

    panel: str
    series: str
    stair: str
    rows: int
    measured_s: float
    predicted_s: float
    is_held_out: bool


def draw_parity(pairs: Sequence[Pair], file: Path) -> None:
    """A panel per op, chip and runtime: predicted against measured, shapes that no number rests on."""
    panels: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        if pair.is_held_out:
            panels[pair.panel].append(pair)
    with house_style():
        fig, axes = _panels(len(panels))
        for axis, (name, mine) in zip(axes, sorted(panels.items()), strict=False):
            _cloud(axis, mine)
            axis.set_title(name, loc="left")
        _save(fig, file)


def draw_stairs(pairs: Sequence[Pair], file: Path) -> None:
    """Latency against M of the staircases with most steps: measured marks, a predicted line."""
    stairs: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        if pair.stair:
            stairs[pair.stair].append(pair)
    longest = sorted(stairs, key=lambda name: (-len(stairs[name]), name))
    chosen = [name for name in longest if len(stairs[name]) >= FEWEST_STEPS][:STAIRS]
    with house_style():
        fig, axes = _panels(len(chosen))
        for axis, name in zip(axes, chosen, strict=False):
            _stair(axis, sorted(stairs[name], key=lambda pair: pair.rows))
            axis.set_title(name, loc="left")
        _save(fig, file)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(COLUMNS, max(1, count))
    lines = max(1, -(-count // columns))
    fig = Figure(figsize=(3.6 * columns, 3.1 * lines), layout="constrained")
    axes = list(fig.subplots(lines, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return fig, axes[:count]


def _cloud(axis: Axes, pairs: Iterable[Pair]) -> None:
    series: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        series[pair.series].append(pair)
    ends = [one for mine in series.values() for pair in mine for one in (pair.measured_s, pair.predicted_s)]
    low, high = min(ends) * 8e5, max(ends) * 1.25e6
    axis.plot([low, high], [low, high], color="#888888", linewidth=0.8)
    for factor in (0.8, 1.25):
        axis.plot([low, high], [low * factor, high * factor], color="#BBBBBB", linewidth=0.6, linestyle="--")
    for (name, mine), colour in zip(sorted(series.items()), COLOURS, strict=False):
        measured, predicted = [p.measured_s * 1e6 for p in mine], [p.predicted_s * 1e6 for p in mine]
        axis.scatter(measured, predicted, s=7, color=colour, alpha=0.55, linewidths=0, label=name)
    axis.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    axis.set_xlabel("measured, us")
    axis.set_ylabel("predicted, us")
    axis.legend(loc="upper left")


def _stair(axis: Axes, pairs: Sequence[Pair]) -> None:
    rows = [pair.rows for pair in pairs]
    axis.plot(rows, [pair.predicted_s * 1e6 for pair in pairs], color=COLOURS[1], linewidth=1.2, label="predicted")
    axis.scatter(rows, [pair.measured_s * 1e6 for pair in pairs], s=12, color=COLOURS[0], label="measured", zorder=3)
    axis.set(xscale="log", yscale="log")
    axis.set_xlabel("M, rows")
    axis.set_ylabel("us")
    axis.legend(loc="upper left")


def _save(fig: Figure, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(file, dpi=DPI, metadata={"Date": None} if file.suffix == ".svg" else None)
