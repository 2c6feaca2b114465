"""Does a loop that draws too much power run at the clock that its power leaves, and any other at the machine's?"""

from __future__ import annotations

import pytest

from sim.api import load_hardware
from sim.validation.collector_clock import STEP_HZ, loop_clock, sustained_clocks, unit_of, useful_flops
from sim.validation.kernel_data import Measured
from sim.validation.kernels import described

CLOCK, SUSTAINED = 2.52e9, 1.6e9


def _row(op: str, dtype: str = "bf16", **sizes: int) -> Measured:
    return Measured("l40s", "vllm", "0.24.0", op, dtype, tuple(sizes.items()), 1e-3, 6, op)


def test_power_is_the_same_at_every_share_that_throttles() -> None:
    """U f^3 is what the card gives: at half of the products the clock is the cube root of two higher."""
    whole, half = loop_clock(CLOCK, SUSTAINED, 1.0), loop_clock(CLOCK, SUSTAINED, 0.5)
    assert whole == pytest.approx(SUSTAINED, abs=STEP_HZ)
    assert 0.5 * half**3 == pytest.approx(whole**3, rel=0.04)


def test_light_loops_and_machines_without_a_number_keep_the_clock() -> None:
    assert loop_clock(CLOCK, SUSTAINED, 0.1) == CLOCK
    assert loop_clock(CLOCK, None, 1.0) == CLOCK
    assert loop_clock(CLOCK, SUSTAINED, 0.0) == CLOCK
    assert loop_clock(CLOCK, 3e9, 1.0) == CLOCK


def test_every_clock_lies_below_its_machines_own() -> None:
    for name, clock_hz in sustained_clocks().items():
        machine, _, runtime = name.partition(" ")
        assert runtime in ("vllm", "sglang", "tensorrt-llm")
        assert 0.5 < clock_hz / load_hardware(machine).components["gpu"].clock < 1.0  # type: ignore[attr-defined]


def test_products_of_a_causal_attention_with_and_without_a_window() -> None:
    whole = _row("attention", batch=2, heads=4, kv_heads=1, head_dim=64, query=3, context=5)
    assert useful_flops(whole) == 4 * 2 * 4 * 64 * (3 + 4 + 5)
    window = _row("attention", batch=1, heads=1, kv_heads=1, head_dim=64, query=4, context=4, window=2)
    assert useful_flops(window) == 4 * 64 * (1 + 2 + 2 + 2)
    assert useful_flops(_row("gemm", m=2, n=3, k=5)) == 60.0
    assert useful_flops(_row("quantize", rows=2, width=3)) == 0.0


def test_rates_that_products_are_counted_against() -> None:
    assert [unit_of(_row("gemm", dtype)) for dtype in ("bf16", "fp8", "nvfp4", "int4")] == [
        "bf16",
        "fp8",
        "fp4",
        "bf16",
    ]
    assert unit_of(_row("attention", "fp8")) == "bf16"


def test_a_large_product_on_l40s_takes_longer_than_at_the_full_clock() -> None:
    """4096^3 in BF16: 624.9 us in aiconfigurator-core 0.12, vLLM; 366 TFLOP/s would take 375."""
    validator = described("l40s", "vllm", "0.24.0")
    assert validator is not None
    predicted = validator.compare(_row("gemm", m=4096, n=4096, k=4096)).predicted_s
    assert predicted > 2 * 4096**3 / 366e12 / 0.8
    assert predicted == pytest.approx(624.9e-6, rel=0.2)
