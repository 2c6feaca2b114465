"""The GPU's L2 cache."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.component.transfer import FILL, READS, Hop
from sim.engine import Engine
from sim.hwspec import Bytes, ComponentSpec, Count, Derived, Hertz, Number, Seconds
from sim.units import ps_from_seconds


class L2Spec(ComponentSpec):
    """The last cache on the GPU die, shared by all SMs. Its clock is a domain of its own."""

    ports: ClassVar = {"gpu": "memory", "memory": "memory"}
    serves: ClassVar = frozenset({"gpu"})
    derived_fields: ClassVar = {
        "bandwidth": Derived("B/s", ("bytes_per_clock", "clock"), moves="bytes_per_clock"),
        "write_bandwidth": Derived("B/s", ("write_bytes_per_clock", "clock"), moves="write_bytes_per_clock"),
    }

    capacity: Bytes = Field(description="size")
    line: Bytes = Field(description="size of a line")
    ways: Count = Field(description="lines of a set")
    banks: Count = Field(
        default=16, description="banks that lines are spread over, each with an equal part of the rates"
    )
    clock: Hertz = Field(description="clock of L2 and the GPU's fabric")
    hit_latency: Seconds = Field(description="dependent load that hits, seen by the SM, unloaded")
    bytes_per_clock: Number = Field(description="bytes read per L2 clock, all SMs together")
    write_bytes_per_clock: Number = Field(description="bytes written per L2 clock, all SMs together")
    fill_bytes_per_clock: Number | None = Field(
        default=None, description="bytes per L2 clock of fetches beyond a matrix, all SMs together; null = as reads"
    )

    requester_queue: Bytes = Field(
        default=1024,
        description="bytes of one warp that stand in line at its SM's ways to L2 and memory; more waits in the warp",
    )

    @property
    def bandwidth(self) -> float:
        """Peak read rate, bytes per second: bytes per clock x clock."""
        return self.bytes_per_clock * self.clock

    @property
    def write_bandwidth(self) -> float:
        """Peak write rate, bytes per second: bytes written per clock x clock."""
        return self.write_bytes_per_clock * self.clock


class L2(Component):
    """L2's place among the components."""

    Spec = L2Spec

    _spec: L2Spec

    def carry(self, engine: Engine) -> Hop:
        """Reads and writes have data paths of their own."""
        spec = self._spec
        rates = dict.fromkeys(READS, spec.bandwidth) | {"write": spec.write_bandwidth}
        rates[FILL] = (spec.fill_bytes_per_clock or spec.bytes_per_clock) * spec.clock
        return Hop(engine, self.name, "l2", rates, ps_from_seconds(spec.hit_latency), is_shared=False)
