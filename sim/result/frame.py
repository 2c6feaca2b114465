"""Results as pandas tables. The only place that imports pandas, when it is used."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, Problem
from sim.result.energy import EnergyUse
from sim.result.memory import MemoryTimeline
from sim.result.trace import CAUSES, Trace

if TYPE_CHECKING:
    import pandas as pd


def frame(
    trace: Trace | None, memory: MemoryTimeline | None, what: str, energy: EnergyUse | None = None
) -> pd.DataFrame:
    """`ops`: a row per op of each simulated step; `spans`: per span; `memory`: per change; `power`: per stretch."""
    import pandas as pd

    return pd.DataFrame(rows(trace, memory, what, energy))


def rows(
    trace: Trace | None, memory: MemoryTimeline | None, what: str, energy: EnergyUse | None = None
) -> list[dict[str, Any]]:
    """The rows of a table, as plain dictionaries."""
    steps = trace.steps if trace else ()
    if what == "ops":
        return [{"phase": s.phase, "step": s.name, "weight": s.weight, **asdict(op)} for s in steps for op in s.ops]
    if what == "spans":
        return [
            {"phase": s.phase, "step": s.name, **span._asdict(), "bound": CAUSES[span.cause]}
            for s in steps
            for span in s.all_spans()
        ]
    if what == "memory":
        return [row._asdict() for row in memory.rows] if memory else []
    if what == "power":
        return [each._asdict() for each in (energy.samples if energy else ())]
    raise InputError(Problem(f"no table {what!r}", code="unknown_table", hint="ops, spans, memory or power"))
