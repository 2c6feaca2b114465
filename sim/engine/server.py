"""Shared furniture of components: servers that take time for work.

* `FairServer`: a bandwidth that active requesters share equally, at each instant: the fluid limit of round-robin
  arbitration in small pieces. Work is counted in units (bytes or weighted bytes); one wake-up per departure, whatever
  the number of requesters. A job may stand for `weight` equal requesters (a cohort), who come all at once or, with
  `spread_ps`, one after the other.
* `FifoServer`: first come, first served, one timeout per job.

Invariants (tested): work served = work submitted; never busier than elapsed; no idling with work waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from typing import TYPE_CHECKING

from sim.engine.clock import Alarm, Callbacks, Engine

if TYPE_CHECKING:
    from simpy.events import Event

Done = Callable[[], None]
DoneBy = Callable[["FairServer"], None]

FOUND = 0.8
"""Share of a server's idle time that the members of a cohort, who come one after the other, find and can use.

Were they spread perfectly evenly it would be all. Held against kernels whose SMs are all simulated (`full` mode).
"""


class FairServer:
    """A server of `rate` units per second, shared equally among the requesters that have work in it.

    `spread_ps`: how far apart the members of a cohort come. One who is simulated stands for others who came a little
    earlier or will come a little later, and those use the time in which the server would be idle: what it was idle
    lately shortens the work that a cohort's member waits for. No more is ever served than fits into the elapsed time.
    `cause`: what a wait for it is called in results.
    """

    __slots__ = (
        "_alarms",
        "_answers",
        "_armed_at",
        "_engine",
        "_heap",
        "_idle_ps",
        "_last",
        "_sequence",
        "_virtual",
        "_weight",
        "busy_ps",
        "busy_since",
        "cause",
        "name",
        "rate_per_ps",
        "served",
        "spread_ps",
    )

    def __init__(self, engine: Engine, name: str, rate: float, cause: str = "") -> None:
        if rate <= 0:
            raise ValueError(f"{name}: rate must be positive, not {rate}")
        self.name = name
        self.cause = cause
        self.rate_per_ps = rate / 1e12
        self.served = 0.0
        self.busy_ps = 0
        self.busy_since = -1
        self.spread_ps = 0
        self._idle_ps = 0.0
        self._engine = engine
        self._heap: list[tuple[float, int, float, Done]] = []
        self._virtual = 0.0
        self._weight = 0.0
        self._last = 0
        self._armed_at = -1
        self._sequence = 0
        self._alarms: list[Alarm] = []
        self._answers: Callbacks = [self._wake]

    def submit(self, work: float, weight: float, done: Done) -> None:
        """Serve `work` units for `weight` equal requesters together; call `done` when the last unit is through."""
        now = self._engine.clock
        if self._weight == 0.0:
            if self.spread_ps and self.served:
                self._idle_ps = min(self.spread_ps, self._idle_ps + FOUND * (now - self._last))
            self.busy_since = self._last = now
            self._virtual = 0.0
        elif now > self._last:
            self._advance(now)
        self.served += work
        if self._idle_ps and weight > 1:
            work -= self._use_idle(work * (1 - 1 / weight))
        self._sequence += 1
        heap = self._heap
        heappush(heap, (self._virtual + work / weight, self._sequence, weight, done))
        self._weight += weight
        if self._armed_at < now or heap[0][1] == self._sequence:  # else we wake early enough: a new share is smaller
            self._arm(now)

    def set_rate(self, rate: float) -> None:
        """Serve `rate` units per second from now on."""
        if self._weight:
            self._advance(self._engine.clock)
        self.rate_per_ps = rate / 1e12
        if self._weight:
            self._arm(self._engine.clock)

    def backlog(self) -> float:
        """Units that were submitted and are not served yet."""
        served = (self._engine.clock - self._last) * self.rate_per_ps if self._weight else 0.0
        return sum((due - self._virtual) * weight for due, _, weight, _ in self._heap) - served

    def _use_idle(self, most: float) -> float:
        """Units of at most `most` that were served while the server seemed idle."""
        used_ps = min(self._idle_ps, most / self.rate_per_ps)
        self._idle_ps -= used_ps
        self.busy_ps += round(used_ps)
        return used_ps * self.rate_per_ps

    def _advance(self, now: int) -> None:
        """Serve everybody from the last change to `now`."""
        elapsed = now - self._last
        self._virtual += elapsed * self.rate_per_ps / self._weight
        self.busy_ps += elapsed
        self._last = now

    def _arm(self, now: int) -> None:
        """See to it that we wake when the first job is through, if nobody else comes."""
        left = ceil((self._heap[0][0] - self._virtual) * self._weight / self.rate_per_ps)
        due = now + left if left > 0 else now
        if self._armed_at < now or due < self._armed_at:
            self._armed_at = due
            alarms = self._alarms
            self._engine.set_alarm(alarms.pop() if alarms else Alarm(self._answers), due - now)

    def _wake(self, alarm: Event) -> None:
        now = self._engine.clock
        if now != self._armed_at:
            self._alarms.append(alarm)  # type: ignore[arg-type]  # nothing else calls us
            return
        if now > self._last:
            self._advance(now)
        heap = self._heap
        # What would take less than a picosecond more is through: the wake-up was rounded up to whole picoseconds.
        horizon = self._virtual + self.rate_per_ps / self._weight * 1e-3
        if heap[0][0] > horizon:
            # Others came since and take their share: the same alarm again, later.
            left = ceil((heap[0][0] - self._virtual) * self._weight / self.rate_per_ps)
            self._armed_at = now + left
            self._engine.set_alarm(alarm, left)  # type: ignore[arg-type]
            return
        self._alarms.append(alarm)  # type: ignore[arg-type]
        self._armed_at = -1
        finished = []
        while heap and heap[0][0] <= horizon:
            _, _, weight, done = heappop(heap)
            self._weight -= weight
            finished.append(done)
        if not heap:
            self._weight = 0.0
            self.busy_since = -1
        for done in finished:
            done()
        if heap and self._armed_at < now:
            self._arm(now)


class Flow:
    """One requester's queue in front of a `FairServer`: its jobs are served one after the other, in order."""

    __slots__ = ("_current", "_finished", "_queue", "_server")

    def __init__(self, server: FairServer) -> None:
        self._server = server
        self._finished = self._finish
        self._queue: deque[tuple[float, float, DoneBy]] = deque()
        self._current: DoneBy | None = None

    def submit(self, work: float, weight: float, done: DoneBy) -> None:
        """Queue a job behind this requester's earlier ones; `done` is told which server is through with it."""
        if self._current is None:
            self._current = done
            self._server.submit(work, weight, self._finished)
        else:
            self._queue.append((work, weight, done))

    def _finish(self) -> None:
        done = self._current
        if self._queue:
            work, weight, self._current = self._queue.popleft()
            self._server.submit(work, weight, self._finished)
        else:
            self._current = None
        if done is not None:
            done(self._server)


class FifoServer:
    """First come, first served: `reserve` returns how long from now the job will take, its wait included."""

    __slots__ = ("_engine", "_free_at", "busy_ps", "name")

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self.busy_ps = 0
        self._engine = engine
        self._free_at = 0

    def reserve(self, service_ps: int) -> int:
        """Take the server for `service_ps` after everybody before; the time from now to the end, ps."""
        now = self._engine.clock
        start = max(now, self._free_at)
        self._free_at = start + service_ps
        self.busy_ps += service_ps
        return self._free_at - now
