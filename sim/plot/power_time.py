"""Power by rail over time, and the clock and temperature that go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.plot.style import figure, say_instead
from sim.result.energy import PowerSample
from sim.result.run_result import RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WHAT = "Power and clock"
CLOCK, HEAT = "#0072B2", "#D55E00"


def power(result: RunResult) -> Figure:
    """Above: watts stacked from the GPU's rail to the wall. Below: SM clock and the GPU's temperature. Over seconds."""
    energy = result.energy
    if energy is None or not energy.samples:
        return say_instead(result, WHAT, "the rails of this machine are not described")
    fig = figure(result, WHAT, height=4.6)
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    edges = [each.start_s for each in energy.samples]
    edges.append(edges[-1] + energy.samples[-1].seconds)
    _watts(above, energy.samples, edges)
    _clock(below, energy.samples, edges)
    for phase in energy.phases[1:]:
        start = next(each.start_s for each in energy.samples if each.phase == phase)
        for axis in (above, below):
            axis.axvline(start, color="#999999", linewidth=0.8, linestyle=":")
        above.text(start, 1.0, f" {phase}", transform=above.get_xaxis_transform(), va="bottom", fontsize=8.5)
    above.text(0, 1.0, energy.phases[0], transform=above.get_xaxis_transform(), va="bottom", fontsize=8.5)
    below.set_xlabel("s")
    below.set_xlim(0, edges[-1])
    fig.legend(loc="outside lower center", ncols=4)
    return fig


def _bands(samples: tuple[PowerSample, ...]) -> list[tuple[str, str, list[float]]]:
    """What is stacked, from below: name, colour, watts of each sample. Together they are what the wall gives."""
    fabric = [each.package_w - each.gpu_w - each.cpu_w for each in samples]
    rest = [each.wall_w - each.package_w - each.memory_w for each in samples]
    return [
        ("GPU", "#D55E00", [each.gpu_w for each in samples]),
        ("CPU", "#E69F00", [each.cpu_w for each in samples]),
        ("fabric", "#56B4E9", fabric),
        ("memory", "#0072B2", [each.memory_w for each in samples]),
        ("board, NIC, losses", "#BBBBBB", rest),
    ]


def _watts(axis: Axes, samples: tuple[PowerSample, ...], edges: list[float]) -> None:
    base = [0.0] * len(samples)
    for name, colour, watts in _bands(samples):
        top = [low + more for low, more in zip(base, watts, strict=True)]
        axis.stairs(top, edges, baseline=base, fill=True, color=colour, label=name)
        base = top
    axis.set_ylabel("W")
    axis.set_ylim(0, 1.12 * max(base))


def _clock(axis: Axes, samples: tuple[PowerSample, ...], edges: list[float]) -> None:
    clocks = [each.clock_hz / 1e6 for each in samples]
    axis.stairs(clocks, edges, color=CLOCK, linewidth=1.6, label="SM clock", baseline=None)
    axis.set_ylabel("MHz", color=CLOCK)
    room = max(40.0, 0.15 * (max(clocks) - min(clocks)))
    axis.set_ylim(min(clocks) - room, max(clocks) + room)
    heat = [each.celsius for each in samples if each.celsius is not None]
    if len(heat) < len(samples):
        return  # this machine's heat is not described
    other = axis.twinx()
    other.plot(edges[1:], heat, color=HEAT, linewidth=1.4, linestyle="--", label="GPU temperature")
    other.set_ylabel("°C", color=HEAT)
    other.set_ylim(20, 100)
    other.spines["right"].set_visible(True)
