"""Ops of different components that run at the same time share the memory controllers.

Each op, run alone, keeps memory busy for a part of its time: its *demand*, between 0 and 1. While the demands of all
that run sum to at most 1, nobody waits. Beyond that memory is shared max-min fair (what an op does not want, the others
share equally), the fluid limit of round-robin arbitration, and an op that gets a part of its demand advances at that
part of its speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from sim.engine import Engine, Event


def max_min_shares(demands: list[float], capacity: float = 1.0) -> list[float]:
    """What each gets of `capacity`: its demand, or an equal part of what the smaller demands leave.

    >>> max_min_shares([0.9, 0.2, 0.9])
    [0.4, 0.2, 0.4]
    """
    shares = [0.0] * len(demands)
    order = sorted(range(len(demands)), key=lambda i: demands[i])
    for done, i in enumerate(order):
        shares[i] = min(demands[i], capacity / (len(order) - done))
        capacity -= shares[i]
    return shares


@dataclass(slots=True)
class _Running:
    """An op under way: how much of its time alone is left (ps), its demand, and how fast it advances (1 = alone)."""

    left_ps: float
    demand: float
    done: Event
    speed: float = 1.0


class SharedMemory:
    """Stretches what runs at the same time; an op that runs alone takes exactly its own time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._running: list[_Running] = []
        self._last = 0
        self._armed = 0

    def run(self, duration_ps: int, memory_ps: int) -> Event:
        """Start an op that takes `duration_ps` alone and keeps memory busy for `memory_ps` of it; its end."""
        self._advance()
        demand = min(1.0, memory_ps / duration_ps) if duration_ps else 0.0
        one = _Running(float(duration_ps), demand, self._engine.event())
        self._running.append(one)
        self._arm()
        return one.done

    def _advance(self) -> None:
        now = self._engine.clock
        for one in self._running:
            one.left_ps -= (now - self._last) * one.speed
        self._last = now

    def _arm(self) -> None:
        """Share memory anew and wake up when the first op ends."""
        self._armed += 1
        if not self._running:
            return
        shares = max_min_shares([one.demand for one in self._running])
        for one, share in zip(self._running, shares, strict=True):
            one.speed = share / one.demand if one.demand else 1.0
        due = max(0, min(ceil(one.left_ps / one.speed - 1e-6) for one in self._running))
        ticket = self._armed
        self._engine.call_after(due, lambda: self._wake(ticket))

    def _wake(self, ticket: int) -> None:
        if ticket != self._armed:
            return  # somebody came since: there is a later wake-up
        self._advance()
        ended = [one for one in self._running if one.left_ps <= one.speed * 1e-3]
        self._running = [one for one in self._running if one.left_ps > one.speed * 1e-3]
        for one in ended:
            one.done.succeed()
        self._arm()
