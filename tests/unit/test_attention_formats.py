"""What does a cache in a narrower format than the queries cost an attention kernel?"""

from __future__ import annotations

import pytest

from sim.cost.attention import decode_kernel, prefill_kernel
from sim.workload.op import Attention
from sim.workload.quant import formats
from sim.workload.runtime import KernelRule

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
