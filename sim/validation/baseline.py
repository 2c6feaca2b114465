"""What a comparison keeps of the run it rests on: who it is, where its time went, and what a plain roofline says."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sim.result.ranges import case_of
from sim.result.run_result import RunResult
from sim.result.trace import CAUSES, StepTrace


@dataclass(frozen=True, slots=True)
class Ran:
    """A prediction that was compared. `kind`: prefill, decode, or e2e where both are in the rate.

    `case`: its digest among the records. `causes`: shares of its time. `roofline_tok_s`: the baseline.
    """

    kind: str
    case: str
    runtime: str
    architecture: str
    quant: str
    causes: dict[str, float]
    roofline_tok_s: float


def ran_of(result: RunResult, kind: str) -> Ran:
    """What is kept of a result."""
    me, rates = result.identity, result.rates()
    assert result.trace is not None
    phases = ("prefill", "decode") if kind == "e2e" else (kind,)
    spent: dict[str, float] = defaultdict(float)
    for step in result.trace.steps:
        for cause, ps in step.causes.items():
            spent[cause] += ps * step.weight
    total = sum(spent.values()) or 1.0
    seconds = sum(roofline_s(result, phase) for phase in phases)
    predicted_s = rates["e2e_s"] if kind == "e2e" else result.phase_time_s(kind)
    tokens = (me.batch or 1) * ((me.output_tokens or 0) if kind == "e2e" else
                                (me.prompt_tokens or 0) if kind == "prefill" else result.decode_steps)  # fmt: skip
    assert predicted_s
    causes = {cause: spent[cause] / total for cause in CAUSES if spent[cause]}
    where = (me.runtime, me.architecture or "", me.quant or "")
    return Ran(kind, case_of(me, kind), *where, causes, tokens / seconds if seconds else 0.0)


def roofline_s(result: RunResult, phase: str) -> float:
    """Seconds of a phase if nothing but peaks counted: each step the longer of bytes / peak rate and FLOPs / peak.

    Bytes are those that a step moves between memory and L2; FLOPs are divided by the peak of the unit they are done on.
    No launch, no wave, no kernel's efficiency: what a spreadsheet says, 273 GB/s on a DGX Spark.
    """
    assert result.trace is not None
    return sum(_step_s(result, step) * step.weight for step in result.trace.of(phase))


def _step_s(result: RunResult, step: StepTrace) -> float:
    me = result.identity
    moved = sum((op.dram_read_bytes + op.dram_write_bytes) * op.repeat for op in step.ops)
    compute = sum(op.flops * op.repeat / me.peak_flops[op.unit] for op in step.ops if op.unit in me.peak_flops)
    return max(moved / me.peak_bytes_per_s, compute)
