"""A cluster of CPU cores."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, Strict

from sim.component.component import Component
from sim.component.transfer import ACCESSES, Hop
from sim.engine import Engine
from sim.hwspec import Bytes, BytesPerSecond, ComponentSpec, Count, Hertz, Seconds, SpecGroup, Watts
from sim.units import ps_from_seconds


class CpuCoresSpec(SpecGroup):
    """Cores of one kind in a cluster."""

    core: str = Field(description="what the core is called")
    count: Count = Field(description="cores of this kind")
    clock: Hertz = Field(description="highest clock")
    l2: Bytes = Field(description="private L2 of each core")
    fp64_flop_per_clock: Count = Field(description="double precision FLOPs per clock and core")
    watts: Watts = Field(default=0.0, description="of one core at work at its highest clock")
    lines_under_way: Count = Field(
        default=48, description="cache lines of 64 B that a core has under way to or from memory at once"
    )


LINE = 64
"""Bytes of a cache line of the cores."""


class CpuClusterSpec(ComponentSpec):
    """Cores around one L3."""

    ports: ClassVar = {"memory": "memory", "gpu": "host"}

    cores: Annotated[tuple[CpuCoresSpec, ...], Strict(False)] = Field(
        description="the cores, kind by kind", min_length=1
    )
    l3: Bytes = Field(description="L3 of the cluster")
    l3_latency: Seconds = Field(description="dependent load that hits L3, from the fastest cores")
    memory_latency: Seconds = Field(description="dependent load from memory, seen by a core")
    bandwidth: BytesPerSecond = Field(description="most that the cluster moves to or from memory")

    def bytes_under_way(self, cores: int | None = None) -> list[int]:
        """Most bytes that each of its cores has under way at once, those with most first; of `cores` of them."""
        every = [kind.lines_under_way * LINE for kind in self.cores for _ in range(kind.count)]
        return sorted(every, reverse=True)[:cores]


class CpuCluster(Component):
    """A cluster's place among the components."""

    Spec = CpuClusterSpec

    _spec: CpuClusterSpec

    def carry(self, engine: Engine) -> Hop:
        """What the cluster moves to or from memory, both directions together."""
        rates = dict.fromkeys(ACCESSES, self._spec.bandwidth)
        return Hop(engine, self.name, "dram", rates, ps_from_seconds(self._spec.memory_latency), is_shared=True)
