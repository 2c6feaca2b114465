"""L2 as a cache over operand panels, with random replacement in expectation.

The unit is a segment of a panel (a K-range of a row of tiles). A line survives the insertion of `x` bytes into a full
cache of capacity C with probability exp(-x / C), so what is left of a segment depends only on how much came in
since it was last touched: a working set that fits hits, a streamed one misses, one a little too large misses in part
(a strict LRU would drop from all to nothing there, which measured kernels do not do).
"""

from __future__ import annotations

from math import exp

from sim.cost.program import Kernel, Operand

SEGMENTS = 4
Place = tuple[int, int, int, int]
Key = tuple[int, Place, int]


class PanelCache:
    """What is left in L2 of each panel segment while one kernel runs."""

    def __init__(self, capacity_bytes: float) -> None:
        self._capacity = capacity_bytes
        self._evicted_at: dict[Key, float] = {}
        self._inserted = 0.0

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
                missed = sum(self._touch((index, panel, segment), size, operand) for panel in panels[index])
                missing[index] += missed * operand.step_bytes / SEGMENTS
        return missing

    def _touch(self, key: Key, size: float, operand: Operand) -> float:
        """The share of the segment that has to be fetched from memory; it is all there afterwards."""
        evicted = max(0.0, self._inserted - self._capacity)
        last = self._evicted_at.get(key)
        first = 0.0 if operand.is_resident else 1.0
        missed = first if last is None else 1.0 - exp((last - evicted) / self._capacity)
        self._inserted += missed * size
        self._evicted_at[key] = max(0.0, self._inserted - self._capacity)
        return missed
