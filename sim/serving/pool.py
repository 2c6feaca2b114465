"""The pool of KV blocks, and what finished requests left in it for others (prefix cache).

Cached text is kept in runs, not block by block: a run is evicted from its end, and of a request the last run goes
first, which is the order of vLLM's free queue (least recently used, tail first) and of SGLang's leaves.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count

from sim.serving.request import Request


class BlockPool:
    """`total` blocks of `block_tokens` tokens; `is_caching`: what is freed is kept until its room is needed."""

    def __init__(self, total: int, block_tokens: int, *, is_caching: bool) -> None:
        self.total = total
        self.block_tokens = block_tokens
        self.is_caching = is_caching
        self.used = 0
        """Blocks that requests hold."""
        self.peak = 0
        self._held: dict[object, list[int]] = {}
        self._idle: OrderedDict[object, int] = OrderedDict()
        self._idle_blocks = 0
        self._serial = count()

    @property
    def available(self) -> int:
        """Blocks that can be had: free ones, and those that hold what nobody uses."""
        return self.total - self.used

    def blocks(self, tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return -(-tokens // self.block_tokens)

    def grow(self, request: Request, blocks: int) -> bool:
        """Give `request` so many more blocks; False, and nothing happens, where there are not so many."""
        if blocks > self.total - self.used:
            return False
        self._make_room(blocks)
        request.own_blocks += blocks
        self.used += blocks
        self.peak = max(self.peak, self.used)
        return True

    def grow_many(self, blocks: int) -> bool:
        """The same for all requests that decode together, whose blocks are counted by `Decoding`."""
        if blocks > self.total - self.used:
            return False
        self._make_room(blocks)
        self.used += blocks
        self.peak = max(self.peak, self.used)
        return True

    def cached_tokens(self, request: Request) -> int:
        """Tokens at the head of its prompt whose keys are here; whole blocks, and at least one token is left over."""
        if not self.is_caching or not request.content:
            return 0
        found, start = 0, 0
        for name, tokens in request.content:
            have = self._blocks_of(name) * self.block_tokens
            whole = (
                start + tokens
            ) // self.block_tokens * self.block_tokens - start // self.block_tokens * self.block_tokens
            found = start // self.block_tokens * self.block_tokens + min(have, whole)
            if have < whole:
                break
            start += tokens
        most = (request.target - 1) // self.block_tokens * self.block_tokens
        return min(found, most)

    def hold(self, request: Request, tokens: int) -> int:
        """Let it use `tokens` cached ones; the blocks of the pool that this takes into use."""
        start = taken = 0
        for name, run in request.content:
            if start >= tokens:
                break
            taken += self._use(name)
            request.held.append(name)
            start += run
        self.used += taken
        self.peak = max(self.peak, self.used)
        return taken

    def blocks_to_hold(self, request: Request, tokens: int) -> int:
        """The same without doing it."""
        start = taken = 0
        for name, run in request.content:
            if start >= tokens:
                break
            taken += self._idle.get(name, 0)
            start += run
        return taken

    def publish(self, request: Request) -> None:
        """Its prompt has been computed: its shareable runs can be used by others from now on."""
        if not self.is_caching:
            return
        start, size = 0, self.block_tokens
        for name, tokens in request.content:
            end = start + tokens
            blocks = end // size - start // size
            start = end
            if blocks <= 0:
                continue
            if name in request.held:  # part of it was there: this request computed the rest
                more = min(max(0, blocks - self._held[name][1]), request.own_blocks)
                self._held[name][1] += more
                request.own_blocks -= more
                continue
            if self._blocks_of(name):
                continue  # somebody else computed it meanwhile: this copy stays its own
            blocks = min(blocks, request.own_blocks)
            request.own_blocks -= blocks
            request.held.append(name)
            self._held[name] = [1, blocks]

    def release(self, request: Request, own_blocks: int) -> None:
        """It is done with everything it holds; `own_blocks`: what of it is its own. Blocks that are full are kept."""
        self.used -= own_blocks
        if self.is_caching:
            held = sum(self._held[name][1] for name in request.held)
            whole = min(own_blocks, request.computed // self.block_tokens - held)
            if whole > 0:
                self._put(request.keeps if request.keeps is not None else ("request", next(self._serial)), whole)
        for name in reversed(request.held):
            self._let_go(name)
        request.held = []
        request.own_blocks = 0

    def _blocks_of(self, name: object) -> int:
        held = self._held.get(name)
        return held[1] if held else self._idle.get(name, 0)

    def _use(self, name: object) -> int:
        held = self._held.get(name)
        if held:
            held[0] += 1
            return 0
        blocks = self._idle.pop(name, 0)
        self._idle_blocks -= blocks
        self._held[name] = [1, blocks]
        return blocks

    def _let_go(self, name: object) -> None:
        held = self._held[name]
        held[0] -= 1
        if held[0] == 0:
            del self._held[name]
            self.used -= held[1]
            self._put(name, held[1])

    def _put(self, name: object, blocks: int) -> None:
        before = self._idle.pop(name, 0)
        self._idle[name] = max(before, blocks)
        self._idle_blocks += max(before, blocks) - before

    def _make_room(self, blocks: int) -> None:
        """Evict what was used longest ago, until so many blocks are free."""
        short = blocks - (self.total - self.used - self._idle_blocks)
        while short > 0:
            name, size = self._idle.popitem(last=False)
            gone = min(size, short)
            short -= gone
            self._idle_blocks -= gone
            if size > gone:
                self._idle[name] = size - gone
                self._idle.move_to_end(name, last=False)
