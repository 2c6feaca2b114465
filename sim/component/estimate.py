"""How long a kernel about takes, in closed form: what a library's heuristic or autotuner compares tiles by."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from sim.component.grid import occupancy
from sim.component.kernel_cycles import epilogue_cycles, step_cycles, work_cycles
from sim.component.profile import CUDA_UNITS, Device
from sim.cost.program import Kernel


def estimator(device: Device) -> Callable[[Kernel], float]:
    """An estimate in seconds for kernels on `device`: waves x (K-steps x what binds a step, and a CTA's latencies).

    A step of all resident CTAs takes the tensor and CUDA cores' time, L2's time for its tiles, and never less than a
    fetch over the stages that hide it. The last wave counts as much as it fills the SMs.
    """
    latency_s = (device.l2.latency_ps + device.issue_ps) / 1e12
    write_rate = device.l2.rates["write"]

    def estimate(kernel: Kernel) -> float:
        resident = occupancy(kernel, device.limits)
        whole, rest = divmod(kernel.tiles, device.sms * resident)
        total = whole * _wave(kernel, device, device.sms * resident, resident, latency_s)
        if rest:
            total += _wave(kernel, device, rest, ceil(rest / device.sms), latency_s)
        return total + kernel.written_bytes / write_rate

    return estimate


def _wave(kernel: Kernel, device: Device, ctas: int, per_sm: int, latency_s: float) -> float:
    matrix = cuda = 0.0
    for unit, cycles in work_cycles(kernel, device):
        if unit in CUDA_UNITS:
            cuda += cycles / device.clock_hz
        else:
            matrix += cycles / device.clock_hz
    alone = matrix + cuda + step_cycles(kernel, device) / device.clock_hz
    l2_s = ctas * kernel.step_bytes / device.l2.rates["read"]
    step = max(alone, per_sm * max(matrix, cuda), l2_s, latency_s / kernel.stages)
    fixed = (kernel.prologue_cycles + epilogue_cycles(kernel, device)) / device.clock_hz + latency_s
    return fixed + kernel.n_steps * step
