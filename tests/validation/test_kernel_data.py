"""Are the measured kernel tables read as their collectors wrote them, and is what is missing or wrong said as such?"""

from __future__ import annotations

import json
from pathlib import Path
from zlib import crc32

import pytest

from sim.cli import main
from sim.errors import InputError, MissingExtraError
from sim.validation import kernel_data
from sim.validation.kernel_data import Measured, Wanted, gemm_copies, read_rows
from sim.validation.kernels import Compared, ceilings, disagreement, figures, validate_kernels

CHIP = "rtx-pro-6000-server"


def _row(
    latency_s: float, runtime: str = "vllm", dtype: str = "bf16", m: int = 1, n: int = 4096, k: int = 4096
) -> Measured:
    return Measured(CHIP, runtime, "1", "gemm", dtype, (("m", m), ("n", n), ("k", k)), latency_s, 6)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Two tiny tables as the package lays them out; no latency or a foreign format is passed over."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="the tables are Parquet: pip install 'sparksim[validate]'")
    table = pytest.importorskip("pyarrow").table
    for runtime, factor in (("vllm", 1.0), ("sglang", 1.5)):
        folder = tmp_path / "rtx_pro_6000_server" / "gemm" / runtime / "0.1"
        folder.mkdir(parents=True)
        columns = {
            "gemm_dtype": ["bfloat16", "bfloat16", "nvfp4", "int3"],
            "m": [1, 64, 8, 1],
            "n": [4096, 1024, 256, 1],
            "k": [4096, 1024, 256, 1],
            "latency": [0.026 * factor, 0.0, 0.007 * factor, 1.0],
        }
        parquet.write_table(table(columns), folder / "gemm_perf.parquet")
    return tmp_path


def test_rows_are_in_seconds_with_our_names(tables: Path) -> None:
    rows = read_rows(Wanted(chip=CHIP, runtime="vllm"), tables)
    assert [(row.dtype, row.sizes, row.version) for row in rows] == [
        ("bf16", {"m": 1, "n": 4096, "k": 4096}, "0.1"),
        ("nvfp4", {"m": 8, "n": 256, "k": 256}, "0.1"),
    ]
    assert [row.latency_s for row in rows] == pytest.approx([26e-6, 7e-6])


def test_filters_and_samples(tables: Path) -> None:
    assert {row.runtime for row in read_rows(Wanted(chip=CHIP), tables)} == {"vllm", "sglang"}
    assert [row.dtype for row in read_rows(Wanted(chip=CHIP, runtime="vllm", dtype="nvfp4"), tables)] == ["nvfp4"]
    drawn = [read_rows(Wanted(chip=CHIP, sample=1, seed=3), tables) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 2  # one of each table


def test_a_column_that_is_missing_names_the_file(tables: Path) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    path = tables / "rtx_pro_6000_server" / "gemm" / "vllm" / "0.1" / "gemm_perf.parquet"
    parquet.write_table(arrow.table({"m": [1]}), path)
    with pytest.raises(InputError, match="gemm_dtype, n, k, latency") as caught:
        read_rows(Wanted(chip=CHIP, runtime="vllm"), tables)
    assert caught.value.problems[0].file == str(path)


def test_unknown_filters_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_rows(Wanted(chip="rtx-pro-6000-serve", op="gem", dtype="bf1", runtime="vlm", sample=0), tmp_path)
    assert [problem.path for problem in caught.value.problems] == ["chip", "runtime", "op", "dtype", "sample"]
    assert all(part in str(caught.value) for part in (CHIP, "'gemm'", "'bf16'", "'vllm'"))


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernel_data, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError):
        read_rows(Wanted())
    assert main(["validate", "kernels", "--chip", CHIP, "--json"]) == 2
    problem = json.loads(capsys.readouterr().out)["problems"][0]
    assert (problem["code"], problem["hint"]) == ("missing_extra", "pip install 'sparksim[validate]'")


def test_flags_of_the_other_validation_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "inference", "--chip", CHIP, "--sample", "3"]) == 2
    said = capsys.readouterr().err
    assert "chip" in said
    assert "sample" in said
    assert main(["validate", "kernels", "--rows"]) == 2


@pytest.mark.parametrize(
    ("runtime", "dtype", "n", "copies"),
    [
        ("vllm", "bf16", 4096, 6),
        ("vllm", "nvfp4", 4096, 1),
        ("sglang", "nvfp4", 4096, 6),
        ("tensorrt-llm", "bf16", 4096, 4),  # 128 MiB of L2 over 32 MiB
        ("tensorrt-llm", "bf16", 65536, 1),
        ("tensorrt-llm", "bf16", 32, 5),
    ],
)
def test_copies_are_those_of_the_collectors(runtime: str, dtype: str, n: int, copies: int) -> None:
    assert gemm_copies(runtime, dtype, {"n": n, "k": 4096}) == copies


def test_half_of_the_shapes_is_held_out() -> None:
    is_calibrated = {n: _row(1.0, n=n, k=512).is_calibrated for n in range(32, 2080, 32)}
    assert all(value == (crc32(f"{n},512".encode()) % 2 == 0) for n, value in is_calibrated.items())
    assert 0.3 < sum(is_calibrated.values()) / len(is_calibrated) < 0.7


def test_figures_are_of_absolute_errors_and_bias_is_not() -> None:
    found = figures([-0.1] * 5 + [0.1] * 4 + [0.5])
    assert (found.count, found.median, found.p90) == (10, pytest.approx(0.1), pytest.approx(0.5))
    assert found.bias == pytest.approx(0.04)


def test_ceiling_is_the_fastest_read_of_weights_that_no_cache_holds() -> None:
    rows = [
        _row(1e-3, n=65536, k=8192),
        _row(0.8e-3, n=65536, k=8192),
        _row(1e-6, n=64, k=64),
        _row(1e-9, m=512, n=65536, k=8192),
    ]
    assert ceilings(rows) == {CHIP: pytest.approx(65536 * 8192 * 2 / 0.8e-3)}


def test_disagreement_counts_only_shapes_that_several_runtimes_have() -> None:
    rows = [_row(1.0), _row(2.0, "sglang"), _row(9.0, n=32)]
    found = disagreement(rows)[CHIP, "gemm", "bf16"]
    assert (found.count, found.median) == (2, pytest.approx(1 / 3))  # from 1.5: -1/3 and +1/3


def test_size_classes_have_their_edges() -> None:
    names = [
        Compared(_row(1.0, m=m, n=2048, k=k), 1.0, "").size_class
        for m, k in ((1, 4096), (16, 8192), (129, 8191), (1025, 8192))
    ]
    assert names == [
        "m 1, n*k below 2^24",
        "m 2-16, n*k from 2^24",
        "m 129-1,024, n*k below 2^24",
        "m above, n*k from 2^24",
    ]


def test_report_says_error_regime_and_what_is_not_described() -> None:
    rows = [_row(30e-6, n=2560, k=4096), _row(1.0, "sglang-none"), _row(1.0, dtype="fp8_block", n=2560)]
    report = validate_kernels(rows)
    (one,) = [one for one in report.compared if one.row.dtype == "bf16"]
    assert one.error == pytest.approx(one.predicted_s / 30e-6 - 1)
    assert one.regime.split()[0] in report.to_text() or one.row.is_calibrated
    assert sum(report.undescribed.values()) >= 1
    assert report.to_dict()["comparisons"] == len(report.compared)


@pytest.mark.validation
def test_the_targets_of_the_public_data_hold() -> None:
    pytest.importorskip("aiconfigurator_core", reason="the measured kernels: pip install 'sparksim[validate]'")
    pytest.importorskip("pyarrow", reason="the measured kernels: pip install 'sparksim[validate]'")
    report = validate_kernels(read_rows(Wanted(chip=CHIP, runtime="vllm", sample=1500)))
    assert report.broken_targets() == []
    implied, peak = report.ceilings[CHIP]
    assert peak is not None
    assert 0.7 < implied / peak < 1.0
