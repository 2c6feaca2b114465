"""Does a calibrated number pick just the measurements it names, and is what is said wrongly refused with its line?"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from sim.cli import main
from sim.errors import SpecError
from sim.paths import available, find
from sim.system.calibrated import calibrated
from sim.system.catalogue import schema
from sim.system.measurements import count, fields_of
from sim.workload.runtime_file import check_runtime
from sim.yamlfile import LEAST_RECORDS, NUMBERS, WORDS, fits, load_yaml, records_complaint

ROW = {"chip": "a", "op": "gemm", "dtype": "fp8", "m": 16, "version": "1.0"}
RUNTIME = """
schema: sparksim.runtime/1
name: toy
extends: vllm
base:
  host_step_s: {number}
versions:
  "1": {{}}
"""


def _number(records: str, bounds: str = "range: [1.0e-4, 1.0e-2], ", kind: str = "calibrated") -> str:
    return f'{{value: 1.0e-3, kind: {kind}, {bounds}source: "toy", records: {records}}}'


@pytest.mark.parametrize(
    ("choice", "is_fit"),
    [
        ({"op": "gemm"}, True),
        ({"op": "attention"}, False),
        ({"dtype": ["bf16", "fp8"]}, True),
        ({"dtype": ["bf16"]}, False),
        ({"runtime": "vllm"}, False),  # a word that the record does not say
        ({"m": 16}, True),
        ({"m": [16, 16]}, True),
        ({"m": [17, None]}, False),
        ({"m": [None, 15]}, False),
        ({"m": [None, 16], "op": "gemm"}, True),
        ({"m": [None, 16], "op": "moe"}, False),  # all fields must fit
        ({"window": 0}, True),  # a number that the record does not have
        ({"window": [1, None]}, False),
        ([{"op": "moe"}, {"m": 16}], True),  # one of several mappings must
        ([{"op": "moe"}, {"m": 17}], False),
    ],
)
def test_what_a_selector_picks(choice: object, is_fit: bool) -> None:
    assert fits(ROW, "kernels", {"kernels": choice}) is is_fit
    assert not fits(ROW, "inference", {"kernels": choice})


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ([], "records must be a mapping of kernels, inference, machines, microbench"),
        ({}, "records must be a mapping"),
        ({"kernel": {"op": "gemm"}}, "records must be a mapping"),
        ({"kernels": {}}, "records of kernels must be fields"),
        ({"kernels": []}, "records of kernels must be fields"),
        ({"kernels": [{"op": "gemm"}, "moe"]}, "records of kernels must be fields"),
        ({"kernels": {"opp": "gemm"}}, "no field 'opp'; there are chip, runtime,"),
        ({"kernels": {"family": "qwen3"}}, "no field 'family'"),
        ({"kernels": {"version": 0.24}}, r"a word or a list of words \(a version in quotes\), not '0.24'"),
        ({"kernels": {"op": []}}, "op must be a word or a list of words"),
        ({"kernels": {"m": "16"}}, "m must be a number or"),
        ({"kernels": {"m": [1, 2, 3]}}, "m must be a number or"),
        ({"kernels": {"m": [1, True]}}, "m must be a number or"),
        ({"kernels": {"m": [16, 1]}}, "m: 16 is above 1"),
    ],
)  # fmt: skip
def test_what_is_said_wrongly_is_refused(records: object, complaint: str, tmp_path: Path) -> None:
    found = records_complaint(records, "calibrated", [0, 1])
    assert found
    with pytest.raises(AssertionError, match=complaint):
        raise AssertionError(found)


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (_number("{kernels: {opp: gemm}}"), "records of kernels: no field 'opp'"),
        (_number("{kernels: {op: gemm}}", bounds=""), "records inform what is calibrated within a range"),
        (_number("{kernels: {op: gemm}}", kind="measured"), "records inform what is calibrated within a range"),
    ],
)
def test_a_runtime_file_is_refused_with_its_line(number: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(RUNTIME.format(number=number).lstrip())
    with pytest.raises(SpecError) as caught:
        check_runtime(path)
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [(5, "base.host_step_s")]
    assert line in caught.value.problems[0].message


def test_a_value_that_is_no_number_is_refused_beside_a_range(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(RUNTIME.format(number='{value: "fast", kind: calibrated, range: [0, 1], source: "toy"}').lstrip())
    with pytest.raises(SpecError, match=r"range must be \[low, high\]"):
        check_runtime(path)


@pytest.mark.parametrize(("kind", "file"), [("vllm", "runtimes"), ("dgx-spark", "hardware")])
def test_too_few_measurements_are_named(
    kind: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of the latency ladder's five is too few; all inference of a runtime is enough."""
    few, enough = "{microbench: {id: gpu_lat_l2hit}}", "{inference: {runtime: vllm}}"
    for records, code in ((few, 2), (enough, 0)):
        number = _number(records)
        if file == "runtimes":
            text = RUNTIME.format(number=number).lstrip()
        else:
            number = number.replace("1.0e-3", "2 us").replace("[1.0e-4, 1.0e-2]", "[1 us, 3 us]")
            text = f"schema: sparksim.hardware/1\nextends: {kind}\ncomponents:\n  gpu:\n    kernel_boundary: {number}\n"
        path = tmp_path / "toy.yaml"
        path.write_text(text)
        assert main(["check", str(path)]) == code
        complaint = ": 1 measurements inform it; a calibrated number needs 5"
        assert (complaint in capsys.readouterr().err) is (code == 2)
        jsonschema.validate(load_yaml(path).data, schema(file))
        assert len(json.dumps(schema(file))) < 200_000  # what `records:` may say stands in it once


@pytest.mark.parametrize("file", WORDS)
def test_every_field_that_may_be_named_is_one_of_the_measurements(file: str) -> None:
    """`context` and the like of ops that no table has yet would pick nothing."""
    known = set().union(*(set(record) for record in fields_of(file)))
    later = {"kernels": {"groups", "state"}}.get(file, set())
    assert {*WORDS[file], *NUMBERS[file]} - later <= known
    for record in fields_of(file):
        assert all(isinstance(record.get(name), int | float | None) for name in NUMBERS[file])
        assert all(isinstance(record.get(name), str | None) for name in WORDS[file])


def test_counts_are_those_of_the_files() -> None:
    inference = load_yaml(find("measurements", "inference")).data["records"]
    prompts = sum(bool(one["prefill_tok_s"] and one["prompt"]) for one in inference)
    assert count({"inference": {"phase": "prefill"}}) == prompts
    assert count({"inference": {"phase": "first_token"}}) == sum("ttft_s" in one for one in inference) > 0
    assert count({"microbench": {"group": "latency ladder"}}) == 5
    assert count({"inference": {"phase": "prefill"}, "microbench": {"group": "latency ladder"}}) == prompts + 5
    assert count({"kernels": {"chip": "no such chip"}}) == count(None) == 0


def test_of_what_ships_every_number_that_names_its_records_has_enough() -> None:
    """And what names none is listed as what it is."""
    numbers = calibrated()
    named = [number for number in numbers if number.records]
    assert len(named) >= 12
    assert [number.name for number in named if number.count < LEAST_RECORDS] == []
    assert all(number.bounds for number in named)
    assert all("NOT REPRODUCIBLE" in number.title for number in numbers if not number.records)
    assert len({number.name for number in numbers}) == len(numbers)


def test_the_list_says_value_unit_range_and_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "calibrated", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    boundary = listed["dgx-spark.components.gpu.kernel_boundary_eager"]
    assert (boundary["value"], boundary["unit"], boundary["range"]) == ("2.5 us", "us", ["1.5 us", "4 us"])
    assert boundary["records"] == count(boundary["selector"]) >= LEAST_RECORDS
    request = listed["tensorrt-edge-llm.base.request_s"]
    assert (request["value"], request["unit"], request["is_reproducible"]) == (0.002, "s", True)
    assert main(["list", "calibrated"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"0.002 s (0.001 to 0.004; {request['records']} records): prefill of 57 to 62 tokens" in said


def test_runtimes_rest_on_sixty_calibrated_numbers_at_most() -> None:
    """All runtimes together; each further one has to take another's place, shared or derived."""
    runtimes = set(available("runtimes"))
    names = [
        number.name
        for number in calibrated()
        if number.name.partition(".base.")[0].partition(".versions.")[0] in runtimes
    ]
    assert 0 < len(names) <= 60, names
