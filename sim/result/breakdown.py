"""Where the time of a phase went: by op class or by place in the model, and by cause. Each moment counts once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sim.result.trace import OpRecord, StepTrace

HOST = "host"
"""The host's work between steps, and what has no op of its own."""
HOST_PLACE = "host between steps"
LAYER = re.compile(r"^L\d*\.")
"""How the ids of a layer's ops begin."""
_CLASSES = {"grouped_gemm": "moe"}
Spent = dict[str, dict[str, float]]
"""Name -> cause -> picoseconds of the whole phase, its steps weighted."""


def class_of(op: OpRecord) -> str:
    """What kind of op it is, under the names that `sparksim kernel` has: gemm, moe, attention, elementwise, ..."""
    return _CLASSES.get(op.kind, op.kind)


def place_of(op: OpRecord) -> str:
    """Where in the model an op stands; an op trace that does not say is known by the op's id."""
    return LAYER.sub("", op.op) if op.site == op.kind else op.site


def by_class(steps: Iterable[StepTrace]) -> Spent:
    """By op class."""
    return _spent(steps, class_of, HOST)


def by_place(steps: Iterable[StepTrace]) -> Spent:
    """By place in the model."""
    return _spent(steps, place_of, HOST_PLACE)


def _spent(steps: Iterable[StepTrace], name_of: Callable[[OpRecord], str], host: str) -> Spent:
    """Elapsed time along the critical path; names as they first come. All of it sums to the time of the phase."""
    found: Spent = {}
    for step in steps:
        for op in step.ops:
            for cause, ps in step.elapsed[op.block, op.op].items():
                name = host if cause == "step" and op.component != "host" else name_of(op)
                parts = found.setdefault(name, {})
                parts[cause] = parts.get(cause, 0.0) + ps * step.weight
    return found
