"""The least mean absolute error over one number within its range, from few simulations.

Every measurement's log error is simulated at some values of the number and taken as linear between them. The mean of
their absolute values is then least at one of those values or where some error is zero; that value is simulated too, and
so on. What is linear (a time or a rate that is proportional to the number) is exact at once.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log

import numpy as np
from numpy.typing import NDArray

Errors = NDArray[np.float64]
GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where the whole range is simulated first."""
NEAR = 0.1
"""How far to both sides it is simulated where a good value is known already."""
MOST_REFINED = 4
CLOSE = 0.005
"""Share of the range to which a value is found."""
EQUAL = 1e-9
"""Errors that differ by less are equal."""
LOG_FROM = 2.0
"""Bounds so many times apart are gone through by factors, closer ones by differences."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A range as 0 to 1. `is_whole`: values are rounded to whole numbers."""

    low: float
    high: float
    is_whole: bool = False

    def value(self, share: float) -> float:
        """The number at `share` of the way."""
        if self._is_log:
            found = exp(log(self.low) + share * (log(self.high) - log(self.low)))
        else:
            found = self.low + share * (self.high - self.low)
        found = min(self.high, max(self.low, found))
        return float(round(found)) if self.is_whole else found

    def share(self, value: float) -> float:
        """How far `value` is on the way."""
        if self.high == self.low:
            return 0.0
        if self._is_log:
            return (log(value) - log(self.low)) / (log(self.high) - log(self.low))
        return (value - self.low) / (self.high - self.low)

    @property
    def _is_log(self) -> bool:
        return self.low > 0 and self.high >= LOG_FROM * self.low


class Curve:
    """The log errors of measurements over one number; `ask`: simulates them at a value."""

    def __init__(self, scale: Scale, ask: Callable[[float], Errors]) -> None:
        self.scale = scale
        self._ask = ask
        self._known: dict[float, Errors] = {}
        self._shares: list[float] = []

    def simulate(self, value: float) -> Errors:
        """The errors at `value`, which is remembered."""
        share = self.scale.share(value)
        if share not in self._known:
            self._known[share] = self._ask(value)
            insort(self._shares, share)
        return self._known[share]

    def at(self, share: float) -> Errors:
        """The errors at `share` of the range, by those around it (beyond them: the outermost)."""
        after = int(np.searchsorted(self._shares, share))
        if after == 0 or after == len(self._shares):
            return self._known[self._shares[min(after, len(self._shares) - 1)]]
        low, high = self._shares[after - 1], self._shares[after]
        part = (share - low) / (high - low)
        return (1.0 - part) * self._known[low] + part * self._known[high]

    def spread(self) -> Errors:
        """How far each error goes over what was simulated."""
        table = np.array(list(self._known.values()))
        return np.asarray(table.max(axis=0) - table.min(axis=0))

    @property
    def shares(self) -> Sequence[float]:
        """Where it was simulated, in order."""
        return self._shares

    def find(self, weights: Errors, start: float, *, is_near: bool = False) -> float:
        """The value whose weighted mean absolute error is least among those simulated, some of them for this.

        `start`: a value that is kept where none is better. `is_near`: look around it only.
        """
        middle = self.scale.share(start)
        self.simulate(start)
        around = (max(0.0, middle - NEAR), min(1.0, middle + NEAR)) if is_near else GRID
        for share in around:
            self.simulate(self.scale.value(share))
        for _ in range(MOST_REFINED):
            best = lowest(self, weights, middle)
            if min(abs(best - share) for share in self._shares) <= CLOSE:
                break
            self.simulate(self.scale.value(best))
        best = _least(self._shares, [float(weights @ np.abs(self._known[share])) for share in self._shares], middle)
        return start if best == middle else self.scale.value(best)


def lowest(curve: Curve, weights: Errors, start: float, beside: Errors | float = 0.0) -> float:
    """The share where sum(weights * |errors + beside|) is least, by interpolation; of equals the nearest to `start`."""
    shares = curve.shares
    found = list(shares)
    for low, high in pairwise(shares):
        left, right = curve.at(low) + beside, curve.at(high) + beside
        crossing = np.flatnonzero(left * right < 0.0)
        parts = left[crossing] / (left[crossing] - right[crossing])
        found += [float(low + part * (high - low)) for part in parts]
    return _least(found, [float(weights @ np.abs(curve.at(share) + beside)) for share in found], start)


def _least(shares: Sequence[float], errors: Sequence[float], start: float) -> float:
    """The share of the least error; of those that are equal but for rounding the nearest to `start`."""
    most = min(errors) + EQUAL
    fitting = [share for share, error in zip(shares, errors, strict=True) if error <= most]
    return min(fitting, key=lambda share: abs(share - start))


def class_weights(labels: Sequence[str]) -> Errors:
    """Weights that sum to 1: every class the same, in it every measurement the same."""
    counts = {label: labels.count(label) for label in set(labels)}
    return np.array([1.0 / (len(counts) * counts[label]) for label in labels])
