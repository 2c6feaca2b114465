"""llama.cpp's server: slots, and one cache of cells for all of them.

A request takes a free slot. Every turn of the server's loop collects one token of each slot that generates, then prompt
tokens up to `n_batch`; `llama_decode` works the collection off in passes of `n_ubatch` tokens, and only then are tokens
sampled. With the unified cache each pass holds its tokens against all cells in use and masks what is not theirs. A
request starts once the cells have room for all of it; what a slot leaves behind a prompt that begins alike reuses.
Source: tools/server/server-context.cpp (`update_slots`), src/llama-kv-cache.cpp (`find_slot`, `get_n_kv`).
"""

from __future__ import annotations

from sim.serving.request import Request
from sim.serving.scheduler import Batch, Scheduler
from sim.serving.step_table import StepTable


class LlamaServer(Scheduler):
    """Slots over a cache of cells."""

    reserves = True

    def plan(self, now_ps: int) -> Batch | None:
        """A token of each slot that generates, then prompts slot by slot."""
        self._fill_slots()
        left = self.limits.batch_tokens - self.decoding.count * self.limits.step_tokens
        pieces: list[tuple[Request, int]] = []
        for request in self.prefilling:
            if left <= 0:
                break
            tokens = min(request.target - request.computed, left)
            pieces.append((request, tokens))
            left -= tokens
        if not pieces and not self.decoding.count:
            return None
        return Batch(tuple(pieces))

    def _fill_slots(self) -> None:
        while self.waiting and len(self.running) < self.limits.max_sequences:
            request = self.waiting[0]
            cached = self.pool.cached_tokens(request)
            whole = self.pool.blocks(request.prompt + request.output) - self.pool.blocks(cached)
            if whole + self.pool.blocks_to_hold(request, cached) > self.pool.available:
                break
            self.waiting.popleft()
            self.admit(request, cached)
            self.pool.hold(request, cached)
            self.pool.grow(request, whole)

    def step_ps(self, table: StepTable, batch: Batch) -> int:
        """The passes of a turn one after the other: those that generate are in the first."""
        count, context = self.decode_shape() if batch.decodes else (0, 0)
        filled = context + sum(request.computed for request, _ in batch.pieces)
        total = 0
        pieces: list[tuple[int, int]] = []
        room, outputs = self.limits.ubatch_tokens - count * self.limits.step_tokens, count
        for request, tokens in batch.pieces:
            left, done = tokens, request.computed
            while left:
                if room <= 0:
                    total += table.step_ps(count, context, pieces, outputs)
                    count = context = outputs = 0
                    pieces, room = [], self.limits.ubatch_tokens
                size = min(left, room)
                pieces.append((size, filled if self.limits.has_unified_cache else done))
                left, room, done, filled = left - size, room - size, done + size, filled + size
            outputs += request.computed + tokens >= request.target
        return total + table.step_ps(count, context, pieces, outputs)
