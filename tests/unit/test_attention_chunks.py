"""Do kernels that fetch their tiles in chunks, and latents twice, move and multiply what those chunks hold?"""

from __future__ import annotations

import pytest

from sim.cost.attention import AGAIN, decode_kernel, prefill_kernel
from sim.cost.program import Kernel
from sim.workload.op import Attention
from sim.workload.quant import formats
from sim.workload.runtime import KernelRule

BF16, FP8 = formats()["bf16"], formats()["fp8"]
PLAIN = {"ops": ("attention",), "unit": "bf16", "tile_m": (64,), "tile_n": 64, "gqa_packs": (1, 2, 4, 8, 16, 32, 64)}
RANK, LATENT = 512, 576
KEYS = 640
STEPS = KEYS // 64


def _decode(kv: str = "bf16", **changes: object) -> Kernel:
    op = Attention(
        id="a", batch=3, heads=16, kv_heads=1, head_dim=LATENT, value_dim=RANK, is_latent=True, query=1, context=KEYS,
        kv_dtype=kv,
    )  # fmt: skip
    rule = KernelRule.model_validate(PLAIN | changes)
    return decode_kernel(op, "k", rule, formats()[kv], BF16, 188, inputs_resident=True)


def _prefill(**changes: object) -> Kernel:
    op = Attention(
        id="a", batch=2, heads=4, kv_heads=4, head_dim=192, value_dim=128, query=300, context=300, kv_dtype="bf16"
    )
    rule = KernelRule.model_validate(PLAIN | {"gqa_packs": (1,)} | changes)
    return prefill_kernel(op, "k", rule, BF16, BF16, 188, inputs_resident=True)


def _again(kernel: Kernel) -> float:
    """Bytes of all CTAs that come from L2 once more."""
    return kernel.total_steps * sum(one.step_bytes for one in kernel.operands if one.name == AGAIN)


def _flops(kernel: Kernel) -> float:
    return kernel.total_steps * sum(one.flops for one in kernel.work)


@pytest.mark.parametrize("order", ["longest", "tiles_inside"])
@pytest.mark.parametrize("changes", [{}, {"reloads_queries": True}])
def test_parts_of_a_step_add_up_to_it(order: str, changes: dict[str, object]) -> None:
    whole = _prefill(launch_order=order, **changes)
    parted = _prefill(launch_order=order, step_parts=5, **changes)
    assert parted.total_steps == 5 * whole.total_steps
    assert parted.l2_read_bytes == pytest.approx(whole.l2_read_bytes, rel=1e-12)
    assert _flops(parted) == pytest.approx(_flops(whole), rel=1e-12)
    assert (parted.tiles, parted.written_bytes) == (whole.tiles, pytest.approx(whole.written_bytes))


def test_two_ctas_that_share_the_output_each_make_all_scores() -> None:
    """3 sequences: 3 tiles of 64 rows; in two parts 6, each with all 576 columns of scores and 256 of the values."""
    whole, shared = _decode(), _decode(output_parts=2)
    assert (whole.tiles, shared.tiles) == (3, 6)
    assert _flops(whole) == 3 * STEPS * 2 * 64 * 64 * (LATENT + RANK)
    assert _flops(shared) == 6 * STEPS * 2 * 64 * 64 * (LATENT + RANK / 2)
    assert shared.written_bytes == pytest.approx(whole.written_bytes)
    assert {o.name: o.shared_by for o in shared.operands}["kv"] == 2  # both walk the same keys, which memory reads once


@pytest.mark.parametrize("parts", [1, 2])
def test_values_of_latents_come_as_often_as_keys(parts: int) -> None:
    kernel = _decode(rereads_values=True, output_parts=parts)
    assert _again(kernel) == pytest.approx(3 * KEYS * RANK * 2)
    assert all(one.resident_share == 1.0 for one in kernel.operands if one.name == AGAIN)


@pytest.mark.parametrize(("kv", "unit", "n_bytes"), [("bf16", "bf16", 2), ("fp8", "bf16", 2), ("fp8", "fp8", 1)])
def test_queries_come_again_in_the_format_that_is_multiplied(kv: str, unit: str, n_bytes: int) -> None:
    """16 heads of 576 elements, in every step but the first."""
    assert _again(_decode(kv, unit=unit, reloads_queries=True)) == pytest.approx(
        3 * (STEPS - 1) * 16 * LATENT * n_bytes
    )


def test_without_any_of_it_nothing_comes_again() -> None:
    assert _again(_decode()) == _again(_prefill()) == 0.0
    assert _again(_prefill(rereads_values=True)) == 0.0  # keys and values are tensors of their own
