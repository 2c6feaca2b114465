"""The solid-state drive."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.component.transfer import READS, Hop
from sim.engine import Engine
from sim.hwspec import Bytes, BytesPerSecond, ComponentSpec, Seconds, Watts
from sim.units import ps_from_seconds


class NvmeSpec(ComponentSpec):
    """A drive that models are loaded from."""

    ports: ClassVar = {"memory": "memory"}

    capacity: Bytes = Field(description="size of the drive")
    read_bandwidth: BytesPerSecond = Field(description="large reads")
    write_bandwidth: BytesPerSecond = Field(description="large writes")
    active_power: Watts = Field(default=0.0, description="what it draws while it reads or writes")
    latency: Seconds = Field(description="a small read from an idle drive")


class Nvme(Component):
    """The drive's place among the components."""

    Spec = NvmeSpec

    _spec: NvmeSpec

    def carry(self, engine: Engine) -> Hop:
        """One drive: reads and writes share it."""
        spec = self._spec
        rates = dict.fromkeys(READS, spec.read_bandwidth) | {"write": spec.write_bandwidth}
        return Hop(engine, self.name, "nvme", rates, ps_from_seconds(spec.latency), is_shared=True)
