"""Are the kernels that are told apart really such that no number rests on them?"""

from __future__ import annotations

from sim.paths import find
from sim.validation.kernel_data import NEVER_CALIBRATED, Measured
from sim.validation.kernel_holdouts import BAND, is_in_band, own_kernels, set_apart
from sim.validation.kernel_records import read_records
from sim.validation.kernels import Compared, KernelReport

MEASURED_SIZES = (2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168)
"""Of N and K alike, those around the band that aiconfigurator's collectors took."""


def _row(chip: str = "l40s", runtime: str = "sglang", *, n: int = 4096, k: int = 6144) -> Measured:
    return Measured(chip, runtime, "0.5.14", "gemm", "bf16", (("m", 64), ("n", n), ("k", k)), 1e-5)


def test_no_row_in_the_band_may_be_calibrated_on_and_rows_around_it_may() -> None:
    inside = [(n, k) for n in MEASURED_SIZES for k in MEASURED_SIZES if is_in_band(_row(n=n, k=k))]
    assert len(inside) == 12
    assert not any(_row(n=n, k=k).is_calibrated for n, k in inside)
    outside = [_row(n=n, k=k) for n in MEASURED_SIZES for k in MEASURED_SIZES if (n, k) not in inside]
    assert any(row.is_calibrated for row in outside)


def test_no_record_that_ships_for_calibration_lies_in_a_hold_out() -> None:
    rows = read_records(find("measurements", "kernels"))
    assert rows
    assert not any(is_in_band(row) or row.chip in NEVER_CALIBRATED for row in rows)


def test_no_source_of_a_number_names_a_machine_that_is_never_calibrated_on() -> None:
    for runtime in ("vllm", "sglang", "tensorrt-llm"):
        text = find("runtimes", runtime).read_text(encoding="utf-8")
        assert "on B200" not in text


def test_own_kernels_are_those_with_a_fitted_number() -> None:
    own = own_kernels("tensorrt-llm")
    assert {"nvfp4_cutlass", "mmha_128", "mmha_64"} <= own  # a number of the rule; of its library; like that one
    assert "fmha_ws_128" not in own  # like vLLM's, with its library's numbers
    assert "cublas_bf16_wide" not in own  # of vLLM's file
    assert "fp8_scaled_mm" not in own_kernels("sglang")  # like vLLM's, and nothing else


def test_what_belongs_to_which_hold_out() -> None:
    band = f"band of sizes (N {BAND['n'][0]:,} to {BAND['n'][1]:,}, K 6,144 to 7,168): l40s bf16"
    others = "runtime without numbers of its own: l40s gemm bf16 sglang"
    assert set_apart(_row(), "cublas_bf16_wide", own_kernels("sglang")) == [band, others]
    assert set_apart(_row(n=64), "mine", frozenset({"mine"})) == []
    assert set_apart(_row("b200"), "x", frozenset()) == ["machine never calibrated on: b200 gemm bf16 sglang"]


def test_the_report_tells_them_apart() -> None:
    compared = (Compared(_row(), 1.1e-5, "", "cublas_bf16_wide"), Compared(_row(runtime="vllm"), 0.8e-5, "", "x"))
    report = KernelReport(compared, {}, {}, {})
    found = report.set_apart()
    assert {name.partition(":")[0].partition(" (")[0]: f.count for name, f in found.items()} == {
        "band of sizes": 2,
        "runtime without numbers of its own": 1,
    }
    assert "band of sizes" in report.to_text()
