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


@lru_cache(maxsize=256)
def power_law_rows(tokens: int, experts: int, top_k: int, power: float) -> tuple[int, ...]:
    """Rows of each expert, most first, where they follow a power law with exponent `power`; 0: as equal as can be.

    Quantiles of the law between 1 and 0.8 tokens (0.01 and 2 where there are fewer rows than experts), scaled to
    tokens x top_k rows, none above `tokens`, what is too many given to the experts with the least: what the collectors
    of aiconfigurator draw at random (collector/helper.py, _generate_power_law_distribution).
    """
    wanted = tokens * top_k
    if power == 0.0:
        return tuple(wanted // experts + (e < wanted % experts) for e in range(experts))
    low, high = (1.0, max(1.0, 0.8 * tokens)) if wanted > experts else (0.01, 2.0)
    places = [(e + 0.5) / experts for e in range(experts)]
    if power == 1.0:
        drawn = [low * (high / low) ** place for place in places]
    else:
        ends = low ** (1.0 - power), high ** (1.0 - power)
        drawn = [((ends[1] - ends[0]) * place + ends[0]) ** (1.0 / (1.0 - power)) for place in places]
    rows = sorted(min(tokens, round(wanted * one / sum(drawn))) for one in drawn)
    missing = wanted - sum(rows)
    if missing < 0:
        for _ in range(-missing):
            rows[rows.index(max(rows))] -= 1
    while missing > 0:
        level = rows[0]
        lowest = sum(1 for one in rows if one == level)
        above = min((one for one in rows if one > level), default=tokens)
        lift = max(1, min(above - level, missing // lowest))
        count = min(lowest, missing // lift)
        rows[:count] = [level + lift] * count
        missing -= count * lift
        rows.sort()
    return tuple(reversed(rows))


@lru_cache(maxsize=1024)
def route(tokens: int, experts: int, top_k: int, skew: float, tile_rows: int, power: float | None = None) -> Routing:
    """What a step of `tokens` tokens touches when rows are padded to tiles of `tile_rows`; `power`: see GroupedGemm."""
    if power is not None:
        rows = power_law_rows(tokens, experts, top_k, power)
        whole = tuple(float(ceil(one / tile_rows)) for one in rows)
        return Routing(float(sum(1 for one in rows if one)), sum(whole), whole)
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
