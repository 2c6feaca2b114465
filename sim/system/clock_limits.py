"""Limits on the SM clock below those under which kernels were calibrated: an owner's cap, less power.

As calibrated, kernels go at `gpu.clock`, those that draw all the power there is at `gpu.sustained_clock`. Where limits
leave a phase a lower clock than they left it there, it is simulated again with `gpu.clock` at what is left: a cap above
the sustained clock costs power-bound products nothing, and everybody else the difference. With less power the clock
hangs on the work per second, and that on the clock: it is sought by simulating again.
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
TOLERANCE = 0.005
MOST_TRIES = 12


def within_limits(workload: Workload, hardware: HardwareSpec, execute: Execute) -> Trace:
    """The trace of `workload` on `hardware`; phases that its limits leave a lower clock are simulated again at that.

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
    """The phase at the clock that its own power leaves, where that is below `gpu.clock` and below `left_hz`.

    `left_hz`: what the limits as calibrated leave. The clock is sought between one that power does not leave (`high`)
    and one that it does (`low`): as the clock falls, so does the work per second, and what is left rises.
    """
    name, stepped = f"{gpu_name(hardware)}.clock", 0
    clock = high = hardware.provenance[name].value
    found, low = trace, 0.0
    for number in range(MOST_TRIES):
        energy = energy_use(Trace(tuple(trace.of(phase.name))), hardware, power)
        left = (energy.clock_hz(phase.name) if energy else None) or clock
        if number == 0 and left >= min(clock, left_hz * (1.0 - TOLERANCE)):
            break
        if left >= clock * (1.0 - TOLERANCE):
            found, low = trace, clock
        else:
            high = clock
        if abs(left / clock - 1.0) < TOLERANCE or high < low * (1.0 + 4 * TOLERANCE):
            break
        clock = sqrt(low * high) if low else left
        trace = execute(replace(workload, phases=(phase,)), hardware.override(name, f"{clock / 1e6:.3f} MHz"))
        stepped += trace.kernels_stepped
    return replace(found if low else trace, kernels_stepped=stepped)


def capped_clock(clock_hz: float, hardware: HardwareSpec) -> float:
    """The clock that the owner allows of `clock_hz`."""
    power = power_of(hardware)
    return min(clock_hz, power.clock_cap) if power is not None and power.clock_cap else clock_hz
