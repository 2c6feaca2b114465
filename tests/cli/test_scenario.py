"""Does `run FILE` take a scenario of kind run: flags over it, names and relative paths, other kinds refused by name?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sim.api import load_hardware, run
from sim.cli import main
from sim.errors import InputError
from sim.system.scenario import NOT_YET

TEXT = """schema: sparksim.scenario/1
kind: run
system: {hardware: dgx-spark, set: {gpu.sms: 24}}
model: qwen3-0.6b
runtime: {name: vllm, version: 0.25.0, set: {max_num_batched_tokens: 64}}
kv_dtype: fp8
batch: 2
prompt: 96
output: 3
"""
FLAGS = {"model": "qwen3-0.6b", "runtime": "vllm@0.25.0", "kv_dtype": "fp8", "batch": 2, "prompt": 96, "output": 3}
SETS = {"gpu.sms": 24, "runtime.max_num_batched_tokens": 64}


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def summary(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["run", *words, "--json", "--cache", "off"]) == 0, capsys.readouterr().err
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_it_is_the_run_that_its_fields_say(scenario: Path) -> None:
    by_file, by_hand = run(file=scenario, cache="off"), run(**FLAGS, set=SETS, cache="off")
    assert by_file.summary() == by_hand.summary()
    assert by_file.summary()["overrides"] == {"gpu.sms": "24", "runtime.max_num_batched_tokens": "64"}


def test_flags_override_it_and_stand_under_overrides(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(scenario), "--batch", "3", "--runtime", "llama.cpp", "--kv-dtype", "f16", "--set", "gpu.sms=x2"]
    result = summary([*words, "--set", "runtime.ubatch_tokens=32"], capsys)
    assert (result["batch"], result["runtime"], result["kv_dtype"]) == (3, "llama.cpp", "f16")
    said = {"batch": "3", "runtime": "llama.cpp", "kv_dtype": "f16", "gpu.sms": "x2", "runtime.ubatch_tokens": "32"}
    assert said.items() <= result["overrides"].items()
    assert (result["prompt_tokens"], result["context_depth"], result["output_tokens"]) == (96, 0, 3)


def test_a_set_flag_replaces_the_same_set_of_the_file(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """x2 doubles what the hardware file says (48), not what the scenario set (24)."""
    by_hand = load_hardware("dgx-spark", overrides={"gpu.sms": 96}).digest
    for text in ("x2", "96"):
        assert summary([str(scenario), "--set", f"gpu.sms={text}"], capsys)["hardware_digest"] == by_hand


def test_every_default_is_in_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "least.yaml"
    path.write_text("schema: sparksim.scenario/1\nkind: run\nmodel: qwen3-0.6b\nruntime: {name: vllm}\n")
    result = summary([str(path)], capsys)
    keys = ("hardware", "batch", "prompt_tokens", "context_depth", "output_tokens", "quant", "kv_dtype")
    assert [result[key] for key in keys] == ["dgx-spark", 1, 2048, 0, 128, "bf16", "bf16"]
    assert result["overrides"] == {}


def test_by_name_and_by_alias(root: Path, tmp_path: Path, scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "workloads" / "scenarios").mkdir(parents=True)
    scenario.rename(tmp_path / "workloads" / "scenarios" / "two-users.yaml")
    result = summary(["Two_Users", "--spec-dir", str(tmp_path)], capsys)
    assert (result["batch"], result["prompt_tokens"]) == (2, 96)
    assert main(["list", "scenarios", "--spec-dir", str(tmp_path), "--json"]) == 0
    assert {"gpt-oss-120b-chat", "two-users"} <= {each["name"] for each in json.loads(capsys.readouterr().out)}
    shipped = summary(["oss-chat", "--prompt", "16", "--output", "2"], capsys)
    assert (shipped["model"], shipped["overrides"]["prompt"]) == ("gpt-oss-120b", "16")


def test_files_beside_it_are_found(
    root: Path, tmp_path: Path, scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(root / "workloads/models/qwen3-0.6b.yaml", tmp_path / "my-model.yaml")
    shutil.copy(root / "hwspecs/dgx-spark.yaml", tmp_path / "my-box.yaml")
    text = TEXT.replace("model: qwen3-0.6b", "model: ./my-model.yaml").replace("dgx-spark", "./my-box.yaml")
    scenario.write_text(text)
    assert summary([str(scenario)], capsys)["model"] == "my-model"


@pytest.mark.parametrize("kind", NOT_YET)
def test_other_kinds_are_refused_by_name(kind: str, scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario.write_text(TEXT.replace("kind: run", f"kind: {kind}"))
    for verb in ("run", "check"):
        assert main([verb, str(scenario)]) == 2
        said = f"{scenario}:2: kind: scenarios of kind {kind} are not there yet"
        expected = f"{said}; those of kind run, load, serve and tenants are\n"
        assert capsys.readouterr().err == expected


def test_a_name_that_a_flag_replaces_need_not_be_there(scenario: Path) -> None:
    scenario.write_text(TEXT.replace("model: qwen3-0.6b", "model: of-tomorrow"))
    with pytest.raises(InputError, match="unknown model 'of-tomorrow'"):
        run(file=scenario)
    assert run(file=scenario, model="qwen3-0.6b", cache="off").identity.model == "qwen3-0.6b"


def test_flags_of_a_model_have_no_place_beside_an_op_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.yaml"
    trace.write_text("schema: sparksim.ops/1\nname: t\nops:\n  - {id: a, op: host, duration: 1 us}\n")
    words = ["run", str(trace), "--runtime", "vllm"]
    assert main(words) == 0
    capsys.readouterr()
    assert main([*words, "--batch", "2", "--quant", "fp8", "--model", "qwen3-8b"]) == 2
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["model", "quant", "batch"]
    assert main([*words, "--set", "model.num_hidden_layers=2"]) == 2
    assert "an op trace has no model" in capsys.readouterr().err
    trace.write_text("schema: sparksim.oops/1\n")
    assert main(words) == 2
    assert "schema must be sparksim.scenario/1 or sparksim.ops/1, not 'sparksim.oops/1'" in capsys.readouterr().err
