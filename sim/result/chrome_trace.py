"""`timeline.json`: a run as Chrome trace events, for Perfetto (ui.perfetto.dev) and chrome://tracing.

A process per simulated step, laid one after the other; a thread per component; a slice per op, and in it a slice per
cause. Counter "memory GB/s" is what the running kernels move. Times are whole nanoseconds, written in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from math import nextafter
from typing import Any

from sim.result.trace import CAUSES, Folded, OpRecord, Span, StepTrace

Event = dict[str, Any]
MOST_SPANS = 20_000
"""Spans of a step written out; beyond that its folded iterations become one slice per component."""
COUNTER = "memory GB/s"


def chrome_events(steps: Iterable[StepTrace]) -> Iterator[Event]:
    """Every event: metadata of a process first, then its slices by thread and time."""
    offset_ns = 0
    for pid, step in enumerate(steps, 1):
        yield from _process(pid, step)
        is_long = step.is_long(MOST_SPANS)
        lanes: dict[str, list[Span]] = {}
        for span in step.spans if is_long else step.all_spans():
            lanes.setdefault(span.component, []).append(span)
        for tid, name in enumerate(sorted(lanes, key=_gpu_first), 1):
            yield _metadata("thread_name", pid, tid, name=name)
            yield _metadata("thread_sort_index", pid, tid, sort_index=tid)
            folds = [_folded(pid, tid, offset_ns, step, fold) for fold in step.folded] if is_long else []
            slices = [*_thread(step, pid, tid, offset_ns, lanes[name]), *folds]
            yield from sorted(slices, key=lambda event: (event["ts"], -event.get("dur", 0.0)))
        offset_ns += _ns(step.duration_ps) + 1000


def _gpu_first(name: str) -> tuple[bool, str]:
    return name != "gpu", name


def _process(pid: int, step: StepTrace) -> Iterator[Event]:
    stands_for = f"stands for {step.weight:g} step{'s' if step.weight != 1 else ''}"
    yield _metadata("process_name", pid, 0, name=f"{step.phase}: {step.name} ({stands_for})")
    yield _metadata("process_sort_index", pid, 0, sort_index=pid)


def _metadata(what: str, pid: int, tid: int, **arguments: Any) -> Event:
    return {"ph": "M", "pid": pid, "tid": tid, "name": what, "args": arguments}


def _thread(step: StepTrace, pid: int, tid: int, offset_ns: int, spans: list[Span]) -> Iterator[Event]:
    """Slices of a component: each op, and its causes inside it."""
    records = {(op.block, op.op): op for op in step.ops}
    end = 0
    for (block, iteration, name), group in groupby(spans, key=_life):
        life, record = list(group), records[block, name]
        start, end = offset_ns + _ns(life[0].start_ps), offset_ns + _ns(life[-1].end_ps)
        place = {"block": block, "iteration": iteration}
        yield _slice(pid, tid, record.site, record.kind, start, end, {**place, **op_arguments(record)})
        yield from _causes(pid, tid, offset_ns, life)
        if record.component == "gpu":
            yield _count(pid, start, record)
    if spans and spans[0].component == "gpu":
        yield {"ph": "C", "pid": pid, "tid": 0, "name": COUNTER, "ts": _us(end), "args": {"GB/s": 0}}


def _life(span: Span) -> tuple[int, int, str]:
    return span.block, span.iteration, span.op


def _causes(pid: int, tid: int, offset_ns: int, spans: list[Span]) -> Iterator[Event]:
    for span in spans:
        start, end = offset_ns + _ns(span.start_ps), offset_ns + _ns(span.end_ps)
        if end > start:
            yield _slice(pid, tid, span.cause, CAUSES[span.cause], start, end, {})


def _folded(pid: int, tid: int, offset_ns: int, step: StepTrace, fold: Folded) -> Event:
    """One slice for the iterations that are not written out."""
    began = min(span.start_ps for span in step.spans[fold.first : fold.end])
    start = offset_ns + _ns(began + fold.period_ps)
    end = offset_ns + _ns(began + fold.period_ps * (1 + fold.copies))
    name = f"{fold.copies:,} iterations like the one before"
    return _slice(pid, tid, name, "folded", start, end, {"copies": fold.copies})


def _slice(pid: int, tid: int, name: str, category: str, start: int, end: int, arguments: Event) -> Event:
    event = {
        "ph": "X",
        "pid": pid,
        "tid": tid,
        "name": name,
        "cat": category,
        "ts": _us(start),
        "dur": _us(end - start),
    }
    return {**event, "args": arguments} if arguments else event


def _count(pid: int, start: int, op: OpRecord) -> Event:
    rate = (op.dram_read_bytes + op.dram_write_bytes) / op.wall_ps * 1e3 if op.wall_ps else 0.0
    return {"ph": "C", "pid": pid, "tid": 0, "name": COUNTER, "ts": _us(start), "args": {"GB/s": round(rate, 1)}}


def op_arguments(op: OpRecord) -> Event:
    """What a performance engineer asks of a kernel: launch, bytes, rates, what it waits for longest."""
    waits = {cause: ps for cause, ps in op.causes.items() if cause != "step"}
    longest = max(waits, key=lambda cause: waits[cause]) if waits else "step"
    arguments: Event = {"op": op.op, "bound": CAUSES[longest], "cause": longest}
    if not op.kernel:
        return arguments
    seconds = op.duration_ps / 1e12
    return {
        **arguments,
        "kernel": op.kernel,
        "unit": op.unit,
        "tile": "x".join(map(str, op.tile)),
        "ctas": op.ctas,
        "waves": round(op.waves, 3),
        "occupancy": op.occupancy,
        "split_k": op.split_k,
        "kernel_us": round(op.duration_ps / 1e6, 3),
        "tflop_per_s": round(op.flops / seconds / 1e12, 3) if seconds else 0.0,
        "memory_mb": round((op.dram_read_bytes + op.dram_write_bytes) / 1e6, 3),
        "memory_gb_per_s": round((op.dram_read_bytes + op.dram_write_bytes) / seconds / 1e9, 1) if seconds else 0.0,
        "l2_gb_per_s": round((op.l2_read_bytes + op.l2_write_bytes) / seconds / 1e9, 1) if seconds else 0.0,
    }


def _ns(ps: int) -> int:
    return ps // 1000


def _us(ns: int) -> float:
    """Microseconds that a reader who multiplies by 1000 and cuts off (Perfetto) takes for exactly `ns`."""
    us = ns / 1000
    return us if int(us * 1000) == ns else nextafter(us, float("inf"))
