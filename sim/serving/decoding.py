"""The requests that decode, as one: counted, not walked through, so that a step costs the same for 2 and for 200."""

from __future__ import annotations

from heapq import heappop, heappush

from sim.serving.request import Request


class Decoding:
    """Requests that get a token each step. `clock` counts the steps; `context` is the summed length of their keys."""

    def __init__(self, block_tokens: int) -> None:
        self._block = block_tokens
        self.clock = 0
        self.count = 0
        self.counted = 0
        """Those of them that are counted in the results."""
        self.context = 0
        self._ends: list[tuple[int, int, Request]] = []
        self._members: dict[int, tuple[Request, int]] = {}
        self._full_at = [0] * block_tokens
        """How many have a whole number of blocks when `clock` is r modulo the block's tokens."""

    def join(self, request: Request) -> None:
        """It has got a token and wants more."""
        request.finish_at = self.clock + request.output - request.generated
        heappush(self._ends, (request.finish_at, request.number, request))
        self._members[request.number] = request, self.clock - request.computed
        self._full_at[(self.clock - request.computed) % self._block] += 1
        self.count += 1
        self.counted += request.is_counted
        self.context += request.computed

    def leave(self, request: Request) -> None:
        """It stops, done or not; it knows what it has got by now."""
        _, offset = self._members.pop(request.number)
        computed = self.clock - offset
        request.generated = min(request.output, request.generated + computed - request.computed)
        request.computed = computed
        request.finish_at = -1
        self._full_at[offset % self._block] -= 1
        self.count -= 1
        self.counted -= request.is_counted
        self.context -= computed

    def steps_to_end(self) -> int:
        """Steps until the first of them is done."""
        ends = self._ends
        while ends and ends[0][2].finish_at != ends[0][0]:
            heappop(ends)
        return ends[0][0] - self.clock

    def new_blocks(self, steps: int = 1) -> int:
        """Blocks that they need for so many further steps."""
        whole, rest = divmod(steps, self._block)
        return whole * self.count + sum(self._full_at[(self.clock + i) % self._block] for i in range(rest))

    def steps_within(self, blocks: int, most: int) -> int:
        """Steps, `most` at most, that so many further blocks are enough for."""
        if not self.count:
            return most
        whole = min(blocks // self.count, most // self._block)
        steps, left = whole * self._block, blocks - whole * self.count
        while steps < most:
            left -= self._full_at[(self.clock + steps) % self._block]
            if left < 0:
                break
            steps += 1
        return steps

    def advance(self, steps: int) -> list[Request]:
        """So many steps happen; those that are done after them, taken out."""
        self.clock += steps
        self.context += steps * self.count
        done = []
        ends = self._ends
        while ends and (ends[0][2].finish_at != ends[0][0] or ends[0][0] <= self.clock):
            finish_at, _, request = heappop(ends)
            if request.finish_at == finish_at:
                self.leave(request)
                done.append(request)
        return done

    def __contains__(self, request: Request) -> bool:
        return request.number in self._members
