"""What a server leaves behind: a row per request, the times between tokens, and what was running when."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from sim.serving.activity import Activity
from sim.serving.column import Column
from sim.serving.line import Steps
from sim.serving.request import Request

COLUMNS = ("number", "arrival_ps", "first_ps", "end_ps", "prompt", "output", "cached", "preemptions", "priority")
"""Of a completed request."""
SERIES = ("time_ps", "running", "waiting", "kv_blocks")
MOST_POINTS = 20_000
FAILURES = ("refused", "turned_away", "timed_out", "cancelled")
"""Longer than the server takes; one too many that waits; given up by its client; stopped by its user."""


@dataclass(slots=True)
class Intervals:
    """Times between tokens as runs: `count` steps, of which each gave a token to `tokens` requests."""

    first_ps: Column = field(default_factory=Column)
    more_ps: Column = field(default_factory=Column)
    count: Column = field(default_factory=Column)
    tokens: Column = field(default_factory=Column)

    def add(self, run: Steps, tokens: int) -> None:
        """A run of steps that each gave `tokens` requests a token."""
        if tokens and run.steps:
            self.first_ps.append(run.first_ps)
            self.more_ps.append(run.more_ps)
            self.count.append(run.steps)
            self.tokens.append(tokens)


class Record:
    """Fills while the server runs. `on_row` is told each completed request that is counted, as a row of `COLUMNS`."""

    def __init__(self, on_row: Callable[[tuple[int, ...]], None] | None = None) -> None:
        self.rows: dict[str, Column] = {name: Column() for name in COLUMNS}
        self.series: dict[str, array[int]] = {name: array("q") for name in SERIES}
        self.intervals = Intervals()
        self.activity = Activity()
        self.arrived = self.completed = self.failed = 0
        self.counted_failed = 0
        self.wasted_tokens = 0
        """Tokens that were made for requests that failed later."""
        self.failures = dict.fromkeys(FAILURES, 0)
        """Of the counted requests, by why."""
        self.first_arrival_ps: int | None = None
        self.last_end_ps = 0
        self.peak_running = self.peak_waiting = 0
        self.busy_ps = self.steps_with_prompts = 0
        self.tokens_alone = 0
        """Tokens that each of those that decoded got from steps without prompts: as many as steps, but for drafts."""
        self.in_system_ps = 0
        """Requests in the system, integrated over time: what Little's law speaks of."""
        self.sojourn_ps = 0
        self._in_system = 0
        self._changed_ps = 0
        self._on_row = on_row
        self._every = self._skipped = 1

    def steps(self, accepted: float = 1.0) -> int:
        """Engine steps; `accepted`: tokens that a step without prompts yields on average."""
        return self.steps_with_prompts + round(self.tokens_alone / accepted)

    def arrive(self, request: Request, now_ps: int) -> None:
        """A request came."""
        self._change(now_ps, 1)
        self.arrived += 1
        if request.is_counted and self.first_arrival_ps is None:
            self.first_arrival_ps = now_ps

    def complete(self, request: Request) -> None:
        """A request has all its tokens."""
        self._change(request.end_ps, -1)
        self.completed += 1
        self.sojourn_ps += request.end_ps - request.arrival_ps
        if not request.is_counted:
            return
        self.last_end_ps = max(self.last_end_ps, request.end_ps)
        row = (
            request.number, request.arrival_ps, request.first_ps, request.end_ps,
            request.prompt, request.output, request.cached, request.preemptions, request.priority,
        )  # fmt: skip
        for column, value in zip(self.rows.values(), row, strict=True):
            column.append(value)
        if self._on_row is not None:
            self._on_row(row)

    def fail(self, request: Request, now_ps: int) -> None:
        """A request has failed; its status says why."""
        self._change(now_ps, -1)
        self.failed += 1
        self.sojourn_ps += now_ps - request.arrival_ps
        self.counted_failed += request.is_counted
        self.wasted_tokens += request.generated
        self.failures[request.status] += request.is_counted

    def sample(self, now_ps: int, running: int, waiting: int, kv_blocks: int) -> None:
        """What is running now; beyond `MOST_POINTS` every second point is kept, then every fourth, and so on."""
        self.peak_running = max(self.peak_running, running)
        self.peak_waiting = max(self.peak_waiting, waiting)
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        for column, value in zip(self.series.values(), (now_ps, running, waiting, kv_blocks), strict=True):
            column.append(value)
        if len(self.series["time_ps"]) >= MOST_POINTS:
            self.series = {name: column[::2] for name, column in self.series.items()}
            self._every *= 2

    def _change(self, now_ps: int, by: int) -> None:
        self.in_system_ps += self._in_system * (now_ps - self._changed_ps)
        self._changed_ps = now_ps
        self._in_system += by
