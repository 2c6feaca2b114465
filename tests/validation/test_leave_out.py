"""Is what is left out predicted without it: refitted numbers, the middle where none is left, ranges of the others?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import log, sqrt
from statistics import NormalDist, mean, stdev
from types import SimpleNamespace
from typing import Any

import pytest

from sim.cli import main
from sim.validation.baseline import Ran
from sim.validation.inference import Record, Report, Row
from sim.validation.informing import Case, Number
from sim.validation.leave_out import _Curves, leave_out, to_text

RATES = {"gpt-oss-20b": 2.0, "qwen3-4b": 3.0, "gemma-3-4b": 4.0, "llama-3.1-8b": 8.0, "phi-4": 9.0}
"""The toy's number x that would make all predictions of a model right: the rate is x."""
LOW, HIGH, SHIPPED = 1.0, 16.0, 5.0


def _record(model: str, index: int) -> Record:
    return Record(
        id=f"{model}-{index}", source=f"from-{model}", source_url="", date="", runtime="toy", model=model, quant="q",
        kv_dtype=None, batch=1, prompt=None, depth=0, output=8, prefill_tok_s=None, decode_tok_s=RATES[model],
        decode_is="aggregate", decode_basis="pure_decode", bench="server",
    )  # fmt: skip


RECORDS = [_record(model, index) for model in RATES for index in range(10)]


@dataclass
class _Toy:
    """Runs whose rate is the number x, whatever the model. `ran`: the values and routing of each run."""

    ran: list[tuple[dict[str, float], bool]] = field(default_factory=list)

    def log_error(self, case: Case, values: dict[str, float]) -> float:
        return log(values.get("x", SHIPPED) / RATES[case.fields["model"]])

    def run_with(self, values: dict[str, float], given: dict[str, Any], *, is_typical: bool) -> Any:
        self.ran.append((dict(values), is_typical))
        return SimpleNamespace(rates=lambda: {"decode_tok_s": values.get("x", SHIPPED)})


@pytest.fixture(autouse=True)
def _no_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toys have no trace to keep anything of."""
    monkeypatch.setattr("sim.validation.inference.ran_of", lambda result, kind: None)


def _number(models: list[str], name: str = "x") -> Number:
    cases = tuple(
        Case(
            "inference", index, {"model": r.model, "family": r.model, "source": r.source, "runtime": "toy"}, r.model, r
        )
        for index, r in enumerate(RECORDS)
        if r.model in models
    )
    return Number(SimpleNamespace(name=name), SHIPPED, LOW, HIGH, is_whole=False, cases=cases)  # type: ignore[arg-type]


def _report() -> Report:
    ran = Ran("decode", "case", "toy", "arch", "q", {}, 1.0)
    rows = tuple(Row(record, "decode", RATES[record.model], SHIPPED, ran) for record in RECORDS)
    return Report(rows, len(RECORDS))


@pytest.mark.parametrize("what", ["family", "source"])
def test_each_is_predicted_by_what_the_others_say(what: str) -> None:
    """Without one of five models x is the median of four: of what lies between the middle two what is nearest to 5."""
    toy = _Toy()
    found = leave_out(what, _report(), [_number(list(RATES))], toy)  # type: ignore[arg-type]
    groups = {group.rows[0].record.model: group for group in found.groups}
    assert set(groups) == set(RATES)
    for model, group in groups.items():
        others = sorted(rate for name, rate in RATES.items() if name != model)
        best = min(max(SHIPPED, others[1]), others[2])
        assert group.values["x"] == pytest.approx(best, rel=1e-3)
        assert [row.predicted for row in group.rows] == pytest.approx([best] * 10, rel=1e-3)
        assert group.error == pytest.approx(abs(best / RATES[model] - 1.0), abs=2e-3)
        assert group.unknown == ()
    assert all(is_typical is (what == "family") for _, is_typical in toy.ran)
    assert all(name in to_text(found) for name in ("all", *(group.name for group in found.groups)))


def test_what_nothing_else_informs_takes_the_middle_of_its_range() -> None:
    """Not the shipped value, which rests on what is left out."""
    number = _number(["phi-4"])
    found = leave_out("source", _report(), [number], _Toy())  # type: ignore[arg-type]
    (phi,) = [group for group in found.groups if group.name == "from-phi-4"]
    assert phi.values["x"] == pytest.approx(sqrt(LOW * HIGH))
    assert phi.unknown == ("x",)
    others = [group for group in found.groups if group.name != "from-phi-4"]
    assert all(group.values == {} and group.rows[0].predicted == SHIPPED for group in others)


def test_ranges_are_those_of_the_others_left_out_themselves() -> None:
    """Each model is a source of its own, off by one factor: it is looked for in the range of the other four."""
    toy = _Toy()
    found = leave_out("family", _report(), [], toy)  # type: ignore[arg-type]
    logs = {model: log(rate / SHIPPED) for model, rate in RATES.items()}
    for group in found.groups:
        model = group.rows[0].record.model
        others = [each for name, each in logs.items() if name != model]
        # All five levels of the class are the same rows: the class and one source more, which changes neither figure.
        half = NormalDist().inv_cdf(0.9) * stdev(others) * sqrt(1 + 1 / 5)
        is_inside = min(0.0, mean(others) - half) <= logs[model] <= max(0.0, mean(others) + half)
        assert found.inside[group.name] == (10 if is_inside else 0, 10)
    assert found.inside["all"][1] == len(RECORDS)
    assert 0 < found.inside["all"][0] < len(RECORDS)


def test_targets_hold_families_and_nothing_else() -> None:
    """The toy's families are off by up to 1.5; of sources there is no target."""
    found = leave_out("family", _report(), [], _Toy())  # type: ignore[arg-type]
    off = [group.name for group in found.groups if group.error > 0.15]
    assert [line.split()[1] for line in found.broken_targets() if line.startswith("without")] == off
    assert len(off) == len(RATES)
    few = replace(found, groups=tuple(replace(group, rows=group.rows[:4]) for group in found.groups))
    assert not [line for line in few.broken_targets() if line.startswith("without")]
    for inside, is_held in ((34, False), (35, True), (45, True), (46, False)):
        one = replace(found, groups=(), inside={"all": (inside, 50)})
        assert (one.broken_targets() == []) is is_held
    assert leave_out("source", _report(), [], _Toy()).broken_targets() == []  # type: ignore[arg-type]


def test_curves_of_numbers_that_share_measurements_add_up() -> None:
    """Rates are x times y: whatever y is worth, x makes up for it, and what comes out is right."""

    class _Product(_Toy):
        def log_error(self, case: Case, values: dict[str, float]) -> float:
            return log(values.get("x", SHIPPED) * values.get("y", SHIPPED) / 4.0)

    x, y = _number(["qwen3-4b", "gemma-3-4b", "phi-4"]), _number(["gemma-3-4b", "phi-4"], "y")
    curves = _Curves([x, y], _Product(), lambda text: None)  # type: ignore[arg-type]
    from sim.validation.calibrate import LeftOut

    values, unknown = curves.refit(LeftOut(source="from-phi-4"))
    assert unknown == ()
    assert values.get("x", SHIPPED) * values.get("y", SHIPPED) == pytest.approx(4.0, rel=0.01)


def test_flags_that_go_with_it_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "inference", "--leave-out", "family", "--family", "qwen3", "--markdown"]) == 2
    said = capsys.readouterr().err
    assert "family: goes not with --leave-out" in said
    assert "markdown: goes not with --leave-out" in said
    assert main(["validate", "kernels", "--leave-out", "family"]) == 2
    assert "validate kernels has no such flag" in capsys.readouterr().err
