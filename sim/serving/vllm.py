"""vLLM's scheduler (V1 engine).

Every step has a budget of tokens. Running requests come first, one token each or the next piece of their prompt; then
waiting ones are admitted in their order while tokens, sequences and blocks last. When blocks run out the request that
was admitted last is preempted: its blocks are freed, and it is computed again. Source: vllm/v1/core/sched/scheduler.py
(`schedule`), vllm/v1/core/kv_cache_manager.py (`allocate_slots`, `get_computed_blocks`).
"""

from __future__ import annotations

from sim.serving.request import Request
from sim.serving.scheduler import Batch, Limits, Scheduler


class VllmScheduler(Scheduler):
    """Token budget, chunked prefill, paged blocks, preemption by recomputation, prefix cache by block hash."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._has_preempted = False

    def plan(self, now_ps: int) -> Batch | None:
        """Running requests first, then waiting ones."""
        before = self.preemptions
        while not self.pool.grow_many(self.decoding.new_blocks()):
            self.preempt_last()
        budget = self.limits.batch_tokens - self.decoding.count * self.limits.step_tokens
        pieces: list[tuple[Request, int]] = []
        for request in list(self.prefilling):
            if budget <= 0 or request not in self.prefilling:
                continue
            tokens = min(request.target - request.computed, budget)
            if self._place(request, tokens):
                pieces.append((request, tokens))
                budget -= tokens
        self._has_preempted = self.preemptions != before
        if not self._has_preempted:
            budget = self._admit(pieces, budget)
        pieces = [piece for piece in pieces if piece[0] in self.prefilling]
        if not pieces and not self.decoding.count:
            return None
        return Batch(tuple(pieces))

    def steps_ahead(self) -> int:
        """One after a preemption, for waiting requests are looked at again in the next step."""
        return 1 if self._has_preempted else super().steps_ahead()

    def _place(self, request: Request, tokens: int) -> bool:
        """Blocks for the next piece of a running request, at the cost of those admitted after it."""
        more = self.pool.blocks(request.computed + tokens) - self.pool.blocks(request.computed)
        while not self.pool.grow(request, more):
            if self.preempt_last() is request:
                return False
        return True

    def _admit(self, pieces: list[tuple[Request, int]], budget: int) -> int:
        while self.waiting and budget > 0 and len(self.running) < self.limits.max_sequences:
            request = self.waiting[0]
            cached = self.pool.cached_tokens(request)
            tokens = min(request.target - cached, budget)
            more = self.pool.blocks(cached + tokens) - self.pool.blocks(cached)
            if more + self.pool.blocks_to_hold(request, cached) > self.pool.available:
                break
            self.waiting.popleft()
            self.admit(request, cached)
            self.pool.hold(request, cached)
            self.pool.grow(request, more)
            pieces.append((request, tokens))
            budget -= tokens
        return budget
