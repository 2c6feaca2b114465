"""Is each exit code of the contract reachable, does it mean that, and does stdout hold the result and nothing else?"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.cli import main
from sim.errors import DeadlockError, LawError, Problem
from sim.system import prediction
from sim.workload.hf_config import load_model

QUICK = ["run", "--model", "qwen3-0.6b", "--runtime", "vllm", "--prompt", "16", "--output", "2", "--cache", "off"]
TOO_LARGE = ["run", "--model", "llama-3.1-70b", "--runtime", "vllm", "--quant", "bf16", "--batch", "1"]


def error_of(text: str) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(text)
    assert set(error) == {"schema", "exit_code", "problems"}
    assert error["schema"] == "sparksim.error/1"
    for problem in error["problems"]:
        assert set(problem) == {"file", "line", "path", "code", "message", "hint"}
    return error


def test_0_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["schema"] == "sparksim.result/1"
    assert printed.err == ""


@pytest.mark.parametrize("exception", [KeyError("layers"), RecursionError("deep"), MemoryError()])
def test_1_a_bug_of_ours_asks_for_a_report(
    exception: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise exception

    monkeypatch.setattr(prediction, "memory_use", broken)
    assert main([*QUICK, "--json"]) == 1
    printed = capsys.readouterr()
    assert re.fullmatch(
        rf"this is a bug of sparksim .*: {type(exception).__name__}: .*please report it.*\n", printed.err
    )
    error = error_of(printed.out)
    assert (error["exit_code"], error["problems"][0]["code"]) == (1, "bug")
    assert error["problems"][0]["message"] == printed.err.strip()


def test_1_shows_the_traceback_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prediction, "memory_use", None)
    main(QUICK)
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("SPARKSIM_TRACEBACK", "1")
    main(QUICK)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--batch", "-1"], "batch: must be 1 or more, not -1"),
        (["--batch", "100000"], "batch: must be at most 65,536"),
        (["--prompt", "2k"], "prompt: must be a whole number, not '2k'"),
        (["--prompt", "1.5"], "prompt: must be a whole number, not '1.5'"),
        (["--seed", "x"], "seed: must be a whole number, not 'x'"),
        (["--prompt", "0", "--output", "0"], "prompt: prompt and output are both 0: there is nothing to run"),
        (["--kv-dtype", "fp9"], "kv_dtype: unknown KV format 'fp9'"),
        (["--quant", "q4_k_m"], "quant: q4_k_m is a format of llama.cpp, not of vllm"),
        (["--hardware", "sparc"], "unknown hardware 'sparc'; did you mean 'spark'?"),
        (["--modle"], "unrecognized arguments: --modle; did you mean --model?"),
        (["--bat=2"], "unrecognized arguments: --bat=2; did you mean --batch?"),
        (["--spec-dir", "nowhere"], "--spec-dir: there is no folder 'nowhere'"),
        (["--plugin", "nowhere.py"], "nowhere.py: no such file; --plugin takes a FILE.py"),
        (["--full", "--folded"], "argument --folded: not allowed with argument --full"),
    ],
)
def test_2_bad_input(extra: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, *extra, "--json"]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert error_of(printed.out)["exit_code"] == 2


def test_2_a_family_without_published_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "serving", "--family", "zzz", "--quiet"]) == 2
    assert "family: no run is of this family; there are: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ("run --model nope --runtime vlm --quant zzz --kv-dtype q99", ("nope", "vlm", "zzz", "q99")),
        ("fit --model qwen3-4b --runtime vllm --beside nope,quant=zzz", ("nope", "zzz")),
        ("compare nowhere quant=zzz --model qwen3-4b --runtime vllm", ("nowhere", "zzz")),
    ],
)
def test_2_every_name_that_there_is_not(call: str, named: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*call.split(), "--json"]) == 2
    problems = error_of(capsys.readouterr().out)["problems"]
    said = [[name for name in named if f"'{name}'" in problem["message"]] for problem in problems]
    assert sorted(said) == sorted([name] for name in named)


def test_2_every_problem_of_a_call_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--model", "nope", "--runtime", "vlm", "--hardware", "spork", "--batch", "-1", "--set", "quant.x=1"]
    assert main([*words, "--json"]) == 2
    codes = [problem["code"] for problem in error_of(capsys.readouterr().out)["problems"]]
    assert codes == ["bad_argument", "bad_override", "unknown_hardware", "unknown_runtime", "unknown_model"]


@pytest.mark.parametrize("words", [["run"], ["show", "hardware"], ["list"], ["list", "nothing"], ["fly"], []])
def test_2_an_incomplete_call_says_what_is_missing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_2_a_plug_in_that_fails_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tmp_path / "mine.py"
    for text, message in (("\nimport nothing_of_that_name\n", "ModuleNotFoundError"), ("\nx = = 1\n", "SyntaxError")):
        plugin.write_text(text)
        assert main([*QUICK, "--plugin", str(plugin)]) == 2
        assert f"{plugin}:2: plugin mine.py fails: {message}: " in capsys.readouterr().err


def test_3_does_not_fit_by_how_much_and_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    """Weights in closed form: 2 bytes for each parameter of the card; short is what is needed beyond what there is."""
    assert main([*TOO_LARGE, "--json"]) == 3
    result = json.loads(capsys.readouterr().out)
    memory = result["memory"]
    assert memory["fits"] is False
    assert memory["weights_bytes"] == 2 * load_model("llama-3.1-70b").parameter_count()
    assert memory["short_bytes"] == memory["needed_bytes"] - memory["available_bytes"] > 0
    rates = ("ttft_s", "prefill_tok_s", "decode_tok_s", "tpot_s", "bound", "dram")
    assert [result[key] for key in rates] == [None] * len(rates)
    assert main(TOO_LARGE) == 3
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    needed, there = memory["needed_bytes"] / 1e9, memory["available_bytes"] / 1e9
    assert f"Does it fit? no: it needs {needed:.1f} GB, the runtime may use {there:.1f} GB" in lines
    assert f"short by {memory['short_bytes'] / 1e9:.1f} GB" in lines
    assert f"would fit {memory['would_fit']}" in lines


def test_3_what_would_fit_does(capsys: pytest.CaptureFixture[str]) -> None:
    main([*TOO_LARGE, "--json"])
    recipe = json.loads(capsys.readouterr().out)["memory"]["would_fit"].split()[0]
    words = [recipe if word == "bf16" else word for word in TOO_LARGE]
    assert main([*words, "--prompt", "16", "--output", "2", "--cache", "off"]) == 0


@pytest.mark.parametrize("error", [LawError, DeadlockError])
def test_4_a_broken_law_or_a_deadlock(
    error: type[LawError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error(Problem("L5 broken", code="law"))

    monkeypatch.setattr(prediction, "check_laws", broken)
    assert main([*QUICK, "--json"]) == 4
    printed = capsys.readouterr()
    assert error_of(printed.out)["exit_code"] == 4
    assert printed.err == "L5 broken\n"


def test_130_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prediction, "memory_use", interrupted)
    assert main(QUICK) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_a_files_control_characters_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "red.json"
    path.write_text('{"architectures": ["\\u001b[31mLlamaForCausalLM"]}')
    assert main(["check", str(path)]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_from_outside_exit_code_stdout_and_stderr_are_apart(root: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "sim", "run", "--model", "nope", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, check=False)
    assert done.returncode == 2
    assert len(error_of(done.stdout)["problems"]) == len(done.stderr.splitlines()) == 2
