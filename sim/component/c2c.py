"""The die-to-die link between the GPU die and the die with the CPUs and memory controllers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import BytesPerSecond, ComponentSpec, Seconds


class C2cSpec(ComponentSpec):
    """A link whose two directions do not compete."""

    ports: ClassVar = {"gpu": "memory", "memory": "memory"}
    serves: ClassVar = frozenset({"gpu"})

    bandwidth: BytesPerSecond = Field(description="each way")
    latency: Seconds = Field(description="what crossing adds to a dependent load, there and back")


class C2c(Component):
    """The link's place among the components."""

    Spec = C2cSpec
