"""The box as a whole: what it costs, what it draws, and how much of it is simulated."""

from __future__ import annotations

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import Bytes, ComponentSpec, Count, Dollars, Watts


class MachineSpec(ComponentSpec):
    """What belongs to no single block. In a box of several GPUs one is simulated; the other blocks are its own."""

    price: Dollars | None = Field(
        default=None,
        description="street price of the box, or of the card where that is what is sold; null: none is known",
    )
    gpus: Count = Field(default=1, description="GPUs in the box that the price and box_power are of; one is simulated")
    box_memory: Bytes | None = Field(default=None, description="memory of all its GPUs; null: the memory simulated")
    box_power: Watts | None = Field(
        default=None, description="most that the box draws; null: what the supply of the simulated part may give"
    )
    load_power: Watts | None = Field(
        default=None, description="at the wall while a model answers, as owners measured; null: nobody published it"
    )


class Machine(Component):
    """The box's place among the components."""

    Spec = MachineSpec
