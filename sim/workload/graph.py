"""A workload: phases of steps, a step is blocks of ops, a block repeats (layers). This is what the system replays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.workload.op import Op


@dataclass(frozen=True, slots=True)
class Block:
    """Ops that run in order, `repeat` times over (a run of equal layers)."""

    ops: tuple[Op, ...]
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass at one point of a phase: a knot.

    `weight` is the number of steps of the phase that this knot stands for (hat functions of piecewise-linear
    interpolation in context, so the weights of a phase sum to its number of steps).
    """

    name: str
    blocks: tuple[Block, ...]
    weight: float = 1.0
    tokens: int = 0
    context: int = 0

    def ops(self) -> Iterator[Op]:
        """Each op once, whatever its block's repeat."""
        for block in self.blocks:
            yield from block.ops

    def op_count(self) -> int:
        """Ops that run, repeats included."""
        return sum(len(block.ops) * block.repeat for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Phase:
    """`prefill`, `decode`, or a phase that an op trace names; `steps` are its knots in order."""

    name: str
    steps: tuple[Step, ...]

    @property
    def step_count(self) -> float:
        """Steps that the knots stand for."""
        return sum(step.weight for step in self.steps)


@dataclass(frozen=True, slots=True)
class Workload:
    """What to run: phases one after the other."""

    name: str
    phases: tuple[Phase, ...]
