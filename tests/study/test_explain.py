"""Does `explain` account for all of the time, and name the numbers that the answer really hangs on?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim
from sim import LawError, Problem, RunResult
from sim.cli import main
from sim.study.explain import Explanation
from sim.system.prediction import Progress
from sim.system.prepared import Prepared
from sim.system.spec_fields import fields_read
from sim.workload import load_runtime

COPY = """\
schema: sparksim.ops/1
name: one-copy
ops:
  - {id: h2d, op: copy, size: 4 GiB, from: cpu, to: gpu}
"""
COMPUTE = """\
schema: sparksim.ops/1
name: only-flops
ops:
  - {id: own, op: custom, flops: 400 TFLOP, read: 1 KiB, write: 1 KiB, ctas: 1152}
"""
HOST = """\
schema: sparksim.ops/1
name: only-host
ops:
  - {id: wait, op: host, duration: 2 s}
"""
PER_TIME = {"B/s": 1, "Hz": 1, "s": -1}
"""Units with seconds in them, and the power of 1/s."""


@pytest.fixture(scope="module")
def model() -> Explanation:
    return sim.explain(model="qwen3-0.6b", runtime="llama.cpp", prompt=128, output=4)


def _of_trace(text: str, folder: Path) -> dict[str, float]:
    path = folder / "trace.yaml"
    path.write_text(text, encoding="utf-8")
    why = sim.explain(file=path, runtime="vllm")
    assert why.skipped == ()
    return {each.field.path: each.elasticity["run"] for each in why.sensitivities}


def test_a_copy_hangs_on_its_slowest_link_alone(tmp_path: Path):
    """A CPU cluster moves 100 GB/s, the link 300, memory 225: time = bytes / 100 GB/s, so its elasticity is 1."""
    found = _of_trace(COPY, tmp_path)
    assert found.pop("cpu0.bandwidth") == pytest.approx(1, abs=2e-3)
    assert {path: value for path, value in found.items() if abs(value) > 2e-3} == {}


def test_arithmetic_hangs_on_sms_clock_and_the_unit_alone(tmp_path: Path):
    """CTAs fill any number of SMs in whole waves: time = FLOPs / (SMs x clock x rate of the unit)."""
    found = _of_trace(COMPUTE, tmp_path)
    assert found["gpu.clock"] == pytest.approx(1, abs=0.01)
    assert found["gpu.flop_per_clock_per_sm.fp32"] == pytest.approx(1, abs=0.01)
    others = set(found) - {"gpu.clock", "gpu.flop_per_clock_per_sm.fp32", "gpu.sms"}
    assert {path: found[path] for path in others if abs(found[path]) > 0.01} == {}


def test_host_work_hangs_on_nothing_that_is_sold(tmp_path: Path):
    found = _of_trace(HOST, tmp_path)
    assert {path: value for path, value in found.items() if abs(value) > 0.01} == {}


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_a_machine_with_all_rates_doubled_and_all_latencies_halved_is_twice_as_fast(model: Explanation, phase: str):
    """Euler: time is homogeneous in the unit of time, so elasticities of rates less those of times sum to 1.

    It holds only if no number that matters was left out. Steps of 10 % and the 1 % of folding leave a few hundredths.
    """
    total = sum(PER_TIME.get(each.field.unit, 0) * each.elasticity[phase] for each in model.sensitivities)
    assert total == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_all_of_the_time_is_accounted_for(model: Explanation, phase: str):
    data = model.to_dict()["phases"][phase]
    assert sum(sum(parts.values()) for parts in data["places"].values()) == pytest.approx(data["time_s"], rel=1e-12)
    assert sum(sum(parts.values()) for parts in data["ops"].values()) == pytest.approx(1, rel=1e-12)
    for cause, share in data["causes"].items():
        assert sum(parts.get(cause, 0.0) for parts in data["ops"].values()) == pytest.approx(share, rel=1e-9)


def test_the_strongest_come_first_and_every_one_can_be_set(model: Explanation):
    strongest = model.most_sensitive("decode")
    assert strongest[0].field.path == "memory.bandwidth"
    strengths = [abs(each.elasticity["decode"]) for each in strongest]
    assert len(strongest) <= 3
    assert strengths == sorted(strengths, reverse=True)
    fields = model.result.hardware.provenance
    for each in model.sensitivities:
        path = each.field.path
        assert path.startswith("runtime.") or fields[path].value == each.field.value


def test_only_what_is_read_is_asked(model: Explanation):
    """The SSD, the NIC, the CPUs and the price have no part; what memory's channels are made of is measured."""
    fields = fields_read(model.result, load_runtime("llama.cpp").spec)
    heads = {field.path.partition(".")[0] for field in fields}
    assert heads == {"gpu", "l2", "tlb", "c2c", "memory", "runtime"}
    paths = {field.path for field in fields}
    assert {"gpu.sms", "gpu.clock", "l2.capacity", "c2c.latency", "memory.latency", "gpu.kernel_boundary"} <= paths
    assert not paths & {"memory.data_rate", "memory.capacity", "gpu.copy_engines", "memory.sustained.read"}


def test_what_the_user_changed_is_where_it_starts_from():
    why = sim.explain(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2, set={"memory.bandwidth": "x2"})
    (bandwidth,) = [each for each in why.sensitivities if each.field.path == "memory.bandwidth"]
    assert bandwidth.field.value == pytest.approx(2 * 273.056e9)


def test_a_change_that_breaks_a_law_is_named_and_the_others_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = Prepared.run

    def broken(self: Prepared, progress: Progress | None = None) -> RunResult:
        if "gpu.clock" in self.hardware.overrides:
            raise LawError(Problem("L5 broken in decode", code="law"))
        return run(self, progress)

    monkeypatch.setattr(Prepared, "run", broken)
    path = tmp_path / "trace.yaml"
    path.write_text(COPY, encoding="utf-8")
    why = sim.explain(file=path, runtime="vllm")
    assert why.skipped == ("gpu.clock: L5 broken in decode",)
    assert [each.field.path for each in why.most_sensitive("run")] == ["cpu0.bandwidth"]


def test_the_command_prints_json_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trace = tmp_path / "trace.yaml"
    trace.write_text(COPY, encoding="utf-8")
    target = tmp_path / "tornado"
    assert main(["explain", str(trace), "--runtime", "vllm", "--json", "--quiet", "--plot", str(target)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    data = json.loads(printed.out, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert data["schema"] == "sparksim.explain/1"
    assert data["phases"]["run"]["most_sensitive"] == ["cpu0.bandwidth"]
    assert "cpu0.bandwidth" in target.with_suffix(".svg").read_text(encoding="utf-8")
    assert target.with_suffix(".png").stat().st_size > 1000


def test_the_command_says_what_a_phase_waits_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trace = tmp_path / "trace.yaml"
    trace.write_text(COPY, encoding="utf-8")
    out = tmp_path / "out"
    assert main(["explain", str(trace), "--runtime", "vllm", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("run waits for LPDDR5X 100 % of the time")
    assert "cpu0.bandwidth" in text
    assert any(line.split() == ["LPDDR5X", *line.split()[1:3], "100%", "memory"] for line in text.splitlines())
    assert json.loads((out / "explain.json").read_text(encoding="utf-8"))["schema"] == "sparksim.explain/1"
    assert (out / "plots" / "sensitivity.svg").exists()
    assert (out / "summary.json").exists()


def test_what_does_not_fit_has_no_time_to_explain(capsys: pytest.CaptureFixture[str]):
    assert main(["explain", "--model", "llama-3.1-70b", "--runtime", "vllm", "--json", "--quiet"]) == 3
    data = json.loads(capsys.readouterr().out)
    assert (data["phases"], data["sensitivities"], data["result"]["decode_tok_s"]) == ({}, [], None)


def test_every_problem_comes_at_once(capsys: pytest.CaptureFixture[str]):
    assert main(["explain", "--model", "no-such-model", "--runtime", "no-such-runtime", "--batch", "0", "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert {each["code"] for each in problems} == {"unknown_model", "unknown_runtime", "bad_argument"}
