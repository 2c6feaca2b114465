"""Are rates on other machines compared as they were measured, pairs put in order, and what is wrong said?"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from sim.cli import main
from sim.errors import InputError
from sim.validation.machines import MachineRecord, load_machine_records, validate_machines


def _record(name: str, hardware: str, decode: float, **fields: Any) -> MachineRecord:
    given = {
        "id": name, "source": "toy", "source_url": "https://example.org", "date": "2026", "hardware": hardware,
        "runtime": "llama.cpp", "model": "qwen3-4b", "quant": "q8_0", "kv_dtype": None, "batch": 1, "prompt": 0,
        "depth": 0, "output": 2, "prefill_tok_s": None, "decode_tok_s": decode, "decode_is": "per_stream",
        "decode_basis": "pure_decode", "bench": "llama-bench", "use": "held_out", "group": "toys", **fields,
    }  # fmt: skip
    return MachineRecord(**given)


def _predictor(rates: dict[str, float], asked: list[dict[str, Any]]) -> Any:
    def predict(**given: Any) -> Any:
        asked.append(given)
        return SimpleNamespace(rates=lambda: {"decode_tok_s": rates[given["hardware"]]})

    return predict


@pytest.fixture
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.validation.inference.ran_of", lambda result, phase: None)


@pytest.mark.usefixtures("_plain")
def test_the_machine_and_what_differs_in_it_are_asked_for() -> None:
    asked: list[dict[str, Any]] = []
    records = (_record("a", "m3-ultra", 10.0, machine={"gpu.sms": "60"}),)
    validate_machines(_predictor({"m3-ultra": 11.0}, asked), records=records)
    assert asked[0]["hardware"] == "m3-ultra"
    assert asked[0]["set"]["gpu.sms"] == "60"


@pytest.mark.usefixtures("_plain")
@pytest.mark.parametrize(("rates", "in_order"), [({"x": 10.0, "y": 12.0}, True), ({"x": 12.0, "y": 10.0}, False)])
def test_a_clear_pair_must_keep_its_order(rates: dict[str, float], in_order: bool) -> None:
    """20 is twice 10, so the order counts; 24 is 20 % above 20, so that pair does not."""
    records = (_record("a", "x", 10.0), _record("b", "y", 20.0), _record("c", "z", 24.0))
    report = validate_machines(_predictor(rates | {"z": 30.0}, []), records=records)
    pairs = {(pair.slow.record.id, pair.fast.record.id): pair.is_in_order for pair in report.pairs()}
    assert pairs == {("a", "b"): in_order, ("a", "c"): True}
    assert any("comes out above" in line for line in report.broken_targets()) is not in_order


@pytest.mark.usefixtures("_plain")
def test_other_groups_are_not_compared() -> None:
    records = (_record("a", "x", 10.0), _record("b", "y", 20.0, group="others"), _record("c", "y", 20.0, group=None))
    assert validate_machines(_predictor({"x": 1.0, "y": 0.5}, []), records=records).pairs() == []


@pytest.mark.usefixtures("_plain")
def test_a_source_that_is_held_has_a_largest_error() -> None:
    records = (_record("near", "x", 10.0, source="lmsys"), _record("far", "y", 10.0, source="lmsys"))
    broken = validate_machines(_predictor({"x": 11.9, "y": 12.1}, []), records=records).broken_targets()
    assert [line for line in broken if line.startswith(("near", "far"))] == ["far: decode +21.0%, target 20%"]


def test_no_record_of_a_machine_is_refused() -> None:
    with pytest.raises(InputError, match="no record is of machine 'abacus'"):
        validate_machines(lambda **given: None, hardware="abacus")


def test_each_record_names_its_source_and_is_there_once() -> None:
    records = load_machine_records()
    assert len({record.id for record in records}) == len(records)
    assert all(record.source_url.startswith("https://") for record in records)
    assert {record.use for record in records} == {"fitted", "held_out"}


def test_the_decode_rates_of_the_issue_are_there() -> None:
    """LMSYS's three machines, and Strix Halo at five depths beside GB10 (docs of the sources, as published)."""
    held = {record.id: record.decode_tok_s for record in load_machine_records()}
    assert [held[f"lmsys-gpt-oss-20b-{name}"] for name in ("rtx-pro-6000", "rtx-5090", "dgx-spark")] == [215, 205, 49.7]
    assert held["lhl-gpt-oss-120b-strix-halo-vulkan-d0"] == 50.05
    assert held["lhl-gpt-oss-120b-dgx-spark-d32768"] == 38.76


@pytest.mark.validation
def test_targets_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "machines", "--check", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["broken"] == []
    clear = [pair for pair in found["pairs"] if pair["phase"] == "decode"]
    assert len(clear) >= 9
    assert all(pair["is_in_order"] for pair in clear)


def test_a_flag_of_others_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "machines", "--family", "gpt-oss"]) == 2
    assert "validate machines has no such flag" in capsys.readouterr().err
