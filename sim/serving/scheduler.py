"""What a scheduler is: it decides what the next engine step works on. One file per runtime implements one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sim.serving.decoding import Decoding
from sim.serving.pool import BlockPool
from sim.serving.request import Request
from sim.serving.step_table import StepTable


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server is started with. `pool_tokens`: tokens whose keys there is memory for."""

    max_sequences: int
    batch_tokens: int
    pool_tokens: int
    block_tokens: int = 16
    max_model_tokens: int = 2**40
    is_caching: bool = False
    ubatch_tokens: int = 2**40
    has_unified_cache: bool = False
    wait_ps: int = 0
    """Static batching: how long the first request waits for others."""
    max_waiting: int = 2**40
    """Requests that wait when another one comes, which is then turned away."""
    step_tokens: int = 1
    """Tokens that a sequence that decodes has in a step: its own, and drafts to verify."""
    accepted: float = 1.0
    """Of them, how many it gets on average."""
    has_priorities: bool = False
    """Whether the waiting stand in the order of their priority, and the last in that order is preempted."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The next step: pieces of prompts, (request, tokens) each, and whether those that decode get a token too."""

    pieces: tuple[tuple[Request, int], ...] = ()
    decodes: bool = True


class Scheduler(ABC):
    """Waiting, admitted and decoding requests, and the pool of KV blocks."""

    follows_arrivals = True
    """Whether a request that comes while the batch decodes can change what the next step does."""

    reserves = False
    """Whether a request gets all the blocks that it may need at its admission, not as it grows."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.pool = BlockPool(
            limits.pool_tokens // limits.block_tokens, limits.block_tokens, is_caching=limits.is_caching
        )
        self.waiting: deque[Request] = deque()
        self.prefilling: dict[Request, None] = {}
        self.decoding = Decoding(limits.block_tokens)
        self.running: dict[Request, None] = {}
        """Admitted requests, in the order of their admission."""
        self.preemptions = 0
        self.now_ps = 0
        """When the step begins that is being planned."""
        self.cached_tokens = 0
        self._credit = 0.0
        """What steps beside prompts owe those that decode, in parts of a token."""

    def refuses(self, request: Request) -> bool:
        """Whether it can never be served: longer than the model's limit or than all of the pool."""
        tokens = request.prompt + request.output
        return tokens > self.limits.max_model_tokens or self.pool.blocks(tokens) > self.pool.total

    def add(self, request: Request) -> None:
        """A request has arrived."""
        self._queue(request, self.waiting.append)

    def _queue(self, request: Request, put: Callable[[Request], None]) -> None:
        """Let it wait where `put` puts it; by priority, then arrival, where that counts."""
        if self.limits.has_priorities:
            self.waiting.insert(bisect(self.waiting, _rank(request), key=_rank), request)
        else:
            put(request)

    @abstractmethod
    def plan(self, now_ps: int) -> Batch | None:
        """What the next step works on, its memory taken; None: nothing can be done now."""

    def steps_ahead(self) -> int:
        """Steps that those that decode can make before a decision is due; `plan` took the memory of the first."""
        most = self.decoding.steps_to_end()
        if self.reserves or most == 1:
            return most
        return max(1, self.decoding.steps_within(self.pool.available + self.decoding.new_blocks(), most))

    def wants_arrival(self) -> bool:
        """Whether a request that came now would be looked at before the next decision that is due anyway."""
        may_pass = not self.waiting or self.limits.has_priorities
        return self.follows_arrivals and may_pass and len(self.running) < self.limits.max_sequences

    def wake_ps(self, now_ps: int) -> int | None:
        """When to look again although nothing has happened; None: never."""
        return None

    def step_ps(self, table: StepTable, batch: Batch) -> int:
        """Time of a step with pieces of prompts."""
        count, context = self.decode_shape() if batch.decodes else (0, 0)
        pieces = [(tokens, request.computed) for request, tokens in batch.pieces]
        ended = sum(request.computed + tokens >= request.target for request, tokens in batch.pieces)
        return table.step_ps(count, context, pieces, count + ended)

    def gain(self) -> int:
        """Tokens that each of those that decode gets from a step with pieces: whole, `accepted` on average.

        `plan` took the memory of one; where there is none for more, it is one.
        """
        self._credit += self.limits.accepted
        gained = max(1, int(self._credit))
        self._credit -= gained
        more = 0 if self.reserves else self.decoding.new_blocks(gained) - self.decoding.new_blocks()
        if self.pool.grow_many(more):
            return gained
        self._credit = 0.0
        return 1

    def finish_step(self, batch: Batch) -> list[Request]:
        """A step with pieces is over: the requests whose prompt it completed, which have a token more now."""
        ended = []
        for request, tokens in batch.pieces:
            request.computed += tokens
            if request.computed >= request.target:
                del self.prefilling[request]
                self.pool.publish(request)
                request.generated += 1
                ended.append(request)
        return ended

    def start_decoding(self, request: Request) -> None:
        """Its prompt is computed and it wants more than one token."""
        request.joined = request.computed
        self.decoding.join(request)

    def finish(self, request: Request) -> None:
        """It has all its tokens and gives back what it holds."""
        self.running.pop(request, None)
        self._release(request)

    def cancel(self, request: Request) -> None:
        """Its client has given up: it gives back what it holds, wherever it is."""
        if request in self.decoding:
            self.decoding.leave(request)
        self.prefilling.pop(request, None)
        if request in self.running:
            self.finish(request)
        else:
            self.waiting.remove(request)

    def _release(self, request: Request) -> None:
        """Give back its blocks, with those that it took while it decoded."""
        if request.joined >= 0 and not self.reserves:
            request.own_blocks += self.pool.blocks(request.computed) - self.pool.blocks(request.joined)
        request.joined = -1
        self.pool.release(request, request.own_blocks)

    def decode_shape(self) -> tuple[int, int]:
        """How many decode in a step, and the keys that they see in sum in the next one."""
        count = self.decoding.count
        return count, self.decoding.context + count

    def take_steps(self, steps: int) -> None:
        """The memory of so many steps of those that decode; the first one's was taken by `plan`."""
        if not self.reserves:
            more = self.decoding.new_blocks(steps) - self.decoding.new_blocks()
            if not self.pool.grow_many(more):
                raise RuntimeError("more steps than there are blocks for")

    def admit(self, request: Request, cached: int) -> None:
        """Take it up; `cached` tokens of its prompt are there already."""
        if request.preemptions == 0:
            request.cached = cached
            if request.is_counted:
                self.cached_tokens += cached
        request.computed = cached
        request.status = "running"
        self.running[request] = None
        self.prefilling[request] = None

    def preempt_last(self) -> Request:
        """The request that was admitted last gives everything back and waits in front; it will be computed again.

        With priorities it is the one that comes last in their order.
        """
        request = max(self.running, key=_rank) if self.limits.has_priorities else next(reversed(self.running))
        if request in self.decoding:
            self.decoding.leave(request)
        self.prefilling.pop(request, None)
        del self.running[request]
        self._release(request)
        request.target = request.prompt + request.generated
        request.computed = 0
        request.preemptions += 1
        if request.generated and request.stopped_ps < 0:
            request.stopped_ps = self.now_ps
        request.status = "waiting"
        self.preemptions += 1
        self._queue(request, self.waiting.appendleft)
        return request


def _rank(request: Request) -> tuple[int, int, int]:
    """Who goes first: lower priority, then earlier arrival."""
    return request.priority, request.arrival_ps, request.number
