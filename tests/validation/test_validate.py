"""Does the validation say what a plain roofline would be off by, where the time went, and what it looked at?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim
from sim.cli import main
from sim.errors import InputError
from sim.validation.baseline import ran_of, roofline_s
from sim.validation.inference import Report, load_records, validate_inference

FEW = "ollama"
"""A runtime with a handful of records."""


@pytest.fixture(scope="module")
def report() -> Report:
    return validate_inference(sim.run, runtime=FEW)


def test_decoding_one_sequence_is_bytes_over_the_peak_rate():
    """A token reads every weight for two FLOPs: far below the ridge, so the roofline is bytes / (273.056 GB/s)."""
    result = sim.run(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=4)
    dram = result.phases["decode"]["dram"]
    expected = (dram["read_bytes"] + dram["write_bytes"]) / (16 * 2 * 8.533e9)
    assert roofline_s(result, "decode") == pytest.approx(expected, rel=1e-6)
    ran = ran_of(result, "decode")
    assert ran.roofline_tok_s == pytest.approx(4 / expected, rel=1e-6)
    assert sum(ran.causes.values()) == pytest.approx(1)


def test_arithmetic_is_flops_over_the_peak_of_its_unit(tmp_path: Path):
    """400 TFLOP on 48 SMs x 256 FLOP per clock at 2,480 MHz."""
    trace = tmp_path / "trace.yaml"
    trace.write_text(
        "schema: sparksim.ops/1\nname: flops\nops:\n"
        "  - {id: own, op: custom, flops: 400 TFLOP, read: 1 KiB, write: 1 KiB, ctas: 96}\n",
        encoding="utf-8",
    )
    result = sim.run(file=trace, runtime="vllm")
    assert roofline_s(result, "run") == pytest.approx(400e12 / (48 * 256 * 2.48e9), rel=1e-6)


@pytest.mark.parametrize(
    "run",
    [
        {"model": "qwen3-0.6b", "runtime": "vllm", "batch": 8, "prompt": 128, "output": 4},
        {"model": "gpt-oss-20b", "runtime": "llama.cpp", "prompt": 512, "output": 4},
    ],
)
def test_nothing_is_faster_than_its_roofline(run: dict[str, object]):
    result = sim.run(**run)  # type: ignore[arg-type]
    for phase in ("prefill", "decode"):
        assert 0 < roofline_s(result, phase) < (result.phase_time_s(phase) or 0.0)


def test_every_comparison_knows_its_baseline_and_its_causes(report: Report):
    data = report.to_dict()
    assert data["comparisons"] == len(data["rows"]) > 0
    for row in data["rows"]:
        assert row["roofline"] > row["predicted"]
        assert sum(row["causes"].values()) == pytest.approx(1)
    for name, found in data["classes"].items():
        mine = [row.roofline_error for row in report.rows if row.label == name]
        assert found["roofline_bias"] == pytest.approx(sum(each or 0.0 for each in mine) / len(mine))


def test_the_text_says_where_the_worst_spend_their_time_and_what_is_left_out(report: Report):
    text = Report(report.rows, report.records).to_text()
    assert "roofline" in text
    assert "ten worst, and where the predicted time goes" in text
    assert "LPDDR5X" in text
    assert "not compared, by the rule that leaves them out" in text
    assert "not compared, by the rule" not in report.to_text()  # some were left out by the filter


@pytest.mark.parametrize("family", ["gpt-oss", "GPT_OSS", "gpt oss 20b"])
def test_a_family_is_how_names_of_models_begin(family: str):
    """Names ignore case and treat separators alike."""
    asked: list[str] = []

    def predict(**arguments: object) -> object:
        asked.append(str(arguments["model"]))
        raise StopIteration

    with pytest.raises(StopIteration):
        validate_inference(predict, family=family)
    assert asked[0].startswith("gpt-oss")


def test_a_filter_that_leaves_nothing_is_refused():
    with pytest.raises(
        InputError, match=r"no record is of this runtime and family; runtimes: .*llama\.cpp@.*families:"
    ):
        validate_inference(sim.run, family="no-such-family")


def test_every_record_is_told_of():
    told: list[str] = []
    validate_inference(sim.run, runtime=FEW, progress=told.append)
    mine = [record.id for record in load_records() if record.runtime.startswith(FEW)]
    assert told == [f"record {number} of {len(mine)}: {name}" for number, name in enumerate(mine, 1)]


def test_the_command_draws_and_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "parity"
    assert main(["validate", "inference", "--runtime", FEW, "--json", "--parity", str(target)]) == 0
    data = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert data["schema"] == "sparksim.validation/1"
    assert target.with_suffix(".png").stat().st_size > 1000
    assert "plain roofline" in target.with_suffix(".svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (["inference", "--write-residuals", "--runtime", FEW], ["--write-residuals"]),
        (["kernels", "--parity", "p"], ["parity"]),
        (["microbench", "--write-residuals", "--force"], ["force", "write_residuals"]),
        (["inference", "--parity", "no/such/folder/p.gif"], ["parity", "parity"]),
    ],
)
def test_flags_that_have_no_place_are_refused(words: list[str], paths: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["validate", *words, "--json"]) == 2
    assert [each["path"] for each in json.loads(capsys.readouterr().out)["problems"]] == paths
