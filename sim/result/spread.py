"""How far measured / predicted scatters in a class of measurements: within a source and between sources.

A random-effects model of ln(measured / predicted): each source lies off by a number of its own (other firmware, other
lengths than it says, another room), and its measurements scatter about that. A class that few sources measured says
little about the next source; so much is taken from the wider class as if that were one source more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import exp, sqrt
from statistics import NormalDist, mean, pvariance, variance

LEVEL = 0.8


@dataclass(frozen=True, slots=True)
class Spread:
    """Of ln(measured / predicted) in a class: `centre` is the mean of its sources' means.

    `between`: standard deviation of sources' means (n - 1 of them); `within`: that of a source's measurements about
    their mean, squares averaged over sources. So a source with 300 measurements counts as much as one with 3.
    """

    records: int
    sources: int
    centre: float
    between: float
    within: float


def spread_of(logs: Mapping[str, Sequence[float]]) -> Spread:
    """The spread of ln(measured / predicted), which is given by source; at least one, none of them empty."""
    means = [mean(each) for each in logs.values()]
    within = sqrt(mean(pvariance(each) for each in logs.values()))
    between = sqrt(variance(means)) if len(means) > 1 else 0.0
    return Spread(sum(map(len, logs.values())), len(logs), mean(means), between, within)


def narrowed(wider: Spread, own: Spread) -> Spread:
    """What to expect of a class: its own sources, and the wider class as one source more."""
    n = own.sources
    between = sqrt(((n - 1) * own.between**2 + wider.between**2) / n)
    within = sqrt((n * own.within**2 + wider.within**2) / (n + 1))
    return Spread(own.records, n + 1, (n * own.centre + wider.centre) / (n + 1), between, within)


def factors(spreads: Sequence[Spread]) -> tuple[float, float]:
    """What a prediction is to be multiplied by for the range of a measurement of a source not seen yet; it holds 1.

    `spreads`: of its classes, the widest first. The interval in which `LEVEL` of a new source's measurements lie:
    what is between sources counts once more, divided by their number, for the centre (the prediction interval of
    Higgins, Thompson, Spiegelhalter 2009).
    """
    found = reduce(narrowed, spreads)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    half = z * sqrt(found.between**2 * (1 + 1 / found.sources) + found.within**2)
    return min(1.0, exp(found.centre - half)), max(1.0, exp(found.centre + half))
