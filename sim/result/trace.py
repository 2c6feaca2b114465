"""What a simulation leaves behind, before anything is summed up: op records and spans of every simulated step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

CAUSES = {
    "dram": "memory",
    "l2": "memory",
    "translation": "memory",
    "c2c": "link",
    "pcie": "link",
    "nic": "link",
    "tensor": "compute",
    "cuda": "compute",
    "wave_tail": "latency",
    "pipeline_fill": "latency",
    "dependency": "latency",
    "launch": "host",
    "step": "host",
    "nvme": "storage",
}
"""Every cause of a span, and the bound it counts towards. One vocabulary for spans, plots and results."""
BOUNDS = ("memory", "link", "compute", "latency", "host", "storage")


class Span(NamedTuple):
    """An interval of an op's life on a component, with one cause. Times in ps from the start of the step."""

    component: str
    op: str
    block: int
    iteration: int
    cause: str
    start_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True)
class Folded:
    """Iterations that were not stepped: the spans [first, end) happen `copies` more times, `period_ps` apart."""

    first: int
    end: int
    copies: int
    period_ps: int


@dataclass(frozen=True, slots=True)
class OpRecord:
    """One op of a step: what it asked for and what the device did. Times in ps, sizes in bytes.

    `repeat`: how often the op runs in the step (layers). `wall_ps`: from when its predecessor ended to its own end, the
    mean over its repeats; `causes` sum to it. `duration_ps`: with nobody else on the machine. `asked_..._bytes`: what
    its CTAs asked of L2; for a copy, or an op that another component runs, what it asked of memory (write-backs of its
    inputs from L2 counted). `unit`: where its `flops` are done; COMPONENT.UNIT beside the GPU.
    `missed_bytes`: what L2 fetched from memory and wrote back for a kernel; `moved_bytes`: what each link and memory on
    that way moved.
    """

    op: str
    site: str
    kind: str
    block: int
    repeat: int
    component: str
    kernel: str
    wall_ps: float
    duration_ps: int
    causes: dict[str, float]
    flops: float
    unit: str
    asked_read_bytes: float
    asked_write_bytes: float
    l2_read_bytes: float
    l2_write_bytes: float
    dram_read_bytes: float
    dram_write_bytes: float
    tensor_share: float
    after: tuple[str, ...] = ()
    tile: tuple[int, ...] = ()
    ctas: int = 0
    waves: float = 0.0
    occupancy: int = 0
    split_k: int = 1
    profile: str = ""
    """Digest of the kernel profile it used; empty for host work and copies."""
    profile_events: int = 0
    missed_bytes: float = 0.0
    moved_bytes: dict[str, float] = field(default_factory=dict)
    matrix_flops: dict[str, float] = field(default_factory=dict)
    """What the matrix units execute by unit, padding included."""
    instructions: float = 0.0
    """What single lanes of the CUDA cores execute, unpacking of weights included."""


@dataclass(frozen=True, slots=True)
class StepTrace:
    """One simulated knot step. `weight`: how many steps of the phase it stands for.

    `elapsed`: its time by op (block, id) and cause, all repeats together, along the critical path where components
    overlap: each moment counts once, and all sum to `duration_ps`.
    """

    phase: str
    name: str
    weight: float
    tokens: int
    context: int
    duration_ps: int
    ops: tuple[OpRecord, ...]
    spans: tuple[Span, ...]
    folded: tuple[Folded, ...] = ()
    events: int = 0
    elapsed: dict[tuple[int, str], dict[str, int]] = field(default_factory=dict)

    @property
    def causes(self) -> dict[str, int]:
        """Its elapsed time by cause, ps."""
        causes: dict[str, int] = {}
        for parts in self.elapsed.values():
            for cause, ps in parts.items():
                causes[cause] = causes.get(cause, 0) + ps
        return causes

    def is_long(self, limit: int) -> bool:
        """Whether `all_spans` would give more than `limit` spans."""
        return len(self.spans) + sum((fold.end - fold.first) * fold.copies for fold in self.folded) > limit

    def all_spans(self) -> Iterator[Span]:
        """Every span, the folded iterations written out, in time order per block."""
        marks = {fold.end: fold for fold in self.folded}
        for index, span in enumerate(self.spans):
            yield span
            fold = marks.get(index + 1)
            if fold is not None:
                for copy in range(1, fold.copies + 1):
                    shift = copy * fold.period_ps
                    for s in self.spans[fold.first : fold.end]:
                        yield s._replace(
                            iteration=s.iteration + copy, start_ps=s.start_ps + shift, end_ps=s.end_ps + shift
                        )


@dataclass(frozen=True, slots=True)
class Trace:
    """The steps of a run, by phase in order. `kernels_stepped`: profiles that no cache had; no part of the answer."""

    steps: tuple[StepTrace, ...] = field(default_factory=tuple)
    kernels_stepped: int = field(default=0, compare=False)

    def phases(self) -> list[str]:
        """Names of the phases, in order."""
        return list(dict.fromkeys(step.phase for step in self.steps))

    def of(self, phase: str) -> list[StepTrace]:
        """The steps of one phase."""
        return [step for step in self.steps if step.phase == phase]
