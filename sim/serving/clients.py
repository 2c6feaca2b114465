"""Those who send requests, as processes: open loop, closed loop, conversations, agents, traces."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from pathlib import Path

from sim.engine import Behaviour, Engine, Event
from sim.serving.lengths import Length, stream
from sim.serving.request import Content, Request
from sim.serving.server import Server
from sim.serving.trace_file import TracedRequest
from sim.serving.traffic import Burst, ClosedLoop, Constant, Gamma, Poisson, Trace, Traffic, Until
from sim.units import PS_PER_S

_BLOCK = 1024


class Clients:
    """Sends what `traffic` says to `server`; `done` happens when everything that was sent has been answered."""

    def __init__(
        self,
        engine: Engine,
        server: Server,
        traffic: Traffic,
        until: Until,
        seed: int,
        folder: Path,
        trace: Iterable[TracedRequest] | None = None,
    ) -> None:
        self._engine = engine
        self._server = server
        self._traffic = traffic
        self._until = until
        self._seed = seed
        self._limit = None if until.requests is None else until.requests + until.after_warm_up
        self._end_ps = None if until.duration is None else round(until.duration * PS_PER_S)
        self.sent = 0
        self._open = 0
        """Requests without an answer, and processes that may still send some."""
        self._sessions = 0
        self.done: Event = engine.event()
        self._prompts = self._lengths(traffic.prompt, "prompt", folder)
        self._outputs = self._lengths(traffic.output, "output", folder)
        session = traffic.chat.turns if traffic.chat else traffic.agents.rounds if traffic.agents else None
        self._turns = self._lengths(session, "turns", folder)
        self._tools = self._lengths(traffic.agents.tool_output if traffic.agents else None, "tool_output", folder)
        self._pauses = stream(seed, "pauses")
        self._prefixes = stream(seed, "prefixes")
        self._stops = stream(seed, "stops")
        self._ranks = stream(seed, "priorities")
        shares = [each.share for each in traffic.priorities]
        self._shares = [share / sum(shares) for share in shares]
        arrivals = traffic.arrivals
        if isinstance(arrivals, ClosedLoop):
            self._spawn(*(self._user(arrivals.think_time) for _ in range(arrivals.users)))
        elif isinstance(arrivals, Trace):
            self._spawn(self._replay(trace or (), arrivals))
        else:
            most = None if isinstance(arrivals, Burst) else arrivals.max_concurrency
            self._spawn(self._arrive(self._gaps(arrivals), most))

    def is_over(self) -> bool:
        """Whether no further request may be sent."""
        if self._limit is not None and self.sent >= self._limit:
            return True
        return self._end_ps is not None and self._engine.now > self._end_ps

    def _lengths(self, length: Length | None, name: str, folder: Path) -> Iterator[int]:
        return length.draw(stream(self._seed, name), folder) if length is not None else iter(())

    def _spawn(self, *behaviours: Behaviour) -> list[Event]:
        self._open += len(behaviours)
        return [self._engine.spawn(self._to_the_end(behaviour), "clients") for behaviour in behaviours]

    def _to_the_end(self, behaviour: Behaviour) -> Behaviour:
        yield from behaviour
        self._close()

    def _close(self) -> None:
        self._open -= 1
        if self._open == 0:
            self.done.succeed()

    def _send(self, prompt: int, output: int, content: Content = (), keeps: object = None) -> tuple[Request, Event]:
        """Send a request now; the event happens with its answer."""
        answered = self._engine.event()

        def on_done(_request: Request) -> None:
            answered.succeed()
            self._close()

        self.sent += 1
        self._open += 1
        is_counted = self.sent > self._until.after_warm_up
        request = Request(
            self.sent, prompt, output, content=content, keeps=keeps, is_counted=is_counted, priority=self._rank(),
            on_done=on_done,
        )  # fmt: skip
        self._server.submit(request)
        self._wait_for(request)
        return request, answered

    def _wait_for(self, request: Request) -> None:
        """Give it up when it takes too long, or when its user stops it."""
        limits = self._traffic.timeout
        if limits.e2e is not None:
            self._engine.call_after(round(limits.e2e * PS_PER_S), lambda: self._server.give_up(request))
        if limits.ttft is not None:

            def give_up() -> None:
                if request.first_ps < 0:
                    self._server.give_up(request)

            self._engine.call_after(round(limits.ttft * PS_PER_S), give_up)
        cancels = self._traffic.cancels
        if cancels is not None and self._stops.random() < cancels.share:
            after_ps = round(float(self._stops.exponential(cancels.after)) * PS_PER_S)
            self._engine.call_after(after_ps, lambda: self._server.give_up(request, "cancelled"))

    def _rank(self) -> int:
        """Of the next request, by chance."""
        if not self._shares:
            return 0
        return self._traffic.priorities[int(self._ranks.choice(len(self._shares), p=self._shares))].priority

    def _prefix(self) -> Content:
        shared = self._traffic.shared_prefix
        if shared is None:
            return ()
        group = int(self._prefixes.integers(shared.groups)) if shared.groups > 1 else 0
        return ((("prefix", group), shared.tokens),)

    def _session(self) -> Behaviour:
        """One question, or a conversation, or an agent's task."""
        traffic = self._traffic
        content = self._prefix()
        head = sum(tokens for _, tokens in content)
        if traffic.chat is None and traffic.agents is None:
            yield self._send(head + next(self._prompts), next(self._outputs), content)[1]
            return
        self._sessions += 1
        session, turns = self._sessions, next(self._turns)
        mean_s = traffic.chat.think_time if traffic.chat else traffic.agents.pause if traffic.agents else 0.0
        for turn in range(turns):
            if turn:
                yield from self._wait(mean_s)
            if self.is_over():
                return
            added = next(self._tools if turn and traffic.agents else self._prompts)
            output = next(self._outputs)
            name = (session, turn)
            request, answered = self._send(head + added, output, content, name)
            yield answered
            if request.status != "done":
                return  # who got no answer does not go on from it
            content = (*content, (name, added + output))
            head += added + output

    def _wait(self, mean_s: float) -> Behaviour:
        if mean_s:
            yield self._engine.timeout(round(float(self._pauses.exponential(mean_s)) * PS_PER_S))

    def _user(self, think_s: float) -> Behaviour:
        while not self.is_over():
            yield from self._session()
            yield from self._wait(think_s)

    def _arrive(self, gaps: Iterator[int], most: int | None) -> Behaviour:
        is_single = self._traffic.chat is None and self._traffic.agents is None
        pause = self._engine.pause()
        if most is not None:
            yield from self._arrive_limited(gaps, most)
            return
        for number, gap in enumerate(gaps):
            if gap:
                yield pause.of(gap)
            if self.is_over() or number == self._limit:
                return
            if is_single:
                content = self._prefix()
                head = sum(tokens for _, tokens in content)
                self._send(head + next(self._prompts), next(self._outputs), content)
            else:
                self._spawn(self._session())

    def _arrive_limited(self, gaps: Iterator[int], most: int) -> Behaviour:
        """The same with `most` unanswered at once: the next one goes when one is answered, in the order they came."""
        due = self._engine.now
        answers: deque[Event] = deque()
        for number, gap in enumerate(gaps):
            due += gap
            if number == self._limit:
                return
            if due > self._engine.now:
                yield self._engine.timeout(due - self._engine.now)
            while len(answers) >= most:
                yield self._engine.any_of(list(answers))
                answers = deque(answer for answer in answers if not answer.processed)
            if self.is_over():
                return
            answers += self._spawn(self._session())
            yield self._engine.timeout(0)  # it sends before the next one is looked at

    def _gaps(self, arrivals: Poisson | Gamma | Constant | Burst) -> Iterator[int]:
        """Times between arrivals, ps."""
        if isinstance(arrivals, Burst):
            yield from repeat(0, arrivals.size or 2**40)
            while True:
                yield round(arrivals.every * PS_PER_S)
                yield from repeat(0, (arrivals.size or 2**40) - 1)
        if isinstance(arrivals, Constant):
            while True:
                yield round(PS_PER_S / arrivals.rate)
        gaps = self._random_gaps(arrivals.rate, arrivals.burstiness if isinstance(arrivals, Gamma) else 1.0)
        if isinstance(arrivals, Gamma) and arrivals.exact_rate and self._limit is not None:
            some = list(islice(gaps, self._limit))
            wanted, total = round(self._limit * PS_PER_S / arrivals.rate), max(1, sum(some))
            yield from (gap * wanted // total for gap in some)
        yield from gaps

    def _random_gaps(self, rate: float, shape: float) -> Iterator[int]:
        """Gamma distributed; shape 1 is a Poisson process."""
        random = stream(self._seed, "arrivals")
        while True:
            for gap in random.gamma(shape, PS_PER_S / (rate * shape), _BLOCK):
                yield round(float(gap))

    def _replay(self, trace: Iterable[TracedRequest], arrivals: Trace) -> Behaviour:
        start = self._engine.now
        gaps = self._random_gaps(arrivals.rate * arrivals.speed, 1.0) if arrivals.rate else None
        for one in trace:
            if one.at_s is not None:
                due = start + round(one.at_s / arrivals.speed * PS_PER_S)
            else:
                due = self._engine.now + (next(gaps) if gaps is not None else 0)
            if due > self._engine.now:
                yield self._engine.timeout(due - self._engine.now)
            if self.is_over():
                return
            self._send(one.prompt, one.output, one.content)
