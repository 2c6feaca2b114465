"""Does `validate power` compare what it says it compares, and name every target that breaks?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import sim
from sim.cli import main
from sim.validation import power as study
from sim.validation.power import PowerRecord, PowerReport, PowerRow, load_power


def _row(id: str, class_: str, measured: float, predicted: float, *, fitted: bool = False) -> PowerRow:
    known = {"id": id, "class": class_, "quantity": "gpu_w", "value": measured, "source": "s", "conditions": ""}
    return PowerRow(PowerRecord.model_validate(known | {"run": {}, "fitted": fitted}), predicted)


def _record(**fields: object) -> PowerRecord:
    run = {"model": "qwen3-0.6b", "runtime": "vllm", "prompt": 256, "output": 4}
    known = {"id": "a", "class": "c", "value": 1.0, "source": "s", "conditions": "", "run": run}
    return PowerRecord.model_validate(known | fields)


def test_what_ships_is_whole() -> None:
    file = load_power()
    assert len(file.records) >= 70
    classes = {record.class_ for record in file.records}
    targets = study.validate_model(study._TargetFile, study.load_yaml(study.find("measurements", "targets"))).power
    assert classes == set(targets)


def test_every_broken_target_is_named() -> None:
    rows = (
        _row("off", "gemm", 100.0, 120.0),
        *(_row(f"d{n}", "decode_single", 40.0, 40.0) for n in range(14)),  # one fewer than its target asks
        _row("q5", "odd", 40.0, 39.0),
        _row("q8", "odd", 39.0, 40.0),
    )
    broken = PowerReport(rows, (("q5", "q8"),)).broken_targets()
    assert "gemm: error 20.0%, target 5%" in broken
    assert "gemm: off off by +20.0%, target 5%" in broken
    assert "decode_single: 14 records, target 15" in broken
    assert "no target for class odd" in broken
    assert "q5 draws 39.0, not more than q8 with 40.0" in broken


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("gpu_w", lambda energy: energy.watts("gpu", "decode")),
        ("wall_w", lambda energy: energy.watts("wall", "decode")),
        ("gpu_j_per_output_token", lambda energy: energy.joules("gpu") / 4),
        ("clock_mhz", lambda energy: min(e.clock_hz for e in energy.samples if e.phase == "decode") / 1e6),
    ],
)
def test_a_record_is_compared_in_the_quantity_it_measured(quantity: str, expected: Callable[..., float]) -> None:
    record = _record(quantity=quantity, phase="decode")
    found = study._predicted(record, sim.run)
    assert found == pytest.approx(expected(sim.run(**record.run).energy))


def test_a_cap_is_compared_with_the_same_run_without_it() -> None:
    run = {"model": "qwen3-0.6b", "runtime": "vllm", "prompt": 2048, "output": 0}
    record = _record(quantity="rate_at_cap", phase="prefill", run=run | {"set": {"power.clock_cap": "1500 MHz"}})
    found = study._predicted(record, sim.run)
    held, free = sim.run(**record.run).prefill_tok_s, sim.run(**run).prefill_tok_s
    assert held is not None
    assert free is not None
    assert found == pytest.approx(held / free)
    assert found < 1.0


def test_idle_needs_no_run() -> None:
    record = _record(quantity="idle_package_w", run={"hardware": "dgx-spark"})
    assert study._predicted(record, sim.run) == pytest.approx(5 + 11.5)


def test_figures_tell_what_was_fitted_apart() -> None:
    text = PowerReport((_row("a", "gemm", 100.0, 110.0, fitted=True), _row("b", "gemm", 100.0, 130.0)), ()).to_text()
    assert "gemm                     2   20.0%  +20.0%  +30.0%           1   30.0%" in text


def test_flags_of_other_validations_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "power", "--runtime", "vllm", "--markdown", "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "runtime: validate power has no such flag" in err
    assert "markdown: validate power has no such flag" in err
