"""Does a sweep ask exactly the points of its study, in their order, and say of each what a run of its own would say?"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd  # noqa: TID253 - the table is what is under test
import pytest

import sim
from sim.cli import main
from sim.errors import InputError, LawError, MissingExtraError, Problem
from sim.study.ask_study import Wanted, ask_study
from sim.study.points import points_of
from sim.study.row_table import holds
from sim.system.prepared import Prepared
from sim.system.study_axis import quantity, read_axis
from sim.system.study_file import ConstraintPart

BASE: dict[str, Any] = {"model": "qwen3-0.6b", "runtime": "llama.cpp", "prompt": 0, "output": 2}
FLAGS = ["--model", "qwen3-0.6b", "--runtime", "llama.cpp", "--prompt", "0", "--output", "2", "--quiet"]


def values(path: str, given: Any) -> list[Any]:
    return list(read_axis(path, given).values)


def points(**wanted: Any) -> list[tuple[Any, ...]]:
    arguments = wanted.pop("arguments", {})
    return points_of(ask_study(None, {**BASE, **arguments}, {}, Wanted(**wanted)))


def flat(data: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


# --- axes ---


def test_a_range_holds_both_ends_and_keeps_its_unit() -> None:
    assert values("memory.bandwidth", "200..600:200GB/s") == ["200 GB/s", "400 GB/s", "600 GB/s"]
    assert values("memory.bandwidth", {"range": ["200 GB/s", "0.6 TB/s"], "n": 3}) == [
        "200 GB/s",
        "400 GB/s",
        "600 GB/s",
    ]
    assert values("memory.bandwidth", "x0.5..x1.5:0.5") == ["x0.5", "x1", "x1.5"]
    assert values("batch", {"range": [1, 64], "n": 4, "log": True}) == [1, 4, 16, 64]
    assert values("batch", "1,2,4") == [1, 2, 4]
    assert values("runtime.gpu_memory_utilization", "0.7..0.9:0.1") == [0.7, 0.8, 0.9]  # no 0.7999999999999999
    assert values("prompt", "128..512:200") == [128, 328]  # 528 lies beyond it


@pytest.mark.parametrize(
    ("path", "given", "message"),
    [
        ("batches", "1,2", "did you mean batch"),
        ("batch", "8..1:1", "smaller end first"),
        ("batch", "1..8:0", "more than 0"),
        ("memory.bandwidth", {"range": ["1 GB/s", "2 s"], "n": 2}, "mixes"),
        ("gpu.sms", {"range": [0, 1], "n": 5}, "different whole numbers"),
        ("depth", {"range": [0, 8], "n": 3, "log": True}, "above 0"),
        ("depth", {"range": [1, 8], "n": 3, "step": 2}, "step beside n"),
        ("gpu.sms", {"range": [0, 2**62], "step": 1}, "more than 50,000 values"),
        ("batch", [], "no values"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(path: str, given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_axis(path, given)


def test_quantities_are_read_in_si() -> None:
    assert quantity("200 GB/s") == (2e11, "B/s")
    assert quantity("1.5 us") == (1.5e-6, "s")
    assert quantity("x2") == (2.0, "x")
    assert quantity(4) == (4.0, "")
    assert quantity("vllm")[1] is None


# --- points ---


def test_axes_multiply_and_the_last_changes_fastest() -> None:
    found = points(arguments={"batch": [1, 2], "depth": [0, 16, 32]})
    assert found == list(itertools.product([1, 2], [0, 16, 32]))


def test_zipped_axes_move_together_and_the_others_multiply() -> None:
    lists = {"batch": [1, 2], "quant": ["f16", "q8_0"], "depth": [16, 32]}
    assert points(arguments=lists, zip=["batch", "depth"]) == [
        (1, "f16", 16), (1, "q8_0", 16), (2, "f16", 32), (2, "q8_0", 32),
    ]  # fmt: skip
    assert points(arguments={"batch": [1, 2], "depth": [16, 32]}, sample="zip") == [(1, 16), (2, 32)]


def test_random_points_lie_within_their_ranges_and_hang_on_the_seed_alone() -> None:
    wanted = {"vary": ["memory.bandwidth=200..600GB/s", "batch=1..4", "depth=0,64"], "sample": "random 200"}
    found = points(**wanted)
    assert len(found) == 200
    bandwidths = [quantity(point[0])[0] for point in found]
    assert all(200e9 <= each <= 600e9 for each in bandwidths)
    assert {point[1] for point in found} == {1, 2, 3, 4}
    assert {point[2] for point in found} == {0, 64}
    # The mean of 200 uniform draws: 400 +- 4 standard errors of 400 / sqrt(12 x 200).
    assert abs(sum(bandwidths) / 200 - 400e9) < 4 * 400e9 / math.sqrt(12 * 200)
    assert found == points(**wanted)
    assert found != points(**wanted, arguments={"seed": 1})


def test_sobol_points_are_balanced() -> None:
    """Of 2^m Sobol points each half, quarter... of every axis holds equally many: that is what they are for."""
    pytest.importorskip("scipy")
    found = points(vary=["batch=1..8", "depth=0,64,128,192"], sample="sobol 32")
    for i, n in ((0, 8), (1, 4)):
        counts = [sum(point[i] == value for point in found) for value in {point[i] for point in found}]
        assert counts == [32 // n] * n


def test_sobol_without_scipy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scipy.stats", None)
    with pytest.raises(MissingExtraError, match=r"sparksim\[sensitivity\]"):
        points(vary="batch=1..8", sample="sobol 4")


def test_more_than_a_million_points_are_refused_before_they_are_made() -> None:
    with pytest.raises(InputError, match="1,210,000 points"):
        points(vary=["batch=1..1100:1", "depth=0..1099:1"])


def test_a_range_of_a_keyword_is_checked_as_that_of_a_file_is() -> None:
    assert points(vary={"batch": {"range": [1, 3], "step": 1}}) == [(1,), (2,), (3,)]
    with pytest.raises(InputError, match="unknown field 'stp'; did you mean 'step'"):
        points(vary={"batch": {"range": [1, 3], "stp": 1}})
    with pytest.raises(InputError, match=r"batch\.range: is missing"):
        points(vary={"batch": {"step": 1}})


# --- rows ---


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return sim.sweep(**BASE, batch=[1, 2], set={"memory.bandwidth": ["200 GB/s", "x2"], "gpu.sms": 24})


def test_a_row_says_what_a_run_of_that_point_says(table: pd.DataFrame) -> None:
    assert list(table.columns[:2]) == ["batch", "memory.bandwidth"]
    assert list(table.columns[-2:]) == ["status", "error"]
    assert list(table.index) == [0, 1, 2, 3]
    points = itertools.product([1, 2], ["200 GB/s", "x2"])
    for (batch, bandwidth), (_, row) in zip(points, table.iterrows(), strict=True):
        result = sim.run(**BASE, batch=batch, set={"memory.bandwidth": bandwidth, "gpu.sms": 24})
        expected = flat(result.summary())
        assert row["status"] == "ok"
        assert row["error"] is None
        for name in table.columns.intersection(list(expected)).difference(["warnings", "energy.not_counted"]):
            if not isinstance(expected[name], list | tuple):
                same = row[name] == expected[name] or (pd.isna(row[name]) and expected[name] is None)
                assert same, (name, row[name], expected[name])


def test_axes_are_in_si_and_factors_are_worked_out(table: pd.DataFrame) -> None:
    """x2 of GB10's 273 GB/s: 16 channels x 2 B x 8533 MT/s = 273.056 GB/s."""
    assert list(table["memory.bandwidth"]) == pytest.approx([200e9, 2 * 16 * 2 * 8533e6] * 2)
    assert list(table["batch"]) == [1, 1, 2, 2]


def test_what_does_not_fit_is_a_row_and_what_is_refused_says_why() -> None:
    found = sim.sweep(
        model=["llama-3.1-70b", "gpt-oss-20b"], runtime="vllm", quant=["bf16", None], prompt=0, output=2,
        keep=["decode_tok_s", "memory.short_bytes"],
    )  # fmt: skip
    assert list(found["status"]) == ["does_not_fit", "does_not_fit", "refused", "ok"]
    assert pd.isna(found["decode_tok_s"][0])
    assert found["memory.short_bytes"][0] > 0
    assert "already quantised" in found["error"][2]
    assert found["error"][3] is None
    assert list(found.columns) == ["model", "quant", "decode_tok_s", "memory.short_bytes", "status", "error"]


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (RuntimeError("out of luck"), "a bug of sparksim: RuntimeError: out of luck"),
        (LawError(Problem("a law is broken")), "a law is broken"),
    ],
)
def test_a_point_that_fails_stops_no_other(raised: Exception, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Prepared.run

    def run(self: Prepared, progress: Any = None) -> Any:
        if self.arguments.batch == 2:
            raise raised
        return real(self, progress)

    monkeypatch.setattr(Prepared, "run", run)
    found = sim.sweep(**BASE, batch=[1, 2, 3], workers=1)
    assert list(found["status"]) == ["ok", "failed", "ok"]
    assert found["error"][1].startswith(told)


def test_constraints_leave_rows_out_and_ratios_are_added() -> None:
    derive = [{"name": "each", "ratio": ["decode_tok_s", "batch"]}]
    whole = sim.sweep(**BASE, batch=[1, 2, 4, 8], keep=["decode_tok_s"], derive=derive)
    assert list(whole["each"]) == pytest.approx(list(whole["decode_tok_s"] / whole["batch"]))
    least = float(whole["decode_tok_s"][1])
    constraints = [{"column": "decode_tok_s", "min": least}, {"column": "batch", "max": 4}]
    found = sim.sweep(**BASE, batch=[1, 2, 4, 8], keep=["decode_tok_s"], derive=derive, constraints=constraints)
    assert list(found.index) == [1, 2]
    pd.testing.assert_frame_equal(found, whole.loc[[1, 2]])


def test_a_constraint_on_a_factor_waits_for_what_it_comes_to_and_ratios_build_on_ratios() -> None:
    derive = [
        {"name": "each", "ratio": ["decode_tok_s", "batch"]},
        {"name": "per", "ratio": ["each", "memory.bandwidth"]},
    ]
    found = sim.sweep(
        **BASE, batch=[1, 2], set={"memory.bandwidth": ["x0.5", "x1"]}, keep=["decode_tok_s"], derive=derive,
        constraints=[{"column": "memory.bandwidth", "min": "200 GB/s"}],
    )  # fmt: skip
    assert list(found.index) == [1, 3]
    assert list(found["per"]) == pytest.approx(list(found["decode_tok_s"] / found["batch"] / found["memory.bandwidth"]))


def test_a_number_that_is_not_known_holds_no_bound() -> None:
    least = ConstraintPart.model_validate({"column": "x", "min": 1})
    assert [holds(least, {"x": value}) for value in (1, 0.5, None, True, "2")] == [True, False, False, False, False]
    word = ConstraintPart.model_validate({"column": "x", "is": "memory"})
    assert [holds(word, {"x": value}) for value in ("memory", "link", None)] == [True, False, False]
    limit = ConstraintPart.model_validate({"column": "x", "max": "2 ms"})
    assert [holds(limit, {"x": value}) for value in (0.002, 0.0021)] == [True, False]


def test_points_that_break_a_constraint_on_an_axis_are_not_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", *FLAGS[:-1], "--vary", "batch=1,2,4,8", "--constraint", "batch<=2"]
    assert main(words) == 0
    assert "2 points simulated" in capsys.readouterr().err


# --- studies, scenarios, keywords over both ---


STUDY = """schema: sparksim.study/1
base: {model: qwen3-0.6b, runtime: llama.cpp, prompt: 0, output: 2, set: {gpu.sms: 24}}
axes:
  batch: [1, 2]
keep: [decode_tok_s]
"""


def test_keywords_override_a_study(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    plain = sim.sweep(path)
    assert list(plain["batch"]) == [1, 2]
    assert list(sim.sweep(path, batch=[4, 8, 16])["batch"]) == [4, 8, 16]
    both = sim.sweep(path, batch=2, set={"gpu.sms": [24, 48]})
    assert list(both["gpu.sms"]) == [24, 48]
    assert both["decode_tok_s"][0] == plain["decode_tok_s"][1]


def test_a_base_is_a_scenario_by_name_by_file_or_written_out(tmp_path: Path) -> None:
    scenario = (
        "schema: sparksim.scenario/1\nkind: run\nmodel: qwen3-0.6b\nprompt: 0\noutput: 2\n"
        "runtime: {name: llama.cpp, set: {ubatch_tokens: 256}}\n"
    )
    (tmp_path / "run.yaml").write_text(scenario, encoding="utf-8")
    said = sim.sweep(tmp_path / "run.yaml", batch=[1, 2], keep=["decode_tok_s"])
    bases = [
        "./run.yaml",
        "{scenario: ./run.yaml, depth: 0}",
        "{kind: run, model: qwen3-0.6b, runtime: {name: llama.cpp, set: {ubatch_tokens: 256}}, prompt: 0, output: 2}",
    ]
    for i, base in enumerate(bases):
        path = tmp_path / f"study-{i}.yaml"
        path.write_text(
            f"schema: sparksim.study/1\nbase: {base}\naxes: {{batch: [1, 2]}}\nkeep: [decode_tok_s]\n", encoding="utf-8"
        )
        pd.testing.assert_frame_equal(sim.sweep(path), said)


def test_an_op_trace_has_machines_and_runtimes_as_axes(tmp_path: Path) -> None:
    """2 GiB at half the clock of a copy's slowest link: a CPU cluster's 100 GB/s."""
    path = tmp_path / "copy.yaml"
    path.write_text(
        "schema: sparksim.ops/1\nname: c\nops: [{id: h2d, op: copy, size: 2 GiB, from: cpu, to: gpu}]\n",
        encoding="utf-8",
    )
    found = sim.sweep(path, runtime="vllm", set={"cpu0.bandwidth": ["50 GB/s", "100 GB/s"]})
    times = list(found["phases.run.time_s"])
    assert times[0] / times[1] == pytest.approx(2, rel=0.01)


SERVER = """schema: sparksim.scenario/1
kind: serve
model: qwen3-0.6b
runtime: {name: vllm, version: 0.26.0, set: {max_num_seqs: 4, prefix_caching: false}}
traffic:
  arrivals: {kind: poisson, rate: 1 /s}
  prompt: {constant: 64}
  output: {constant: 4}
until: {requests: 20}
seeds: [1]
"""


def test_a_server_has_its_load_its_server_and_its_machine_as_axes(tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text(SERVER, encoding="utf-8")
    rates = ["1 /s", "40 /s"]
    found = sim.sweep(
        path, set={"traffic.arrivals.rate": rates, "gpu.sms": [48, 24]}, keep=["ttft_s.p95", "completed"], workers=1
    )
    assert list(found["traffic.arrivals.rate"]) == [1, 1, 40, 40]
    for (rate, sms), (_, row) in zip(itertools.product(rates, [48, 24]), found.iterrows(), strict=True):
        alone = sim.serve(path, set={"traffic.arrivals.rate": rate, "gpu.sms": sms}).summary()
        assert row["ttft_s.p95"] == alone["ttft_s"]["p95"]
        assert row["completed"] == 20
    with pytest.raises(InputError) as caught:
        sim.sweep(path, batch=[1, 2], keep=["ttft_s.p96"])
    assert [problem.path for problem in caught.value.problems] == ["batch", "keep"]


def test_names_in_capitals_and_loaded_objects_are_values_too() -> None:
    machines = [sim.load_hardware("dgx-spark"), sim.load_hardware("dgx-spark").override("gpu.sms", 24)]
    found = sim.sweep(**BASE, hardware=machines, keep=["hardware_digest"])
    assert list(found["hardware"]) == ["dgx-spark", "dgx-spark"]
    assert list(found["hardware_digest"]) == [machine.digest for machine in machines]


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        ([], ["nothing is varied"]),
        (["--vary", "batch"], ["'batch' is not PATH=VALUES"]),
        (["--vary", "batch=1,2", "--batch", "4"], ["is both varied and set"]),
        (["--vary", "gpu.sms=24,48", "--set", "gpu.sms=36"], ["is both varied and set"]),
        (["--vary", "batch=1,2", "--vary", "batch=4"], ["is varied twice"]),
        (["--vary", "batch=1,2", "--zip", "batch,depth"], ["depth is no axis"]),
        (["--vary", "batch=1,2", "--vary", "depth=0,1,2", "--zip", "batch,depth"], ["batch has 2, depth has 3"]),
        (["--vary", "batch=1,2", "--sample", "sobol 5"], ["power of two"]),
        (["--vary", "batch=1,2", "--keep", "decode"], ["no result has 'decode'"]),
        (["--vary", "batch=1,2", "--y", "decode"], ["no result has 'decode'"]),
        (["--vary", "batch=1,2", "--constraint", "fast"], ["'fast' is no constraint"]),
        (["--vary", "batch=1,2", "--derive", "a/b"], ["'a/b' is not NAME=A/B"]),
        (["--vary", "batch=1,2", "--backend", "spark", "--workers", "0"], ["unknown backend 'spark'", "from 1 to"]),
        (["--vary", "batch=0,2,many", "--vary", "gpu.smz=1"], ["unknown field 'gpu.smz'", "1 or more", "whole number"]),
    ],
)
def test_bad_input_is_told_at_once(words: list[str], messages: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", *FLAGS, *words]) == 2
    printed = capsys.readouterr().err
    for message in messages:
        assert message in printed


def test_every_sort_of_end_has_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    big = ["sweep", "--model", "llama-3.1-70b", "--runtime", "vllm", "--prompt", "0", "--output", "2", "--quiet"]
    assert main(["sweep", *FLAGS, "--vary", "batch=1,2"]) == 0
    assert main([*big, "--quant", "bf16", "--vary", "batch=1,2"]) == 3
    assert main([*big, "--vary", "quant=bf16,fp8"]) == 0  # one fits
    assert main([*big, "--vary", "quant=fp8,q4_k_m"]) == 5  # vLLM has no kernels for the last
    capsys.readouterr()


def test_json_is_the_rows_and_the_text_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", *FLAGS, "--vary", "memory.bandwidth=200..300:50GB/s", "--y", "decode_tok_s,bound"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["points"], told["counts"]["ok"]) == ("sparksim.sweep/1", 3, 3)
    assert told["axes"] == [{"path": "memory.bandwidth", "unit": "B/s"}]
    assert [row["memory.bandwidth"] for row in told["rows"]] == [2e11, 2.5e11, 3e11]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["memory.bandwidth", "decode_tok_s", "bound"]
    assert [line.split()[:2] for line in lines[1:]] == [["200", "GB/s"], ["250", "GB/s"], ["300", "GB/s"]]


def test_out_holds_the_table_the_summary_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", *FLAGS, "--vary", "batch=1,2", "--vary", "gpu.sms=24,48", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names == {"manifest.json", "points.csv", "summary.json", "plots/sweep.png", "plots/sweep.svg"}
    written = pd.read_csv(tmp_path / "out/points.csv")
    assert list(written["batch"]) == [1, 1, 2, 2]
    assert main(words) == 2  # it exists
    capsys.readouterr()
