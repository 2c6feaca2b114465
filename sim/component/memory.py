"""DRAM and its controllers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from sim.component.component import Component
from sim.component.lpddr5x.spec import DramSpec
from sim.component.transfer import ACCESSES, Hop
from sim.engine import Engine
from sim.hwspec import Bytes, ComponentSpec, Count, Derived, Fraction, Seconds, SpecGroup, TransfersPerSecond
from sim.units import ps_from_seconds


class SustainedSpec(SpecGroup):
    """The share of the peak that an endless stream of one kind of access gets."""

    read: Fraction = Field(description="share of the peak that long reads get")
    write: Fraction = Field(description="share of the peak that long writes get")
    random: Fraction = Field(description="share of the peak that scattered reads of 512 B get")
    strided: Fraction = Field(description="share of the peak that strided reads of 128 to 272 B get (rows of a tile)")


class MemorySpec(ComponentSpec):
    """Channels of DRAM. Peak and efficiency are separate: no number here is both."""

    ports: ClassVar = {"*": "memory"}
    serves: ClassVar = frozenset({"*"})
    derived_fields: ClassVar = {
        "bandwidth": Derived("B/s", ("channels", "channel_width", "data_rate"), moves="data_rate")
    }

    technology: str = Field(description="kind of DRAM")
    channels: Count = Field(description="independent channels")
    channel_width: Bytes = Field(description="width of a channel's data bus")
    data_rate: TransfersPerSecond = Field(description="transfers per second on each wire")
    capacity: Bytes = Field(description="all of it, before anybody reserves anything")
    latency: Seconds = Field(description="a dependent read at the controllers, unloaded: queue, row, column, burst")
    sustained: SustainedSpec = Field(description="shares of the peak by kind of access")
    rates: Literal["measured", "derived"] = Field(
        default="measured",
        description="measured: the shares of `sustained`, moved as `dram` is changed; derived: those that `dram` gives",
    )
    dram: DramSpec | None = Field(default=None, description="organisation, timing and controller: derives the shares")

    @model_validator(mode="after")
    def _dram_fits(self) -> MemorySpec:
        if self.dram is not None:
            self.dram.check_geometry(self.channel_width)
        elif self.rates == "derived":
            raise ValueError("rates is 'derived', but there is no dram to derive them from")
        return self

    @property
    def bandwidth(self) -> float:
        """Peak rate, bytes per second: channels x width x data rate."""
        return self.channels * self.channel_width * self.data_rate


class Memory(Component):
    """Memory's place among the components."""

    Spec = MemorySpec

    _spec: MemorySpec

    def carry(self, engine: Engine) -> Hop:
        """One bus for reads and writes, each at its sustained share of the peak; a server of seconds."""
        spec = self._spec
        rates = {kind: spec.bandwidth * getattr(spec.sustained, kind) for kind in ACCESSES}
        return Hop(engine, self.name, "dram", rates, ps_from_seconds(spec.latency), is_shared=True)
