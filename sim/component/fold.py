"""Folding: a steady state is advanced in closed form instead of step by step.

Within a tile: when the leader's last windows of K-steps took equally long, and every streaming slot advanced equally
in them, the whole system repeats itself; the clock is warped by as many windows as all slots still have to do.
Across tiles: the same with visits, once the L2 hit rate has settled too (checked over the window).
Servers' counters and the slots' cause accounts advance with the clock, so that totals stay what the ops asked.
"""

from __future__ import annotations

from typing import Protocol

from sim.component.sm import Moment, Slot, Sm
from sim.component.transfer import ACCESSES, FILL, READS, Hop
from sim.cost.program import Kernel
from sim.engine import Engine, FairServer

STEP_TOLERANCE = 5e-4
STEP_WINDOWS = (2, 4, 8)
VISIT_TOLERANCE = 2e-3
FEWEST_MARKS = 3
"""Of a slot's steps, to tell a window from the one before."""
VISIT_WINDOWS = (1, 2, 3, 4)
LONGEST_SEARCH_VISITS = 12
LONGEST_SEARCH_EVENTS = 1500
FEW_EVENTS_LEFT = 2000
"""From so many events on, what was seen on average stands for tiles that need not be equally many on every SM."""
MANY_EVENTS = 3000
"""From so many events on, it stands for tiles of any length: a causal prompt's grow, and none repeats another."""
ALIKE = 1.1
"""Longest tile over shortest up to which tiles count as equally long, for that average."""
DRIFT = 2e-3
"""Most that a slot may get ahead of the leader in a window, as a share of it; not asked once a search is long."""
MANY_STEPS = 800
"""From so many K-steps on, of all that are told apart, the mean of a tile's steps may stand for the rest of it."""
FEW_STEPS = 150
"""So few K-steps, of all that are told apart, are rather stepped than estimated."""


class Run(Protocol):
    """What folding reads and advances of a kernel while it runs."""

    kernel: Kernel
    engine: Engine
    sms: list[Sm]
    slots: list[Slot]
    leader: Slot
    hops: tuple[Hop, ...]
    servers: list[FairServer]


class NoFold:
    """`full` mode: nothing is folded."""

    def step_done(self, slot: Slot) -> None:
        """A slot finished a K-step."""

    def visit_done(self, slot: Slot) -> None:
        """A slot finished a tile."""


class Fold(NoFold):
    """Watches the leader (first slot of the first class) and warps when the state repeats."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._steps: list[_Mark] = []
        self._visits: list[_Mark] = []
        lengths = {n for sm in run.sms for n in sm.sm_class.steps_of}
        self._is_uniform = run.kernel.schedule == "persistent" or max(lengths) <= ALIKE * min(lengths)
        self._is_large = sum(sum(sm.sm_class.steps_of) for sm in run.sms) >= MANY_STEPS

    def _is_worth_it(self) -> bool:
        """Whether enough is left to be done."""
        return sum(sum(sm.sm_class.steps_of[sm.next_visit :]) for sm in self._run.sms) >= FEW_STEPS

    def _leads(self, slot: Slot) -> bool:
        """Whether `slot` is the one that is watched; who is met first takes over from one that is done."""
        if self._run.leader.is_done:
            self._run.leader = slot
            self._steps.clear()
            self._visits.clear()
        return slot is self._run.leader

    def step_done(self, slot: Slot) -> None:
        """Skip K-steps when the leader's last windows repeat, or after a long search by their mean."""
        run, marks = self._run, self._steps
        if slot is not run.leader and not (run.leader.is_done and self._leads(slot)):
            return
        if slot.step <= 1:
            marks.clear()
        if slot.steps < slot.issued + 2 or slot.steps < run.kernel.stages + FEWEST_MARKS + 2:
            return  # so near its end, or in so short a tile, there is no step to skip once there are marks to go by
        marks.append(_Mark(run, by_visit=False))
        if slot.step < run.kernel.stages:
            return
        for window in STEP_WINDOWS:
            if len(marks) > 2 * window and _repeats(
                run, marks[-1 - 2 * window], marks[-1 - window], marks[-1], STEP_TOLERANCE
            ):
                self._skip_steps(marks[-1 - window], marks[-1])
                return
        if len(marks) >= FEWEST_MARKS and run.engine.events > LONGEST_SEARCH_EVENTS and self._is_large:
            self._skip_steps(marks[-1 - len(marks) // 2], marks[-1])

    def _skip_steps(self, before: _Mark, last: _Mark) -> None:
        """Let the window `before`..`last` happen as often as every streaming slot still has steps for it."""
        run = self._run
        moved = [a - b for a, b in zip(last.done, before.done, strict=True)]
        is_mixed = any(not s.is_streaming and m for s, m in zip(run.slots, moved, strict=True))
        fetched = [a - b for a, b in zip(last.fetched, before.fetched, strict=True)]
        has_stored = last.moved[0]["write"] != before.moved[0]["write"]
        if is_mixed or has_stored or fetched != moved:  # a tile began or ended within the window
            return
        streaming = [(s, m) for s, m in zip(run.slots, moved, strict=True) if s.is_streaming]
        windows = min((s.steps - s.issued - 1) // m if m > 0 else 0 for s, m in streaming)
        if windows > 0:
            for s, m in streaming:
                s.step += windows * m
                s.issued += windows * m
                s.done_steps += windows * m
                s.fetched_steps += windows * m
            last.advance(run, before, windows)
            self._steps.clear()

    def visit_done(self, slot: Slot) -> None:
        """Skip tiles when the leader's last windows repeat, or after a long search by their mean."""
        run = self._run
        if not self._leads(slot):
            return
        self._steps.clear()
        if not self._is_worth_it():
            return
        marks = self._visits
        marks.append(_Mark(run, by_visit=True))
        if len(marks) > 2 and run.engine.events > (FEW_EVENTS_LEFT if self._is_uniform else MANY_EVENTS):
            self._skip_unequally(marks[-1 - len(marks) // 2], marks[-1])
            return
        for window in VISIT_WINDOWS:
            if len(marks) > 2 * window and _repeats(
                run, marks[-1 - 2 * window], marks[-1 - window], marks[-1], VISIT_TOLERANCE
            ):
                self._skip_visits(marks[-1 - window], marks[-1])
                return
        is_late = len(marks) > 2 and run.engine.events > LONGEST_SEARCH_EVENTS
        if is_late or (len(marks) > LONGEST_SEARCH_VISITS and self._is_large):
            self._skip_visits(marks[-1 - len(marks) // 2], marks[-1])

    def _skip_unequally(self, before: _Mark, last: _Mark) -> None:
        """Let every SM go on at its pace of `before`..`last` until one has a tile left for each slot."""
        run = self._run
        moved = dict.fromkeys(run.sms, 0)
        for slot, a, b in zip(run.slots, last.fetched, before.fetched, strict=True):
            moved[slot.sm] += a - b
        left = {sm: sm.sm_class.steps_of[sm.next_visit : -len(sm.slots)] for sm in run.sms}
        windows = min((sum(left[sm]) / n for sm, n in moved.items() if n and left[sm]), default=0.0)
        if windows == 0.0:
            return
        tiles = steps = 0
        for sm, lengths in left.items():
            due, skipped = windows * moved[sm], 0
            for length in lengths:
                if skipped + length / 2 > due:
                    break
                skipped += length
                sm.next_visit += 1
                tiles += sm.weight
            steps += skipped * sm.weight
        last.advance(run, before, windows, _asked(run.kernel, steps, tiles))
        self._visits.clear()

    def _skip_visits(self, before: _Mark, last: _Mark) -> None:
        """Let the window `before`..`last` happen as often as every SM still has equally long tiles."""
        run = self._run
        moved = dict.fromkeys(run.sms, 0)
        for slot, a, b in zip(run.slots, last.done, before.done, strict=True):
            moved[slot.sm] += a - b
        moved = _rounded(moved, run.leader.sm)
        if any(moved[sm] == 0 and sm.next_visit < sm.sm_class.visits for sm in run.sms):
            return
        windows = min((_alike(sm) // moved[sm] for sm in run.sms if moved[sm]), default=0) - 1
        if windows > 0:
            tiles = sum(windows * moved[sm] * sm.weight for sm in run.sms)
            steps = sum(windows * moved[sm] * sm.weight * sm.sm_class.steps_of[sm.next_visit - 1] for sm in run.sms)
            for sm in run.sms:
                sm.next_visit += windows * moved[sm]
            last.advance(run, before, windows, _asked(run.kernel, steps, tiles))
            self._visits.clear()


def _asked(kernel: Kernel, steps: int, tiles: int) -> dict[str, float]:
    """The L2 bytes that `tiles` tiles of `steps` K-steps in all ask for; a persistent CTA may store parts of tiles."""
    stored = steps / kernel.n_steps if kernel.schedule == "persistent" else tiles
    return {"read": steps * kernel.step_bytes, "write": stored * kernel.store_bytes}


def _rounded(moved: dict[Sm, int], leader: Sm) -> dict[Sm, int]:
    """The progress of SMs that are as fast as the leader's, without what is due to the moment of looking."""
    usual = moved[leader]
    return {
        sm: usual if n and abs(n - usual) <= len(sm.slots) and sm.next_visit < sm.sm_class.visits else n
        for sm, n in moved.items()
    }


def _alike(sm: Sm) -> int:
    """How many of the next tiles of an SM are as long as the one it took last."""
    steps, start = sm.sm_class.steps_of, sm.next_visit
    end = start
    while end < len(steps) and steps[end] == steps[start - 1]:
        end += 1
    return end - start


class _Mark:
    """The state of the run at one moment: time, progress, what every server has served, every slot's accounts."""

    __slots__ = ("ages", "busy", "causes", "clock", "done", "fetched", "moved", "served")

    def __init__(self, run: Run, *, by_visit: bool) -> None:
        self.clock = run.engine.now
        self.ages = [run.engine.clock - (slot.visited_at if by_visit else slot.stepped_at) for slot in run.slots]
        self.fetched = [slot.fetched_steps for slot in run.slots]
        self.done = [slot.done_visits if by_visit else slot.done_steps for slot in run.slots]
        self.served = [server.served for server in run.servers]
        self.busy = [server.busy_ps for server in run.servers]
        self.moved = [hop.moved.copy() for hop in run.hops]
        self.causes = [slot.causes.copy() for slot in run.slots]

    def backlog(self, run: Run, before: _Mark) -> float:
        """Work asked of the busiest hop since `before`, over the time since: above 1 its queues grow."""
        elapsed = (self.clock - before.clock) / 1e12
        if elapsed <= 0:
            return 0.0
        return (
            max(
                hop.load({access: n_bytes - then[access] for access, n_bytes in now.items()})
                for hop, now, then in zip(run.hops, self.moved, before.moved, strict=True)
            )
            / elapsed
        )

    def advance(self, run: Run, before: _Mark, windows: float, asked: dict[str, float] | None = None) -> None:
        """Let the interval `before`..`self` happen `windows` more times.

        `asked`: the L2 bytes that the skipped tiles ask for; what is in flight at the window's edges is evened out.
        """
        scale = dict.fromkeys(ACCESSES, 1.0)
        for access, n_bytes in (asked or {}).items():
            counted = windows * (self.moved[0][access] - before.moved[0][access])
            scale[access] = n_bytes / counted if counted else 1.0
        scale |= dict.fromkeys((*READS, FILL), scale["read"])
        pace = scale["read"] if (asked or {}).get("read") else scale["write"]
        pace = max(pace, pace * self.backlog(run, before))
        run.engine.warp(round(windows * (self.clock - before.clock) * pace))
        for index, server in enumerate(run.servers):
            server.served += windows * (self.served[index] - before.served[index]) * pace
            server.busy_ps += round(windows * (self.busy[index] - before.busy[index]) * pace)
        for hop, now, then in zip(run.hops, self.moved, before.moved, strict=True):
            for access, n_bytes in now.items():
                hop.moved[access] += windows * (n_bytes - then[access]) * scale[access]
        for slot, spent_now, spent_then in zip(run.slots, self.causes, before.causes, strict=True):
            for cause, spent in spent_now.items():
                folded_ps = round(windows * (spent - spent_then.get(cause, 0)) * pace)
                slot.causes[cause] += folded_ps
                if slot.history is not None and folded_ps:
                    slot.history.append(Moment(cause, folded_ps, is_folded=True))


def _repeats(run: Run, first: _Mark, middle: _Mark, last: _Mark, tolerance: float) -> bool:
    """Whether the last window is a copy of the one before: time, progress of every slot, bytes of every server."""
    once, again = middle.clock - first.clock, last.clock - middle.clock
    if abs(once - again) > max(2, tolerance * once):
        return False
    if [m - f for f, m in zip(first.done, middle.done, strict=True)] != [
        z - m for m, z in zip(middle.done, last.done, strict=True)
    ]:
        return False
    is_late = run.engine.events > LONGEST_SEARCH_EVENTS
    if not is_late and any(
        abs(now - then) > max(2, DRIFT * again) for then, now in zip(middle.ages, last.ages, strict=True)
    ):
        return False
    if last.backlog(run, middle) > 1.0 + tolerance:
        return False
    for f, m, z in zip(first.moved, middle.moved, last.moved, strict=True):
        for access in f:
            before, after = m[access] - f[access], z[access] - m[access]
            if abs(before - after) > tolerance * max(before, after):
                return False
    return True
