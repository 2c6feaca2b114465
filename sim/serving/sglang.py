"""SGLang's scheduler: prompts before tokens.

While requests wait and there is room, a step computes prompts only (in pieces of `chunked_prefill_size`) and those that
decode stand still. A request is admitted where the pool would hold its prompt and what all running ones are expected
to generate: a share of what they may, which starts at 0.7 and falls over 600 steps to 0.098. When the pool runs out,
the requests with the fewest tokens are retracted and computed again. Finished text stays in a radix tree. Source:
python/sglang/srt/managers/schedule_policy.py (`PrefillAdder`), scheduler.py (`get_next_batch_to_run`,
`update_running_batch`), schedule_batch.py (`retract_decode`).
"""

from __future__ import annotations

from sim.serving.request import Request
from sim.serving.scheduler import Batch, Limits, Scheduler

INITIAL_RATIO, LOWEST_RATIO, DECAY_STEPS = 0.7, 0.098, 600
CLIP_TOKENS = 4096
"""Of what a request may generate, no more than this is expected (`SGLANG_CLIP_MAX_NEW_TOKENS_ESTIMATION`)."""


class SglangScheduler(Scheduler):
    """Prefill first, admission by expected tokens, radix cache."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._ratio = INITIAL_RATIO
        self._decayed_at = 0

    def plan(self, now_ps: int) -> Batch | None:
        """Prompts if there is any that fits, else a token for everybody."""
        self._decay()
        pieces: list[tuple[Request, int]] = []
        budget = self.limits.batch_tokens
        for request in self.prefilling:
            tokens = min(request.target - request.computed, budget)
            pieces.append((request, tokens))
            budget -= tokens
        self._admit(pieces, budget)
        if pieces:
            return Batch(tuple(pieces), decodes=False)
        if not self.decoding.count:
            return None
        while not self.pool.grow_many(self.decoding.new_blocks()):
            self.preempt_last()
            self._ratio = min(1.0, self._ratio + 0.1)
        return Batch()

    def steps_ahead(self) -> int:
        """One while somebody waits for the expectation to fall, else to the next decision."""
        if self.waiting and len(self.running) < self.limits.max_sequences:
            return 1
        return super().steps_ahead()

    def _decay(self) -> None:
        """The expectation falls with every step that decodes."""
        steps = self.decoding.clock - self._decayed_at
        self._decayed_at = self.decoding.clock
        fall = (INITIAL_RATIO - LOWEST_RATIO) / DECAY_STEPS
        self._ratio = max(LOWEST_RATIO, self._ratio - steps * fall)

    def _expected(self) -> float:
        """Blocks that running requests are expected to take yet."""
        tokens = 0
        for request in self.running:
            done = request.output - (request.finish_at - self.decoding.clock) if request.finish_at >= 0 else 0
            tokens += min(request.output - done, CLIP_TOKENS)
        return tokens * self._ratio / self.limits.block_tokens

    def _admit(self, pieces: list[tuple[Request, int]], budget: int) -> None:
        expected = self._expected() if self.waiting else 0.0
        while self.waiting and budget > 0 and len(self.running) < self.limits.max_sequences:
            request = self.waiting[0]
            cached = self.pool.cached_tokens(request)
            own = self.pool.blocks(request.target) - self.pool.blocks(cached)
            later = min(request.output - request.generated, CLIP_TOKENS) / self.limits.block_tokens
            room = self.pool.available - self.pool.blocks_to_hold(request, cached) - expected
            if own + later >= room and self.running:
                break
            if own > self.pool.available - self.pool.blocks_to_hold(request, cached):
                break
            self.waiting.popleft()
            self.admit(request, cached)
            self.pool.hold(request, cached)
            self.pool.grow(request, own)
            tokens = min(request.target - cached, budget)
            pieces.append((request, tokens))
            budget -= tokens
            expected += later * self._ratio
