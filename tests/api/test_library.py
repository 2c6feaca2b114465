"""Does the library take a name, a path or a loaded object alike, and give a script what it wants?"""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import sim
from sim.paths import find

ARGUMENTS = {"model": "qwen3-0.6b", "runtime": "vllm", "quant": "bf16", "hardware": "dgx-spark"}
SHORT = {"prompt": 16, "output": 3}


@pytest.fixture(scope="module")
def result() -> sim.RunResult:
    return sim.run(**ARGUMENTS, **SHORT)


LOADED = {
    "model": lambda: sim.load_model("qwen3-0.6b"),
    "runtime": lambda: sim.load_runtime("vllm"),
    "quant": lambda: sim.load_quant("bf16"),
    "hardware": lambda: sim.load_hardware("dgx-spark"),
}
FOLDERS = {"model": "models", "runtime": "runtimes", "quant": "quants", "hardware": "hardware"}


@pytest.mark.parametrize("argument", list(LOADED))
@pytest.mark.parametrize("form", ["loaded", "path", "text"])
def test_name_path_and_object_are_the_same(argument: str, form: str, result: sim.RunResult) -> None:
    path = find(FOLDERS[argument], ARGUMENTS[argument])
    given = {"loaded": LOADED[argument], "path": lambda: path, "text": lambda: str(path)}[form]()
    assert sim.run(**{**ARGUMENTS, argument: given}, **SHORT).summary() == result.summary()


def test_result_has_what_a_script_wants(result: sim.RunResult) -> None:
    summary = result.summary()
    for name in ("decode_tok_s", "prefill_tok_s", "ttft_s", "tpot_s", "e2e_s", "bound", "phases"):
        assert getattr(result, name) == summary[name], name
    assert result.fits is summary["memory"]["fits"] is True
    assert result.tpot_s == pytest.approx(1 / result.decode_tok_s)  # one sequence
    assert result.prefill_tok_s == pytest.approx(16 / result.ttft_s)
    assert result.e2e_s == pytest.approx(result.ttft_s + 2 * result.tpot_s)
    assert result.phases["decode"]["time_s"] == pytest.approx(2 * result.tpot_s)


def test_a_result_travels_between_processes_whole(result: sim.RunResult) -> None:
    there = pickle.loads(pickle.dumps(result))
    assert there.summary() == result.summary()
    assert there.energy == result.energy
    assert there.memory_timeline == result.memory_timeline


def test_what_does_not_fit_is_a_result() -> None:
    result = sim.run(model="llama-3.1-70b", runtime="llama.cpp", quant="bf16")
    assert result.fits is False
    assert result.memory.short_bytes > 0
    rates = (result.decode_tok_s, result.prefill_tok_s, result.ttft_s, result.tpot_s, result.e2e_s, result.bound)
    assert rates == (None,) * 6
    assert result.phases == {}


def test_op_trace_has_no_memory_account_and_no_rates(tmp_path: Path) -> None:
    path = tmp_path / "ops.yaml"
    path.write_text("schema: sparksim.ops/1\nname: t\nops:\n  - {id: a, op: host, duration: 2 us}\n")
    result = sim.run(file=path, runtime="vllm")
    assert (result.fits, result.memory, result.decode_tok_s) == (None, None, None)
    assert result.bound == "host"


def test_tables_pictures_and_files(result: sim.RunResult, tmp_path: Path) -> None:
    ops, spans, memory = (result.to_frame(what) for what in ("ops", "spans", "memory"))
    assert {"op", "component", "wall_ps", "dram_read_bytes"} <= set(ops.columns)
    assert {"cause", "bound", "start_ps", "end_ps"} <= set(spans.columns)
    assert set(memory[memory.what == "weights"].bytes) == {result.memory.weights_bytes}
    assert result.plot.timeline().axes
    written = {path.name for path in result.write(tmp_path / "out")}
    assert {"summary.json", "ops.jsonl", "spans.csv", "timeline.json", "timeline.png"} <= written
    with pytest.raises(sim.InputError, match="exists already"):
        result.write(tmp_path / "out")
    with pytest.raises(sim.InputError, match="no table 'nothing'"):
        result.to_frame("nothing")
    with pytest.raises(AttributeError, match="no plot 'nothing'; there are: "):
        _ = result.plot.nothing


def test_override_gives_a_copy_and_stands_in_the_result(result: sim.RunResult) -> None:
    spark = sim.load_hardware("dgx-spark")
    slower = spark.override("memory.bandwidth", "x0.5")
    assert spark.components["memory"].bandwidth == pytest.approx(2 * slower.components["memory"].bandwidth)
    changed = sim.run(**{**ARGUMENTS, "hardware": slower}, **SHORT)
    assert changed.summary()["overrides"] == {"memory.bandwidth": "x0.5"}
    assert changed.decode_tok_s < result.decode_tok_s
    same = sim.run(**ARGUMENTS, **SHORT, set={"memory.bandwidth": "x0.5"})
    assert same.summary() == changed.summary()


def test_set_takes_texts_or_a_mapping() -> None:
    texts = sim.run(**ARGUMENTS, **SHORT, set=["gpu.sms=24", "model.num_hidden_layers=4"])
    mapping = sim.run(**ARGUMENTS, **SHORT, set={"gpu.sms": 24, "model.num_hidden_layers": 4})
    assert texts.summary() == mapping.summary()
    assert texts.summary()["overrides"] == {"gpu.sms": "24", "model.num_hidden_layers": "4"}


@pytest.mark.parametrize("what", ["model", "runtime"])
def test_loaded_object_is_not_changed_silently(what: str) -> None:
    given = {**ARGUMENTS, what: LOADED[what]()}
    with pytest.raises(sim.InputError) as caught:
        sim.run(**given, **SHORT, set={f"{what}.ubatch_tokens": 8, f"{what}.num_hidden_layers": 2})
    assert [p.path for p in caught.value.problems] == [f"{what}.ubatch_tokens", f"{what}.num_hidden_layers"]
    assert f"sim.load_{what}(" in caught.value.problems[0].hint


def test_errors_carry_every_problem() -> None:
    with pytest.raises(sim.InputError) as caught:
        sim.run(batch=0, prompt=-1)
    assert [p.path for p in caught.value.problems] == ["batch", "prompt", "model", "runtime"]
    assert all(p.message for p in caught.value.problems)


@pytest.mark.parametrize(
    "kind", ["hardware", "models", "runtimes", "quants", "ops", "components", "laws", "calibrated", "errors", "result"]
)
def test_every_kind_lists_names(kind: str) -> None:
    names = sim.list(kind)
    assert names
    assert all(isinstance(name, str) and name for name in names)


def test_unknown_kind_is_named() -> None:
    with pytest.raises(sim.InputError, match=r"unknown kind 'model'; did you mean 'models'\?"):
        sim.list("model")
