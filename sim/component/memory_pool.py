"""The one pool of memory that everybody takes from: who has how much, since when, and the most there ever was.

CPU, GPU, page cache and other programs share it. Pages of files that are cached give way when somebody needs room, as
the system's do; everything else stays until it is given back. Nothing here waits or takes time: whoever takes memory
says when by the pool's clock, so that the account costs a simulation no events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

PAGE_CACHE = "page_cache"
"""The class that gives way."""


class Change(NamedTuple):
    """From `time_ps` on, `what` has `n_bytes`; `why`: what happens then."""

    time_ps: int
    why: str
    what: str
    n_bytes: int


class HighWater(NamedTuple):
    """The most that was in use at once, page cache left out: when, how much, and by whom."""

    time_ps: int
    n_bytes: int
    by_class: dict[str, int]


class MemoryPool:
    """An account of memory by class, over time.

    `clock`: the time now, ps (`lambda: engine.now`). `capacity_bytes`: all that there is to share.
    """

    def __init__(self, clock: Callable[[], int], capacity_bytes: int) -> None:
        if capacity_bytes <= 0:
            raise ValueError(f"a pool of {capacity_bytes} bytes holds nothing")
        self.capacity_bytes = capacity_bytes
        self.changes: list[Change] = []
        self.why = ""
        self._clock = clock
        self._held: dict[str, int] = {}
        self._high = HighWater(clock(), 0, {})

    @property
    def in_use_bytes(self) -> int:
        """What does not give way: everything but the page cache."""
        return sum(n_bytes for what, n_bytes in self._held.items() if what != PAGE_CACHE)

    @property
    def free_bytes(self) -> int:
        """What nobody has, the page cache's part left out."""
        return self.capacity_bytes - sum(self._held.values())

    @property
    def high_water(self) -> HighWater:
        """The most that was in use at once so far."""
        return self._high

    def held(self, what: str) -> int:
        """Bytes of a class now."""
        return self._held.get(what, 0)

    def take(self, what: str, n_bytes: int) -> int:
        """Take `n_bytes` for a class; cached pages make room. By how much it is short: 0, or nothing is taken."""
        if n_bytes < 0:
            raise ValueError(f"{what} takes {n_bytes} bytes")
        if what == PAGE_CACHE:
            raise ValueError("the page cache takes what is free: see `cache`")
        short = n_bytes - (self.capacity_bytes - self.in_use_bytes)
        if short > 0:
            return short
        self._set(PAGE_CACHE, min(self.held(PAGE_CACHE), self.capacity_bytes - self.in_use_bytes - n_bytes))
        self._set(what, self.held(what) + n_bytes)
        if self.in_use_bytes > self._high.n_bytes:
            in_use = {name: held for name, held in self._held.items() if held and name != PAGE_CACHE}
            self._high = HighWater(self._clock(), self.in_use_bytes, in_use)
        return 0

    def give(self, what: str, n_bytes: int) -> None:
        """Give `n_bytes` of a class back.

        Raises:
            ValueError: it has not that many.
        """
        if not 0 <= n_bytes <= self.held(what):
            raise ValueError(f"{what} gives back {n_bytes} of {self.held(what)} bytes")
        self._set(what, self.held(what) - n_bytes)

    def cache(self, n_bytes: int) -> None:
        """Keep `n_bytes` more of files in the page cache, as far as there is room: older pages go first."""
        room = self.capacity_bytes - self.in_use_bytes
        self._set(PAGE_CACHE, min(room, self.held(PAGE_CACHE) + n_bytes))

    def _set(self, what: str, n_bytes: int) -> None:
        if n_bytes == self.held(what):
            return
        self._held[what] = n_bytes
        now, last = self._clock(), self.changes[-1] if self.changes else None
        if last is not None and last[:3] == (now, self.why, what):
            self.changes[-1] = Change(now, self.why, what, n_bytes)
        else:
            self.changes.append(Change(now, self.why, what, n_bytes))
