"""Does `compare` account for the whole difference between two runs, and say what it is made of?"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isclose
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.cli import main
from sim.errors import InputError
from sim.study.compare import Comparison
from sim.study.sides import side

RUN = {"model": "qwen3-0.6b", "runtime": "llama.cpp", "prompt": 128, "output": 4}
FLAGS = ["--model", "qwen3-0.6b", "--runtime", "llama.cpp", "--prompt", "128", "--output", "4", "--quiet"]
HOST = """\
schema: sparksim.ops/1
name: host-and-copy
ops:
  - {id: h2d, op: copy, size: 4 GiB, from: cpu, to: gpu}
  - {id: wait, op: host, duration: 20 ms, after: [h2d]}
"""


@pytest.fixture(scope="module")
def found() -> Comparison:
    return sim.compare("dgx-spark", {"memory.bandwidth": "x2", "batch": 4}, **RUN)


@pytest.mark.parametrize("split", ["by_bound", "by_cause", "by_op"])
@pytest.mark.parametrize(
    "pair",
    [
        ("dgx-spark", "rtx-pro-6000-server"),
        ("runtime=llama.cpp", "runtime=vllm,quant=bf16"),
        ("batch=1", "batch=8"),
        ("depth=0", "depth=4096,gpu.clock=x0.5"),
        ("dgx-spark", "dgx-spark"),
    ],
)
def test_the_steps_sum_to_the_difference(pair: tuple[str, str], split: str):
    """The law of a waterfall, whatever is compared and however it is split; the ends are those of the two runs."""
    each = sim.compare(*pair, **RUN)
    assert [waterfall.phase for waterfall in each.waterfalls] == ["prefill", "decode"]
    for waterfall in each.waterfalls:
        steps: dict[str, float] = getattr(waterfall, split)()
        difference = waterfall.b_s - waterfall.a_s
        assert isclose(sum(steps.values()), difference, rel_tol=1e-9, abs_tol=1e-12 * waterfall.a_s)
        for end, time in ((each.a, waterfall.a_s), (each.b, waterfall.b_s)):
            rate = end.summary[f"{waterfall.phase}_tok_s"]
            assert time == pytest.approx(1 / rate, rel=1e-12)


def test_the_steps_of_an_op_sum_to_its_own(found: Comparison):
    for waterfall in found.waterfalls:
        for name, step in waterfall.by_op().items():
            assert sum(waterfall.op_by_bound(name).values()) == pytest.approx(step, rel=1e-9, abs=1e-15)


def test_a_and_b_the_other_way_round_is_the_same_with_the_other_sign(found: Comparison):
    back = sim.compare({"memory.bandwidth": "x2", "batch": 4}, "dgx-spark", **RUN)
    for one, other in zip(found.waterfalls, back.waterfalls, strict=True):
        assert one.speedup == pytest.approx(1 / other.speedup)
        assert one.by_cause() == pytest.approx({cause: -step for cause, step in other.by_cause().items()})


def test_a_faster_link_to_the_cpu_shortens_the_copy_and_nothing_else(tmp_path: Path):
    """4 GiB are read and written at 100 GB/s, then at 200, which saves half of the time; the 20 ms of the host stay."""
    path = tmp_path / "trace.yaml"
    path.write_text(HOST, encoding="utf-8")
    (waterfall,) = sim.compare("dgx-spark", "cpu0.bandwidth=x2", file=path, runtime="vllm").waterfalls
    assert waterfall.per == "phase"
    saved = 2 * 2**32 / 100e9 / 2
    assert waterfall.by_op()["copy"] == pytest.approx(-saved, rel=1e-3)
    assert waterfall.by_op()["host"] == pytest.approx(0, abs=1e-12)
    assert waterfall.by_bound()["memory"] == pytest.approx(-saved, rel=1e-3)
    assert waterfall.by_bound()["host"] == pytest.approx(0, abs=1e-12)


def test_results_that_were_written_compare_like_the_runs_themselves(tmp_path: Path, found: Comparison):
    sim.run(**RUN).write(tmp_path / "one")
    changed = sim.run(**RUN | {"batch": 4}, set={"memory.bandwidth": "x2"})
    read = sim.compare(tmp_path / "one", changed)
    assert [each.to_dict() for each in read.waterfalls] == [each.to_dict() for each in found.waterfalls]
    assert read.differs["batch"] == [1, 4]


@pytest.mark.parametrize(
    ("text", "arguments", "overrides"),
    [
        ("dgx-spark", {"hardware": "dgx-spark"}, {}),
        ("runtime=vllm@0.26.0, kv-dtype=fp8", {"runtime": "vllm@0.26.0", "kv_dtype": "fp8"}, {}),
        ("batch=8,gpu.sms=96", {"batch": 8}, {"gpu.sms": "96"}),
        ("model=some/config.json", {"model": "some/config.json"}, {}),
    ],
)
def test_what_a_side_stands_for(text: str, arguments: dict[str, Any], overrides: dict[str, str]):
    change = side(text)
    assert (change.arguments, change.overrides, change.result) == (arguments, overrides, None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: sim.compare("vllm", "fp8", **RUN),
            [
                "'vllm' is no machine but a runtime; write runtime=vllm",
                "'fp8' is no machine but a recipe; write quant=fp8",
            ],
        ),
        (
            lambda: sim.compare("runtme=vllm", "quant=fp8,quant=", **RUN),
            [
                "runtme: 'runtme' is nothing that a run has; did you mean runtime?",
                "quant: 'quant=fp8,quant=' is not KEY=VALUE[,KEY=VALUE...]",
            ],
        ),
        (
            lambda: sim.compare("dgx-spark", "h100-sxm", model="qwen3-4b", quant="nvfp4", runtime="vllm", prompt=0),
            [
                "h100-sxm: nvfp4_cutlass works on 'fp4', which gpu does not have; "
                "flop_per_clock_per_sm lists fp32, int8_dp4a, tf32, bf16, fp16, fp8, int8"
            ],
        ),
        (
            lambda: sim.compare("output=0", "prompt=0", **RUN),
            ["output=0 has prefill, prompt=0 has decode: no phase in common"],
        ),
        (
            lambda: sim.compare(sim.run(**RUN), sim.run(**RUN), model="qwen3-0.6b", set={"gpu.sms": 96}),
            ["model: both sides are results: nothing is run", "set: both sides are results: nothing is run"],
        ),
        (
            lambda: sim.compare("dgx-spark", "batch=-4", model="nothing-like-it", runtime="llama.cpp"),
            ["unknown model 'nothing-like-it'", "batch: batch=-4: must be 1 or more, not -4"],
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_said_with_its_side(call: Callable[[], object], message: list[str]):
    with pytest.raises(InputError) as raised:
        call()
    said = [str(problem) for problem in raised.value.problems]
    assert len(said) == len(message)
    assert all(problem.startswith(text) for text, problem in zip(message, said, strict=True)), said


def test_a_folder_that_is_no_result_is_refused(tmp_path: Path):
    (tmp_path / "summary.json").write_text('{"schema": "sparksim.result/2"}', encoding="utf-8")
    with pytest.raises(
        InputError, match=r"is not a result: schema must be sparksim\.result/1, not \"sparksim.result/2\""
    ):
        sim.compare(tmp_path, "dgx-spark", **RUN)
    (tmp_path / "summary.json").write_text(
        '{"schema": "sparksim.result/1", "phases": {"decode": {}}}', encoding="utf-8"
    )
    with pytest.raises(InputError, match="does not say what its ops took; it was written by an older version"):
        sim.compare(tmp_path, "dgx-spark", **RUN)


def test_the_command_prints_json_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "waterfall.svg"
    assert main(["compare", "dgx-spark", "gpu.clock=x0.5", *FLAGS, "--json", "--plot", str(target)]) == 0
    printed = capsys.readouterr()
    data = json.loads(printed.out, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert data["schema"] == "sparksim.compare/1"
    assert data["differs"] == {"overrides": [{}, {"gpu.clock": "x0.5"}]}
    assert data["phases"]["prefill"]["speedup"] < 1
    assert "Why B is slower than A" in target.read_text(encoding="utf-8")
    assert target.with_suffix(".png").stat().st_size > 1000


def test_the_command_says_it_in_a_sentence(capsys: pytest.CaptureFixture[str]):
    assert main(["compare", "dgx-spark", "memory.bandwidth=x2", *FLAGS]) == 0
    text = capsys.readouterr().out
    assert "they differ in overrides" in text
    assert "decode: B is 1." in text
    assert "ms per token" in text


def test_one_that_does_not_fit_has_no_waterfall(capsys: pytest.CaptureFixture[str]):
    run = ["--model", "llama-3.1-70b", "--runtime", "vllm", "--quiet", "--prompt", "16", "--output", "2"]
    assert main(["compare", "quant=bf16", "quant=fp8", *run]) == 3
    assert "quant=bf16 does not fit: short by" in capsys.readouterr().out
