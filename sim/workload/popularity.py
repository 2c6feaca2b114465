"""How tokens spread over experts: a popularity model with one number, the skew.

The chance that a token picks expert e is proportional to exp(skew * z_e) with z_e the normal quantiles of the experts,
scaled so that a token picks `top_k` on average and capped at 1. Skew 0 is uniform routing. Tokens pick independently.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, erf, exp, sqrt
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Routing:
    """Expectations over the routing of one step: experts with at least one row, and row tiles that they make."""

    active: float
    row_tiles: float
    tiles_of: tuple[float, ...]
    """Row tiles of each expert, most popular first."""


@lru_cache(maxsize=256)
def inclusion(experts: int, top_k: int, skew: float) -> tuple[float, ...]:
    """Probability, per expert, that one token picks it; sums to `top_k`."""
    normal = NormalDist()
    weights = [exp(skew * normal.inv_cdf((e + 0.5) / experts)) for e in range(experts)]
    capped = [False] * experts
    while True:
        free = top_k - sum(capped)
        total = sum(w for w, c in zip(weights, capped, strict=True) if not c)
        over = [not c and w * free / total > 1.0 for w, c in zip(weights, capped, strict=True)]
        if not any(over):
            return tuple(1.0 if c else w * free / total for w, c in zip(weights, capped, strict=True))
        capped = [c or o for c, o in zip(capped, over, strict=True)]


@lru_cache(maxsize=1024)
def route(tokens: int, experts: int, top_k: int, skew: float, tile_rows: int) -> Routing:
    """What a step of `tokens` tokens touches when rows are padded to tiles of `tile_rows`."""
    chances = inclusion(experts, top_k, skew)
    active = sum(1.0 - (1.0 - p) ** tokens for p in chances)
    tiles_of = tuple(_tiles(tokens, p, tile_rows) for p in reversed(chances))
    return Routing(active, max(active, sum(tiles_of)), tiles_of)


def _tiles(tokens: int, chance: float, tile_rows: int) -> float:
    """Expected ceil(rows / tile_rows) for rows ~ Binomial(tokens, chance), by the normal tail above the first tile."""
    mean = tokens * chance
    deviation = sqrt(max(1e-12, mean * (1.0 - chance)))
    total = 1.0 - (1.0 - chance) ** tokens
    for tile in range(1, ceil((mean + 6.0 * deviation) / tile_rows) + 1):
        z = (tile * tile_rows + 0.5 - mean) / deviation
        total += 0.5 * (1.0 - erf(z / sqrt(2.0)))
    return total
