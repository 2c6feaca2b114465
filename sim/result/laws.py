"""Conservation laws, checked after every run: a result that breaks one is not shown.

Numbered as in `LAWS`; `sparksim list laws` prints them.
"""

from __future__ import annotations

from math import isclose

from sim.errors import LawError, Problem
from sim.result.trace import CAUSES, OpRecord, Span, StepTrace, Trace

LAWS = {
    "L1": "bytes read at L2 equal what the kernels' CTAs asked for",
    "L2": "bytes written at L2 equal what the kernels stored",
    "L3": "spans of a component never overlap, none ends before it begins, and those of an op leave no gap",
    "L4": "the causes of an op, and of a step, sum to its time",
    "L5": "memory never moves more bytes than its peak rate allows",
    "L6": "every cause is of the vocabulary",
    "L7": "memory moves exactly the bytes that copies and components beside the GPU asked for",
    "L8": "bytes at every link and memory on the way equal what L2 missed and wrote back",
    "L9": "no op ends before what it reads from has ended",
    "L10": "tenants together move no more bytes than memory's peak rate allows, nor keep its bus busy beyond the time",
    "L11": "every request that came was served once or refused, and none before it came",
    "L12": "requests in the system, integrated over time, are the sum of the times they spent in it (Little)",
}
TOLERANCE = 0.01
"""Folding may be off by this much (the 1 % law)."""


def check_laws(trace: Trace, *, peak_bytes_per_s: float) -> None:
    """Raise when a law is broken.

    Raises:
        LawError: every broken law with the first op that breaks it.
    """
    problems = [problem for step in trace.steps for problem in _step_problems(step, peak_bytes_per_s)]
    if problems:
        raise LawError(problems[:20])


def _step_problems(step: StepTrace, peak: float) -> list[Problem]:
    found = []
    for op in step.ops:
        found += [_broken(law, step, op, text) for law, text in _op_problems(op, peak)]
    found += _span_problems(step)
    if not isclose(sum(step.causes.values()), step.duration_ps, rel_tol=1e-6, abs_tol=2):
        text = f"causes sum to {sum(step.causes.values())} ps of {step.duration_ps}"
        found.append(Problem(f"L4 broken in {step.name}: {LAWS['L4']}; {text}", code="law"))
    moved = sum((op.dram_read_bytes + op.dram_write_bytes) * op.repeat for op in step.ops)
    if moved > _most(peak, step.duration_ps):
        text = f"{moved:.0f} B in {step.duration_ps} ps, all ops together"
        found.append(Problem(f"L5 broken in {step.name}: {LAWS['L5']}; {text}", code="law"))
    return found


def _span_problems(step: StepTrace) -> list[Problem]:
    """Spans that overlap or leave a gap, and ops that end too early; the first of them."""
    last: dict[str, Span] = {}
    ends: dict[tuple[int, int, str], int] = {}
    for span in step.spans:
        before = last.get(span.component)
        is_same = before is not None and before[1:4] == span[1:4]
        start = before.end_ps if before is not None else 0
        if span.end_ps < span.start_ps or span.start_ps < start or (is_same and span.start_ps > start):
            text = f"L3 broken in {step.name}: span of {span.op} overlaps, runs backwards or leaves a gap"
            return [Problem(text, code="law")]
        last[span.component] = span
        ends[span.block, span.iteration, span.op] = span.end_ps
    order = {(record.block, record.op): (number, record.after) for number, record in enumerate(step.ops)}
    for (block, iteration, name), end in ends.items():
        number, after = order.get((block, name), (0, ()))
        for earlier in after:
            # What comes later in the block is read from the iteration before: the layer's input.
            is_of_before = order.get((block, earlier), (-1, ()))[0] >= number
            if end < ends.get((block, iteration - is_of_before, earlier), 0):
                return [Problem(f"L9 broken in {step.name} at {name}: {LAWS['L9']}; it reads {earlier}", code="law")]
    return []


def _most(peak: float, duration_ps: int) -> float:
    """Bytes that memory may move in a time."""
    return peak * duration_ps / 1e12 * (1 + TOLERANCE) + 1


def _op_problems(op: OpRecord, peak: float) -> list[tuple[str, str]]:
    found = []
    if op.profile and not isclose(op.l2_read_bytes, op.asked_read_bytes, rel_tol=TOLERANCE, abs_tol=1):
        found.append(("L1", f"asked {op.asked_read_bytes:.0f} B, served {op.l2_read_bytes:.0f} B"))
    if op.profile and not isclose(op.l2_write_bytes, op.asked_write_bytes, rel_tol=TOLERANCE, abs_tol=1):
        found.append(("L2", f"stored {op.asked_write_bytes:.0f} B, served {op.l2_write_bytes:.0f} B"))
    if not isclose(sum(op.causes.values()), op.wall_ps, rel_tol=1e-6, abs_tol=2):
        found.append(("L4", f"causes sum to {sum(op.causes.values()):.0f} ps of {op.wall_ps:.0f}"))
    moved = op.dram_read_bytes + op.dram_write_bytes
    if moved > _most(peak, op.duration_ps):
        found.append(("L5", f"{moved:.0f} B in {op.duration_ps} ps"))
    if not op.profile and moved != op.asked_read_bytes + op.asked_write_bytes:
        found.append(("L7", f"asked {op.asked_read_bytes + op.asked_write_bytes:.0f} B, moved {moved:.0f} B"))
    for name, n_bytes in op.moved_bytes.items():
        if not isclose(n_bytes, op.missed_bytes, rel_tol=TOLERANCE, abs_tol=1):
            found.append(("L8", f"L2 asked for {op.missed_bytes:.0f} B, {name} moved {n_bytes:.0f} B"))
    if unknown := set(op.causes) - set(CAUSES):
        found.append(("L6", f"unknown causes {sorted(unknown)}"))
    return found


def _broken(law: str, step: StepTrace, op: OpRecord, text: str) -> Problem:
    return Problem(f"{law} broken in {step.name} at {op.op}: {LAWS[law]}; {text}", code="law")
