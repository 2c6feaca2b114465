"""Do the memory account and the load times meet what was published?

No wrong verdict beyond 3 % of the capacity; memory in use within 5 %, load times within 20 %.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

import sim
from sim.cli import main
from sim.system.prepared import Prepared, prepare
from sim.validation.memory import MemoryFacts, MemoryReport, SizeRow, VerdictRow, load_facts, validate_memory

FACTS = load_facts()


def prepared(settings: Mapping[str, object] | None = None, **named: Any) -> Prepared:
    return prepare(named, settings or {}, None, (), "off")


def test_every_fact_has_its_own_source():
    facts = [each for name in ("verdicts", "used", "weights", "kv", "load") for each in getattr(FACTS, name)]
    assert all(each.source_url.startswith("https://") for each in facts)
    names = [each.id for each in facts]
    excluded = [name for ids in FACTS.excluded.values() for name in ids]
    assert len(set(excluded)) == len(excluded)
    assert not set(names) & set(excluded)


def test_the_published_pairs_named_by_the_must_hold_are_among_them():
    fails = [each for each in FACTS.verdicts if not each.fits]
    assert any(each.weights == pytest.approx(119.4 * 2**30) for each in fails)
    shares = {each.set.get("gpu_memory_utilization") for each in (*FACTS.verdicts, *FACTS.used)}
    assert {0.8, 0.85, 0.9, 0.92, 0.95} <= shares
    assert {each.time_s for each in FACTS.load if each.model == "gpt-oss-120b"} == {90, 104, 22, 56}


@pytest.mark.validation
def test_targets_hold(capsys: pytest.CaptureFixture[str]):
    assert main(["validate", "memory", "--check", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["confusion"]["wrong beyond the margin"] == 0
    assert len(found["verdicts"]) >= 1000
    assert found["broken"] == []


def few() -> MemoryFacts:
    """A fact of each kind."""
    tables = {name: getattr(FACTS, name)[:2] for name in ("verdicts", "used", "weights", "kv", "load")}
    return FACTS.model_copy(update=tables)


def test_each_kind_of_fact_is_compared(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sim.validation.memory.load_records", lambda: ())
    report = validate_memory(prepared, sim.load, facts=few())
    assert [row.table for row in report.sizes] == ["used", "used", "weights", "weights", "kv", "kv", "load", "load"]
    assert [row.is_wrong for row in report.verdicts] == [False, False]
    text = report.to_text(rows=True)
    for row in (*report.verdicts, *report.sizes):
        assert row.what[:40] in text


def test_what_is_off_breaks_a_target():
    verdict = VerdictRow("a", "a", measured=True, predicted=False, is_marginal=False, margin_bytes=-(10**10))
    rows = [SizeRow(table, table, table, 100.0, 100.0) for table in ("used", "weights", "kv", "load")]
    assert MemoryReport((), tuple(rows)).broken_targets() == ["0 verdicts, target 1000"]
    broken = MemoryReport((verdict,), (*rows, SizeRow("load", "b", "b", 100.0, 121.0))).broken_targets()
    assert broken[0] == "1 verdicts wrong beyond the margin, target 0"
    assert "time to load: off by +21.0%, target 20%" in broken
    marginal = VerdictRow("a", "a", measured=True, predicted=False, is_marginal=True, margin_bytes=-(10**9))
    assert not any("wrong" in line for line in MemoryReport((marginal,), tuple(rows)).broken_targets())
    none = MemoryReport((), tuple(rows[:3])).broken_targets()
    assert "time to load: nothing compared, target 20%" in none


def test_flags_of_other_validations_are_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["validate", "memory", "--runtime", "vllm", "--markdown"]) == 2
    said = capsys.readouterr().err
    assert "runtime: validate memory has no such flag" in said
    assert "markdown: validate memory has no such flag" in said
