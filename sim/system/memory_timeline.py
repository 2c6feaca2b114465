"""Memory over the time of a run: the pool is filled pass by pass, at the times that the simulated steps say.

Nothing is simulated again: passes between two knots take a time that is linear in context, as in the run itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from sim.component.memory_pool import MemoryPool
from sim.result.memory import MemoryRow, MemoryTimeline
from sim.result.trace import StepTrace, Trace
from sim.system.memory_account import MemoryAccount, live_bytes
from sim.workload.lower import Pass, Request, decode_steps, prefill_passes

MOST_POINTS = 32
"""Of a phase; between two of them every class only grows."""
Lengths = Sequence[tuple[int, int]]
"""(sequences, tokens that each of them has in the cache)."""


def memory_over_time(account: MemoryAccount, request: Request, trace: Trace) -> MemoryTimeline:
    """Who has how much from the start of a run, the model loaded, to its last token."""
    filler = _Filler(account, request)
    filler.start()
    end = begin = _duration(trace.of("prefill"))
    for at, lengths, one in _prompts(account, request, begin):
        filler.run(at, "prefill", lengths, one.sequences * one.query, one.outputs)
    steps = trace.of("decode")
    end += _duration(steps)
    first = request.depth + request.prompt + (1 if request.prompt else 0)
    for at, number in _steps(decode_steps(request), steps):
        filler.run(begin + at, "decode", [(request.batch, first + number)], request.batch, request.batch)
    return filler.finish(end)


def timeline_of(pool: MemoryPool, end_ps: int) -> MemoryTimeline:
    """What a pool has seen, as a result says it."""
    high = pool.high_water
    rows = tuple(MemoryRow(each.time_ps / 1e12, each.why, each.what, each.n_bytes) for each in pool.changes)
    return MemoryTimeline(rows, pool.capacity_bytes, end_ps / 1e12, high.n_bytes, high.time_ps / 1e12, high.by_class)


def take_all(pool: MemoryPool, what: str, n_bytes: int) -> int:
    """Take as much of `n_bytes` as there is; by how much it is short."""
    short = pool.take(what, n_bytes)
    if short:
        pool.take(what, n_bytes - short)
    return short


class _Filler:
    """Takes memory for a run and gives it back; what the runtime holds and does not use is there to be taken first."""

    def __init__(self, account: MemoryAccount, request: Request) -> None:
        self._now = 0
        self._pool = MemoryPool(lambda: self._now, account.budget.visible)
        self._account = account
        self._request = request

    def start(self) -> None:
        """The system, and the runtime with the model loaded and the cache of what the sequences have already."""
        account, budget, pool = self._account, self._account.budget, self._pool
        pool.why = "loaded"
        for what, n_bytes in (
            ("reserved", budget.reserved),
            ("other", budget.others),
            ("host", budget.host),
            ("runtime", account.own),
            ("weights", account.weights),
        ):
            take_all(pool, what, n_bytes)
        self._set("kv_cache", self._cached([(self._request.batch, self._request.depth)]))
        take_all(pool, "held", max(0, account.claimed(self._request) - pool.in_use_bytes))

    def run(self, at_ps: int, why: str, lengths: Lengths, tokens: int, outputs: int) -> None:
        """From `at_ps` on a pass of `tokens` tokens, with what the sequences have in the cache at its end."""
        self._now, self._pool.why = at_ps, why
        self._set("activation", live_bytes(self._account.model, self._account.runtime, tokens, outputs))
        self._set("kv_cache", self._cached(lengths))

    def finish(self, at_ps: int) -> MemoryTimeline:
        """The last pass is over: its activations are free again."""
        self._now, self._pool.why = at_ps, "end"
        self._set("activation", 0)
        return timeline_of(self._pool, at_ps)

    def _cached(self, lengths: Lengths) -> int:
        return sum(n * self._account.sequence(tokens) for n, tokens in lengths if n and tokens)

    def _set(self, what: str, n_bytes: int) -> None:
        """Bring a class to `n_bytes`; what the runtime holds comes first, and gets back what is free again."""
        pool = self._pool
        more = n_bytes - pool.held(what)
        if more > 0:
            pool.give("held", min(more, pool.held("held")))
            take_all(pool, what, more)
        elif more < 0:
            pool.give(what, -more)
            take_all(pool, "held", -more)


def _prompts(account: MemoryAccount, request: Request, whole_ps: int) -> Iterator[tuple[int, Lengths, Pass]]:
    """Passes of the prompts: when each begins, what the sequences have at its end, the pass. All take `whole_ps`."""
    passes = prefill_passes(account.runtime, request) if request.prompt else []
    costs = [one.sequences * one.query * (1.0 + one.context / 65536.0) for one in passes]
    total, spent = sum(costs), 0.0
    ends = accumulate(one.sequences * one.query for one in passes)
    shown = set(_evenly(len(passes)))
    for number, (one, cost, read) in enumerate(zip(passes, costs, ends, strict=True)):
        if number in shown:
            full, rest = divmod(read, request.prompt)
            waiting = request.batch - full - (1 if rest else 0)
            depth = request.depth
            lengths = [(full, depth + request.prompt), (1 if rest else 0, depth + rest), (waiting, depth)]
            yield round(whole_ps * spent / total), lengths, one
        spent += cost


def _steps(count: int, steps: Sequence[StepTrace]) -> Iterator[tuple[int, int]]:
    """Decode steps: when each begins, ps, and its number, from 1. Their time grows linearly with their number."""
    if not count or not steps:
        return
    whole, first, last = _duration(steps), steps[0].duration_ps, steps[-1].duration_ps
    slope = (last - first) / max(1, count - 1)

    def begin(number: int) -> float:
        return number * first + slope * number * (number - 1) / 2

    scale = whole / begin(count)
    for number in _evenly(count):
        yield round(scale * begin(number)), number + 1


def _evenly(count: int) -> list[int]:
    """At most `MOST_POINTS` of `count` numbers from 0 on, the first and the last among them."""
    if count <= MOST_POINTS:
        return list(range(count))
    return sorted({round(i * (count - 1) / (MOST_POINTS - 1)) for i in range(MOST_POINTS)})


def _duration(steps: Sequence[StepTrace]) -> int:
    return round(sum(step.duration_ps * step.weight for step in steps))
