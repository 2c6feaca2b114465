"""L2 as a set-associative LRU cache over operand panels, in expectation.

The unit is a segment of a panel (a K-range of a row of tiles). With a hashed index, the lines that are brought in
spread over the sets like a Poisson process: after `x` bytes of a cache of capacity C and A ways, a set has taken
Poisson(A x / C) new lines, and a line is still there if these are fewer than A. So a working set that fits hits, a
streamed one misses, and one of about the cache's size hits in part.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import exp, factorial

from sim.cost.program import Grid, Kernel, Operand, Place

SEGMENTS = 4
SAFE, GONE = 0.2, 4.0
"""Turnovers below and above which a line is there, or gone, but for a chance of less than 1e-6 (16 ways)."""
POINTS = 200


class PanelCache:
    """What is left in L2 of each panel segment while one kernel runs."""

    def __init__(self, capacity_bytes: float, ways: int) -> None:
        self._capacity = capacity_bytes
        self._ways = ways
        self._touched_at: dict[tuple[int, int], dict[Place, float]] = {}
        self._inserted = 0.0

    def wave(self, kernel: Kernel, tiles: list[int], steps: int) -> list[float]:
        """Touch what a wave of `tiles` reads, `steps` K-steps long.

        Returns, per operand, the bytes that have to come from memory per K-step, all CTAs of the wave together.
        """
        missing = [0.0] * len(kernel.operands)
        grid, operands = kernel.grid, kernel.operands
        streams = [grid.has_panel_per_tile(operand) for operand in operands]
        singles = [_has_one_panel(grid, operand) for operand in operands]
        is_mixed = not all(stream or single for stream, single in zip(streams, singles, strict=True))
        places = [grid.place(tile) for tile in (tiles if is_mixed else tiles[:1])]
        panels = [
            () if stream else sorted(operand.panels(places[:1] if single else places))
            for operand, stream, single in zip(operands, streams, singles, strict=True)
        ]
        for segment in range(SEGMENTS):
            for index, operand in enumerate(kernel.operands):
                size = operand.step_bytes * steps / SEGMENTS
                if streams[index]:
                    missed = (1.0 - operand.resident_share) * len(tiles)
                    self._inserted += missed * size
                else:
                    held = self._touched_at.setdefault((index, segment), {})
                    missed = self._touch(held, panels[index], size, operand)
                missing[index] += missed * operand.step_bytes / SEGMENTS
        return missing

    def is_steady(self, kernel: Kernel) -> bool:
        """Whether every wave misses as much as the one before: each operand streams, or is one panel for all tiles."""
        grid = kernel.grid
        return all(grid.has_panel_per_tile(operand) or _has_one_panel(grid, operand) for operand in kernel.operands)

    def _touch(self, held: dict[Place, float], panels: Sequence[Place], size: float, operand: Operand) -> float:
        """The segments, in sum, that have to be fetched from memory; they are all there afterwards."""
        first = (1.0 - operand.resident_share) * operand.panel_walks
        inserted, total, capacity = self._inserted, 0.0, self._capacity
        for panel in panels:
            last = held.get(panel)
            if last is None:
                missed = first
            elif (turnover := (inserted - last) / capacity) <= SAFE:  # most: the wave before has used them
                held[panel] = inserted
                continue
            else:
                missed = 1.0 - survival(self._ways, turnover)
            inserted += missed * size
            held[panel] = inserted
            total += missed
        self._inserted = inserted
        return total


def _has_one_panel(grid: Grid, operand: Operand) -> bool:
    """Whether all tiles use the same panel: the rows of activations where there is one row of tiles (a GEMV)."""
    return operand.follows == "m" and grid.rows == 1 and grid.splits == 1


def survival(ways: int, turnover: float) -> float:
    """The chance that a line outlives the insertion of `turnover` times the cache's capacity: P(Poisson(A x) < A)."""
    if not SAFE < turnover < GONE:
        return float(turnover <= SAFE)
    place = turnover * POINTS
    left = int(place)
    table = _survivals(ways)
    return table[left] + (place - left) * (table[left + 1] - table[left])


@cache
def _survivals(ways: int) -> tuple[float, ...]:
    """`survival` at turnovers from 0 to `GONE`, `POINTS` for each capacity's worth; between them it is interpolated."""
    means = [ways * point / POINTS for point in range(int(GONE * POINTS) + 2)]
    return tuple(exp(-mean) * sum(mean**k / factorial(k) for k in range(ways)) for mean in means)
