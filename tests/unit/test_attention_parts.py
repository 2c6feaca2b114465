"""Do attention kernels that split keys, pack heads or walk masked keys keep what the op asks for?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cost.attention import decode_kernel, flops, prefill_kernel
from sim.cost.program import Kernel
from sim.workload.op import Attention
from sim.workload.quant import formats
from sim.workload.runtime import KernelRule

BF16 = formats()["bf16"]
PLAIN = {"ops": ("attention",), "unit": "bf16", "tile_m": (64,), "tile_n": 64, "gqa_packs": (1,)}
SMS = 16


def _op(
    query: int, context: int, heads: int = 1, kv_heads: int = 1, batch: int = 1, window: int | None = None
) -> Attention:
    return Attention(
        id="a", batch=batch, heads=heads, kv_heads=kv_heads, head_dim=64, query=query, context=context, window=window,
        kv_dtype="bf16",
    )  # fmt: skip


def _prefill(op: Attention, **changes: object) -> Kernel:
    rule = KernelRule.model_validate(PLAIN | changes)
    return prefill_kernel(op, "k", rule, BF16, BF16, SMS, inputs_resident=True)


def test_parts_fill_the_gpu_and_keep_the_steps() -> None:
    """128 queries and keys: 2 tiles of 1 and 2 steps. In two parts: 1, an empty one (launched too), 1 and 1."""
    whole, split = _prefill(_op(128, 128)), _prefill(_op(128, 128), split_per_sm=2)
    assert (whole.tiles, whole.total_steps, whole.split_k) == (2, 3, 1)
    assert (split.tiles, split.total_steps, split.split_k) == (4, 4, 2)
    assert split.store_bytes == pytest.approx(2 * whole.store_bytes)  # parts are kept in f32


def test_no_part_is_shorter_than_the_rule_says() -> None:
    assert _prefill(_op(128, 128), split_per_sm=2, split_steps=2).split_k == 1


def test_enough_tiles_are_not_split() -> None:
    assert _prefill(_op(64 * 20, 64 * 20), split_per_sm=1).split_k == 1


@given(
    query=st.integers(1, 900), before=st.integers(0, 900), group=st.sampled_from([1, 2, 3, 5, 8]),
    window=st.sampled_from([None, 32, 100, 5000]), order=st.sampled_from(["longest", "tiles_inside", "tiles_outside"]),
    split=st.sampled_from([0, 1, 2]),
)  # fmt: skip
@settings(max_examples=80, deadline=None, derandomize=True)
def test_whatever_the_split_and_order_the_keys_seen_are_read(
    query: int, before: int, group: int, window: int | None, order: str, split: int
) -> None:
    """What CTAs fetch is at least every key once per tile that sees it, so never less than all keys that are seen."""
    op = _op(query, query + before, heads=2 * group, kv_heads=2, window=window)
    kernel = _prefill(
        op, gqa_packs=(), splits_groups=True, launch_order=order, split_per_sm=split, split_steps=2, ctas_per_sm=2
    )
    seen = min(op.context, (op.window or op.context) + op.query - 1)
    keys = next(operand for operand in kernel.operands if operand.name == "kv")
    assert keys.step_bytes * kernel.total_steps >= 2 * seen * 2 * 64 * 2 * 0.97
    assert kernel.flops == flops(op)
    assert sum(count for count, _ in kernel.shares) <= SMS


def test_masked_keys_are_walked() -> None:
    """1,024 queries, a window of 64: a tile sees at most two tiles of keys; with all before it walked, 1 to 16."""
    op = _op(1024, 1024, window=64)
    walked, skipped = _prefill(op, skip_share=1.0, launch_order="tiles_inside"), _prefill(op)
    assert walked.total_steps == sum(range(1, 17)) > 3 * skipped.total_steps


def test_packed_rows_need_no_whole_groups() -> None:
    """5 heads of a group, 64 queries: 320 rows are 5 tiles of 64; whole groups alone leave 4 rows of each idle."""
    op = _op(64, 64, heads=5)
    assert _prefill(op, gqa_packs=(), splits_groups=True).tiles == 5
    assert _prefill(op, gqa_packs=()).tiles == 6


def test_splits_grow_with_the_length() -> None:
    rule = KernelRule.model_validate(PLAIN | {"splits_by_length": True, "split_limit": 64, "tile_n": 32})
    split = [
        decode_kernel(_op(1, n, batch=16), "k", rule, BF16, BF16, SMS, inputs_resident=True).split_k
        for n in (128, 1024, 8192)
    ]
    assert split == [1, 4, 7]  # log2(keys / 64) for each SM, where a sequence takes one
