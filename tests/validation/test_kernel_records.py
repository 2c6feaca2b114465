"""Are the kernel rows that ship from the calibration half alone, drawn as it is said, and read without loss?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sim.errors import SpecError
from sim.paths import find
from sim.validation.kernel_data import Measured
from sim.validation.kernel_records import DRAWN, draw, read_records, to_text
from sim.validation.kernels import SMALLEST_COUNTED

HELD_OUT = Path(__file__).parent.parent / "validation" / "kernel_rows.yaml"
CHIP, OTHER = "rtx-pro-6000-server", "h100-sxm"


def _gemm(m: int, n: int, k: int = 4096, chip: str = CHIP, us: float = 10.0, version: str = "0.24.0") -> Measured:
    shape = (("m", m), ("n", n), ("k", k))
    return Measured(chip, "vllm", version, "gemm", "fp8", shape, us * 1e-6, 6)


ROWS = [_gemm(m, n, k) for m in (1, 8, 64, 512, 4096) for n in range(64, 8192, 64) for k in (128, 4096)]


def test_what_ships_may_be_calibrated_on_and_what_is_held_out_not() -> None:
    rows = read_records(find("measurements", "kernels"))
    assert all(row.is_calibrated for row in rows)
    assert not any(row.is_calibrated for row in read_records(HELD_OUT))
    assert find("measurements", "kernels").stat().st_size < 200_000
    assert {row.chip for row in rows} == set(DRAWN)
    assert len(set(rows)) == len(rows)


def test_each_class_gives_as_many_as_the_rule_says() -> None:
    """Five classes of m, each below and above 2^24 weights: ten of three rows on the first chip, of one on others.

    And one of the smallest, whatever their m.
    """
    for chip, each in ((CHIP, 3), (OTHER, 1)):
        rows = [_gemm(*(row.sizes[name] for name in "mnk"), chip=chip) for row in ROWS]
        drawn = [row for row in draw(rows) if row.sizes["n"] * row.sizes["k"] >= SMALLEST_COUNTED]
        assert len(draw(rows)) == len(drawn) + each
        classes = Counter((row.sizes["m"], row.sizes["n"] * row.sizes["k"] < 2**24) for row in drawn)
        assert set(classes.values()) == {each}
        assert len(classes) == 10
        assert all(row.is_calibrated for row in drawn)


def test_a_class_does_not_depend_on_the_others() -> None:
    """Another op's rows, rows of another version or of another class change nothing."""
    large = [row for row in ROWS if row.sizes["n"] * row.sizes["k"] >= SMALLEST_COUNTED]
    some = [row for row in large if row.sizes["m"] == 64]
    others = [_gemm(64, n, version="0.23.0") for n in range(64, 8192, 64)]
    assert draw(some) == [row for row in draw([*others, *large]) if row.sizes["m"] == 64]
    assert draw(ROWS) == draw(ROWS)


def test_a_file_reads_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kernels.yaml"
    path.write_text(to_text(ROWS))
    assert read_records(path) == tuple(ROWS)
    path.write_text(to_text([_gemm(1, 64, us=123.456789)]))
    assert read_records(path)[0].latency_s == pytest.approx(123.5e-6)


def test_every_row_that_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "kernels.yaml"
    good = "{chip: a, runtime: vllm, version: 1.0.0, table: gemm, dtype: fp8, us: 1, m: 1, n: 2, k: 3}"
    wrong = {
        good.replace("us: 1, ", ""): "lacks us",
        good.replace("us: 1", "us: 0"): "us must be a number above 0",
        good.replace("table: gemm", "table: gem"): "unknown table 'gem'; there are mla-context",
        good.replace("m: 1", "m: one"): "m must be a number above 0",
        good.replace("1.0.0", "1.0"): "version must be text",
        "7": "must be a mapping of fields",
    }
    path.write_text("schema: sparksim.kernels/1\nrecords:\n" + "".join(f"  - {row}\n" for row in [good, *wrong]))
    with pytest.raises(SpecError) as caught:
        read_records(path)
    problems = caught.value.problems
    assert [problem.line for problem in problems] == list(range(4, 4 + len(wrong)))
    assert all(problem.message.startswith(text) for problem, text in zip(problems, wrong.values(), strict=True))
    path.write_text("records: []\n")
    with pytest.raises(SpecError) as caught:
        read_records(path)
    assert [problem.path for problem in caught.value.problems] == ["schema", "records"]
