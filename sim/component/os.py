"""The operating system, as far as it takes memory and moves files into it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import Bytes, BytesPerSecond, ComponentSpec, Seconds
from sim.hwspec.field_types import Measure


class OsSpec(ComponentSpec):
    """What software sees of the memory, and what is gone before a model is loaded."""

    visible_memory: Bytes = Field(description="memory that CUDA reports for the device that runs the model")
    reserve: Bytes = Field(description="part of it that the system, its services and a desktop keep")
    page: Bytes = Field(description="page size of the operating system")
    gpu_time_slice: Seconds = Field(default=0.002, description="how long the driver leaves the GPU to one process")
    gpu_switch: Seconds = Field(default=0.0, description="what changing the process on the GPU costs")
    others: Annotated[int, Measure("B", is_whole=True, may_be_zero=True)] = Field(
        default=0, description="memory that other programs have taken before the runtime starts"
    )
    freeze_above: Bytes | None = Field(
        default=None, description="memory in use from which on machines as a whole were seen to freeze"
    )
    readahead: Bytes | None = Field(
        default=None, description="what a page fault on a mapped file reads ahead (read_ahead_kb)"
    )
    io_request: Bytes | None = Field(
        default=None, description="largest request to a drive (max_sectors_kb): a large read() is cut into such"
    )
    page_time: Seconds | None = Field(
        default=None, description="CPU time per page read from a file: allocated, entered into the page cache, mapped"
    )
    unmapped_page_time: Seconds | None = Field(
        default=None, description="copy to a CUDA allocation of a page that no page table maps: one translation"
    )
    pageable_copy: BytesPerSecond | None = Field(
        default=None, description="copy to a CUDA allocation from mapped pages that are not pinned"
    )
    pinned_copy: BytesPerSecond | None = Field(
        default=None, description="the same by way of a pinned buffer, CPU copy and upload overlapped"
    )


class Os(Component):
    """The operating system's place among the components."""

    Spec = OsSpec
