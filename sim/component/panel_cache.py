"""L2 as a cache over operand panels: least recently used goes first.

The unit is a segment of a panel (a K-range of a row of tiles); a wave of CTAs streams its panels front to back, so a
working set larger than the cache misses on every pass and a smaller one hits: what line-level LRU does too.
"""

from __future__ import annotations

from collections import OrderedDict

from sim.cost.program import Kernel, Operand

SEGMENTS = 4
Place = tuple[int, int, int, int]
Key = tuple[int, Place, int]


class PanelCache:
    """Which segments of which panels are in L2 while one kernel runs."""

    def __init__(self, capacity_bytes: float) -> None:
        self._capacity = capacity_bytes
        self._held: OrderedDict[Key, float] = OrderedDict()
        self._bytes = 0.0
        self._seen: set[Key] = set()

    def wave(self, kernel: Kernel, tiles: list[int], steps: int) -> list[float]:
        """Touch what a wave of `tiles` reads, `steps` K-steps long.

        Returns, per operand, the bytes that have to come from memory per K-step, all CTAs of the wave together.
        """
        missing = [0.0] * len(kernel.operands)
        places = [kernel.grid.place(tile) for tile in tiles]
        panels = [sorted({operand.panel(place) for place in places}) for operand in kernel.operands]
        for segment in range(SEGMENTS):
            for index, operand in enumerate(kernel.operands):
                size = operand.step_bytes * steps / SEGMENTS
                misses = sum(self._touch((index, panel, segment), size, operand) for panel in panels[index])
                missing[index] += misses * operand.step_bytes / SEGMENTS
        return missing

    def _touch(self, key: Key, size: float, operand: Operand) -> bool:
        """True when the segment has to be fetched from memory."""
        held = self._held
        if key in held:
            held.move_to_end(key)
            return False
        is_miss = not (operand.is_resident and key not in self._seen)
        self._seen.add(key)
        if size > self._capacity:
            return is_miss
        held[key] = size
        self._bytes += size
        while self._bytes > self._capacity:
            _, dropped = held.popitem(last=False)
            self._bytes -= dropped
        return is_miss
