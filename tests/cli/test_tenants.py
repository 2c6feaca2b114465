"""Does `run` take a scenario of kind tenants: table, JSON, files, verdict by exit code, flags of one run refused?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.cli import main

TEXT = """schema: sparksim.scenario/1
kind: tenants
title: a chat and a stream
duration: 1 s
tenants:
  chat: {kind: model, model: qwen3-0.6b, quant: bf16, runtime: {name: vllm}, prompt: 64, output: 16}
  stream: {kind: cpu, cores: 10, access: copy}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_the_table_says_who_is_slowed_and_by_what(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(scenario), "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a chat and a stream: 2 on dgx-spark, 1 s together"
    assert lines[1].split() == ["tenant", "alone", "together", "slower", "memory", "GPU"]
    chat, stream = lines[2].split(), lines[3].split()
    assert (chat[0], chat[2], stream[0], stream[2]) == ("chat", "tok/s", "stream", "GB/s")
    assert float(chat[1]) > float(chat[3])
    assert any(line.startswith("memory moves ") and "of 273 at its peak" in line for line in lines)
    assert any(line.startswith("the models fit: ") for line in lines)
    assert max(map(len, lines)) <= 110


def test_json_and_files_say_the_same(scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["run", str(scenario), "--json", "--quiet", "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "sparksim.tenants/1"
    assert set(told["tenants"]["chat"]) == {
        "kind", "unit", "alone", "together", "slowdown", "bandwidth_share", "watts",
    }  # fmt: skip
    assert json.loads((out / "summary.json").read_text(encoding="utf-8")) == told
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    plots = {"plots/bandwidth.png", "plots/bandwidth.svg"}
    assert names == plots | {"summary.json", "bandwidth.csv", "spec.resolved.yaml", "manifest.json"}
    picture = (out / "plots" / "bandwidth.svg").read_text(encoding="utf-8")
    for words in ("Bandwidth by tenant: a chat and a stream", "times slower", "peak 273", "GB/s", ">s<"):
        assert words in picture
    rows = (out / "bandwidth.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "start_s,seconds,chat,stream"
    assert main(["run", str(scenario), "--quiet", "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["run", str(scenario), "--quiet", "--out", str(out), "--force"]) == 0


def test_what_does_not_fit_together_is_exit_code_3(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    big = "{kind: model, model: qwen3-32b, quant: bf16, runtime: {name: vllm}, prompt: 0, output: 2}"
    scenario.write_text(TEXT + f"  a: {big}\n  b: {big}\n", encoding="utf-8")
    assert main(["run", str(scenario), "--quiet"]) == 3
    assert "the models do not fit: " in capsys.readouterr().out


def test_flags_of_one_run_are_refused(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(scenario), "--batch", "4", "--model", "qwen3-8b", "--full"]) == 2
    err = capsys.readouterr().err
    for flag in ("model", "batch", "full"):
        assert f"{flag}: a scenario of kind tenants takes no such flag" in err


def test_lookups_know_the_kind(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(scenario)]) == 0
    assert main(["show", "scenarios", "two-models", "--json"]) == 0
    assert '"small"' in capsys.readouterr().out
    assert main(["schema", "scenarios"]) == 0
    assert "ModelTenant" in json.loads(capsys.readouterr().out)["$defs"]
    scenario.write_text(TEXT.replace("cores: 10", "cores: 99").replace("qwen3-0.6b", "qwen3-0.7b"), encoding="utf-8")
    assert main(["check", str(scenario)]) == 2


@pytest.mark.validation
def test_the_shipped_records_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "tenants", "--check", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["record", "alone", "together", "alone", "together", "kept"]
    assert len(lines) == 6
