"""Address translation of the GPU."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import Bytes, ComponentSpec, Seconds


class TlbSpec(ComponentSpec):
    """The GPU's translation cache: what it reaches is free, the first touch beyond it walks the page table."""

    ports: ClassVar = {"gpu": "translation"}
    serves: ClassVar = frozenset({"gpu"})

    page: Bytes = Field(description="size of a page of device memory")
    reach: Bytes = Field(description="memory whose translations it holds at once")
    walk: Seconds = Field(description="what a miss adds to a dependent load")


class Tlb(Component):
    """Translation's place among the components."""

    Spec = TlbSpec
