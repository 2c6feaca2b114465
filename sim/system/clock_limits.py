"""Limits on the SM clock other than those under which kernels were calibrated: an owner's cap, less power.

Kernels' efficiencies were calibrated in sustained runs: the times of a phase stand for the clock that power left them
there (2,190 MHz in BF16 products, not 2,480). A cap above that costs nothing; one below slows the SMs by cap / that
clock, not by cap / gpu.clock. With less power the clock hangs on the work per second, and that on the clock: it is
sought by simulating again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

from sim.component.power import PowerSpec
from sim.hwspec import HardwareSpec
from sim.result.trace import StepTrace, Trace
from sim.system.energy import energy_use, gpu_name, power_of
from sim.workload.graph import Phase, Workload

Execute = Callable[[Workload, HardwareSpec], Trace]
TOLERANCE = 0.01
MOST_TRIES = 8


def within_limits(workload: Workload, hardware: HardwareSpec, execute: Execute) -> Trace:
    """The trace of `workload` on `hardware`; phases whose clock its limits move are simulated again at that clock.

    `execute`: simulates a workload on a machine, whatever its limits.
    """
    trace = execute(workload, hardware)
    power = power_of(hardware)
    if power is None or power.is_as_calibrated:
        return trace
    calibrated = energy_use(trace, hardware, power.as_calibrated())
    steps: list[StepTrace] = []
    stepped = trace.kernels_stepped
    for phase in workload.phases:
        left = calibrated.clock_hz(phase.name) if calibrated else None
        settled = _settled(trace, phase, left, workload, hardware, power, execute) if left else trace
        steps += settled.of(phase.name)
        stepped += settled.kernels_stepped if settled is not trace else 0
    return Trace(tuple(steps), stepped)


def _settled(
    trace: Trace,
    phase: Phase,
    left_hz: float,
    workload: Workload,
    hardware: HardwareSpec,
    power: PowerSpec,
    execute: Execute,
) -> Trace:
    """The phase at the clock that its own power leaves; `left_hz`: the one that its times stand for at first."""
    name, ratio, stepped = f"{gpu_name(hardware)}.clock", 1.0, 0
    clock_hz = hardware.provenance[name].value
    for number in range(MOST_TRIES):
        energy = energy_use(Trace(tuple(trace.of(phase.name))), hardware, power)
        left = energy.clock_hz(phase.name) if energy else None
        wanted = left / left_hz if left else ratio
        if abs(wanted / ratio - 1.0) < TOLERANCE:
            break
        ratio = sqrt(ratio * wanted) if number else wanted  # less work per second leaves a higher clock: go half way
        slower = hardware.override(name, f"{clock_hz * ratio / 1e6:.3f} MHz")
        trace = execute(replace(workload, phases=(phase,)), slower)
        stepped += trace.kernels_stepped
    return replace(trace, kernels_stepped=stepped)


def capped_clock(clock_hz: float, hardware: HardwareSpec) -> float:
    """The clock that the owner allows of `clock_hz`."""
    power = power_of(hardware)
    return min(clock_hz, power.clock_cap) if power is not None and power.clock_cap else clock_hz
