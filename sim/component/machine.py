"""The box as a whole: what it costs."""

from __future__ import annotations

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import ComponentSpec, Dollars


class MachineSpec(ComponentSpec):
    """What belongs to no single block."""

    price: Dollars = Field(description="street price, at the date given with it")


class Machine(Component):
    """The box's place among the components."""

    Spec = MachineSpec
