"""Streaming multiprocessors running CTA programs.

A CTA keeps `stages` K-steps of fetches outstanding, computes a step when its tiles have arrived and then re-uses that
stage for the next fetch; the SM's tensor and CUDA cores serve its CTAs in turn. A representative SM stands for a class
of SMs in the same state (`count` members), so its fetches carry that weight. The intervals of a slot tile its life and
each has one cause.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple, Protocol

from sim.component.grid import SmClass
from sim.component.transfer import Fetch, Part, Requester
from sim.cost.program import Kernel
from sim.engine import Behaviour, Engine, FifoServer, Pause

GOLDEN = (sqrt(5.0) - 1.0) / 2.0
"""Multiples of it fill the unit interval evenly and never fall into step."""
Parts = list[Part]
"""What a fetch or store moves, hop by hop."""


class Moment(NamedTuple):
    """An interval of a slot's life. `is_folded`: many steps that were advanced in closed form, summed by cause."""

    cause: str
    duration_ps: int
    is_folded: bool = False


@dataclass(slots=True)
class Cycles:
    """Per-step costs of a kernel on one SM, in ps: computed once per kernel."""

    prologue_ps: int
    step_ps: int
    work: tuple[tuple[str, int], ...]
    epilogue_ps: int = 0
    first_ps: int = 0


@dataclass(slots=True)
class Slot:
    """A CTA slot of a representative SM (or `ctas` equal ones): the state that folding reads and advances.

    `pause`: what its process waits for, whatever it is. `now`: how many CTAs it runs at the moment, side by side.
    """

    sm: Sm
    index: int
    pause: Pause
    ctas: int = 1
    now: int = 1
    steps: int = 0
    step: int = 0
    issued: int = 0
    is_streaming: bool = False
    is_done: bool = False
    causes: dict[str, int] = field(default_factory=dict)
    pending: deque[Fetch] = field(default_factory=deque)
    stored: Fetch | None = None
    done_steps: int = 0
    fetched_steps: int = 0
    done_visits: int = 0
    stepped_at: int = 0
    visited_at: int = 0
    last_end: int = 0
    history: list[Moment] | None = None
    """Its intervals in order, where somebody wants to draw them."""

    def charge(self, cause: str, duration_ps: int) -> None:
        """An interval of the slot's life, attributed to one cause."""
        if duration_ps:
            self.causes[cause] = self.causes.get(cause, 0) + duration_ps
            if self.history is not None:
                self.history.append(Moment(cause, duration_ps))


class Watcher(Protocol):
    """Told of every step and tile that a slot finishes; may advance the run (see `fold.py`)."""

    def step_done(self, slot: Slot) -> None:
        """A slot finished a K-step."""

    def visit_done(self, slot: Slot) -> None:
        """A slot finished a tile."""


class Run(Protocol):
    """What an SM needs to know of the kernel it works on."""

    kernel: Kernel
    cycles: Cycles
    cuda_units: frozenset[str]
    hit_latency_ps: int
    miss_latency_ps: int
    is_long: bool
    round_ps: int
    tail_ps: int
    most_slots: int
    fold: Watcher

    def parts_of(self, sm: Sm, k: int, steps: int, ctas: int) -> Parts:
        """What `ctas` tiles of each SM in `sm`, `steps` K-steps long and from its k-th on, fetch per step."""

    def store_parts(self, weight: int, steps: int) -> Parts:
        """What the epilogue of `weight` CTAs of `steps` K-steps stores."""

    def first_walk_ps(self) -> int:
        """Extra latency of a slot's first fetch from address translation."""


class Sm:
    """The representative of one class of SMs."""

    def __init__(self, engine: Engine, run: Run, sm_class: SmClass, slots: int) -> None:
        self.sm_class = sm_class
        self.weight = sm_class.count
        self.next_visit = 0
        self.visits_left = sm_class.visits
        self.units: dict[str, FifoServer] = {}
        ctas = min(slots, sm_class.visits)
        groups = min(ctas, run.most_slots)
        self.slots = [
            Slot(self, i, engine.pause(), (i + 1) * ctas // groups - i * ctas // groups) for i in range(groups)
        ]
        self._engine = engine
        self._run = run
        self._work: list[tuple[str, FifoServer, int]] = []
        for unit, service_ps in run.cycles.work:
            pool = "tensor" if unit not in run.cuda_units else "cuda"
            server = self.units.setdefault(pool, FifoServer(engine, f"{sm_class.members[0]}.{pool}"))
            self._work.append((pool, server, service_ps))
        self._alone_ps = run.cycles.step_ps + sum(service_ps for _, service_ps in run.cycles.work)

    def take_visit(self, most: int) -> tuple[int, int, int] | None:
        """The next tiles of this SM, at most `most` of equal length; None when all are handed out.

        Returns (number of the first in the SM's sequence, K-steps of each, how many).
        """
        k, steps_of = self.next_visit, self.sm_class.steps_of
        if k >= len(steps_of):
            return None
        self.next_visit += 1
        while self.next_visit < min(k + most, len(steps_of)) and steps_of[self.next_visit] == steps_of[k]:
            self.next_visit += 1
        return k, steps_of[k], self.next_visit - k

    def behave(self, slot: Slot) -> Behaviour:
        """The life of one slot: visit after visit until the SM's sequence is used up."""
        requester = Requester(self._engine)
        lag = (self.sm_class.phase + slot.index * GOLDEN) % 1.0 if self._run.is_long else 0.0
        if lag:
            lag_ps = round(lag * self._run.round_ps)
            yield slot.pause.of(lag_ps)
            slot.charge("pipeline_fill", lag_ps)
        while (visit := self.take_visit(slot.ctas)) is not None:
            yield from self._run_cta(slot, requester, *visit)
        yield from self._drain(slot)
        if self.weight > 1 and self._run.tail_ps:  # the last of these SMs is behind the one that stands for them all
            yield self._engine.timeout(self._run.tail_ps)
            slot.charge("wave_tail", self._run.tail_ps)
        slot.is_done = True
        slot.last_end = self._engine.now

    def _run_cta(self, slot: Slot, requester: Requester, k: int, steps: int, ctas: int) -> Behaviour:
        run, engine = self._run, self._engine
        cycles, pause = run.cycles, slot.pause
        parts = run.parts_of(self, k, steps, ctas)
        is_missing = any(part.hop is not parts[0].hop for part in parts)
        latency_ps = run.miss_latency_ps if is_missing else run.hit_latency_ps
        is_alone = len(self.slots) == slot.ctas == 1
        slot.now = ctas
        slot.steps, slot.step, slot.issued = steps, 0, 0
        if cycles.first_ps and slot.done_visits == 0:
            yield pause.of(cycles.first_ps)
            slot.charge("pipeline_fill", cycles.first_ps)
        if cycles.prologue_ps and (slot.done_visits == 0 or run.kernel.schedule != "persistent"):
            yield pause.of(cycles.prologue_ps)
            slot.charge("pipeline_fill", cycles.prologue_ps)
        walk_ps = run.first_walk_ps() if slot.done_steps == 0 else 0
        while slot.issued < min(run.kernel.stages, steps):
            self._issue(slot, requester, parts, latency_ps + walk_ps)
            walk_ps = 0
        slot.is_streaming = True
        while slot.step < steps:
            fetch = slot.pending.popleft()
            begin = engine.clock
            if (arrival := fetch.arrival(pause)) is not None:
                yield arrival
                self._charge_wait(slot, fetch, begin)
            if is_alone:
                yield pause.of(self._compute_alone(slot))
            else:
                for pool, unit, service_ps in self._work:
                    busy_ps = unit.reserve(service_ps * ctas)
                    yield pause.of(busy_ps)
                    slot.charge(pool, busy_ps)
                if cycles.step_ps:
                    yield pause.of(cycles.step_ps)
                    slot.charge("dependency", cycles.step_ps)
            slot.step += 1
            slot.done_steps += 1
            slot.stepped_at = engine.clock
            if slot.issued < steps:
                self._issue(slot, requester, parts, latency_ps)
            run.fold.step_done(slot)
        slot.is_streaming = False
        if cycles.epilogue_ps and steps:
            yield pause.of(cycles.epilogue_ps)
            slot.charge("dependency", cycles.epilogue_ps)
        yield from self._store(slot, requester)
        slot.done_visits += ctas
        slot.visited_at = engine.clock
        run.fold.visit_done(slot)

    def _compute_alone(self, slot: Slot) -> int:
        """The step's work by a CTA that shares its SM with no other: nobody to wait for, so it is one interval (ps)."""
        for pool, _, service_ps in self._work:
            slot.charge(pool, service_ps)
        slot.charge("dependency", self._run.cycles.step_ps)
        return self._alone_ps

    def _issue(self, slot: Slot, requester: Requester, parts: Parts, latency_ps: int) -> None:
        slot.issued += 1
        slot.fetched_steps += 1
        slot.pending.append(requester.fetch(parts, self.weight * slot.now, latency_ps))

    def _charge_wait(self, slot: Slot, fetch: Fetch, begin: int) -> None:
        """The wait for the tiles of a step goes to the server that held them up, or to latency."""
        waited = self._engine.clock - begin
        latency = "pipeline_fill" if slot.step < self._run.kernel.stages else "dependency"
        server = fetch.last
        if server is not None and 0 <= server.busy_since <= begin:
            slot.charge(server.cause, waited)
        else:
            queued = max(0, min(waited, fetch.arrived_at - max(begin, fetch.issued_at)))
            slot.charge(fetch.cause, queued)
            slot.charge(latency, waited - queued)

    def _store(self, slot: Slot, requester: Requester) -> Behaviour:
        """The epilogue: the output tile goes to L2. Nobody waits for it, but the stores before it must be through."""
        yield from self._drain(slot)
        weight = self.weight * slot.now
        parts = self._run.store_parts(weight, slot.steps)
        if parts:
            slot.stored = requester.fetch(parts, weight, 0)

    def _drain(self, slot: Slot) -> Behaviour:
        """Wait until L2 has taken the slot's last output tile."""
        if slot.stored is not None and slot.stored.arrived_at < 0:
            begin = self._engine.clock
            slot.stored.waiter = slot.pause.open_ended()
            yield slot.stored.waiter
            slot.charge(slot.stored.cause, self._engine.clock - begin)
        slot.stored = None
