"""Do single kernels take as long as they were measured to, on shapes that nothing was calibrated on?

A small draw of rows stands beside this file; with the extra `[validate]` the whole tables are held to targets.yaml.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from statistics import median

import pytest

from sim.cli import main
from sim.validation.kernel_records import read_records
from sim.validation.kernels import Compared, KernelReport, kernel_targets, validate_kernels

ROWS = Path(__file__).with_name("kernel_rows.yaml")
LARGEST_CHIP = "rtx-pro-6000-server"


@pytest.fixture(scope="module")
def report() -> KernelReport:
    return validate_kernels(read_records(ROWS))


def _median(compared: list[Compared]) -> float:
    return median(abs(one.error) for one in compared)


def test_nothing_was_calibrated_on_these_and_all_are_described(report: KernelReport) -> None:
    assert not any(one.row.is_calibrated for one in report.compared)
    assert report.undescribed == {}
    assert len(report.compared) >= 90


def test_half_lie_within_ten_percent(report: KernelReport) -> None:
    assert _median([one for one in report.compared if one.row.chip == LARGEST_CHIP]) <= 0.10
    errors = sorted(abs(one.error) for one in report.compared)
    assert errors[int(0.9 * len(errors))] <= 0.40


@pytest.mark.parametrize(
    ("op", "most"),
    [
        ("gemm", 0.10),
        ("moe", 0.10),
        ("attention", 0.15),
        ("gdn", 0.25),
        ("kda", 0.30),
        ("mla", 0.25),
        ("all_reduce", 0.12),
    ],
)
def test_every_op_by_itself(report: KernelReport, op: str, most: float) -> None:
    assert _median([one for one in report.compared if one.row.op == op and one.row.chip == LARGEST_CHIP]) <= most


@pytest.mark.parametrize(("chip", "most"), [("h100-sxm", 0.15), ("l40s", 0.15), ("b200", 0.25)])
def test_every_other_chip_by_itself(report: KernelReport, chip: str, most: float) -> None:
    """GEMMs and attention. B200 is one that nothing was calibrated on."""
    assert _median([one for one in report.compared if one.row.chip == chip]) <= most


def test_targets_name_what_there_is() -> None:
    """A target that names nothing would hold anything."""
    tables = {(row.table, row.dtype, f"{row.runtime}@{row.version}") for row in read_records(ROWS)}
    for name in kernel_targets():
        chip, table, dtype, runtime, *_ = name.split()
        assert (table, dtype, runtime) in tables, name
        assert chip in {LARGEST_CHIP, "h100-sxm", "l40s"}


@pytest.mark.validation
@pytest.mark.skipif(find_spec("aiconfigurator_core") is None, reason="pip install 'sparksim[validate]'")
@pytest.mark.parametrize(("chip", "sample"), [(LARGEST_CHIP, "600"), ("h100-sxm", "400"), ("l40s", "400")])
def test_whole_tables_meet_their_targets(chip: str, sample: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "kernels", "--chip", chip, "--sample", sample, "--seed", "7", "--check"]) == 0
