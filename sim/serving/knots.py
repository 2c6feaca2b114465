"""At which sizes steps are simulated; between them their time is linear.

Fixed by rule, so that the same step always takes the same time, whatever was asked before it, and few, because each
costs a simulation. Dense products work in tiles: their time jumps where a tile is added and hardly moves between two
jumps, so it is taken at whole tiles. `tests/serving/test_step_table.py` holds the error against simulating every step.
"""

from __future__ import annotations

from collections.abc import Iterable

EXACT = 8
SMALL, STRIP, MIDDLE, TILE = 64, 32, 512, 128
ROWS = 16
FIRST_CONTEXT = 64


def token_knots(tokens: int) -> tuple[int, int]:
    """The knots at or around a number of tokens: up to 64 in eights, above 4, 5, 6, 7 and 8 times powers of two."""
    if tokens <= EXACT + 1:
        return tokens, tokens
    if tokens <= 2 * EXACT:
        return EXACT + 1, 2 * EXACT
    grain = max(EXACT, 1 << (tokens.bit_length() - 3))
    lower = tokens // grain * grain
    return lower, lower if lower == tokens else lower + grain


def tile_knots(tokens: int) -> tuple[tuple[int, int], int]:
    """For dense products: the knots around a number of tokens, and how many tokens those work on.

    Up to 512 tokens libraries choose among tiles of several heights, so that both ends of every 32 tokens are knots;
    above, a product works on whole tiles of 128.
    """
    if tokens <= SMALL:
        return token_knots(tokens), tokens
    if tokens <= MIDDLE:
        last = -(-tokens // STRIP) * STRIP
        return (last - STRIP + 1, last), tokens
    whole = -(-tokens // TILE) * TILE
    return token_knots(whole), whole


def power_knots(number: int) -> tuple[int, int]:
    """The powers of two at or around a number."""
    lower = 1 << (number.bit_length() - 1)
    return (lower, lower) if lower == number else (lower, 2 * lower)


def sequence_knots(sequences: int) -> tuple[int, int]:
    """The knots at or around a number of sequences that decode: 1 to 4, then 2 and 3 times powers of two."""
    if sequences <= 4:
        return sequences, sequences
    power = 1 << (sequences.bit_length() - 1)
    ends = (power, power * 3 // 2, power * 2)
    if sequences in ends:
        return sequences, sequences
    return (ends[0], ends[1]) if sequences < ends[1] else (ends[1], ends[2])


def query_knots(query: int) -> tuple[int, int]:
    """The knots at or around a number of new tokens of one sequence: 4, 5, 6, 7 and 8 times a power of two.

    Whole rows of tiles go faster than others, so that multiples of 16 have knots of their own; the others' lie one
    token below those.
    """
    if query <= ROWS:
        return query, query
    short = 0 if query % ROWS == 0 else 1
    size = query + short
    grain = max(ROWS, 1 << (size.bit_length() - 3))
    lower = size // grain * grain
    return lower - short, (lower if lower == size else lower + grain) - short


def context_knots(least: int, most: int, kinks: Iterable[int] = ()) -> list[int]:
    """The numbers of keys from the last knot at or below `least` to the first at or above `most`.

    They are 1, 64 and powers of two from there on, and `kinks` (windows).
    """
    knots = [1, FIRST_CONTEXT]
    while knots[-1] < most:
        knots.append(knots[-1] * 2)
    knots = sorted({*knots, *kinks})
    first = max(i for i, knot in enumerate(knots) if knot <= max(1, least))
    last = min(i for i, knot in enumerate(knots) if knot >= most)
    return knots[first : max(last, first + 1) + 1]


def depth_knots(depth: int, kinks: Iterable[int] = ()) -> tuple[int, int]:
    """The knots at or around a number of keys that are cached before a piece of a prompt: 0, 1024, 2048, ..., kinks."""
    lower, upper = 0, 1024
    while upper < depth:
        lower, upper = upper, upper * 2
    for kink in sorted(kinks):
        if lower < kink < upper:
            lower, upper = (kink, upper) if depth >= kink else (lower, kink)
    return (depth, depth) if depth in (lower, upper) else (lower, upper)
