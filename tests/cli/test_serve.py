"""Does `sparksim run` on a scenario of kind serve print, write and answer what the contract says?"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sim.cli import main
from sim.system.serve import _teller

SCENARIO = """schema: sparksim.scenario/1
kind: serve
model: qwen3-0.6b
runtime: {name: vllm, version: 0.26.0, set: {max_num_seqs: 16, prefix_caching: false}}
traffic:
  arrivals: {kind: gamma, rate: 4 /s, burstiness: 0.7}
  prompt: {constant: 1024}
  output: {constant: 24}
until: {requests: 40, after_warm_up: 5}
seeds: [42]
slo: {ttft_p95: 3 s, tpot_p95: 100 ms}
"""
CONTRACT = (
    "requests", "completed", "failed", "duration_s", "request_rate", "output_tok_s", "total_tok_s", "goodput", "ttft_s",
    "tpot_s", "itl_s", "e2e_s", "peak_running", "peak_waiting", "preemptions", "cached_tokens", "kv_peak_bytes",
)  # fmt: skip


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "office.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


def test_the_keys_of_the_contract(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(scenario), "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "sparksim.serve/1"
    assert set(CONTRACT) <= set(found)
    assert (found["requests"], found["completed"], found["failed"]) == (40, 40, 0)
    for key in ("ttft_s", "tpot_s", "itl_s", "e2e_s"):
        assert list(found[key]) == ["mean", "p50", "p90", "p95", "p99"]
    assert found["output_tok_s"] == pytest.approx(24 * found["request_rate"])
    assert found["total_tok_s"] == pytest.approx(1048 * found["request_rate"])
    assert found["request_rate"] == pytest.approx(40 / found["duration_s"])
    assert found["slo"]["is_held"] is True
    assert found["goodput"] == pytest.approx(found["request_rate"])
    assert found["kv_peak_bytes"] >= 1048 / 16 * 16 * 114_688  # 28 layers x 8 heads x 128 x 2 x 2 bytes a token


def test_a_prompt_alone_takes_what_run_says(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One request at a time: `run` simulates its prompt and 23 steps; the table may be off by 1 %."""
    text = SCENARIO.replace("gamma, rate: 4 /s, burstiness: 0.7", "constant, rate: 0.1 /s").replace("40", "2")
    scenario.write_text(text, encoding="utf-8")
    assert main(["run", str(scenario), "--json", "--quiet"]) == 0
    served = json.loads(capsys.readouterr().out)
    words = "run --model qwen3-0.6b --runtime vllm@0.26.0 --prompt 1024 --output 24 --json --quiet"
    assert main(words.split()) == 0
    alone = json.loads(capsys.readouterr().out)
    assert served["ttft_s"]["p50"] == pytest.approx(alone["ttft_s"], rel=0.01)
    assert served["tpot_s"]["p50"] == pytest.approx(alone["tpot_s"], rel=0.01)


def test_an_slo_that_is_not_held_is_no(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario.write_text(SCENARIO.replace("100 ms", "1 ms"), encoding="utf-8")
    assert main(["run", str(scenario), "--quiet"]) == 3
    text = capsys.readouterr().out
    assert "Successful requests:                     40" in text
    assert "Mean TTFT (ms):" in text
    assert "SLO ttft_p95 held" in text
    assert "SLO tpot_p95 NOT held" in text
    assert "Request goodput (req/s):                 0.00" in text


def test_a_model_that_does_not_fit_is_no(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(scenario), "--quiet", "--set", "runtime.gpu_memory_utilization=0.01"]) == 3
    assert "does not fit" in capsys.readouterr().out


def test_what_out_writes(scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row per request, from which the percentiles of the summary come again."""
    scenario.write_text(SCENARIO.replace("[42]", "[42, 43]"), encoding="utf-8")
    out = tmp_path / "out"
    assert main(["run", str(scenario), "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in out.iterdir()) == [
        "manifest.json", "plots", "requests.csv", "series.csv", "spec.resolved.yaml", "summary.json",
    ]  # fmt: skip
    with (out / "requests.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["number"]) for row in rows] == [*range(6, 46)] * 2
    for number, seed in enumerate(found["by_seed"]):
        ttft = [float(row["ttft_s"]) for row in rows if int(row["seed"]) == seed["seed"]]
        assert len(ttft) == 40
        assert seed["ttft_s"]["p95"] == pytest.approx(np.percentile(ttft, 95), abs=1e-8)
        assert found["seeds"][number] == seed["seed"]
    assert found["ttft_s"]["p95"] == pytest.approx(np.mean([seed["ttft_s"]["p95"] for seed in found["by_seed"]]))
    assert {path.suffix for path in (out / "plots").iterdir()} == {".svg", ".png"}
    assert main(["run", str(scenario), "--out", str(out)]) == 2


def test_another_process_with_another_hash_seed_prints_the_same(scenario: Path, root: Path) -> None:
    command = [sys.executable, "-m", "sim", "run", str(scenario), "--json", "--cache", "off"]
    texts = {
        subprocess.run(
            command, capture_output=True, check=True, cwd=root, env=os.environ | {"PYTHONHASHSEED": str(seed)}
        ).stdout
        for seed in (1, 2)
    }
    assert len(texts) == 1


@pytest.mark.slow
def test_interrupted_it_says_what_was_done(scenario: Path, root: Path, tmp_path: Path) -> None:
    """A run of many requests gets Ctrl-C once it serves: it ends with 130, and the requests done by then are told."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("a shell that runs this in the background has its children ignore SIGINT")
    text = SCENARIO.replace("requests: 40", "requests: 5000000").replace("rate: 4 /s", "rate: 1 /s")
    scenario.write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "sim", "run", str(scenario), "--json", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root)
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    found = json.loads(stdout)
    assert found["is_interrupted"] is True
    assert 0 < found["completed"] < 5_000_000
    assert json.loads((out / "summary.json").read_text())["completed"] == found["completed"]


def test_flags_of_a_plain_run_are_refused(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(scenario), "--batch", "4", "--model", "qwen3-8b"]) == 2
    problems = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in problems] == ["model", "batch"]


def test_all_that_is_wrong_with_a_server_is_said_at_once(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SCENARIO.replace("max_num_seqs: 16", "max_num_seqs: 0, gpu_memory_utilization: 2, chunked_prefill_size: 3")
    scenario.write_text(text, encoding="utf-8")
    assert main(["run", str(scenario)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "max_num_seqs: must be from 1 to 2147483648, not 0",
        "gpu_memory_utilization: must be above 0 and at most 1, not 2",
        "chunked_prefill_size: is no option of this server; there are max_num_seqs, max_num_batched_tokens, "
        "max_model_len, block_size, gpu_memory_utilization, prefix_caching, async_scheduling, scheduling_policy, "
        "max_queued_requests",
    ]


def test_a_bad_trace_is_refused_or_its_lines_left_out(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,48,10\nx,1,1\n"
    )
    body = SCENARIO.partition("traffic:")[0] + "traffic: {arrivals: {kind: trace, file: ./t.csv%s}}\n"
    scenario.write_text(body % "", encoding="utf-8")
    assert main(["run", str(scenario)]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 't.csv'}:3: 'x' is no time\n"
    scenario.write_text(body % ", skip_bad_lines: true", encoding="utf-8")
    assert main(["run", str(scenario), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["skipped_lines"] == 1
    assert "1 bad lines of the trace were left out" in captured.err


def test_progress_says_how_long_the_rest_takes() -> None:
    """64 of 192 requests took 10 s: the other 128 take 20 more."""
    said: list[str] = []
    times = iter((0.0, 10.0))
    tell = _teller(said.append, 7, 192, clock=lambda: next(times))
    assert tell is not None
    for _ in range(64):
        tell((1, 0, 0, 5 * 10**12))
    assert said == ["seed 7: 64 of 192 requests done, 5 s simulated, 20 s left"]
    assert _teller(None, 7, 192) is None
