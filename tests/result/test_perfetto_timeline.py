"""Is `timeline.json` what Perfetto and chrome://tracing take: complete, sorted, nested, bounded, and worth reading?"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

import sim
from sim import RunResult
from sim.result import chrome_trace
from sim.result.chrome_trace import chrome_events
from sim.result.trace import CAUSES, Folded, OpRecord, Span, StepTrace

KERNEL_ARGUMENTS = {
    "op", "bound", "cause", "kernel", "unit", "tile", "ctas", "waves", "occupancy", "split_k", "kernel_us",
    "tflop_per_s", "memory_mb", "memory_gb_per_s", "l2_gb_per_s",
}  # fmt: skip


@pytest.fixture(scope="module")
def result() -> RunResult:
    return sim.run(model="qwen3-0.6b", runtime="llama.cpp", quant="q8_0", prompt=64, output=4)


@pytest.fixture(scope="module")
def events(result: RunResult) -> list[dict[str, Any]]:
    assert result.trace is not None
    return json.loads(json.dumps(list(chrome_events(result.trace.steps))))


def _ns(us: float) -> int:
    """As Perfetto reads it: times 1000, cut off."""
    return int(us * 1000)


def test_events_have_the_fields_of_the_format(events: list[dict[str, Any]]):
    """Trace Event Format: X has ts and dur, C a number per series, M a name and its argument; ids are integers."""
    for event in events:
        assert event["ph"] in {"X", "C", "M"}
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert event["name"]
        if event["ph"] == "X":
            assert event["ts"] >= 0
            assert event["dur"] >= 0
        elif event["ph"] == "C":
            assert all(isinstance(value, int | float) for value in event["args"].values())
        else:
            assert event["name"] in {"process_name", "process_sort_index", "thread_name", "thread_sort_index"}


def test_every_process_and_thread_is_named_once(events: list[dict[str, Any]]):
    slices = {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"}
    named = [(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"]
    assert sorted(named) == sorted(slices)
    assert sorted(e["pid"] for e in events if e["name"] == "process_name") == sorted({pid for pid, _ in slices})


def test_slices_are_sorted_and_nested(events: list[dict[str, Any]]):
    threads: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append(event)
    for slices in threads.values():
        open_until: list[int] = []
        before = 0
        for event in slices:
            start, end = _ns(event["ts"]), _ns(event["ts"]) + _ns(event["dur"])
            assert start >= before
            before = start
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or end <= open_until[-1], event
            open_until.append(end)
            assert len(open_until) <= 2


def test_times_are_those_of_the_spans(result: RunResult, events: list[dict[str, Any]]):
    assert result.trace is not None
    for pid, step in enumerate(result.trace.steps, 1):
        ends = [_ns(e["ts"]) + _ns(e["dur"]) for e in events if e["ph"] == "X" and e["pid"] == pid]
        starts = [_ns(e["ts"]) for e in events if e["ph"] == "X" and e["pid"] == pid]
        assert max(ends) - min(starts) == step.duration_ps // 1000
        causes = [e for e in events if e["ph"] == "X" and e["pid"] == pid and e["name"] in CAUSES]
        assert sum(_ns(e["dur"]) for e in causes) == step.duration_ps // 1000  # one component: causes tile the step


def test_kernels_say_what_they_did(result: RunResult, events: list[dict[str, Any]]):
    assert result.trace is not None
    step = result.trace.steps[-1]
    record = next(op for op in step.ops if op.site == "down")
    pid = len(result.trace.steps)
    found = [e for e in events if e["pid"] == pid and e.get("args", {}).get("op") == record.op]
    assert len(found) == record.repeat
    for event in found:
        arguments = event["args"]
        assert arguments.keys() >= KERNEL_ARGUMENTS
        assert arguments["ctas"] == record.ctas
        assert arguments["tile"] == "x".join(str(side) for side in record.tile)
        moved = record.dram_read_bytes + record.dram_write_bytes
        assert arguments["memory_gb_per_s"] == pytest.approx(moved / record.duration_ps * 1e3, abs=0.06)
        assert arguments["bound"] == CAUSES[arguments["cause"]]
    assert [e["args"]["iteration"] for e in found] == sorted(e["args"]["iteration"] for e in found)


def _long_step(copies: int) -> StepTrace:
    op = OpRecord(
        "a", "a", "host", 0, copies + 1, "host", "", 3000.0, 3000, {"step": 3000.0}, *([0.0, ""]), *([0.0] * 7)
    )
    return StepTrace(
        "run", "run", 1.0, 0, 0, 3000 * (copies + 1), (op,), (Span("host", "a", 0, 0, "step", 0, 3000),),
        (Folded(0, 1, copies, 3000),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("copies", "n_slices"), [(chrome_trace.MOST_SPANS - 1, 2 * chrome_trace.MOST_SPANS), (10**9, 3)]
)
def test_a_long_run_stays_small(copies: int, n_slices: int):
    events = [event for event in chrome_events([_long_step(copies)]) if event["ph"] == "X"]
    assert len(events) == n_slices
    assert _ns(events[-1]["ts"]) + _ns(events[-1]["dur"]) == 3 * (copies + 1)
    if copies == 10**9:
        assert events[-1]["name"] == "1,000,000,000 iterations like the one before"
