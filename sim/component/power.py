"""Power limits and idle consumption of the box."""

from __future__ import annotations

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import ComponentSpec, Seconds, Watts


class PowerSpec(ComponentSpec):
    """What the box may draw, and draws when nothing runs."""

    supply: Watts = Field(description="power supply")
    package_limit: Watts = Field(description="sustained limit of the package with GPU and CPUs")
    gpu_limit: Watts = Field(description="most seen on the GPU's rail")
    control_period: Seconds = Field(description="how often the limits are enforced")
    idle: Watts = Field(description="at the wall with nothing running")
    package_idle: Watts = Field(description="of the package with nothing running")
    gpu_idle: Watts = Field(description="of the GPU's rail with nothing running")


class Power(Component):
    """Power's place among the components."""

    Spec = PowerSpec
