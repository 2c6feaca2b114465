"""Do decode kernels split keys, choose tiles and launch idle parts as FlashInfer, XQA and Triton do?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cost.attention import decode_kernel, flops, prefill_kernel
from sim.cost.kernel import Lowering
from sim.cost.program import Kernel
from sim.workload.op import Attention
from sim.workload.quant import formats
from sim.workload.runtime import KernelRule
from sim.workload.runtime_file import load_runtime
from tests.device import machine, simulate

BF16 = formats()["bf16"]
PLAIN = {"ops": ("attention",), "unit": "bf16", "tile_m": (16,), "tile_n": 256}
SMS = 188
XQA = {"split_per_sm": 8, "split_limit": 6000, "split_keys": 128, "split_root": 8, "split_all": True}
"""computeMultiBlockCount in TensorRT-LLM's decoderXQAImplCommon.h."""


def _op(keys: int, heads: int = 4, kv_heads: int = 1, batch: int = 1, window: int | None = None) -> Attention:
    return Attention(
        id="a", batch=batch, heads=heads, kv_heads=kv_heads, head_dim=128, query=1, context=keys, window=window,
        kv_dtype="bf16",
    )  # fmt: skip


def _decode(op: Attention, **changes: object) -> Kernel:
    rule = KernelRule.model_validate(PLAIN | changes)
    return decode_kernel(op, "k", rule, BF16, BF16, SMS, inputs_resident=True)


@pytest.mark.parametrize(("keys", "parts"), [(127, 1), (256, 2), (1024, 8), (2048, 11), (65536, 64)])
def test_parts_grow_with_the_root_of_the_keys(keys: int, parts: int) -> None:
    """One per 128 keys, at most the root of eight times that: of 2,048 keys' 16 are round(sqrt(128)) = 11 taken."""
    assert _decode(_op(keys), **XQA).split_k == parts


def test_parts_stop_at_eight_waves() -> None:
    """64 sequences of 8 KV heads: 8 x 188 / 512 = 2 parts each, though 4,096 keys would have 16."""
    assert _decode(_op(4096, 32, 8, batch=64), **XQA).split_k == 2


def test_parts_outside_of_the_window_are_launched_and_idle() -> None:
    """65,536 keys make 64 parts; a window of 128 leaves one with a K-step. Bytes read are those of the window."""
    kernel = _decode(_op(65536, window=128), **XQA)
    assert (kernel.tiles, kernel.split_k, kernel.kinds) == (64, 64, ((1, 1), (63, 0)))
    keys = next(operand for operand in kernel.operands if operand.name == "kv")
    assert keys.step_bytes * kernel.total_steps == 128 * 2 * 128 * 2


@given(keys=st.integers(1, 20_000), batch=st.integers(1, 300), window=st.sampled_from([None, 100, 5000]))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_idle_parts_move_nothing(keys: int, batch: int, window: int | None) -> None:
    op = _op(keys, batch=batch, window=window)
    all_parts = {"split_limit": 8, "splits_by_length": True, "tile_n": 32}
    plain, launched = _decode(op, **all_parts), _decode(op, split_all=True, **all_parts)
    assert launched.tiles == 8 * batch >= plain.tiles
    assert launched.total_steps == plain.total_steps
    assert launched.l2_read_bytes == pytest.approx(plain.l2_read_bytes)
    assert launched.written_bytes == pytest.approx(plain.written_bytes)
    assert launched.flops == flops(op)


def test_few_sequences_take_all_parts_and_many_none() -> None:
    """Unified attention of vLLM: 16 segments for up to 128 sequences x KV heads, above one CTA for all keys."""
    rule = {"split_units": 128, "split_limit": 16, "split_all": True, "tile_n": 32}
    few, many = _decode(_op(4096, 8, 2, batch=64), **rule), _decode(_op(4096, 8, 2, batch=65), **rule)
    assert (few.split_k, few.tiles) == (16, 16 * 128)
    assert (many.split_k, many.tiles) == (1, 130)


def test_an_idle_cta_takes_its_start_and_no_more() -> None:
    """256 CTAs on 16 SMs, one at a time: each SM's 16 wait the prologue, one of all has a K-step and an epilogue.

    Beside those its fetch: a page walk of 1.46 us and the way to memory, below 6,000 cycles.
    """
    on = machine("gpu.sms=16")
    cycles = {"prologue_cycles": 1000, "epilogue_cycles": 5000, "split_all": True, "split_limit": 256}
    rule = KernelRule.model_validate(PLAIN | cycles | {"tile_n": 32, "ctas_per_sm": 1})
    kernel = decode_kernel(_op(32), "k", rule, BF16, BF16, 16, inputs_resident=True)
    took = simulate(kernel, on, is_full=True)[0].duration_ps / 1e12 * on.gpu.clock
    assert 16 * 1000 <= took < 16 * 1000 + 5000 + 6000


def test_the_tile_follows_the_rows() -> None:
    """FlashInfer at 256: 16 rows beside 64 keys, one CTA per SM; 64 rows beside 16 keys, two."""
    tiles = [{"m": 16, "n": 64, "ctas_per_sm": 1}, {"m": 64, "n": 16, "ctas_per_sm": 2}]
    few, many = (_decode(_op(1024, heads=heads), variants=tiles) for heads in (16, 17))
    assert (few.tile[:2], few.ctas_per_sm) == ((16, 64), 1)
    assert (many.tile[:2], many.ctas_per_sm) == ((64, 16), 2)


def test_a_prompt_is_split_from_so_many_keys() -> None:
    """Two parts would fit the SMs; 128 keys are one part, 256 two, however small a K-step is."""
    rule = KernelRule.model_validate(PLAIN | {"tile_n": 16, "split_keys": 128, "split_per_sm": 2, "gqa_packs": (1,)})
    for keys, parts in ((128, 1), (256, 2)):
        op = Attention(id="a", batch=1, heads=1, kv_heads=1, head_dim=64, query=16, context=keys, kv_dtype="bf16")
        assert prefill_kernel(op, "k", rule, BF16, BF16, 32, inputs_resident=True).split_k == parts


def test_padded_heads_multiply_whole_blocks() -> None:
    """192 elements are 256 of a Triton block: four thirds of the products, the same bytes."""
    op = Attention(id="a", batch=1, heads=1, kv_heads=1, head_dim=192, query=1, context=64, kv_dtype="bf16")
    plain, padded = (
        decode_kernel(op, "k", KernelRule.model_validate(PLAIN | {"pads_heads": pads}), BF16, BF16, SMS,
                      inputs_resident=True)
        for pads in (False, True)
    )  # fmt: skip
    assert padded.work[0].flops == plain.work[0].flops * 4 / 3
    assert padded.l2_read_bytes == plain.l2_read_bytes


@pytest.mark.parametrize(
    ("batch", "keys", "is_xqa"), [(1, 1024, False), (6, 128, True), (5, 255, False), (1, 6016, True)]
)
def test_xqa_only_where_it_fills_a_quarter_of_the_sms(batch: int, keys: int, *, is_xqa: bool) -> None:
    """mayHavePerfGain: 4 x sequences x KV heads x max(1, keys // 128) >= 188 SMs; with 8 KV heads and batch 6, 192."""
    lowering = Lowering(load_runtime("tensorrt-llm").spec, formats(), SMS)
    kv_heads = 8 if keys < 1024 else 1
    name, _ = lowering.rule(_op(keys, 4 * kv_heads, kv_heads, batch))
    assert name.startswith("xqa") == is_xqa
    assert is_xqa == (4 * batch * kv_heads * max(1, keys // 128) >= SMS)
