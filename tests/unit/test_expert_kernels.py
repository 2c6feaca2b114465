"""Do layers of experts get the tiles and the waits that their libraries' sources say, at the very limits?"""

from __future__ import annotations

from dataclasses import replace

import pytest

import sim
from sim.cost.gemm import Formats, grouped_kernel
from sim.cost.kernel import Lowering
from sim.workload.op import GroupedGemm
from sim.workload.quant import formats
from sim.workload.runtime import KernelRule

SMS = 188
BF16 = Formats(formats()["bf16"], formats()["bf16"], formats()["bf16"])
OP = GroupedGemm(id="g", tokens=256, experts=16, top_k=2, n=64, k=128, dtype="bf16")


def _rule(**fields: object) -> KernelRule:
    return KernelRule.model_validate(
        {"ops": ["grouped_gemm"], "unit": "bf16", "tile_m": [16], "tile_n": 32, "tile_k": 64} | fields
    )


@pytest.mark.parametrize(("tokens", "tile"), [(16, (16, 32, 64)), (17, (64, 64, 32))])
def test_triton_takes_large_tiles_from_more_tokens_than_experts_on(tokens: int, tile: tuple[int, int, int]) -> None:
    """get_default_config of SGLang's fused experts: `if M <= E`."""
    lowering = Lowering(sim.load_runtime("sglang@0.5.14").spec, formats(), SMS)
    kernel = lowering.kernel(replace(OP, tokens=tokens, site="moe_gate_up"))
    assert kernel.tile == tile


@pytest.mark.parametrize(
    ("mean_rows", "rows"), [(7, 8), (7.2, 16), (14, 16), (43, 48), (44, 64), (57, 64), (58, 64), (500, 64)]
)
def test_marlin_takes_the_lowest_tile_that_rows_leave_a_tenth_of(mean_rows: float, rows: int) -> None:
    """fused_marlin_moe: the first block with M * topk / E / block < 0.9, the last one without any."""
    rule = _rule(tile_m=[8, 16, 32, 48, 64], tile_m_by="spare_rows")
    op = replace(OP, experts=10, top_k=1, tokens=round(10 * mean_rows))
    assert grouped_kernel(op, "g", rule, BF16, SMS, inputs_resident=False).tile[0] == rows


def test_each_sm_looks_through_all_experts_once() -> None:
    kernels = [
        grouped_kernel(OP, "g", _rule(group_cycles=cycles), BF16, SMS, inputs_resident=False) for cycles in (0, 7)
    ]
    assert [kernel.first_cycles for kernel in kernels] == [0, 7 * OP.experts]


def test_scaled_sums_and_unpacked_weights_are_work_of_cuda_cores() -> None:
    """A tile of 16 x 32 sums and 32 x 64 weights per K-step."""
    rule = _rule(alu_flops_per_sum=8, alu_flops_per_weight=3)
    (unpacking, _) = grouped_kernel(OP, "g", rule, BF16, SMS, inputs_resident=False).work
    assert (unpacking.unit, unpacking.flops) == ("fp32", 8 * 16 * 32 + 3 * 32 * 64)
