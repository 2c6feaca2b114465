"""What a run draws, from what its ops did: rails, clock and temperature, in closed form per stretch of time.

Nothing here takes part in the simulation: times stay as they are (their efficiencies come from sustained runs, power
limits included), and no event is added. Power is the ops' activity over their time; the limits are enforced once per
control period.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.component.cpu import CpuClusterSpec
from sim.component.nic import NicSpec
from sim.component.nvme import NvmeSpec
from sim.component.power import GpuLoad, PowerSpec
from sim.errors import InputError, Problem
from sim.hwspec import HardwareSpec
from sim.result.energy import EnergyUse, PowerSample
from sim.result.trace import OpRecord, StepTrace, Trace

STRETCHES = 24
"""Into so many pieces a step's time is cut at most, for the temperature that moves meanwhile."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What a steady stretch draws. `parts_w`: of the GPU's rail at the reference clock, by activity."""

    seconds: float
    parts_w: dict[str, float]
    load: GpuLoad
    cpu_w: float
    memory_w: float
    other_w: float


def power_of(hardware: HardwareSpec) -> PowerSpec | None:
    """The machine's power, if its rails are described."""
    found = next((spec for spec in hardware.components.values() if isinstance(spec, PowerSpec)), None)
    return found if found is not None and found.counts_energy else None


def energy_use(trace: Trace | None, hardware: HardwareSpec, power: PowerSpec | None = None) -> EnergyUse | None:
    """Energy, power and clocks of a run; None where the rails are not described. `power`: instead of the machine's."""
    power = power or power_of(hardware)
    if power is None or trace is None or not trace.steps:
        return None
    draws = [(step.phase, draw_of(step, hardware, power)) for step in trace.steps]
    samples = tuple(_over_time(draws, hardware, power))
    gpu = gpu_name(hardware)
    foreign = {op.component for step in trace.steps for op in step.ops if op.flops and op.component != gpu}
    return EnergyUse(samples, _parts(samples, draws, power), tuple(sorted(foreign)))


def gpu_name(hardware: HardwareSpec) -> str:
    """Name of the GPU among the components."""
    return next((name for name, kind in hardware.types.items() if kind == "gpu"), "gpu")


def draw_of(step: StepTrace, hardware: HardwareSpec, power: PowerSpec) -> Draw:
    """What all passes that a simulated step stands for draw, on average."""
    seconds = step.duration_ps * step.weight / 1e12
    if not seconds:
        return Draw(0.0, {}, GpuLoad(0.0, 0.0), 0.0, 0.0, 0.0)
    gpu, box = power.gpu, power.box
    assert gpu is not None
    assert box is not None
    name, per_second = gpu_name(hardware), step.weight / seconds
    on_gpu = [op for op in step.ops if op.component == name]
    busy = min(1.0, sum(op.duration_ps * op.repeat for op in on_gpu) * per_second / 1e12)
    parts = {"context": gpu.context, "kernels": gpu.kernels * busy}
    joules = {"matrix units": 0.0, "CUDA cores": 0.0, "L2": 0.0, "memory": 0.0}
    for op in on_gpu:
        joules["matrix units"] += op.repeat * matrix_joules(op, power)
        joules["CUDA cores"] += op.repeat * op.instructions * gpu.instruction
        joules["L2"] += op.repeat * (op.l2_read_bytes + op.l2_write_bytes) * gpu.l2_byte
        joules["memory"] += op.repeat * sum(_memory_bytes(op)) * gpu.memory_byte
    parts |= {part: total * per_second for part, total in joules.items()}
    moved = sum(op.repeat * sum(_memory_bytes(op)) for op in step.ops) * per_second
    load = GpuLoad(parts["context"] + parts["kernels"], sum(total * per_second for total in joules.values()))
    drive_s = sum(op.repeat * op.wall_ps * ("nvme" in op.causes) for op in step.ops) * per_second / 1e12
    other = other_watts(hardware, min(1.0, drive_s))
    return Draw(seconds, parts, load, box.busy_cores * _core_watts(hardware), moved * box.memory_byte, other)


def matrix_joules(op: OpRecord, power: PowerSpec) -> float:
    """Energy of what one launch does on matrix units, at the reference clock: useful FLOPs in full, padding in part."""
    assert power.gpu is not None
    total = sum(op.matrix_flops.values())
    if not total:
        return 0.0
    real = min(1.0, op.flops / total)
    dearest = max(power.gpu.matrix.values(), default=0.0)
    full = sum(flops * power.gpu.matrix.get(unit, dearest) for unit, flops in op.matrix_flops.items())
    return full * (real + (1.0 - real) * power.gpu.zero_operand)


def _memory_bytes(op: OpRecord) -> tuple[float, float]:
    return op.dram_read_bytes, op.dram_write_bytes


def _core_watts(hardware: HardwareSpec) -> float:
    """Of the core that draws most."""
    clusters = [spec for spec in hardware.components.values() if isinstance(spec, CpuClusterSpec)]
    return max((kind.watts for cluster in clusters for kind in cluster.cores), default=0.0)


def other_watts(hardware: HardwareSpec, drive_busy: float = 0.0, *, uses_nic: bool = False) -> float:
    """Besides package and memory: adapters that are powered (or used), and drives for the share of time they work."""
    watts = 0.0
    for spec in hardware.components.values():
        if isinstance(spec, NicSpec) and (spec.is_powered or uses_nic):
            watts += spec.power
        if isinstance(spec, NvmeSpec):
            watts += spec.active_power * drive_busy
    return watts


def _over_time(draws: list[tuple[str, Draw]], hardware: HardwareSpec, power: PowerSpec) -> Iterator[PowerSample]:
    """Clock, watts and temperature, stretch by stretch; each starts with the clock that the one before it leaves."""
    now, celsius = 0.0, power.thermal.settled(power.gpu_idle) if power.thermal else None
    unlimited = hardware.components[gpu_name(hardware)].clock  # type: ignore[attr-defined]
    clock = power.ceiling(unlimited, celsius)
    for phase, draw in draws:
        for seconds in _stretches(draw.seconds, power.control_period):
            sample = sample_of(phase, now, seconds, clock, draw, power, celsius)
            yield sample
            now, celsius = now + seconds, sample.celsius
            besides = sample.package_w - sample.gpu_w
            clock = power.sustained_clock(draw.load, power.ceiling(unlimited, celsius), besides, celsius)


def _stretches(seconds: float, period: float) -> Iterator[float]:
    """One control period, in which the clock is still the one before; the rest in equal pieces no shorter than that."""
    if seconds <= period or not period:
        yield seconds
        return
    yield period
    rest = seconds - period
    pieces = max(1, min(STRETCHES, int(rest / period)))
    for _ in range(pieces):
        yield rest / pieces


def sample_of(
    phase: str, start: float, seconds: float, clock: float, draw: Draw, power: PowerSpec, celsius: float | None
) -> PowerSample:
    """A stretch with one clock: watts of each rail, and the temperature that it ends with."""
    gpu, box = power.gpu, power.box
    assert gpu is not None
    assert box is not None
    watts = gpu.watts(draw.load, clock, power.gpu_idle)
    package = watts + draw.cpu_w + box.fabric
    wall = ((package + draw.memory_w) / box.regulators + box.board + draw.other_w) / box.supply_efficiency
    if power.thermal is not None and celsius is not None:
        celsius = power.thermal.after(celsius, watts, seconds)
    return PowerSample(phase, start, seconds, clock, watts, draw.cpu_w, package, draw.memory_w, wall, celsius)


def _parts(
    samples: tuple[PowerSample, ...], draws: list[tuple[str, Draw]], power: PowerSpec
) -> dict[str, dict[str, float]]:
    """By phase, the mean watts of each part of the GPU's rail, at the clocks of the samples."""
    assert power.gpu is not None
    found: dict[str, dict[str, float]] = {}
    for phase in dict.fromkeys(phase for phase, _ in draws):
        own = [draw for name, draw in draws if name == phase]
        total_s = sum(draw.seconds for draw in own)
        mean = {
            part: sum(draw.parts_w.get(part, 0.0) * draw.seconds for draw in own) / total_s if total_s else 0.0
            for part in own[0].parts_w
        }
        whole = sum(each.gpu_w * each.seconds for each in samples if each.phase == phase) / total_s if total_s else 0.0
        scale = whole / sum(mean.values()) if sum(mean.values()) else 0.0
        found[phase] = {part: watts * scale for part, watts in mean.items()}
    return found


def idle_watts(hardware: HardwareSpec) -> dict[str, float]:
    """What the machine draws with nothing running: `gpu`, `package`, `wall`.

    Raises:
        InputError: its rails are not described.
    """
    power = power_of(hardware)
    if power is None or power.box is None:
        message, hint = f"the rails of {hardware.name} are not described", "power.counts_energy says whether they are"
        raise InputError(Problem(message, "no_rails", path="power", hint=hint))
    box, package = power.box, power.gpu_idle + power.box.fabric
    wall = (package / box.regulators + box.board + other_watts(hardware)) / box.supply_efficiency
    return {"gpu": power.gpu_idle, "package": package, "wall": wall}
