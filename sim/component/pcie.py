"""A PCI Express link."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.component.transfer import ACCESSES, Hop
from sim.engine import Engine
from sim.hwspec import ComponentSpec, Count, Derived, Fraction, Seconds, TransfersPerSecond
from sim.units import ps_from_seconds


class PcieSpec(ComponentSpec):
    """Lanes from a device to the host's memory; the two directions do not compete."""

    ports: ClassVar = {"device": "pcie", "memory": "memory"}
    serves: ClassVar = frozenset({"device"})
    derived_fields: ClassVar = {"bandwidth": Derived("B/s", ("lanes", "rate_per_lane", "encoding"), moves="lanes")}

    generation: Count = Field(description="generation of the standard")
    lanes: Count = Field(description="lanes")
    rate_per_lane: TransfersPerSecond = Field(description="transfers per second on a lane, one bit each")
    encoding: Fraction = Field(description="share of the bits on the wire that are data")
    sustained: Fraction = Field(description="share of the bandwidth that long transfers get, headers paid")
    latency: Seconds = Field(description="a small read across the link, there and back")

    @property
    def bandwidth(self) -> float:
        """Raw rate each way, bytes per second: lanes x rate per lane x encoding / 8."""
        return self.lanes * self.rate_per_lane * self.encoding / 8


class Pcie(Component):
    """A PCI Express link's place among the components."""

    Spec = PcieSpec

    _spec: PcieSpec

    def carry(self, engine: Engine) -> Hop:
        """Two directions that do not compete, headers paid."""
        rates = dict.fromkeys(ACCESSES, self._spec.bandwidth * self._spec.sustained)
        return Hop(engine, self.name, "pcie", rates, ps_from_seconds(self._spec.latency), is_shared=False)
