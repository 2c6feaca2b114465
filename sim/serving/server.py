"""The server as a process: it asks its scheduler what to do, and lets the time of that pass.

While nobody joins or leaves the batch its steps are passed over in one go: their sum has a closed form (`line.py`). A
request that comes meanwhile cuts the stretch at the end of the step that is running.
"""

from __future__ import annotations

from collections import deque

from sim.engine import Behaviour, Engine, Event
from sim.serving.line import Line, Steps
from sim.serving.record import FAILURES, Record
from sim.serving.request import Request
from sim.serving.scheduler import Batch, Scheduler
from sim.serving.step_table import StepTable


class Server:
    """One inference server on an engine.

    `request_ps`: from a request's arrival to where the scheduler sees it. `plans_ahead`: a step is planned when the one
    before begins (vLLM's asynchronous scheduling), so that who arrives during a step waits for one more.
    `is_stepping`: every step is an event of its own (slow; the same numbers, which a test holds).
    """

    def __init__(
        self,
        engine: Engine,
        scheduler: Scheduler,
        table: StepTable,
        record: Record,
        *,
        request_ps: int = 0,
        plans_ahead: bool = False,
        is_stepping: bool = False,
    ) -> None:
        self._engine = engine
        self.scheduler = scheduler
        self._table = table
        self.record = record
        self._request_ps = request_ps
        self._plans_ahead = plans_ahead
        self._is_stepping = is_stepping
        self._inbox: deque[tuple[int, Request]] = deque()
        self._wake: Event = engine.event()
        self._alarm = 0
        """Serial number of the alarm that counts; earlier ones are stale."""
        self._stretch: _Stretch | None = None
        self._begun_ps = 0
        """When the step that runs now, or ran last, began."""
        self._is_idle = True
        self._leaving: dict[Request, str] = {}
        """Running requests whose clients have given up, and why: they go when the step that runs is over."""
        self._groups: list[tuple[int, int]] = []
        """Requests that decode, by how long they have stood still: (counted requests, ps)."""
        engine.spawn(self._run(), "server")

    def submit(self, request: Request) -> None:
        """A request arrives now."""
        request.arrival_ps = self._engine.now
        self.record.arrive(request, self._engine.now)
        if self.scheduler.refuses(request):
            self._fail(request, "refused")
        elif len(self.scheduler.waiting) + len(self._inbox) >= self.scheduler.limits.max_waiting:
            self._fail(request, "turned_away")
        elif self._request_ps:
            self._engine.call_after(self._request_ps, lambda: self._receive(request))
        else:
            self._receive(request)

    def give_up(self, request: Request, why: str = "timed_out") -> None:
        """Its client waits no longer (`why`: one of `FAILURES`); nothing happens where it has been answered."""
        if request.status in ("done", *FAILURES) or request in self._leaving:
            return
        if request in self.scheduler.running:
            self._leaving[request] = why
            if self._stretch is not None:
                self._cut(self._stretch, is_planned=False)
            return
        if request in self.scheduler.waiting:
            self.scheduler.cancel(request)
        else:
            self._inbox = deque(one for one in self._inbox if one[1] is not request)
        self._fail(request, why)

    def _let_go(self) -> None:
        """Those whose clients gave up during the last step, unless it answered or preempted them."""
        leaving, self._leaving = self._leaving, {}
        for request, why in leaving.items():
            if request.status == "done":
                continue
            self.scheduler.cancel(request)
            self._forget(request)
            self._fail(request, why)

    def _forget(self, request: Request) -> None:
        """Somebody who stood still is gone: one less of those that have waited least."""
        if request.is_counted and sum(count for count, _ in self._groups) > self.scheduler.decoding.counted:
            count, waited = self._groups.pop()
            if count > 1:
                self._groups.append((count - 1, waited))

    def _receive(self, request: Request) -> None:
        if request.status != "waiting":
            return  # given up on the way
        self._inbox.append((self._engine.now, request))
        if self._is_idle:
            self._ring(0)
        elif self._stretch is not None and self.scheduler.wants_arrival():
            self._cut(self._stretch, is_planned=self._plans_ahead)

    def _ring(self, delay_ps: int) -> None:
        """Wake the server in `delay_ps`; what was to wake it before does not count any more."""
        self._alarm += 1
        alarm = self._alarm

        def ring() -> None:
            if alarm == self._alarm and not self._wake.triggered:
                self._wake.succeed()

        self._engine.call_after(delay_ps, ring)

    def _sleep(self) -> Event:
        self._wake = self._engine.event()
        return self._wake

    def _run(self) -> Behaviour:
        while True:
            if self._leaving:
                self._let_go()
            self._accept()
            now = self._engine.now
            self.scheduler.now_ps = now
            batch = self.scheduler.plan(now)
            self._sample(now)
            if batch is None:
                self._is_idle = True
                wake_ps = self.scheduler.wake_ps(now)
                if self._inbox:
                    self._ring(0)
                elif wake_ps is not None:
                    self._ring(max(0, wake_ps - now))
                yield self._sleep()
                # Who was idle sees all that is there.
                self._begun_ps = self._engine.now
            elif batch.pieces:
                self._is_idle = False
                self._begun_ps = now
                duration = self.scheduler.step_ps(self._table, batch)
                self._ring(duration)
                yield self._sleep()
                self._end_step(batch, duration)
            else:
                self._is_idle = False
                yield from self._decode(now)

    def _accept(self) -> None:
        """Hand over to the scheduler what it can have seen: all that came before the last step began, or by now."""
        seen = self._begun_ps if self._plans_ahead else self._engine.now
        while self._inbox and self._inbox[0][0] <= seen:
            self.scheduler.add(self._inbox.popleft()[1])

    def _decode(self, now: int) -> Behaviour:
        """Steps in which everybody who decodes gets a token, to the next decision."""
        count, context = self.scheduler.decode_shape()
        most = 1 if self._is_stepping or self._groups else self.scheduler.steps_ahead()
        if self._inbox and self.scheduler.wants_arrival():
            most = 1  # somebody who came during the last step is seen after this one
        line = self._table.decode_line(count, context, context + count * most)
        runs, steps, total = line.walk(context, count, most)
        self._stretch = _Stretch(now, line, context, count, runs, steps, total)
        self._ring(total)
        yield self._sleep()
        stretch, self._stretch = self._stretch, None
        self.scheduler.take_steps(stretch.steps)
        self._begun_ps = now + stretch.total_ps - stretch.last_ps()
        self._count_tokens(stretch.runs)
        self.record.busy_ps += stretch.total_ps
        self.record.tokens_alone += stretch.steps
        self.record.activity.decode(stretch.count, stretch.context, stretch.steps, stretch.total_ps)
        self._end(self.scheduler.decoding.advance(stretch.steps))

    def _cut(self, stretch: _Stretch, *, is_planned: bool) -> None:
        """End the stretch with the step that runs now; `is_planned`: with the next one, which is planned already."""
        passed = self._engine.now - stretch.start_ps
        runs, steps, total = stretch.line.walk(stretch.context, stretch.count, stretch.steps, max(1, passed))
        if is_planned and steps < stretch.steps:
            runs, steps, total = stretch.line.walk(stretch.context, stretch.count, steps + 1)
        if steps < stretch.steps:
            stretch.runs, stretch.steps, stretch.total_ps = runs, steps, total
            self._ring(stretch.start_ps + total - self._engine.now)

    def _end_step(self, batch: Batch, duration: int) -> None:
        """A step with pieces of prompts is over."""
        self.record.busy_ps += duration
        self.record.steps_with_prompts += 1
        pieces = [(tokens, request.computed) for request, tokens in batch.pieces]
        self.record.activity.prefill(pieces, *(self.scheduler.decode_shape() if batch.decodes else (0, 0)), duration)
        if batch.decodes:
            if self.scheduler.decoding.count:
                gained = self.scheduler.gain()
                self._count_tokens([Steps(duration // gained, 0, gained)])
                self._end(self.scheduler.decoding.advance(gained))
        elif self.scheduler.decoding.counted:
            known = sum(count for count, _ in self._groups)
            self._groups = [(count, waited + duration) for count, waited in self._groups]
            self._groups.append((self.scheduler.decoding.counted - known, duration))
        for request in self.scheduler.finish_step(batch):
            if request.first_ps < 0:
                request.first_ps = self._engine.now
            elif request.stopped_ps >= 0:  # after a preemption: the next token comes with what is computed again
                waited = Steps(self._engine.now - request.stopped_ps, 0, 1)
                self.record.intervals.add(waited, int(request.is_counted))
            request.stopped_ps = -1
            if request.generated >= request.output:
                self._complete(request)
            else:
                self.scheduler.start_decoding(request)

    def _count_tokens(self, runs: list[Steps]) -> None:
        """Times between tokens; those that stood still add what they waited to their first step."""
        counted = self.scheduler.decoding.counted
        if self._groups:
            first = runs[0].first_ps
            for count, waited in self._groups:
                self.record.intervals.add(Steps(first + waited, 0, 1), count)
                counted -= count
            self._groups = []
        for run in runs:
            self.record.intervals.add(run, counted)

    def _end(self, done: list[Request]) -> None:
        for request in done:
            self._complete(request)

    def _complete(self, request: Request) -> None:
        self.scheduler.finish(request)
        request.end_ps = self._engine.now
        request.status = "done"
        self.record.complete(request)
        if request.on_done is not None:
            request.on_done(request)

    def _fail(self, request: Request, why: str) -> None:
        request.status = why
        self.record.fail(request, self._engine.now)
        if request.on_done is not None:
            request.on_done(request)

    def _sample(self, now: int) -> None:
        scheduler = self.scheduler
        self.record.sample(now, len(scheduler.running), len(scheduler.waiting) + len(self._inbox), scheduler.pool.used)


class _Stretch:
    """Steps that are being passed over; may be cut short while they are."""

    __slots__ = ("context", "count", "line", "runs", "start_ps", "steps", "total_ps")

    def __init__(
        self, start_ps: int, line: Line, context: int, count: int, runs: list[Steps], steps: int, total_ps: int
    ) -> None:
        self.start_ps = start_ps
        self.line = line
        self.context = context
        self.count = count
        self.runs = runs
        self.steps = steps
        self.total_ps = total_ps

    def last_ps(self) -> int:
        """Time of its last step."""
        last = self.runs[-1]
        return last.first_ps + last.more_ps * (last.steps - 1)
