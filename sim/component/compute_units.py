"""A GPU whose insides are told coarsely, by compute units: Apple's cores, AMD's CUs.

It runs the same device level as SMs do, without the numbers that nobody publishes of such chips: registers and resident
blocks never limit a kernel, and a K-step waits for nothing but its unit and its bytes. So what memory binds comes out
well, and what arithmetic binds as well as the kernels' calibrated efficiency.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.component.gpu import Generation, GpuSpec
from sim.hwspec import Bytes, Count, Number, Seconds

UNLIMITED = 2**20
"""Of registers, threads or blocks: more than any kernel rule asks of one unit."""


class ComputeUnitsSpec(GpuSpec):
    """A GPU by coarse compute units. FLOP rates count a multiply-add as 2, dense, per clock and unit."""

    is_coarse: ClassVar[bool] = True

    generation: Generation = Field(description="whose kernels it runs: a runtime written for others is refused")
    sparsity_factor: Number = Field(default=1.0, description="speed-up of structured sparsity: none")
    l1_capacity: Bytes = Field(default=65536, description="cache and local memory of a unit together")
    l1_bytes_per_clock: Count = Field(default=128, description="bytes per clock that a unit reads from local memory")
    shared_memory_per_sm: Bytes = Field(description="local memory of a unit (threadgroup memory, LDS)")
    shared_memory_per_cta: Bytes = Field(description="most of it that a workgroup can ask for")
    registers_per_sm: Count = Field(default=UNLIMITED, description="never what limits a unit here")
    max_threads_per_sm: Count = Field(description="resident threads per unit")
    max_ctas_per_sm: Count = Field(default=UNLIMITED, description="never what limits a unit here")
    kernel_boundary_eager: Seconds = Field(description="between two dispatches, however they are recorded")
    kernel_boundary_pdl: Seconds = Field(default=0.0, description="not used: no runtime starts dispatches early here")
    graph_launch_per_node: Seconds = Field(default=0.0, description="not told apart from the launch as a whole")
    graph_first_node_per_node: Seconds = Field(default=0.0, description="not told apart from the first node")
    copy_engines: Count = Field(default=1, description="engines that copy beside kernels")


class ComputeUnits(Component):
    """Coarse units in the GPU's place among the components."""

    Spec = ComputeUnitsSpec
