"""What does a cache in a narrower format than the queries cost an attention kernel?"""

from __future__ import annotations

import pytest

from sim.api import load_hardware
from sim.cost.attention import decode_kernel, prefill_kernel
from sim.system.machine import Machine
from sim.workload.op import Attention
from sim.workload.op_builder import choose_kernel
from sim.workload.quant import formats
from sim.workload.runtime import KernelRule
from sim.workload.runtime_file import load_runtime

TILE, HEAD, FLOPS = 32, 128, 12.0
RULE = KernelRule(ops=("attention",), unit="bf16", tile_m=(16,), tile_n=TILE, stages=2, alu_flops_per_weight=FLOPS)


def _kernel(kv: str, query: int):
    op = Attention(id="a", batch=2, heads=4, kv_heads=2, head_dim=HEAD, query=query, context=512, kv_dtype=kv)
    build = decode_kernel if query == 1 else prefill_kernel
    return build(op, "a", RULE, formats()[kv], formats()["bf16"], 48, inputs_resident=False)


@pytest.mark.parametrize("query", [1, 64])
def test_every_key_and_value_of_a_tile_is_converted_once(query: int) -> None:
    alu = {kv: sum(work.flops for work in _kernel(kv, query).work if work.unit == "fp32") for kv in ("bf16", "fp8")}
    assert alu == {"bf16": 0.0, "fp8": FLOPS * 2 * TILE * HEAD}


@pytest.mark.parametrize("query", [1, 64])
def test_matrix_units_take_shared_memory_in_their_own_format(query: int) -> None:
    """Half the bytes are fetched from the cache, but the tile that the products read is as large."""
    wide, narrow = _kernel("bf16", query), _kernel("fp8", query)
    assert narrow.shared_bytes == wide.shared_bytes == 2 * TILE * 2 * HEAD * 2 + 16 * HEAD * 2
    assert narrow.operands[1].step_bytes == wide.operands[1].step_bytes / 2


def test_tiles_that_registers_do_not_hold_go_through_local_memory() -> None:
    """Gemma 4 on vLLM: a thread's part of 32 keys of 512 is 128 registers of FP32; of 255, sums and queries take 96.

    A value is then written and read as FP32, 8 B at 128 B a clock of the L1.
    """
    hardware, runtime = load_hardware("dgx-spark"), load_runtime("vllm").spec
    rates = Machine(hardware).gpu.flop_per_clock_per_sm
    narrow, wide = (
        runtime.kernels[
            choose_kernel(runtime, "attention", "fp8", "attention_mixed", query=64, batch=1, head_dim=d, gqa=8, sms=48)
        ]
        for d in (256, 512)
    )
    threads, tile = wide.threads, wide.tile_n
    sums, queries = max(wide.tile_m) * 512 / threads, max(wide.tile_m) * 512 / 2 / threads
    assert tile * 512 / threads + tile * 512 / 2 / threads + sums + queries > wide.registers
    assert tile * 256 / threads + tile * 256 / 2 / threads + (sums + queries) / 2 < narrow.registers
    spilled = 2 * 4 / 128 * rates["fp32"]
    assert wide.alu_flops_per_weight - narrow.alu_flops_per_weight == spilled
