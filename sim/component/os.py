"""The operating system, as far as it takes memory."""

from __future__ import annotations

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import Bytes, ComponentSpec


class OsSpec(ComponentSpec):
    """What software sees of the memory, and what is gone before a model is loaded."""

    visible_memory: Bytes = Field(description="memory that CUDA reports for the device that runs the model")
    reserve: Bytes = Field(description="part of it that the system, its services and a desktop keep")
    page: Bytes = Field(description="page size of the operating system")


class Os(Component):
    """The operating system's place among the components."""

    Spec = OsSpec
