"""The solid-state drive."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import Bytes, BytesPerSecond, ComponentSpec, Seconds


class NvmeSpec(ComponentSpec):
    """A drive that models are loaded from."""

    ports: ClassVar = {"memory": "memory"}

    capacity: Bytes = Field(description="size of the drive")
    read_bandwidth: BytesPerSecond = Field(description="large reads")
    write_bandwidth: BytesPerSecond = Field(description="large writes")
    latency: Seconds = Field(description="a small read from an idle drive")


class Nvme(Component):
    """The drive's place among the components."""

    Spec = NvmeSpec
