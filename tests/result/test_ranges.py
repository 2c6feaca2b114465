"""Does a range say how far a rate may be off, and `validated` what stands behind it?"""

from __future__ import annotations

import io
import json
from math import exp, log
from pathlib import Path

import pytest

import sim
from sim import RunResult
from sim.cli.table import Look, table
from sim.paths import find
from sim.result import ranges
from sim.result.ranges import Residuals, digits_of, rounded
from sim.result.spread import Spread, factors, narrowed, spread_of
from sim.validation.baseline import Ran
from sim.validation.inference import Record, Row, load_records
from sim.validation.residuals import coverage, residuals, stale, to_text

SMALL = {"model": "qwen3-0.6b", "runtime": "vllm", "quant": "bf16", "prompt": 16, "output": 4}
DENSE = "qwen2.5-coder-7b"
RECORDS = load_records()


@pytest.fixture(scope="module")
def result() -> RunResult:
    return sim.run(**SMALL)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, result: RunResult) -> dict[str, Spread]:
    """Residuals of a test's own: nothing at first."""
    classes: dict[str, Spread] = {}
    shipped = Residuals("dgx-spark", classes, frozenset())
    monkeypatch.setattr(ranges, "shipped", lambda: shipped)
    return classes


Z = 1.2815515655446004
"""Standard deviations within which 80 % of a normal distribution lie on either side of its mean."""


def test_a_spread_counts_sources_not_records():
    """Sources at 0 +- 0.1 (twelve records) and 0.2 +- 0.3 (two): 0.2 / sqrt(2) between, sqrt(0.05) within."""
    found = spread_of({"many": [0.1, -0.1] * 6, "few": [-0.1, 0.5]})
    assert (found.records, found.sources) == (14, 2)
    figures = (found.centre, found.between, found.within)
    assert figures == pytest.approx((0.1, 0.2 / 2**0.5, 0.05**0.5))


def test_a_range_is_where_the_next_source_would_be():
    """Between four sources 0.1, within 0.05: 1.28 x sqrt(0.1^2 x 5 / 4 + 0.05^2) on either side, in logarithms."""
    low, high = factors([Spread(40, 4, 0.0, 0.1, 0.05)])
    assert log(high) == pytest.approx(Z * 0.015**0.5)
    assert low == pytest.approx(1 / high)


def test_a_range_holds_the_prediction_itself():
    """Where predictions are all too low, the range begins at the prediction."""
    low, high = factors([Spread(40, 4, 1.0, 0.1, 0.0)])
    assert low == 1.0
    assert log(high) == pytest.approx(1.0 + Z * 0.1 * 1.25**0.5)


def test_one_source_says_little_of_the_next_one():
    """Its class takes what is between sources from the wider class, and half of its centre and of what is within."""
    wide = Spread(400, 20, 0.0, 0.2, 0.1)
    found = narrowed(wide, Spread(100, 1, 0.1, 0.0, 0.0))
    assert found.sources == 2
    assert (found.centre, found.between, found.within) == pytest.approx((0.05, 0.2, 0.1 / 2**0.5))


def test_many_sources_speak_for_themselves():
    own = Spread(300, 100, 0.05, 0.02, 0.03)
    found = narrowed(Spread(400, 120, 0.0, 0.2, 0.1), own)
    assert found.centre == pytest.approx(own.centre, abs=0.001)
    assert found.between == pytest.approx((own.between**2 * 0.99 + 0.2**2 / 100) ** 0.5)


@pytest.mark.parametrize(
    ("name", "is_like"),
    [
        ("vllm Qwen3ForCausalLM bf16 decode", "class"),
        ("vllm Qwen3ForCausalLM decode", "class"),
        ("vllm bf16 decode", "class"),
        ("vllm decode", "extrapolated"),
        ("decode", "extrapolated"),
    ],
)
def test_a_class_without_records_falls_back_to_a_wider_one(known: dict[str, Spread], name: str, is_like: str):
    decode = sim.run(**SMALL | {"prompt": 0})
    wide = Spread(900, 20, 0.0, 0.1, 0.1)
    own = Spread(10, 3, -0.05, 0.02, 0.1)
    known |= {"vllm Qwen3ForCausalLM bf16 prefill": Spread(9, 2, 1.0, 1.0, 1.0), "decode": wide, name: own}
    found = decode.ranges()["decode"]
    assert (found.class_name, found.records) == (name, 10)
    assert decode.decode_tok_s is not None
    low, high = factors([own] if name == "decode" else [wide, own])
    assert (found.low, found.high) == (low * decode.decode_tok_s, high * decode.decode_tok_s)
    assert decode.validated == is_like


def test_the_summary_has_full_digits(result: RunResult):
    summary = result.summary()
    assert json.loads(json.dumps(summary["range"], allow_nan=False)) == summary["range"]
    assert summary["range"]["level"] == 0.8
    for phase, found in result.ranges().items():
        low, high = summary["range"][f"{phase}_tok_s"]
        assert (low, high) == (found.low, found.high)
        assert 0 < low <= summary[f"{phase}_tok_s"] <= high


@pytest.mark.parametrize("record", [r for r in RECORDS if r.model == DENSE][:40:13], ids=lambda r: r.id)
def test_what_is_among_the_records_was_measured(record: Record):
    shared = {"model": record.model, "runtime": record.runtime, "quant": record.quant, "kv_dtype": record.kv_dtype}
    options = {f"runtime.{name}": str(value) for name, value in record.set.items()}
    run = {**shared, "batch": record.batch, "set": options}
    if record.prefill_tok_s:
        assert sim.run(**run, prompt=record.prompt, depth=record.depth, output=0).validated == "measured"
        other = sim.run(**run, prompt=(record.prompt or 0) + 1, depth=record.depth, output=0)
        assert other.validated == "class"
    if record.decode_tok_s:
        depth = record.depth if record.bench == "llama-bench" else record.depth + (record.prompt or 0)
        assert sim.run(**run, prompt=0, depth=depth, output=record.output).validated == "measured"


@pytest.mark.parametrize(
    "changes",
    [
        {"set": {"memory.bandwidth": "x1.01"}},
        {"set": {"gpu.clock": "2400 MHz"}},
        {"hardware": "rtx-pro-6000-server"},
        {"set": {"model.num_hidden_layers": 20}},
    ],
)
def test_another_machine_or_model_is_extrapolated(changes: dict[str, object]):
    assert sim.run(**SMALL, **changes).validated == "extrapolated"


def test_what_only_the_tokens_change_is_no_other_run_and_speculation_is():
    run = {"model": "qwen3.6-35b-a3b", "runtime": "vllm", "prompt": 0, "output": 4}
    plain = sim.run(**run)
    assert plain.validated == "class"
    assert sim.run(**run, set={"workload.content": "random_tokens"}).validated == "class"
    drafts = {"workload.draft_tokens": "2", "workload.acceptance_length": "2.2"}
    guessed = sim.run(**run, set=drafts)
    assert guessed.validated == "extrapolated"
    assert ranges.case_of(guessed.identity, "decode") != ranges.case_of(plain.identity, "decode")


def test_a_machine_that_only_has_the_name_is_extrapolated(tmp_path: Path):
    """A file of the user's own may say anything, and a card of the user's own is no model that was measured."""
    own = tmp_path / "dgx-spark.yaml"
    own.write_text(sim.load_hardware("dgx-spark").to_yaml(), encoding="utf-8")
    assert sim.run(**SMALL, hardware=own).validated == "extrapolated"
    assert sim.run(**SMALL, hardware=sim.load_hardware("dgx-spark")).validated == "class"
    record = next(r for r in RECORDS if r.model == DENSE and r.prefill_tok_s and not r.set)
    card = tmp_path / f"{DENSE}.yaml"
    card.write_bytes(find("models", DENSE).read_bytes())
    run = {"runtime": record.runtime, "quant": record.quant, "kv_dtype": record.kv_dtype, "batch": record.batch}
    run |= {"prompt": record.prompt, "depth": record.depth, "output": 0}
    assert sim.run(model=DENSE, **run).validated == "measured"
    assert sim.run(model=card, **run).validated == "class"


def test_where_there_are_no_rates_nothing_is_claimed(tmp_path: Path):
    too_large = sim.run(model="llama-3.1-70b", runtime="vllm").summary()
    trace = tmp_path / "trace.yaml"
    trace.write_text(
        "schema: sparksim.ops/1\nname: one\nops:\n  - {id: up, op: gemm, m: 8, n: 256, k: 256, dtype: bf16}\n",
        encoding="utf-8",
    )
    for summary in (too_large, sim.run(file=trace, runtime="vllm").summary()):
        assert summary["validated"] is None
        assert (summary["range"]["prefill_tok_s"], summary["range"]["decode_tok_s"]) == (None, None)


@pytest.mark.parametrize(
    ("value", "low", "high", "digits", "printed"),
    [
        (80.6, 76.2, 84.1, 2, ["81", "76", "84"]),
        (4311.7, 4102, 4498, 2, ["4,300", "4,100", "4,500"]),
        (4311.7, 4287, 4336, 3, ["4,310", "4,290", "4,340"]),
        (80.6, 20.0, 190.0, 1, ["80", "20", "190"]),
        (3.117, 3.05, 3.19, 3, ["3.12", "3.05", "3.19"]),
        (80.61234, 80.61234, 80.61234, 4, ["80.61", "80.61", "80.61"]),
    ],
)
def test_a_rate_is_printed_as_far_as_it_is_known(
    value: float, low: float, high: float, digits: int, printed: list[str]
):
    """Down to the first digit of half the range's width."""
    assert digits_of(value, low, high) == digits
    assert rounded(value, low, high) == printed


def test_the_table_says_what_the_ranges_rest_on(result: RunResult):
    lines = table(result, Look(io.StringIO()))
    (basis,) = [line for line in lines if line.startswith("  rests on")]
    assert "measurements like it: 4 of 5 by others lie in these ranges" in basis
    changed = table(sim.run(**SMALL, set={"gpu.clock": "x0.9"}), Look(io.StringIO()))
    assert any(line.startswith("  rests on    extrapolated: nothing like it was measured") for line in changed)


def _row(number: int, ratio: float, source: str = "one") -> Row:
    record = RECORDS[0].model_copy(update={"id": f"r{number}", "source": source})
    return Row(record, "decode", 100.0 * ratio, 100.0, Ran("decode", f"c{number}", "vllm", "A", "bf16", {}, 1.0))


def test_what_is_left_out_has_no_part_in_its_own_range():
    """Ten sources at -0.05 to 0.04 and one at 1: left out, the one lies outside of what the ten give it."""
    rows = [_row(number, 1.0 + 0.01 * (number - 5), f"s{number}") for number in range(10)] + [_row(10, 2.7, "odd")]
    assert coverage(rows, lambda row: row.record.source)["all"] == (10, 11)
    assert coverage(rows, lambda row: "everything together") == {}


def test_a_source_that_is_left_out_lies_where_sources_differ_not_where_records_do():
    """A hundred records of one source say nothing of five others, 0.1 apart: the outermost two of these lie outside."""
    rows = [_row(number, 1.0, "large") for number in range(100)]
    rows += [_row(100 + 2 * at + i, exp(0.1 * (at - 2)), f"s{at}") for at in range(5) for i in range(2)]
    assert coverage(rows, lambda row: row.record.source)["all"] == (106, 110)


def test_with_one_source_nothing_is_claimed_of_another():
    rows = [_row(number, 1.0, "a" if number < 9 else "b") for number in range(18)]
    assert coverage(rows, lambda row: row.record.source) == {}


def test_residuals_that_moved_are_stale():
    rows = [_row(number, 0.9 + 0.02 * number) for number in range(11)]
    data = residuals(rows)
    assert json.loads(to_text(data)) == data
    shipped = {name: Spread(*values) for name, values in data["classes"].items()}
    assert stale(rows, shipped, 1e-4) == []
    moved = [_row(number, 1.0 + 0.02 * number) for number in range(11)]
    assert any("vllm A bf16 decode: +0.0" in text for text in stale(moved, shipped, 0.01))
    assert any("10 records of 1 sources, 11 records" in text for text in stale(rows[1:], shipped, 0.5))


def test_the_shipped_file_knows_every_record():
    """After `sparksim validate inference --write-residuals`; whether its figures are right is what `--check` says."""
    known = ranges.shipped()
    assert sim.load_hardware(known.hardware).name == known.hardware
    records = RECORDS
    n_prefill = sum(bool(r.prefill_tok_s and r.prompt) for r in records)
    n_decode = sum(bool(r.decode_tok_s and r.decode_basis in ("pure_decode", "e2e")) for r in records)
    assert (known.classes["prefill"].records, known.classes["decode"].records) == (n_prefill, n_decode)
