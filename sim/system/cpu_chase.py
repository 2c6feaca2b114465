"""Dependent loads of a CPU core: which cache answers, and how long memory takes, alone or beside the GPU's streams."""

from __future__ import annotations

from sim.component.cpu import CpuClusterSpec
from sim.component.stream import StreamRun
from sim.component.system_cache import SystemCacheSpec
from sim.engine import Engine
from sim.errors import InputError, Problem
from sim.hwspec import HardwareSpec
from sim.system.machine import Machine
from sim.units import ps_from_seconds

LOAD = 64
"""Bytes of a core's cache line."""
LOADS = 16
"""Loads whose mean is taken."""


def cpu_chase(machine: Machine, cluster: str, footprint: int) -> float:
    """Seconds per dependent load of the cluster's fastest core over `footprint` bytes, in random order.

    The first cache that holds all of the footprint answers every load: L3, then the memory-side cache if it lies on the
    way to memory (it holds what L3 does not), then memory.

    Raises:
        InputError: there is no such cluster.
    """
    spec = _cluster(machine.hardware, cluster)
    if footprint <= spec.l3:
        return spec.l3_latency
    names = machine.ways_to_memory(cluster)[0]
    caches = [c for name in names if isinstance(c := machine.hardware.components[name], SystemCacheSpec)]
    held = spec.l3
    for cache in caches:
        held += cache.capacity
        if footprint <= held:
            return cache.latency
    engine = Engine()
    run = StreamRun(machine.device(engine), engine, machine.memory.channels, has_tenants=True)
    run.add_load(cluster, LOAD, ps_from_seconds(spec.memory_latency))
    seen = run.observe(0, LOADS * ps_from_seconds(spec.memory_latency)).chase
    return seen.latency_ps / seen.pieces / 1e12


def _cluster(hardware: HardwareSpec, name: str) -> CpuClusterSpec:
    spec = hardware.components.get(name)
    if not isinstance(spec, CpuClusterSpec):
        clusters = [each for each, one in hardware.components.items() if isinstance(one, CpuClusterSpec)]
        hint = f"there are: {', '.join(clusters)}" if clusters else "it has none"
        message = f"{hardware.name} has no CPU cluster {name[:40]!r}"
        raise InputError(Problem(message, code="unknown_component", path="cluster", hint=hint))
    return spec
