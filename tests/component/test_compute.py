"""Does arithmetic take FLOPs / (peak x efficiency), and does no GEMM beat its roofline?"""

from __future__ import annotations

import pytest

from sim.cost.gemm import Formats, gemm_kernel
from sim.workload.op import Gemm
from sim.workload.quant import formats
from sim.workload.runtime import KernelRule
from tests.device import machine, simulate, sustained

RULE = KernelRule(
    ops=("gemm",), unit="bf16", efficiency=0.8, tile_m=(128,), tile_n=128, tile_k=64, stages=3, swizzle=8, registers=128
)
BF16 = Formats(formats()["bf16"], formats()["bf16"], formats()["bf16"])


def _gemm(m: int, n: int, k: int, *, is_resident: bool = False):
    return gemm_kernel(Gemm(id="g", m=m, n=n, k=k, dtype="bf16"), "g", RULE, BF16, 96, inputs_resident=is_resident)


@pytest.mark.parametrize("m", [1, 127, 512, 2048, 5000])
@pytest.mark.parametrize(("n", "k"), [(128, 128), (4096, 4096), (997, 1009), (14336, 512)])
def test_no_gemm_is_faster_than_its_roofline(m: int, n: int, k: int) -> None:
    on = machine()
    kernel = _gemm(m, n, k)
    profile, _ = simulate(kernel, on)
    seconds = profile.duration_ps / 1e12
    once = 2.0 * (n * k + m * k)  # each input once
    assert kernel.flops == 2.0 * m * n * k
    assert seconds >= kernel.flops / on.gpu.peak["bf16"]
    assert seconds >= once / sustained(on)
    assert profile.dram_read_bytes >= once * (1 - 1e-9)
    assert profile.l2_read_bytes == pytest.approx(kernel.l2_read_bytes)
    assert profile.flops == pytest.approx(kernel.flops)


@pytest.mark.parametrize(("m", "n", "k"), [(4096, 6144, 4096), (3072, 4096, 8192)])
def test_a_compute_bound_gemm_takes_flops_over_peak_and_efficiency(m: int, n: int, k: int) -> None:
    """Whole tiles, whole waves, and a memory system four times as wide, so that only start and drain are lost.

    Lost at most: a prologue and the latency of the first fetch per CTA (not overlapped by the other CTA of the SM in
    the worst case), and the epilogue's stores.
    """
    on = machine("l2.capacity=512 MiB", "l2.bytes_per_clock=x4", "memory.data_rate=x4", "c2c.bandwidth=x4")
    kernel = _gemm(m, n, k)
    assert kernel.tiles % on.gpu.sms == 0
    profile, _ = simulate(kernel, on)
    ideal = kernel.flops / (on.gpu.peak["bf16"] * RULE.efficiency)
    per_tile = RULE.prologue_cycles / on.gpu.clock + 1e-6 + kernel.store_bytes * 48 / on.l2.write_bandwidth
    waves = kernel.tiles / on.gpu.sms
    assert ideal <= profile.duration_ps / 1e12 <= ideal + waves * per_tile
    assert profile.tensor_share == pytest.approx(ideal / (profile.duration_ps / 1e12), rel=1e-3)
    assert max(profile.causes, key=lambda cause: profile.causes[cause]) == "tensor"


def test_padding_costs_time_but_does_no_useful_flops() -> None:
    one, full = _gemm(1, 4096, 4096), _gemm(128, 4096, 4096)
    assert one.work == full.work  # matrix units work on whole tiles
    assert full.flops == 128 * one.flops


def test_twice_the_clock_halves_the_time_of_arithmetic() -> None:
    kernel = _gemm(4096, 6144, 4096)
    slow, _ = simulate(kernel, machine("gpu.clock=1000 MHz"))
    fast, _ = simulate(kernel, machine("gpu.clock=2000 MHz"))
    assert slow.duration_ps / fast.duration_ps == pytest.approx(2.0, rel=0.02)


def test_a_partly_filled_last_wave_takes_as_long_as_a_full_one() -> None:
    on = machine("gpu.sms=16")
    full, _ = simulate(_gemm(128, 128 * 32, 4096), on)
    one_more, _ = simulate(_gemm(128, 128 * 33, 4096), on)
    wave = 2.0 * 128 * 128 * 4096 / (on.gpu.peak["bf16"] / 16 * RULE.efficiency)
    assert (one_more.duration_ps - full.duration_ps) / 1e12 == pytest.approx(wave, rel=0.15)
