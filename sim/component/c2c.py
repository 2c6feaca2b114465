"""The die-to-die link between the GPU die and the die with the CPUs and memory controllers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.component.transfer import ACCESSES, Hop
from sim.engine import Engine
from sim.hwspec import BytesPerSecond, ComponentSpec, Seconds
from sim.units import ps_from_seconds


class C2cSpec(ComponentSpec):
    """A link whose two directions do not compete."""

    ports: ClassVar = {"gpu": "memory", "memory": "memory"}
    serves: ClassVar = frozenset({"gpu"})

    bandwidth: BytesPerSecond = Field(description="each way")
    latency: Seconds = Field(description="what crossing adds to a dependent load, there and back")


class C2c(Component):
    """The link's place among the components."""

    Spec = C2cSpec

    _spec: C2cSpec

    def carry(self, engine: Engine) -> Hop:
        """Two directions that do not compete."""
        rates = dict.fromkeys(ACCESSES, self._spec.bandwidth)
        return Hop(engine, self.name, "c2c", rates, ps_from_seconds(self._spec.latency), is_shared=False)
