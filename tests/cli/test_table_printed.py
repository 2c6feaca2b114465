"""Does the printed table say what was asked, whether it fits, how fast it is and what limits it, in that order?"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sim
from sim import RunResult, api
from sim.cli import main
from sim.cli.table import Look, table
from sim.result.trace import CAUSES
from sim.result.words import WORDS, limits

RUN = ("run", "--model", "qwen3-0.6b", "--runtime", "vllm", "--prompt", "128", "--output", "8", "--batch", "2")
TOO_LARGE = ("run", "--model", "llama-3.1-70b", "--runtime", "vllm")
ESCAPE = "\x1b"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def result() -> RunResult:
    return sim.run(model="qwen3-0.6b", runtime="vllm", prompt=128, output=8, batch=2)


def _number(lines: list[str], name: str) -> tuple[float, str]:
    line = next(line for line in lines if line.split()[:1] == [name])
    found = re.match(rf"  {name}\s+([\d,.]+) (\S+)", line)
    assert found, line
    return float(found[1].replace(",", "")), found[2]


def test_the_planners_order(result: RunResult):
    text = "\n".join(table(result, Look(io.StringIO())))
    places = [text.index(part) for part in ("qwen3-0.6b on dgx-spark, vllm@", "asked", "Does it fit? yes", "weights  ",
                                            "room for", "How fast?", "prefill ", "ttft", "decode ", "tpot", "e2e",
                                            "What limits it?")]  # fmt: skip
    assert places == sorted(places)
    assert "2 sequences, each with 0 tokens cached, 128 new ones to read, 8 to write" in text
    assert "more tokens in each (the model's own limit)" in text  # memory has room for far more than its 40,960


def test_numbers_are_those_of_the_result(result: RunResult):
    lines = table(result, Look(io.StringIO()))
    seconds = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
    for name, value in (("ttft", result.rates()["ttft_s"]), ("tpot", result.rates()["tpot_s"])):
        number, unit = _number(lines, name)
        assert number * seconds[unit] == pytest.approx(value, rel=0.1)
    for name, value in (("prefill", result.prefill_tok_s), ("decode", result.decode_tok_s)):
        number, unit = _number(lines, name)
        half = (result.ranges()[name].high - result.ranges()[name].low) / 2
        assert (number, unit) == (pytest.approx(value, abs=half / 2), "tok/s")  # rounded to the range's first digit
    use = result.memory
    assert use is not None
    for name, value in (("weights", use.weights_bytes), ("free", use.available_bytes - use.needed_bytes)):
        assert _number(lines, name) == (pytest.approx(value / 1e9, abs=0.05), "GB")


def test_columns_are_aligned_and_lines_short(result: RunResult):
    lines = table(result, Look(io.StringIO()))
    sizes = [line for line in lines if line.split()[:1] in (["weights"], ["runtime"], ["free"], ["system"])]
    rates = [
        line for line in lines[lines.index("How fast?") + 1 :] if line.split()[:1] in (["prefill"], ["ttft"], ["e2e"])
    ]
    assert len({line.index(" GB") for line in sizes}) == 1
    assert len({line.rindex("   ") for line in rates if "   " in line.strip()}) == 1
    assert max(map(len, lines)) <= 110
    assert all(line == line.rstrip() for line in lines)


def test_a_phase_in_a_plain_sentence():
    causes = {"dram": 0.74, "dependency": 0.11, "pipeline_fill": 0.09, "cuda": 0.05, "l2": 0.01}
    phase = {"causes": causes, "dram": {"achieved_bytes_per_s": 205.2e9}}
    assert limits(phase, 235.1e9) == [
        "waits for LPDDR5X 74 % of the time: 205 of 235 GB/s sustained",
        "then kernel boundaries and latency 11 %, pipelines filling 9 %, CUDA cores 5 %",
    ]
    phase = {"causes": {"tensor": 1.0}, "dram": {"achieved_bytes_per_s": 1e9}}
    assert limits(phase, 235.1e9) == [
        "computes on tensor cores 100 % of the time: LPDDR5X moves 1 of 235 GB/s sustained"
    ]
    assert limits({"causes": {}, "dram": {"achieved_bytes_per_s": 0.0}}, 235.1e9) == ["takes no time."]


def test_every_cause_has_a_word():
    assert WORDS.keys() == CAUSES.keys()


def test_a_model_that_does_not_fit(capsys: pytest.CaptureFixture[str]):
    assert main(TOO_LARGE) == 3
    out = capsys.readouterr().out
    use = sim.run(model="llama-3.1-70b", runtime="vllm").memory
    assert use is not None
    assert "Does it fit? no: it needs" in out
    assert re.search(rf"short by +{use.short_bytes / 1e9:.1f} GB", out)
    assert f"would fit   {use.would_fit}" in out
    assert "How fast?" not in out


def test_the_module_gives_the_exit_code_of_the_command(root: Path):
    command = [sys.executable, "-m", "sim", *TOO_LARGE, "--quiet"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    assert ESCAPE not in done.stdout


def test_an_op_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "net.yaml"
    path.write_text("schema: sparksim.ops/1\nname: net\nops: [{id: up, op: gemm, m: 8, n: 256, k: 256, dtype: bf16}]\n")
    assert main(("run", str(path), "--runtime", "vllm")) == 0
    out = capsys.readouterr().out
    assert out.startswith("net on dgx-spark, vllm@")
    assert "Does it fit?" not in out
    assert re.search(r"\n  run +[\d.]+ [mu]s\n", out)


def test_plain_unless_a_terminal_wants_colour(result: RunResult, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert ESCAPE in "".join(table(result, Look(Terminal())))
    assert ESCAPE not in "".join(table(result, Look(io.StringIO())))
    monkeypatch.setenv("NO_COLOR", "1")
    assert ESCAPE not in "".join(table(result, Look(Terminal())))
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert ESCAPE not in "".join(table(result, Look(Terminal())))


def test_notes_go_to_stderr(capsys: pytest.CaptureFixture[str]):
    changed = (*RUN, "--set", "gpu.sms=96")
    assert main((*changed, "--json")) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["overrides"] == {"gpu.sms": "96"}
    assert "note: the GPU's clock of 2,480 MHz is assumed; --set gpu.clock=... says another\n" in err
    assert "note: extrapolated: gpu.sms=96 set by hand; no measurement stands behind that\n" in err
    assert main((*changed, "--quiet", "--json")) == 0
    assert capsys.readouterr() == (out, "")
    assert main((*RUN, "--set", "gpu.clock=2 GHz")) == 0
    assert "is assumed" not in capsys.readouterr().err


def test_an_existing_folder_is_refused_before_anything_is_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(api, "run", lambda **_: pytest.fail("simulated in vain"))
    assert main((*RUN, "--out", str(tmp_path))) == 2
    assert capsys.readouterr().err == f"{tmp_path}: exists already; --force replaces it\n"


def test_the_folder_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sim.plot.draw_all", lambda _result, _folder: [])
    out = tmp_path / "out"
    assert main((*RUN, "--out", str(out))) == 0
    assert f"wrote 7 files into {out}; see plots/" in capsys.readouterr().err
