"""The cache in front of the memory controllers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import Bytes, ComponentSpec, Seconds


class SystemCacheSpec(ComponentSpec):
    """A cache on the memory's side that the CPUs (and, where it says so, the GPU) read through."""

    ports: ClassVar = {"*": "memory", "memory": "memory"}
    serves: ClassVar = frozenset({"*"})

    capacity: Bytes = Field(description="size")
    latency: Seconds = Field(description="dependent load that hits here, seen by a CPU core")
    serves_gpu_reads: bool = Field(
        description="whether GPU reads look here before memory: streams that fit do (kernels' tiles are taken to miss)"
    )


class SystemCache(Component):
    """The system cache's place among the components."""

    Spec = SystemCacheSpec
