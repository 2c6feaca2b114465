"""The network adapter."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.component.transfer import ACCESSES, Hop
from sim.engine import Engine
from sim.hwspec import BytesPerSecond, ComponentSpec, Count, Fraction, Seconds, Watts
from sim.units import ps_from_seconds


class NicSpec(ComponentSpec):
    """A network adapter behind one or more PCI Express links, with one cage that all of them share."""

    ports: ClassVar = {"host0": "pcie", "host1": "pcie", "network": "network"}

    bandwidth: BytesPerSecond = Field(description="line rate of the cage, each way")
    sustained: Fraction = Field(description="share of the line rate that long remote writes get")
    latency: Seconds = Field(description="a remote write of a few bytes to a neighbour on a cable")
    cages: Count = Field(description="cages; a second one adds no bandwidth beyond the PCI Express links")
    power: Watts = Field(default=0.0, description="what it draws, idle or busy, while it is powered")
    is_powered: bool = Field(default=True, description="whether it is; without a cable firmware may power it down")
    gpu_direct: bool = Field(description="whether it reads and writes GPU allocations itself")


class Nic(Component):
    """The network adapter's place among the components."""

    Spec = NicSpec

    _spec: NicSpec

    def carry(self, engine: Engine) -> Hop:
        """Line rate each way, as long remote writes get it."""
        rates = dict.fromkeys(ACCESSES, self._spec.bandwidth * self._spec.sustained)
        return Hop(engine, self.name, "nic", rates, ps_from_seconds(self._spec.latency), is_shared=False)
