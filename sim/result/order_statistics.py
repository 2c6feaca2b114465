"""Percentiles of values that come in runs, exact and as NumPy's default counts them, without writing the values out.

A run is `count` values that begin with `first` and grow by `more` each, each of them `times` over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int64]
_EXPANDED = 500_000


class Runs:
    """Runs of whole numbers."""

    def __init__(self, first: Whole, more: Whole, count: Whole, times: Whole) -> None:
        self._first, self._more, self._count, self._times = first, more, count, times
        self._last = first + more * (count - 1)
        self.total = int((count * times).sum())

    def mean(self) -> float:
        """Of all values."""
        sums = self._count * self._first + self._more * (self._count * (self._count - 1) // 2)
        return float((sums.astype(np.float64) * self._times).sum()) / self.total

    def percentiles(self, shares: Sequence[float]) -> list[float]:
        """The percentiles at `shares` (0 to 100), linear between order statistics."""
        if int(self._count.sum()) <= _EXPANDED:
            return self._expanded(shares)
        found = []
        for share in shares:
            at = (self.total - 1) * share / 100
            rank = int(at)
            low = self._order(rank)
            high = self._order(min(rank + 1, self.total - 1)) if at > rank else low
            found.append(low + (high - low) * (at - rank))
        return found

    def _expanded(self, shares: Sequence[float]) -> list[float]:
        """The same with every step written out once, and its multiplicity beside it."""
        steps = np.repeat(np.arange(len(self._first)), self._count)
        begin = np.repeat(np.cumsum(self._count) - self._count, self._count)
        values = self._first[steps] + self._more[steps] * (np.arange(len(steps)) - begin)
        order = np.argsort(values, kind="stable")
        values, ends = values[order], np.cumsum(self._times[steps][order])
        found = []
        for share in shares:
            at = (self.total - 1) * share / 100
            rank = int(at)
            low = int(values[np.searchsorted(ends, rank, side="right")])
            high = int(values[np.searchsorted(ends, min(rank + 1, self.total - 1), side="right")])
            found.append(low + (high - low) * (at - rank))
        return found

    def _order(self, rank: int) -> int:
        """The value that `rank` values come before, in order: bisection on how many are not above a value.

        Runs that lie wholly to one side of what is still in question are counted once and left out.
        """
        least, most = np.minimum(self._first, self._last), np.maximum(self._first, self._last)
        count, times, step = self._count, self._times, np.maximum(1, np.abs(self._more))
        low, high, below = int(least.min()), int(most.max()), 0
        while low < high:
            middle = (low + high) // 2
            some = np.clip((middle - least) // step + 1, 0, count)
            some = np.where(most <= middle, count, some)
            if below + int((some * times).sum()) > rank:
                high = middle
            else:
                low = middle + 1
            under, over = most < low, least > high
            below += int((count * times)[under].sum())
            kept = ~(under | over)
            least, most, count, times, step = (each[kept] for each in (least, most, count, times, step))
        return low
