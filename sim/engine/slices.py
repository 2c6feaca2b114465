"""A server that one owner has at a time: owners with work take turns of a slice each, and every change of owner costs.

Round robin: who has nothing to do loses its turn, who is alone keeps it without paying for changes. An owner that asks
again the moment it was served goes on in the rest of its slice. Invariants (tested): busy time per owner is the work it
asked for, nobody waits while the server idles, and over many rounds owners that always have work get equal time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.engine.clock import Behaviour, Engine

if TYPE_CHECKING:
    from simpy.events import Event

Watch = Callable[[str, int, int], None]
"""Told (owner, start, end) of each piece that is served, ps."""


@dataclass(slots=True)
class _Work:
    owner: str
    left_ps: int
    done: Event


class SlicedServer:
    """Serves one owner at a time, `slice_ps` each; a change of owner takes `switch_ps`."""

    def __init__(self, engine: Engine, slice_ps: int, switch_ps: int, watch: Watch | None = None) -> None:
        if slice_ps <= 0:
            raise ValueError("a slice must take time")
        self._engine = engine
        self._slice_ps = slice_ps
        self._switch_ps = switch_ps
        self._watch = watch
        self._waiting: deque[_Work] = deque()
        self._owner: str | None = None
        self._is_busy = False
        self.busy_ps: dict[str, int] = {}
        self.switches = 0

    def run(self, owner: str, work_ps: int) -> Event:
        """Have `work_ps` done for `owner`, in slices; its end."""
        done = self._engine.event()
        self._waiting.append(_Work(owner, work_ps, done))
        if not self._is_busy:
            self._is_busy = True
            self._engine.spawn(self._serve(), "slices")
        return done

    def _serve(self) -> Behaviour:
        left = 0
        while self._waiting:
            work = self._next(left)
            if work.owner != self._owner:
                if self._owner is not None:
                    self.switches += 1
                    yield self._engine.timeout(self._switch_ps)
                self._owner, left = work.owner, 0
            left = left or self._slice_ps
            piece = min(left, work.left_ps)
            start = self._engine.now
            yield self._engine.timeout(piece)
            if self._watch is not None and piece:
                self._watch(work.owner, start, self._engine.now)
            self.busy_ps[work.owner] = self.busy_ps.get(work.owner, 0) + piece
            left -= piece
            work.left_ps -= piece
            if work.left_ps:
                self._waiting.append(work)
            else:
                work.done.succeed()
                yield self._engine.timeout(0)  # whoever waited for this may ask again
        self._is_busy = False

    def _next(self, left_ps: int) -> _Work:
        """The owner's own next work while its slice lasts, else whoever waits longest."""
        if left_ps:
            for index, work in enumerate(self._waiting):
                if work.owner == self._owner:
                    del self._waiting[index]
                    return work
        return self._waiting.popleft()
