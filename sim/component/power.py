"""Power: what the box draws, by rail, for what it does; and the SM clock that its limits leave.

Energy per unit of activity at one clock and voltage, plus what passes without any. Voltage falls with the clock, and
with it the energy of everything on the rail (E ~ V^2) and what the clock tree takes (P ~ f V^2).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from pydantic import Field, model_validator

from sim.component.component import Component
from sim.hwspec import Celsius, ComponentSpec, Fraction, Hertz, Joules, KelvinPerWatt, Number, Seconds, SpecGroup, Watts

LEAST_CLOCK = 0.08
"""Of the reference clock: where a GPU idles (208 of 2,480 MHz); no limit takes it lower."""


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """Watts of the GPU's rail at the reference clock: `clocked_w` of clock trees, `work_w` of what is done."""

    clocked_w: float
    work_w: float


class GpuRailSpec(SpecGroup):
    """The GPU's rail at its reference clock: watts that pass by themselves, and energy per unit of activity."""

    clock: Hertz = Field(description="reference clock: at its voltage the figures of this group hold")
    limit_clock: Hertz = Field(description="clock at which gpu_limit holds: as a current, so that watts go with V")
    context: Watts = Field(description="with a CUDA context at this clock and no kernel running")
    kernels: Watts = Field(description="besides, while a kernel runs: clocks of the SMs, the crossbar and L2")
    matrix: dict[str, Joules] = Field(
        description="of a FLOP that a matrix unit executes, operands from shared memory included"
    )
    zero_operand: Fraction = Field(description="share of that energy where a row of the tile is padding, all zeros")
    instruction: Joules = Field(description="of one instruction of one lane of the CUDA cores")
    l2_byte: Joules = Field(description="of a byte between L2 and an SM")
    memory_byte: Joules = Field(description="of a byte between L2 and memory, the GPU's part: fabric and link")
    voltage_slope: Number = Field(description="relative change of the voltage per relative change of the clock")
    voltage_floor: Fraction = Field(description="share of the reference voltage below which it never goes")

    def voltage(self, clock_hz: float) -> float:
        """Voltage relative to that at the reference clock: linear in the clock, down to its floor."""
        return max(self.voltage_floor, 1.0 + self.voltage_slope * (clock_hz / self.clock - 1.0))

    def watts(self, load: GpuLoad, clock_hz: float, idle_w: float) -> float:
        """The rail at a clock; `idle_w` does not scale, clock trees go with f V^2, work at given rates with V^2."""
        square = self.voltage(clock_hz) ** 2
        return idle_w + (load.clocked_w - idle_w) * clock_hz / self.clock * square + load.work_w * square


class ThermalSpec(SpecGroup):
    """Heat: one thermal mass behind one resistance, and what the GPU does about its temperature."""

    base: Celsius = Field(description="temperature that the GPU would have with nothing on its rail")
    resistance: KelvinPerWatt = Field(description="rise of the GPU's temperature per watt on its rail, in the end")
    time_constant: Seconds = Field(description="of that rise")
    at_clock: Celsius = Field(description="temperature at which an unlimited GPU runs at gpu.clock")
    clock_per_kelvin: Hertz = Field(description="by how much an unlimited GPU's clock falls per kelvin")
    slowdown: Celsius = Field(description="temperature that the GPU is kept below by lowering its clock")

    def settled(self, watts: float) -> float:
        """Where the temperature goes with `watts` on the rail, degrees Celsius."""
        return self.base + self.resistance * watts

    def after(self, start_c: float, watts: float, seconds: float) -> float:
        """The temperature `seconds` later: exponential towards where it settles."""
        settled = self.settled(watts)
        return settled + (start_c - settled) * exp(-seconds / self.time_constant) if self.time_constant else settled


class BoxSpec(SpecGroup):
    """What is on no rail of the GPU: the rest of the package, and of the box."""

    fabric: Watts = Field(description="of the package besides GPU and CPU cores: fabric, controllers, their converters")
    busy_cores: Number = Field(description="CPU cores that a runtime keeps busy, of the fastest kind")
    memory_byte: Joules = Field(description="of a byte to or from memory: DRAM devices and their interface")
    regulators: Fraction = Field(description="share of what the board takes that reaches the package")
    board: Watts = Field(description="fans, converters and everything else on the board")
    supply_efficiency: Fraction = Field(description="share of what the wall gives that reaches the board")


class LimitsSpec(SpecGroup):
    """Limits under which kernels' efficiencies were calibrated: what other limits are compared with."""

    gpu_limit: Watts = Field(description="of the GPU's rail, at gpu.limit_clock")
    package_limit: Watts = Field(description="of the package")


class PowerSpec(ComponentSpec):
    """What the box may draw, draws when nothing runs, and draws for what it does."""

    supply: Watts = Field(description="power supply")
    package_limit: Watts = Field(description="sustained limit of the package with GPU and CPUs")
    gpu_limit: Watts = Field(description="most seen on the GPU's rail; with gpu.limit_clock, where: a limit on current")
    clock_cap: Hertz | None = Field(default=None, description="clock that the owner allows at most (nvidia-smi -lgc)")
    control_period: Seconds = Field(description="how often the limits are enforced")
    idle: Watts = Field(description="at the wall with nothing running")
    package_idle: Watts = Field(description="of the package with nothing running")
    gpu_idle: Watts = Field(description="of the GPU's rail with nothing running")
    counts_energy: bool = Field(
        default=False, description="whether gpu, box and thermal describe this machine: else no energy is told"
    )
    gpu: GpuRailSpec | None = Field(default=None, description="the GPU's rail by activity")
    box: BoxSpec | None = Field(default=None, description="what is on no rail of the GPU")
    calibrated: LimitsSpec | None = Field(
        default=None, description="limits under which kernels were calibrated; none: this machine's own"
    )
    thermal: ThermalSpec | None = Field(default=None, description="temperature of the GPU; none: it is not looked at")

    @model_validator(mode="after")
    def _rails_are_there(self) -> PowerSpec:
        if self.clock_cap is not None and not self.counts_energy:
            raise ValueError("clock_cap needs counts_energy: what a cap costs hangs on the clock that power leaves")
        missing = [name for name in ("gpu", "box") if getattr(self, name) is None]
        if self.counts_energy and missing:
            raise ValueError(f"counts_energy is true, but there is no {' and no '.join(missing)} to count it by")
        return self

    @property
    def is_as_calibrated(self) -> bool:
        """Whether the clock is held back by no more and no less than where kernels were calibrated."""
        return self.as_calibrated() == self

    def as_calibrated(self) -> PowerSpec:
        """The same with the limits under which kernels were calibrated, and no owner's cap."""
        limits = self.calibrated.model_dump() if self.calibrated is not None else {}
        return self.model_copy(update={**limits, "clock_cap": None})

    def gpu_watts_allowed(self, clock_hz: float, besides_w: float) -> float:
        """Most on the GPU's rail at a clock, with `besides_w` on the rest of the package."""
        assert self.gpu is not None
        current = self.gpu_limit * self.gpu.voltage(clock_hz) / self.gpu.voltage(self.gpu.limit_clock)
        return min(current, self.package_limit - besides_w)

    def ceiling(self, clock_hz: float, celsius: float | None) -> float:
        """The clock of a GPU that no limit holds back: `clock_hz`, moved by its temperature, below the owner's cap."""
        if self.thermal is not None and celsius is not None:
            clock_hz -= self.thermal.clock_per_kelvin * (celsius - self.thermal.at_clock)
        return min(clock_hz, self.clock_cap or clock_hz)

    def sustained_clock(
        self, load: GpuLoad, ceiling_hz: float, besides_w: float, celsius: float | None = None
    ) -> float:
        """The highest clock up to `ceiling_hz` at which `load` stays within current, package and temperature.

        Watts grow faster with the clock than the watts allowed, so that there is one such clock; found by bisection.
        """
        rail = self.gpu
        assert rail is not None
        too_hot = self.thermal is not None and celsius is not None and celsius >= self.thermal.slowdown

        def is_within(clock_hz: float) -> bool:
            watts = rail.watts(load, clock_hz, self.gpu_idle)
            is_cool = not too_hot or self.thermal is None or self.thermal.settled(watts) <= self.thermal.slowdown
            return is_cool and watts <= self.gpu_watts_allowed(clock_hz, besides_w)

        low, high = LEAST_CLOCK * rail.clock, ceiling_hz
        if is_within(high):
            return high
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if is_within(middle) else (low, middle)
        return low


class Power(Component):
    """Power's place among the components."""

    Spec = PowerSpec
