"""The GPU: streaming multiprocessors, their rates, and what it costs to start a kernel on them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import Bytes, ComponentSpec, Count, Derived, Hertz, Measure, Number, Seconds

Generation = Literal["nvidia", "volta", "pascal", "rdna", "apple"]
"""Whose kernels a GPU runs; nvidia: Turing and later, whose matrix units multiply INT8 too."""


class GpuSpec(ComponentSpec):
    """A GPU. FLOP rates count a multiply-add as 2, dense, per clock and SM."""

    is_coarse: ClassVar[bool] = False

    ports: ClassVar = {"l2": "memory", "tlb": "translation", "host": "host", "pcie": "pcie"}
    serves: ClassVar = frozenset({"host"})
    derived_fields: ClassVar = {
        "peak": Derived("FLOP/s", ("sms", "clock", "flop_per_clock_per_sm")),
        "cuda_cores": Derived("", ("sms", "flop_per_clock_per_sm")),
    }

    generation: Generation = Field(
        default="nvidia", description="whose kernels it runs: a runtime written for others is refused"
    )
    sms: Annotated[int, Measure("", is_whole=True, most=16384)] = Field(description="streaming multiprocessors")
    clock: Hertz = Field(description="SM clock that predictions use unless a measurement states its own")
    sustained_clock: Hertz | None = Field(
        default=None,
        description="SM clock that is left once products that draw all the power there is go on; null: as clock",
    )
    flop_per_clock_per_sm: dict[str, Count] = Field(
        description="dense FLOPs per clock and SM by unit: fp32, fp16_lanes, int8_dp4a on CUDA cores, others tensor"
    )
    sparsity_factor: Number = Field(description="speed-up of 2:4 structured sparsity, which no rate here includes")
    l1_capacity: Bytes = Field(description="L1 and shared memory of an SM together")
    l1_bytes_per_clock: Count = Field(description="bytes per clock that an SM reads from L1 or shared memory")
    shared_memory_per_sm: Bytes = Field(description="most shared memory that the CTAs of an SM use together")
    shared_memory_per_cta: Bytes = Field(description="most shared memory that a CTA can ask for")
    registers_per_sm: Count = Field(description="32-bit registers of an SM")
    max_threads_per_sm: Count = Field(description="resident threads per SM")
    max_ctas_per_sm: Count = Field(description="resident CTAs per SM")
    threads_per_warp: Count = Field(description="threads of a warp")
    issue_latency: Seconds = Field(description="from a warp's wish for data to the transfer leaving the SM")
    kernel_boundary: Seconds = Field(description="between a kernel and one that depends on it, in a graph")
    kernel_boundary_eager: Seconds = Field(description="the same for kernels launched one by one on a stream")
    kernel_boundary_pdl: Seconds = Field(description="the same where the runtime launches dependent kernels early")
    graph_launch: Seconds = Field(description="host time of launching a graph, however small")
    graph_launch_per_node: Seconds = Field(description="host time that each kernel of a graph adds to its launch")
    graph_first_node: Seconds = Field(description="from a graph's launch to its first kernel starting, however small")
    graph_first_node_per_node: Seconds = Field(description="by how much each kernel of a graph delays the first")
    eager_launch: Seconds = Field(description="host time of launching one kernel without a graph")
    eager_first_node: Seconds = Field(description="from the host's call to an eagerly launched kernel starting")
    copy_engines: Count = Field(description="engines that copy beside kernels: 2 copy both ways at once")

    @property
    def peak(self) -> dict[str, float]:
        """Dense peak rate by unit, FLOP/s: SMs x clock x FLOPs per clock and SM."""
        return {unit: self.sms * self.clock * rate for unit, rate in self.flop_per_clock_per_sm.items()}

    @property
    def sustained_share(self) -> float:
        """Sustained clock over clock, 1 at most: a clock that is capped below it is held."""
        return min(1.0, (self.sustained_clock or self.clock) / self.clock)

    def graph_launch_s(self, nodes: int) -> float:
        """Host time of launching a graph of so many kernels."""
        return self.graph_launch + nodes * self.graph_launch_per_node

    def graph_first_node_s(self, nodes: int) -> float:
        """From the launch of a graph of so many kernels to the first of them starting."""
        return self.graph_first_node + nodes * self.graph_first_node_per_node

    @property
    def cuda_cores(self) -> int:
        """CUDA cores: one fp32 multiply-add per clock each."""
        return self.sms * self.flop_per_clock_per_sm.get("fp32", 0) // 2


class Gpu(Component):
    """The GPU's place among the components."""

    Spec = GpuSpec
