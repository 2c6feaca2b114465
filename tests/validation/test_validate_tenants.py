"""Does `validate tenants` run each record's own scenario, and name every rate that is too far off?"""

from __future__ import annotations

import pytest

from sim.validation.tenants import TenantComparison, TenantReport, load_tenants, scenario_of


def test_a_record_changes_its_scenario() -> None:
    records = {record.id: record for record in load_tenants()}
    small, idle = (scenario_of(records[name]).tenants for name in ("qwen3-4b-c16", "qwen3-4b-idle"))
    assert (small["small"].batch, small["small"].depth) == (16, 64)  # type: ignore[union-attr]
    assert idle["large"].pause == 600.0  # type: ignore[union-attr]
    assert scenario_of(records["qwen3-4b-c1"]).duration == 10.0


def test_errors_and_broken_targets() -> None:
    """Half of 64.4 and of 80 kept: together 27 % too fast; what is kept is right within 2.3 %."""
    record = next(record for record in load_tenants() if record.id == "qwen3-4b-c1")
    row = TenantComparison(record, 80.0, 40.0)
    assert row.error("alone") == pytest.approx(80 / 64.4 - 1)
    assert row.error("together") == pytest.approx(40 / 31.5 - 1)
    assert row.error("kept") == pytest.approx(0.5 / (31.5 / 64.4) - 1)
    broken = TenantReport((row,)).broken_targets()
    assert broken == ["1 records, target 5", "qwen3-4b-c1: together off by +27.0%, target 15%"]
