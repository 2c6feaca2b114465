"""Does each thing that a kernel may wait for cost its closed form, and do tables pick as they say?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import sim
from sim.component.estimate import estimator
from sim.component.kernel_run import KernelRun
from sim.component.profile import Profile
from sim.cost.gemm import Formats, gemm_kernel
from sim.cost.kernel import Lowering, expanded
from sim.cost.program import Grid, Kernel, Operand, Work
from sim.engine import Engine
from sim.system.kernel_prediction import KernelBench, Start
from sim.system.machine import Machine
from sim.workload.op import Gemm
from sim.workload.quant import formats
from sim.workload.runtime import KernelRule, RuntimeSpec

CARD = "rtx-pro-6000-server"


@pytest.fixture(scope="module")
def card() -> Machine:
    return Machine(sim.load_hardware(CARD))


@pytest.fixture(scope="module")
def vllm() -> RuntimeSpec:
    return sim.load_runtime("vllm@0.24.0").spec


def _run(machine: Machine, kernel: Kernel) -> Profile:
    engine = Engine()
    return KernelRun(kernel, machine.device(engine), engine, is_full=True).simulate()


def _one_cta(**changes: object) -> Kernel:
    kernel = Kernel(
        "one", 1, 4, Grid(1), (Operand("inputs", 4096.0, "m", 1.0),), (Work("bf16", 1e6),), store_bytes=1024.0
    )
    return replace(kernel, **changes)


@pytest.mark.parametrize("field", ["first_cycles", "epilogue_cycles", "prologue_cycles"])
def test_fixed_cycles_of_a_lone_cta_are_added_once(card: Machine, field: str) -> None:
    before, after = (_run(card, _one_cta(**{field: cycles})).duration_ps for cycles in (1000, 3000))
    assert after - before == pytest.approx(2000 / card.gpu.clock * 1e12, abs=2)


def test_step_cycles_are_added_once_a_step(card: Machine) -> None:
    before, after = (_run(card, _one_cta(step_cycles=cycles)).duration_ps for cycles in (0, 500))
    assert after - before == pytest.approx(4 * 500 / card.gpu.clock * 1e12, abs=8)


@pytest.mark.parametrize("share", [0.25, 1.0, 4.0])
def test_a_chain_of_products_shows_as_the_root_of_squares_beside_the_units(card: Machine, share: float) -> None:
    """Four K-steps of 1e6 FLOPs on the BF16 units; the chain takes `share` of that: sqrt(1 + share^2) times as long."""
    busy = 1e6 / card.gpu.flop_per_clock_per_sm["bf16"]
    before, after = (_run(card, _one_cta(chain_cycles=cycles)).duration_ps for cycles in (0.0, share * busy))
    step = busy * (math.sqrt(1 + share**2) - 1) / card.gpu.clock * 1e12
    assert after - before == pytest.approx(4 * step, abs=8)


def test_an_epilogue_takes_its_bytes_over_the_rate_of_shared_memory(card: Machine) -> None:
    before, after = (_run(card, _one_cta(epilogue_bytes=size)).duration_ps for size in (0.0, 65536.0))
    assert after - before == pytest.approx(65536 / card.gpu.l1_bytes_per_clock / card.gpu.clock * 1e12, abs=2)


@pytest.mark.parametrize(("unit", "depth", "products"), [("bf16", 64, 4), ("fp8", 128, 4), ("fp4", 128, 2)])
def test_a_chain_has_a_product_per_32_bytes_of_depth(unit: str, depth: int, products: int) -> None:
    """mma.sync is k16 in BF16, k32 in FP8, k64 in FP4; a tile of 64 x 32 sums goes through shared memory in FP32."""
    rule = KernelRule(
        ops=("gemm",), unit=unit, tile_m=(64,), tile_n=32, tile_k=depth, mma_cycles=90, stages_output=True
    )
    one = formats()["bf16"]
    op = Gemm(id="g", m=64, n=32, k=4 * depth, dtype="bf16")
    kernel = gemm_kernel(op, "g", rule, Formats(one, one, one), 48, inputs_resident=False)
    assert kernel.chain_cycles == 90 * products
    assert kernel.epilogue_bytes == 2 * 64 * 32 * 4
    split = gemm_kernel(op, "g", rule, Formats(one, one, one), 48, inputs_resident=False, split=4)
    assert split.epilogue_bytes == (2 + 4) * 64 * 32 * 4  # its four parts are read besides


def test_first_cycles_are_waited_for_by_the_first_cta_of_a_slot_only(card: Machine) -> None:
    many = _one_cta(tiles=3 * card.gpu.sms, ctas_per_sm=1, grid=Grid(3 * card.gpu.sms))
    added = [_run(card, replace(many, **{f: 5000})).duration_ps for f in ("first_cycles", "epilogue_cycles")]
    base = _run(card, many).duration_ps
    assert added[0] - base == pytest.approx(5000 / card.gpu.clock * 1e12, rel=0.05)
    assert added[1] - base == pytest.approx(3 * 5000 / card.gpu.clock * 1e12, rel=0.05)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_what_l2_holds_at_the_start_is_not_read_from_memory(card: Machine, vllm: RuntimeSpec, share: float) -> None:
    bench = KernelBench(card, vllm)
    op = Gemm(id="g", m=8, n=4096, k=4096, dtype="bf16")
    (launch,) = bench.run([op], Start(activations=1.0, streams=share))
    assert launch.dram_bytes == pytest.approx((1 - share) * 4096 * 4096 * 2, rel=0.01, abs=1)


def test_output_that_l2_cannot_hold_is_written_to_memory_before_the_end(card: Machine) -> None:
    result = sim.kernel("gemm", hardware=CARD, dtype="bf16", m=8192, n=65536, k=64)
    written = 8192 * 65536 * 2
    assert result.bytes["dram"] >= written
    assert result.duration_s >= written / (card.memory.bandwidth * card.memory.sustained.write)


def test_fetches_beyond_the_matrix_take_their_rate_and_move_nothing() -> None:
    """NVFP4 tiles have 128 rows: at m = 1 L2 answers for 127 rows that are not there, 9/16 byte an element."""
    shape = {"n": 65536, "k": 2048}
    one, whole = (sim.kernel("gemm", hardware=CARD, dtype="nvfp4", m=m, **shape) for m in (1, 128))
    l2 = sim.load_hardware(CARD).components["l2"]
    beyond = 127 * 2048 * 9 / 16 * (65536 / 128)
    assert one.duration_s >= beyond / (l2.fill_bytes_per_clock * l2.clock)
    assert one.duration_s > whole.duration_s
    assert one.bytes["dram"] < whole.bytes["dram"]


@pytest.mark.parametrize(("m", "rows"), [(1, 16), (16, 16), (17, 32), (32, 32), (33, 64), (256, 64), (257, 128)])
def test_vllm_fp8_takes_the_tile_of_its_dispatch_table(m: int, rows: int) -> None:
    """scaled_mm_sm120_fp8_dispatch.cuh: 16 rows up to 16, 32 up to 32, 64 up to 256, else 128."""
    result = sim.kernel("gemm", hardware=CARD, runtime="vllm", dtype="fp8", m=m, n=1024, k=1024)
    assert result.longest.tile == (rows, 128 if rows == 128 else 64, 128)


@pytest.mark.parametrize(("m", "n", "k"), [(8, 1024, 8192), (512, 4096, 4096), (768, 4096, 4096), (4096, 4096, 4096)])
def test_of_several_tiles_the_one_with_the_least_estimate_is_taken(
    card: Machine, vllm: RuntimeSpec, m: int, n: int, k: int
) -> None:
    estimate = estimator(card.device(Engine()))
    lowering = Lowering(vllm, formats(), card.gpu.sms, estimate)
    op = Gemm(id="g", m=m, n=n, k=k, dtype="bf16")
    name, rule = lowering.rule(op)
    found = lowering._formats(op, rule)
    others = [
        gemm_kernel(op, name, one, found, card.gpu.sms, inputs_resident=False, split=split)
        for one, split in expanded(rule)
        if split == 1
    ]
    assert estimate(lowering.kernel(op)) <= min(map(estimate, others))


@pytest.mark.parametrize(("n", "k", "is_split"), [(128, 1024, False), (128, 8192, True), (8192, 1024, False)])
def test_k_is_split_only_where_the_library_tries_it(n: int, k: int, is_split: bool) -> None:
    result = sim.kernel("gemm", hardware=CARD, runtime="vllm", dtype="bf16", m=8, n=n, k=k)
    assert (result.longest.split_k > 1) == is_split


@pytest.mark.parametrize(("m", "n", "order"), [(8192, 512, "bmn"), (512, 8192, "bnm")])
def test_short_raster_walks_the_dimension_with_fewer_tiles_fastest(
    card: Machine, vllm: RuntimeSpec, m: int, n: int, order: str
) -> None:
    op = Gemm(id="g", m=m, n=n, k=1024, dtype="fp8", inputs="fp8")
    assert Lowering(vllm, formats(), card.gpu.sms).kernel(op).grid.order == order


@pytest.mark.parametrize(
    ("kv_heads", "batch", "context", "sites"),
    [
        (8, 1, 32768, ["attn_reduce"]),  # split over the keys: one more launch adds up
        (8, 4, 8192, ["swap_queries", "swap_output", "attn_reduce"]),
        (32, 1, 32768, []),  # no groups, no split
        (8, 1, 64, []),  # one block of keys cannot be split
    ],
)
def test_decode_launches_what_a_split_needs(kv_heads: int, batch: int, context: int, sites: list[str]) -> None:
    shape = {"batch": batch, "heads": 32, "kv_heads": kv_heads, "head_dim": 128, "query": 1, "context": context}
    result = sim.kernel("attention", hardware=CARD, runtime="vllm@0.24.0", dtype="bf16", **shape)
    assert [launch.site for launch in result.launches[1:]] == sites


def test_largest_kernel_stays_within_its_events() -> None:
    for dtype in ("bf16", "fp8", "nvfp4"):
        result = sim.kernel("gemm", hardware=CARD, dtype=dtype, m=32768, n=65536, k=65536)
        assert sum(launch.events for launch in result.launches) <= 4000
