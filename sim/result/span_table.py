"""`spans.csv`: every span of every simulated step."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from sim.result.chrome_trace import MOST_SPANS
from sim.result.trace import CAUSES, StepTrace

SPAN_FIELDS = (
    "phase", "step", "component", "op", "block", "iteration", "cause", "bound", "start_ps", "end_ps",
    "copies", "period_ps",
)  # fmt: skip


def write_spans(steps: Iterable[StepTrace], path: Path) -> None:
    """One row per span. A step of more than `MOST_SPANS` stays folded: a row happens `copies` more times.

    Copies lie `period_ps` apart; both are 0 for a row that stands for itself alone.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SPAN_FIELDS)
        for step in steps:
            is_long = step.is_long(MOST_SPANS)
            for index, s in enumerate(step.spans if is_long else step.all_spans()):
                fold = next((f for f in step.folded if f.first <= index < f.end), None) if is_long else None
                copies = (fold.copies, fold.period_ps) if fold else (0, 0)
                place = (step.phase, step.name, s.component, s.op, s.block, s.iteration)
                writer.writerow((*place, s.cause, CAUSES[s.cause], s.start_ps, s.end_ps, *copies))
