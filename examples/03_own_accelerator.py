"""Would an integer accelerator beside the CPUs of GB10 pay, if it took the embedding and the int8 matrix products?

The block is defined here and described in dgx-spark-npu.yaml. Every run checks the conservation laws, the NPU's bytes
and time included. The same on the command line:
sparksim run --plugin 03_own_accelerator.py --hardware dgx-spark-npu.yaml --model qwen3-8b --quant q8_0 ...
"""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

import sim
from sim.hwspec import BytesPerSecond, FlopPerSecond, Seconds


class NpuSpec(sim.ComponentSpec):
    """An accelerator for 8-bit integer matrix products: what a hardware file may say of it."""

    ports: ClassVar = {"memory": "memory"}

    tensor_rate: FlopPerSecond = Field(description="dense int8 rate, a multiply-add counts as 2")
    bandwidth: BytesPerSecond = Field(description="most that it moves to and from memory")
    doorbell: Seconds = Field(description="from the ready inputs to its first load")


@sim.register
class Npu(sim.Component):
    """Takes what it is good at from the GPU."""

    Spec = NpuSpec

    @property
    def peak(self):
        """Rates of its units, for results and rooflines."""
        return {"int8": self.spec.tensor_rate}

    def carry(self, engine):
        """Its part in its own transfers: one DMA engine for both directions."""
        return sim.Hop(engine, self.name, "dram", self.spec.bandwidth, latency_ps=0, is_shared=True)

    def accepts(self, op):
        """Which ops it takes."""
        return op.site == "embed" or (op.kind == "gemm" and op.dtype == "q8_0")

    def program(self, op):
        """What an op costs it, from the op's shape."""
        start = self.spec.doorbell
        if op.site == "embed":
            return sim.Share(0.0, op.read_bytes, op.write_bytes, start_s=start)
        # Q8_0: 32 weights and a scale in 34 bytes; activations, Q8_1: 32 values, scale and sum in 36; results in f32.
        read, write = (op.n * 34 + op.m * 36) * op.k // 32, op.m * op.n * 4
        flops = 2 * op.m * op.n * op.k
        return sim.Share(flops / self.spec.tensor_rate, read, write, flops, "int8", start_s=start)


def main():
    """The plain machine, and the one with the NPU."""
    for hardware in ("dgx-spark", Path(__file__).with_name("dgx-spark-npu.yaml")):
        result = sim.run(model="qwen3-8b", quant="q8_0", runtime="llama.cpp", hardware=hardware, prompt=512, output=8)
        print(f"{result.identity.hardware}: {result.prefill_tok_s:.0f} tok/s prefill, {result.decode_tok_s:.1f} decode")
        ops = result.to_frame("ops")
        times = ops.repeat * ops.weight  # how often each op runs in the whole
        ops["busy_s"] = ops.duration_ps * times / 1e12
        ops["memory_gb"] = (ops.dram_read_bytes + ops.dram_write_bytes) * times / 1e9
        for name, mine in ops.groupby("component"):
            print(f"  {name}: busy {mine.busy_s.sum():.2f} s, moves {mine.memory_gb.sum():.0f} GB of memory")


if __name__ == "__main__":
    main()
