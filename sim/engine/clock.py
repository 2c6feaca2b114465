"""The event engine: SimPy with an integer-picosecond clock, counted events, named processes and deadlock reports.

Nothing else in the project imports simpy. Time is an `int` in picoseconds everywhere inside a simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.events import NORMAL, Event, Process

from sim.errors import DeadlockError, Problem

Behaviour = Generator[Event, Any, Any]
Callbacks = list[Callable[[Event], None]]


class _Timer(Event):
    """A SimPy timeout, made in one call instead of three: most events are timeouts."""

    _ok = True
    _value = None

    def __init__(self, env: simpy.Environment, delay_ps: int, callbacks: Callbacks) -> None:
        if delay_ps < 0:
            raise ValueError(f"time cannot go back ({delay_ps} ps)")
        self.env = env
        self.callbacks = callbacks
        heappush(env._queue, (env._now + delay_ps, NORMAL, next(env._eid), self))


class Alarm(Event):
    """An event that happens as often as it is set, for who wakes up often. `answers` are called each time."""

    _ok = True
    _value = None

    def __init__(self, answers: Callbacks) -> None:
        self.answers = answers


class Pause(Event):
    """What a process waits for, again and again: it waits for one thing at a time, so one event will do.

    Made by `Engine.pause`. Raises RuntimeError where it is to begin again before it has ended.
    """

    _ok = True
    _value = None

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.callbacks = None  # type: ignore[assignment]  # how SimPy marks what has happened

    def open_ended(self) -> Pause:
        """To be waited for until somebody ends it with `Engine.succeed_after`."""
        pending: object = self.callbacks
        if pending is not None:
            raise RuntimeError("this pause has not ended yet")
        self.callbacks = []
        return self

    def of(self, duration_ps: int) -> Pause:
        """To be waited for; it ends in `duration_ps`."""
        if duration_ps < 0:
            raise ValueError(f"time cannot go back ({duration_ps} ps)")
        self.open_ended()
        env = self.env
        heappush(env._queue, (env._now + duration_ps, NORMAL, next(env._eid), self))
        return self


class Engine:
    """One simulated clock.

    `events` counts every SimPy event that was processed: the honest measure of simulation work. `clock` is time without
    warps, ps: what servers measure intervals with (an attribute, because they read it several times per event).
    `warp` moves the clock of the whole engine forward without touching what is pending: every pending event keeps
    its distance from now. It is how a steady state is advanced in closed form (see `component/fold.py`).
    """

    def __init__(self) -> None:
        self._env = simpy.Environment()
        self._warped_ps = 0
        self.clock = 0
        self._waiting: dict[Process, str] = {}
        self.events = 0

    @property
    def now(self) -> int:
        """Simulated time, ps."""
        return self.clock + self._warped_ps

    def warp(self, duration_ps: int) -> None:
        """Let `duration_ps` pass for everybody at once."""
        if duration_ps < 0:
            raise ValueError(f"time cannot go back ({duration_ps} ps)")
        self._warped_ps += duration_ps

    def event(self) -> Event:
        """An event that somebody will trigger with `.succeed()`."""
        return Event(self._env)

    def timeout(self, delay_ps: int) -> Event:
        """An event `delay_ps` from now."""
        return _Timer(self._env, delay_ps, [])

    def pause(self) -> Pause:
        """An event for a process that waits often."""
        return Pause(self._env)

    def set_alarm(self, alarm: Alarm, delay_ps: int) -> None:
        """Let `alarm`, which is not set, ring in `delay_ps`."""
        env = self._env
        alarm.callbacks = alarm.answers
        heappush(env._queue, (env._now + delay_ps, NORMAL, next(env._eid), alarm))

    def succeed_after(self, event: Event, delay_ps: int) -> None:
        """Let `event` happen in `delay_ps`: one event instead of a signal and a timeout."""
        event._ok, event._value = True, None  # what `Event.succeed` does, which has no delay
        env = self._env
        heappush(env._queue, (env._now + delay_ps, NORMAL, next(env._eid), event))

    def call_after(self, delay_ps: int, action: Callable[[], None]) -> None:
        """Run `action` in `delay_ps`."""
        _Timer(self._env, delay_ps, [lambda _event: action()])

    def all_of(self, events: Sequence[Event]) -> Event:
        """An event that happens when all of `events` have happened."""
        return self._env.all_of(events)

    def any_of(self, events: Sequence[Event]) -> Event:
        """An event that happens when one of `events` has happened."""
        return self._env.any_of(events)

    def spawn(self, behaviour: Behaviour, name: str) -> Process:
        """Start a process. Its name appears in a deadlock report."""
        process = self._env.process(behaviour)
        self._waiting[process] = name
        return process

    def run(self, until: Event) -> None:
        """Step until `until` has happened.

        Raises:
            DeadlockError: nothing is scheduled any more; names every live process and what it waits for.
        """
        env, queue = self._env, self._env._queue
        last: Any = until  # SimPy does not say that `callbacks` become None
        while last.callbacks is not None:
            if not queue:
                raise DeadlockError(self._deadlock())
            # As `Environment.step` does, without its call and its two handlers of exceptions per event.
            when, _, _, event = heappop(queue)
            env._now = self.clock = when  # type: ignore[assignment]  # an int, because every delay is one
            callbacks: Callbacks = event.callbacks
            event.callbacks = None  # type: ignore[assignment]  # how SimPy marks what has happened
            for callback in callbacks:
                callback(event)
            self.events += 1
            if not event._ok and not event.defused:
                raise event._value
        if not until.ok:
            raise until.value  # type: ignore[misc]  # a failed event's value is its exception

    def _deadlock(self) -> list[Problem]:
        waits = [
            Problem(f"{name} waits for {_describe(process.target, self._waiting)}", code="deadlock")
            for process, name in self._waiting.items()
            if process.is_alive
        ]
        head = Problem(f"deadlock at {self.now} ps: nothing is scheduled", code="deadlock")
        return [head, *waits]


def _describe(event: Event | None, names: dict[Process, str]) -> str:
    if isinstance(event, Process) and event in names:
        return f"process {names[event]}"
    waited_for = getattr(event, "waited_for", None)
    return str(waited_for) if waited_for else type(event).__name__
