"""The pictures of one run by name, and all of them as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.plot.fit_chart import fit_chart
from sim.plot.kernel_timeline import timeline as _timeline
from sim.plot.load_chart import load_chart
from sim.plot.machines import machines
from sim.plot.memory_bar import memory as _memory
from sim.plot.memory_time import memory_time as _memory_time
from sim.plot.of_result import Asked, draw
from sim.plot.op_time import ops as _ops
from sim.plot.parity import parity
from sim.plot.power_time import power as _power
from sim.plot.roofline_chart import roofline as _roofline
from sim.plot.sensitivity import bars, sensitivity
from sim.plot.sm_timeline import sm_timeline
from sim.plot.style import house_style, save
from sim.plot.tenant_bandwidth import bandwidth
from sim.plot.waterfall import waterfall
from sim.result.fit_result import FitResult
from sim.result.kernel_result import KernelResult
from sim.result.load_result import LoadResult
from sim.result.run_result import RunResult
from sim.result.tenants import TenantsResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _in_house_style(draw: Callable[[RunResult], Figure]) -> Callable[[RunResult], Figure]:
    @wraps(draw)
    def styled(result: RunResult) -> Figure:
        with house_style():
            return draw(result)

    return styled


timeline = _in_house_style(_timeline)
ops = _in_house_style(_ops)
roofline = _in_house_style(_roofline)
memory = _in_house_style(_memory)
memory_time = _in_house_style(_memory_time)
power = _in_house_style(_power)
DRAWN = {
    "timeline": timeline, "ops": ops, "roofline": roofline,
    "memory": memory, "memory_time": memory_time, "power": power,
}  # fmt: skip
"""Every picture: name -> function of a result."""


def draw_all(result: RunResult, folder: Path) -> list[Path]:
    """Every picture that has something to show, into `folder`, as SVG and PNG; the paths.

    A model that does not fit has only its memory, an op trace all but that, a machine without described rails no power.
    """
    is_simulated = result.trace is not None and bool(result.trace.steps)
    has = {
        "memory": result.memory is not None,
        "memory_time": result.memory_timeline is not None,
        "power": result.energy is not None,
    }
    names = [name for name in DRAWN if has.get(name, is_simulated)]
    return [path for name in names for path in save(DRAWN[name](result), folder / name)]


def draw_fit(result: FitResult, path: Path) -> list[Path]:
    """What fits, as SVG and PNG beside each other; the paths."""
    with house_style():
        fig = fit_chart(result)
    return save(fig, path)


def draw_load(result: LoadResult, path: Path) -> list[Path]:
    """The stages of a start and the memory meanwhile, as SVG and PNG beside each other; the paths."""
    with house_style():
        fig = load_chart(result)
    return save(fig, path)


def draw_kernel(result: KernelResult, path: Path) -> list[Path]:
    """The SM timeline of a kernel that kept its lanes, as SVG and PNG beside each other; the paths."""
    with house_style():
        fig = sm_timeline(result)
    return save(fig, path)


def draw_sensitivity(data: Mapping[str, Any], path: Path) -> list[Path]:
    """What the speed hangs on, of `sparksim.explain/1`, as SVG and PNG beside each other; the paths."""
    with house_style():
        fig = sensitivity(data)
    return save(fig, path)


def draw_waterfall(data: Mapping[str, Any], path: Path) -> list[Path]:
    """From A to B, of `sparksim.compare/1`, as SVG and PNG beside each other; the paths."""
    with house_style():
        fig = waterfall(data)
    return save(fig, path)


def draw_machines(data: Mapping[str, Any], path: Path) -> list[Path]:
    """Machines side by side, of `sparksim.machines/1`, as SVG and PNG beside each other; the paths."""
    with house_style():
        fig = machines(data)
    return save(fig, path)


def draw_tenants(result: TenantsResult, path: Path) -> list[Path]:
    """Bandwidth by tenant over time, as SVG and PNG beside each other; the paths."""
    with house_style():
        fig = bandwidth(result)
    return save(fig, path)


def draw_parity(rows: Sequence[Mapping[str, Any]], path: Path) -> list[Path]:
    """Predicted against measured, of the rows of `sparksim.validation/1`, as SVG and PNG; the paths."""
    with house_style():
        fig = parity(rows)
    return save(fig, path)


def draw_sweep(data: Mapping[str, Any], y: Sequence[str], path: Path) -> list[Path]:
    """Results against an axis, of `sparksim.sweep/1`, as SVG and PNG; the paths."""
    return draw(data, path, "lines", Asked(y=y))


def draw_bars(title: str, panels: Mapping[str, Sequence[tuple[str, float]]], path: Path) -> list[Path]:
    """Named numbers by result, as SVG and PNG beside each other; the paths."""
    with house_style():
        fig = bars(title, panels)
    return save(fig, path)
