"""Does `run` start a runtime where the file is a scenario of kind load, and write and print what the result says?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim
from sim.cli import main

TEXT = """schema: sparksim.scenario/1
kind: load
system: {hardware: dgx-spark, set: {os.page_time: 2 us}}
model: qwen3-0.6b
runtime: {name: vllm, version: 0.25.0}
how: read
compiled: true
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "start.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_it_is_the_load_that_its_fields_say(scenario: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", str(scenario), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    asked = {"model": "qwen3-0.6b", "runtime": "vllm@0.25.0", "how": "read", "compiled": True}
    by_hand = sim.load(**asked, set={"os.page_time": "2 us"}).to_dict()
    assert found == by_hand
    assert found["schema"] == "sparksim.load/1"
    assert sum(stage["time_s"] for stage in found["stages"]) == pytest.approx(found["time_s"])
    assert found["memory"]["peak_bytes"] == sum(found["memory"]["peak"].values())


def test_flags_override_it(scenario: Path, capsys: pytest.CaptureFixture[str]):
    words = ["run", str(scenario), "--runtime", "llama.cpp", "--set", "os.page_time=1 us", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["runtime"] == "llama.cpp"
    assert found["overrides"] == {"runtime": "llama.cpp", "os.page_time": "1 us"}


def test_too_large_a_model_ends_with_exit_code_3(scenario: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", str(scenario), "--model", "llama-3.1-70b", "--quiet"]) == 3
    assert "GB short in stage weights" in capsys.readouterr().out


def test_the_table_has_every_stage_with_its_source(scenario: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", str(scenario), "--quiet"]) == 0
    printed = capsys.readouterr().out
    found = sim.load(file=scenario)
    for stage in found.stages:
        assert f"{stage.name} " in printed
        assert stage.source in printed
    assert f"{found.weights_bytes / found.weights_time_s / 1e9:.2f} GB/s" in printed


def test_files_are_written(scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert main(["run", str(scenario), "--out", str(out), "--quiet"]) == 0
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {"summary.json", "memory.csv", "manifest.json", "plots/load.svg", "plots/load.png"}
    assert json.loads((out / "summary.json").read_text()) == sim.load(file=scenario).to_dict()
    rows = (out / "memory.csv").read_text().splitlines()
    assert len(rows) == 1 + len(sim.load(file=scenario).memory.rows)
    text = (out / "plots" / "load.svg").read_text()
    for words in ("torch.compile", "waits for the file", "page cache", "all there is"):
        assert words in text
    capsys.readouterr()
    assert main(["run", str(scenario), "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_flags_that_change_nothing_are_said_to(scenario: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", str(scenario), "--cache", "off", "--seed", "3"]) == 0
    said = capsys.readouterr().err
    assert "note: --cache changes nothing: no kernel is simulated" in said
    assert "note: --seed changes nothing: nothing is random" in said


def test_it_is_listed_shown_and_checked(capsys: pytest.CaptureFixture[str]):
    assert main(["show", "scenarios", "oss-cold-start", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["origin"], shown["how"]) == ("load", "nvme", "mmap")
