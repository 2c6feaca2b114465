"""Is the memory over a run the account of the run: as full at its end, never fuller, and at no cost in events?"""

from __future__ import annotations

import pytest

import sim
from sim.result.memory import CLASSES
from sim.result.trace import Trace
from sim.system.memory_timeline import MOST_POINTS

CASES: dict[str, dict[str, object]] = {
    "one": {"model": "qwen3-0.6b", "runtime": "vllm", "prompt": 300, "output": 50},
    "many": {"model": "qwen3-0.6b", "runtime": "vllm", "batch": 40, "prompt": 300, "output": 5, "depth": 100},
    "long": {"model": "qwen3-0.6b", "runtime": "llama.cpp", "prompt": 9000, "output": 300},
    "decode": {"model": "qwen3-0.6b", "runtime": "llama.cpp", "prompt": 0, "depth": 1000, "output": 4},
    "prefill": {"model": "qwen3-0.6b", "runtime": "sglang", "prompt": 500, "output": 0},
    "hybrid": {"model": "qwen3.5-0.8b", "runtime": "vllm", "batch": 3, "prompt": 200, "output": 9},
}


@pytest.fixture(scope="module", params=CASES)
def result(request: pytest.FixtureRequest) -> sim.RunResult:
    return sim.run(**CASES[request.param])


def test_at_the_end_it_is_what_the_account_says(result: sim.RunResult):
    use, table = result.memory, result.to_frame("memory")
    assert use is not None
    last = table.groupby("what").bytes.last()
    assert last["kv_cache"] == use.kv_cache_bytes
    assert last["weights"] == use.weights_bytes
    assert last["runtime"] == use.runtime_bytes
    assert last["reserved"] == use.reserved_bytes
    assert set(table.columns) == {"time_s", "phase", "what", "bytes"}
    assert set(table.what) <= set(CLASSES)


def test_its_high_water_mark_is_what_the_machine_shows(result: sim.RunResult):
    use, timeline = result.memory, result.memory_timeline
    assert use is not None
    assert timeline is not None
    assert timeline.high_water_bytes == use.claimed_bytes == sum(timeline.high_water.values())
    _, series = timeline.stacked()
    in_use = [sum(series[what][i] for what in series if what != "held") for i in range(len(series["weights"]))]
    assert max(in_use) <= use.peak_bytes
    assert timeline.end_s == pytest.approx(result.e2e_s)


def test_the_cache_only_grows_and_times_go_forward(result: sim.RunResult):
    table = result.to_frame("memory")
    assert table[table.what == "kv_cache"].bytes.is_monotonic_increasing
    assert table.time_s.is_monotonic_increasing
    assert table.time_s.max() == pytest.approx(result.e2e_s)
    for phase in ("prefill", "decode"):
        times = table[table.phase == phase].time_s
        assert times.nunique() <= MOST_POINTS
        if len(times) and result.ttft_s:
            assert (times <= result.ttft_s * (1 + 1e-9)).all() if phase == "prefill" else (times >= result.ttft_s).all()


def test_one_sequence_after_the_other_is_read():
    result = sim.run(model="qwen3-0.6b", runtime="llama.cpp", batch=4, prompt=512, output=2)
    table = result.to_frame("memory")
    cache = table[(table.what == "kv_cache") & (table.phase == "prefill")].bytes.tolist()
    whole = result.memory.kv_cache_bytes
    block = whole // 4 // 3  # 514 tokens are three blocks of 256, of which 512 fill two
    assert [round(each / block) for each in cache] == [2, 4, 6, 8]


def test_a_plain_run_steps_no_event_more_for_it(monkeypatch: pytest.MonkeyPatch):
    """The bound is 10 %; the pool is an account, and asks the engine for nothing."""
    asked = {"model": "qwen3-0.6b", "runtime": "vllm", "batch": 8, "prompt": 600, "output": 40, "cache": "off"}
    on = sim.run(**asked)
    monkeypatch.setattr("sim.system.prediction.memory_over_time", lambda *_: None)
    off = sim.run(**asked)
    assert on.memory_timeline is not None
    assert off.memory_timeline is None
    assert on.summary()["events"] == off.summary()["events"] > 0
    stepped = [sum(step.events for step in each.trace.steps) + each.trace.kernels_stepped for each in (on, off)]
    assert stepped[0] <= 1.1 * stepped[1]


def test_what_does_not_run_has_none():
    assert sim.run(model="llama-3.1-70b", runtime="vllm").memory_timeline is None
    assert Trace((), 0).steps == ()
