"""`trace.json` of `--out`: all that the pictures of a run are drawn from, so that it can be drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from sim.result.energy import EnergyUse
from sim.result.identity import Identity
from sim.result.memory import MemoryTimeline, MemoryUse
from sim.result.trace import StepTrace, Trace

SCHEMA = "sparksim.trace/1"
FILE = "trace.json"


class Drawable(Protocol):
    """What the pictures of a run are drawn from."""

    @property
    def identity(self) -> Identity: ...  # noqa: D102

    @property
    def memory(self) -> MemoryUse | None: ...  # noqa: D102

    @property
    def trace(self) -> Trace | None: ...  # noqa: D102

    @property
    def memory_timeline(self) -> MemoryTimeline | None: ...  # noqa: D102

    @property
    def energy(self) -> EnergyUse | None: ...  # noqa: D102

    @property
    def prefill_passes(self) -> Sequence[tuple[int, int, int, int]]: ...  # noqa: D102


def trace_to_dict(result: Drawable) -> dict[str, Any]:
    """`sparksim.trace/1`: identity, memory, energy, and every simulated step with its ops and spans."""
    steps = result.trace.steps if result.trace else None
    timeline, energy = result.memory_timeline, result.energy
    return {
        "schema": SCHEMA,
        "identity": asdict(result.identity),
        "memory": asdict(result.memory) if result.memory else None,
        "memory_timeline": asdict(timeline) if timeline else None,
        "energy": asdict(energy) if energy else None,
        "prefill_passes": result.prefill_passes,
        "steps": None if steps is None else [_step(step) for step in steps],
    }


def _step(step: StepTrace) -> dict[str, Any]:
    """A step as JSON takes it: a list of [block, op, causes] instead of a mapping by (block, op)."""
    names = (name for name in StepTrace.__dataclass_fields__ if name not in ("ops", "elapsed"))
    plain = {name: getattr(step, name) for name in names}
    plain["folded"] = [asdict(fold) for fold in step.folded]
    elapsed = [[block, op, causes] for (block, op), causes in step.elapsed.items()]
    return {**plain, "ops": [asdict(op) for op in step.ops], "elapsed": elapsed}
