"""TensorRT-LLM's in-flight batching: a request is admitted once nothing can evict it.

The default capacity policy (GUARANTEED_NO_EVICT) admits a request when the pool holds its prompt and all it may
generate besides what running ones may still take; prompts then share steps with requests that decode, up to
`max_num_tokens`. A prompt is computed in one piece unless chunked prefill is on, which a longer one than the budget
needs. Source: cpp/tensorrt_llm/batch_manager/capacityScheduler.cpp (`GuaranteedNoEvictScheduler`),
microBatchScheduler.cpp.
"""

from __future__ import annotations

from sim.serving.request import Request
from sim.serving.scheduler import Batch, Scheduler


class TensorrtLlmScheduler(Scheduler):
    """In-flight batching without eviction."""

    reserves = True

    def plan(self, now_ps: int) -> Batch | None:
        """Everybody who decodes, and prompts as far as the budget goes."""
        budget = self.limits.batch_tokens - self.decoding.count * self.limits.step_tokens
        pieces: list[tuple[Request, int]] = []
        for request in self.prefilling:
            tokens = min(request.target - request.computed, budget)
            if tokens > 0:
                pieces.append((request, tokens))
                budget -= tokens
        self._admit(pieces, budget)
        if not pieces and not self.decoding.count:
            return None
        return Batch(tuple(pieces))

    def _admit(self, pieces: list[tuple[Request, int]], budget: int) -> None:
        while self.waiting and len(self.running) < self.limits.max_sequences:
            request = self.waiting[0]
            cached = self.pool.cached_tokens(request)
            tokens = request.target - cached
            whole = self.pool.blocks(request.prompt + request.output) - self.pool.blocks(cached)
            fits = tokens <= budget or (tokens > self.limits.batch_tokens and budget > 0)
            if not fits or whole + self.pool.blocks_to_hold(request, cached) > self.pool.available:
                break
            self.waiting.popleft()
            self.admit(request, cached)
            self.pool.hold(request, cached)
            self.pool.grow(request, whole)
            pieces.append((request, min(tokens, budget)))
            budget -= pieces[-1][1]
