"""Piecewise-linear time in whole picoseconds, whose sums over equally spaced steps have a closed form.

Slopes are whole numbers too, so that a run of steps inside one piece is an arithmetic progression: its sum equals
adding step by step to the picosecond.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt
from typing import NamedTuple


class Steps(NamedTuple):
    """`steps` steps that follow each other: the first takes `first_ps`, each next one `more_ps` longer."""

    first_ps: int
    more_ps: int
    steps: int

    def total_ps(self, count: int) -> int:
        """Time of the first `count` of them."""
        return count * self.first_ps + self.more_ps * (count * (count - 1) // 2)


@dataclass(frozen=True, slots=True)
class Line:
    """Time by a whole number `x`: from `starts[i]` on it is `values[i]` + `slopes[i]` (x - `starts[i]`), ps.

    The last piece has no end; `starts` begins with 0.
    """

    starts: Sequence[int]
    values: Sequence[int]
    slopes: Sequence[int]

    def at(self, x: int) -> int:
        """Time at `x`, ps."""
        piece = bisect_right(self.starts, x) - 1
        return self.values[piece] + self.slopes[piece] * (x - self.starts[piece])

    def walk(self, x: int, stride: int, most: int, limit_ps: int | None = None) -> tuple[list[Steps], int, int]:
        """Steps at `x`, `x + stride`, ...: until their time reaches `limit_ps` (None: no limit), at most `most`.

        Returns them, how many they are and their time, ps. The step that reaches the limit is taken whole.
        """
        runs: list[Steps] = []
        taken = total = 0
        piece = bisect_right(self.starts, x) - 1
        while taken < most:
            count = most - taken
            if piece + 1 < len(self.starts) and stride:
                count = min(count, -((x - self.starts[piece + 1]) // stride))
            first = self.values[piece] + self.slopes[piece] * (x - self.starts[piece])
            run = Steps(first, self.slopes[piece] * stride, count)
            if limit_ps is not None and total + run.total_ps(count) >= limit_ps:
                count = steps_until(run, limit_ps - total)
                runs.append(run._replace(steps=count))
                return runs, taken + count, total + run.total_ps(count)
            runs.append(run)
            total += run.total_ps(count)
            taken += count
            x += stride * count
            while piece + 1 < len(self.starts) and self.starts[piece + 1] <= x:
                piece += 1
        return runs, taken, total

    def at_least(self, floor_ps: int) -> Line:
        """The same where it is not below `floor_ps`, which it is there."""
        starts: list[int] = []
        values: list[int] = []
        slopes: list[int] = []
        for i, start in enumerate(self.starts):
            end = self.starts[i + 1] if i + 1 < len(self.starts) else None
            for piece in _raised(start, end, self.values[i], self.slopes[i], floor_ps):
                starts.append(piece[0])
                values.append(piece[1])
                slopes.append(piece[2])
        return Line(starts, values, slopes)

    def shared(self, among: float) -> Line:
        """A share of it, `among` of which make the whole."""
        values, slopes = ([round(each / among) for each in column] for column in (self.values, self.slopes))
        return Line(self.starts, values, slopes)

    def plus(self, more_ps: int) -> Line:
        """The same, `more_ps` later everywhere."""
        return Line(self.starts, [value + more_ps for value in self.values], self.slopes)


def steps_until(run: Steps, limit_ps: int) -> int:
    """The fewest of the steps of `run` whose time is `limit_ps` or more; at least one."""
    first, more = run.first_ps, run.more_ps
    if limit_ps <= first:
        return 1
    if more == 0:
        return -(-limit_ps // first)
    # count (2 first - more) + more count^2 >= 2 limit: the root, then the whole number at or above it.
    b = 2 * first - more
    guess = (isqrt(max(0, b * b + 8 * more * limit_ps)) - b) // (2 * more)
    while run.total_ps(guess) >= limit_ps and guess > 1:
        guess -= 1
    while run.total_ps(guess) < limit_ps:
        guess += 1
    return guess


def line_through(points: Sequence[tuple[int, int]]) -> Line:
    """The line through points (x, ps) in the order of x; flat before the first, the last slope goes on.

    Raises:
        ValueError: no points.
    """
    if not points:
        raise ValueError("a line needs a point")
    starts, values, slopes = [], [], []
    if points[0][0] > 0:
        starts, values, slopes = [0], [points[0][1]], [0]
    for (x, y), (next_x, next_y) in pairwise(points):
        starts.append(x)
        values.append(y)
        slopes.append(round((next_y - y) / (next_x - x)))
    x, y = points[-1]
    starts.append(x)
    values.append(y)
    slopes.append(max(0, slopes[-1]) if len(points) > 1 else 0)
    return Line(starts, values, slopes)


def _raised(start: int, end: int | None, value: int, slope: int, floor: int) -> list[tuple[int, int, int]]:
    """A piece, with what is below `floor` brought up to it."""
    above: Callable[[int], bool] = lambda x: value + slope * (x - start) >= floor  # noqa: E731 - said once
    if (
        slope == 0
        or (end is not None and above(start) == above(end - 1))
        or (end is None and slope > 0 <= value - floor)
    ):
        return [(start, value, slope) if above(start) else (start, floor, 0)]
    if slope > 0:
        cross = start + -(-(floor - value) // slope)
        return [(start, floor, 0), (cross, value + slope * (cross - start), slope)]
    cross = start + (value - floor) // -slope + 1
    return [(start, value, slope), (cross, floor, 0)]
