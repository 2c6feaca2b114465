"""Static batching: a batch is filled, computed to the end of its longest member, and only then the next one begins.

Prompts are padded to the longest, and who is done waits for the others, its place computed on. It is what a plain
`generate()` on a batch does, and the baseline that continuous batching is measured against.
"""

from __future__ import annotations

from sim.serving.request import Request
from sim.serving.scheduler import Batch, Limits, Scheduler
from sim.serving.step_table import StepTable


class StaticScheduler(Scheduler):
    """Whole batches of `max_sequences`; the first request waits `wait_ps` at most for it to be full."""

    reserves = True

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._places = 0
        self._longest = 0
        self._began_at = 0

    def plan(self, now_ps: int) -> Batch | None:
        """The batch that runs, or a new one once it is full or has waited long enough."""
        if self.decoding.count:
            return Batch()
        if not self.waiting or ((wake := self.wake_ps(now_ps)) is not None and wake > now_ps):
            return None
        pieces: list[tuple[Request, int]] = []
        longest = 0
        while self.waiting and len(pieces) < self.limits.max_sequences:
            longest = max(longest, self.waiting[0].prompt + self.waiting[0].output)
            if pieces and self.pool.blocks(longest) * (len(pieces) + 1) > self.pool.total:
                break
            request = self.waiting.popleft()
            self.admit(request, 0)
            pieces.append((request, request.target))
        for request, _ in pieces:
            self.pool.grow(request, self.pool.blocks(request.prompt + request.output))
        self._places, self._longest = len(pieces), max(tokens for _, tokens in pieces)
        self._began_at = self.decoding.clock
        return Batch(tuple(pieces), decodes=False)

    def wake_ps(self, now_ps: int) -> int | None:
        """When a batch that is not full begins."""
        if self.decoding.count or not self.waiting or len(self.waiting) >= self.limits.max_sequences:
            return None
        return self.waiting[0].arrival_ps + self.limits.wait_ps

    def decode_shape(self) -> tuple[int, int]:
        """All places of the batch, as long as its longest prompt and what came since."""
        grown = self._longest + self.decoding.clock - self._began_at + 1
        return self._places, self._places * grown

    def wants_arrival(self) -> bool:
        """Only while no batch runs."""
        return not self.running

    def step_ps(self, table: StepTable, batch: Batch) -> int:
        """All prompts as long as the longest."""
        return table.step_ps(0, 0, [(self._longest, 0)] * self._places, self._places)
