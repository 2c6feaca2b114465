"""What a CTA of a kernel takes on an SM besides its fetches and stores, in cycles of the SM clock."""

from __future__ import annotations

from math import hypot, isfinite

from sim.component.profile import Device
from sim.cost.program import Kernel


def work_cycles(kernel: Kernel, device: Device) -> tuple[tuple[str, float], ...]:
    """Cycles of a K-step by unit; infinite on a unit that the device lacks."""
    rates = ((w.unit, w.flops, device.flop_per_clock.get(w.unit, 0.0) * w.efficiency) for w in kernel.work)
    return tuple((unit, flops / rate if rate else float("inf")) for unit, flops, rate in rates)


def step_cycles(kernel: Kernel, device: Device) -> float:
    """What a K-step takes beyond its units' time: barriers, addresses, reads in turn, the chain of its products.

    Neither the chain nor the units' rate is a sharp bound, for while some warps wait others have work: the step takes
    the root of the sum of their squares. So one number for the chain gives the K-steps of CUTLASS's FP8 tiles of 16,
    32, 64 and 128 rows, which take 400, 453, 626 and 2,092 cycles.
    """
    busy = sum(cycles for _, cycles in work_cycles(kernel, device))
    is_bound = kernel.chain_cycles > 0.0 and isfinite(busy)
    trips = kernel.step_trips * (device.l2.latency_ps + device.issue_ps) / 1e12 * device.clock_hz
    return kernel.step_cycles + trips + (hypot(kernel.chain_cycles, busy) - busy if is_bound else 0.0)


def epilogue_cycles(kernel: Kernel, device: Device) -> float:
    """From the last product to the stores: what is fixed, and the tile's way through shared memory."""
    return kernel.epilogue_cycles + kernel.epilogue_bytes / device.shared_bytes_per_clock
