"""Does `fit` find the largest that fits and nothing larger, and say what would?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim
from sim.cli import main
from sim.result.fit_result import ModelFit
from sim.study.fit import with_context
from sim.workload.lower import Request

ASKED = {"model": "qwen3-32b", "runtime": "vllm", "quant": "fp8", "batch": 8, "prompt": 2000, "output": 48}


def first(**changes: object) -> ModelFit:
    return sim.fit(**{**ASKED, **changes}).models[0]


def test_the_verdict_is_that_of_a_run():
    for quant in ("fp8", "bf16"):
        found = first(quant=quant)
        ran = sim.run(**{**ASKED, "quant": quant, "output": 48}).memory
        assert ran is not None
        assert (found.memory.needed_bytes, found.memory.fits) == (ran.needed_bytes, ran.fits)


def test_one_token_more_than_the_longest_context_does_not_fit():
    found = first(batch=64)
    assert 0 < found.largest_context < sim.load_model("qwen3-32b").max_context
    assert found.context_limit == "memory"
    depth = found.largest_context - 2048
    assert first(batch=64, depth=depth).memory.fits
    assert not first(batch=64, depth=depth + 16).memory.fits  # blocks of 16 tokens
    assert first(batch=1).context_limit == "model"


def test_one_sequence_more_than_the_most_does_not_fit():
    most = first().largest_batch
    assert most > 8
    assert first(batch=most).memory.fits
    beyond = first(batch=most + 1)
    assert not beyond.memory.fits
    assert beyond.memory.at_once == most
    assert beyond.memory.when_full == "preempt"


@pytest.mark.parametrize(
    ("tokens", "parts"), [(300, (150, 100, 50)), (140, (0, 90, 50)), (50, (0, 0, 50)), (20, (0, 0, 20))]
)
def test_what_is_cached_gives_way_first(tokens: int, parts: tuple[int, int, int]):
    found = with_context(Request(2, prompt=100, depth=7, output=50), tokens)
    assert (found.depth, found.prompt, found.output) == parts


def test_quantisations_are_listed_once_each_from_the_largest_to_the_smallest():
    found = sim.fit(model="llama-3.1-70b", runtime="vllm").models[0]
    sizes = [each.weights_bytes for each in found.quants]
    assert sizes == sorted(sizes, reverse=True)
    fitting = [each.quant for each in found.quants if each.fits]
    assert (found.best_quant, found.smallest_quant) == (fitting[0], fitting[-1])
    assert str(found.best_quant).startswith("fp8")
    assert "mxfp4" not in {each.quant for each in found.quants}  # experts only, and this model has none
    for each in found.quants:
        assert each.fits == (each.margin_bytes >= 0)
        assert sim.fit(model="llama-3.1-70b", runtime="vllm", quant=each.quant).fits == each.fits
    quantised = sim.fit(model="gpt-oss-120b", runtime="llama.cpp").models[0]
    assert quantised.quants[0].quant == "mxfp4_gguf"  # nothing has more bits than the checkpoint


def test_every_proposal_does_fit():
    found = first(quant="bf16", batch=64, prompt=30000)
    assert not found.memory.fits
    proposals = dict(each.removeprefix("--").split(" ", 1) for each in found.would_fit if each.startswith("--"))
    batch = int(proposals["batch"].split(";")[0])
    assert first(quant="bf16", batch=batch, prompt=30000).memory.fits
    tokens = next(int(each.split()[0].replace(",", "")) for each in found.would_fit if "tokens" in each)
    assert first(quant="bf16", batch=64, prompt=tokens - 48).memory.fits
    wide = first(quant="bf16", batch=24, prompt=8000, kv_dtype="bf16")
    assert any(each.startswith("--kv-dtype fp8") for each in wide.would_fit)
    assert first(quant="bf16", batch=24, prompt=8000, kv_dtype="fp8").memory.fits
    share = next(each for each in first(quant="bf16", batch=93).would_fit if "memory.fraction" in each)
    assert first(quant="bf16", batch=93, set=[share.removeprefix("--set ")]).memory.fits


def test_side_by_side_each_has_what_it_needs():
    found = sim.fit(model="gpt-oss-20b", runtime="llama.cpp", beside=["qwen3-4b,quant=fp8,runtime=vllm"])
    assert found.together is not None
    needs = [each.memory.needed_bytes + each.memory.host_bytes for each in found.models]
    visible, reserved = found.models[0].memory.visible_bytes, found.models[0].memory.reserved_bytes
    assert found.together.margin_bytes == visible - reserved - sum(needs)
    assert found.fits
    assert [each.runtime for each in found.models] == ["llama.cpp", "vllm"]
    small = found.models[1]
    alone = sim.fit(model="qwen3-4b", runtime="vllm", quant="fp8", set={"runtime.memory.fraction": small.share})
    assert alone.fits


def test_side_by_side_too_much_says_which_would_do():
    found = sim.fit(model="qwen3-32b", runtime="vllm", beside=[{"model": "qwen3-32b"}])
    assert not found.fits
    assert all("qwen3-32b in " in each for each in found.together.would_fit)
    quant = found.together.would_fit[0].split(" in ")[1].split(":")[0]
    assert sim.fit(model="qwen3-32b", runtime="vllm", beside=[{"model": "qwen3-32b", "quant": quant}]).fits


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(sim.InputError) as caught:
        sim.fit(model="nothing", runtime="vllm", batch=0, beside=["qwen3-4b,hardware=x", "quant=fp8", "a,b,c"])
    said = str(caught.value)
    for part in ("unknown model 'nothing'", "batch: must be 1 or more", "that of the first model", "names no model"):
        assert part in said


def test_the_exit_code_is_the_verdict(capsys: pytest.CaptureFixture[str]):
    words = ["fit", "--runtime", "vllm", "--json", "--model"]
    assert main([*words, "qwen3-0.6b"]) == 0
    yes = json.loads(capsys.readouterr().out)
    assert (yes["schema"], yes["fits"], yes["verdict"]) == ("sparksim.fit/1", True, "fits")
    assert main([*words, "llama-3.1-70b"]) == 3
    no = json.loads(capsys.readouterr().out)
    assert (no["fits"], no["is_marginal"]) == (False, False)
    assert no["models"][0]["memory"]["short_bytes"] == -no["models"][0]["memory"]["margin_bytes"] > 0
    assert main([*words, "nothing"]) == 2


def test_the_table_says_what_the_result_says(capsys: pytest.CaptureFixture[str]):
    assert main(["fit", "--model", "llama-3.1-70b", "--runtime", "vllm", "--quiet"]) == 3
    printed = capsys.readouterr().out
    found = sim.fit(model="llama-3.1-70b", runtime="vllm").models[0]
    assert "does not fit" in printed
    assert f"{found.memory.short_bytes / 1e9:.1f} GB short" in printed
    for each in found.quants:
        assert f"{each.weights_bytes / 1e9:.1f} GB" in printed
    assert main(["fit", "--model", "qwen3-4b", "--runtime", "vllm", "--beside", "qwen3-0.6b", "--quiet"]) == 0
    assert "side by side on dgx-spark: fits" in capsys.readouterr().out


def test_a_scenario_is_taken_and_flags_override_it():
    found = sim.fit(file="gpt-oss-120b-chat", batch=3).models[0]
    assert (found.model, found.batch, found.prompt_tokens, found.runtime_version) == ("gpt-oss-120b", 3, 2048, "b7941")


def test_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, more in (("one", []), ("two", ["--beside", "qwen3-0.6b"])):
        words = ["fit", "--model", "qwen3-4b", "--runtime", "vllm", *more, "--plot", str(tmp_path / name), "--quiet"]
        assert main(words) == 0
        assert {path.name for path in tmp_path.glob(f"{name}.*")} == {f"{name}.svg", f"{name}.png"}
    text = (tmp_path / "one.svg").read_text()
    assert "Which quantisation of qwen3-4b fits" in text
    assert "best" not in text
    assert "2 models side by side" in (tmp_path / "two.svg").read_text()
    capsys.readouterr()
    assert main(["fit", "--model", "qwen3-4b", "--runtime", "vllm", "--force"]) == 2


def test_files_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["fit", "--model", "qwen3-4b", "--runtime", "vllm", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(words) == 0
    names = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names == {"summary.json", "manifest.json", "fit.svg", "fit.png"}
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert written == json.loads(json.dumps(sim.fit(model="qwen3-4b", runtime="vllm").to_dict()))
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err


def test_an_op_trace_has_no_memory_to_fit(root: Path):
    with pytest.raises(sim.InputError, match="says nothing of memory"):
        sim.fit(file=root / "examples/net-by-hand.yaml", runtime="vllm")
