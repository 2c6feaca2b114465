"""Which SM takes which tiles, where tiles take unequally long: the hardware hands out CTAs in the order of the grid.

A causal attention's tiles grow along the sequence. A library that launches them as they come has its longest ones at
the end, when SMs run out of others: the tail that a longest-first order would avoid.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace
from itertools import chain, islice, repeat

Shares = tuple[tuple[int, tuple[int, ...]], ...]
TAIL = 6
"""Tiles per CTA slot, the last ones of the grid, that are dealt one by one; those before them are shared out evenly."""
TILE_STEPS = 1
"""What a CTA takes besides its K-steps, in K-steps: so much that empty ones take time too."""
GROUPS = (0.125, 0.25, 0.3125, 0.3125)
"""Shares of the SMs that are told apart by their load, most first."""


def in_order(steps: Sequence[int], units: int, sms: int, slots: int, *, is_outside: bool) -> Shares:
    """SMs in groups by their work: (how many SMs, the K-steps of the tiles that each takes, in turn).

    `steps`: K-steps of one unit's (head's, sequence's) tiles in launch order. `is_outside`: the tiles of all units with
    the same number follow each other; otherwise unit follows unit. The K-steps of all tiles are kept, to the last one.
    """
    count = len(steps) * units
    tail = min(count, TAIL * sms * slots)
    early = count - tail
    early -= early % sms
    order = (
        chain.from_iterable(repeat(s, units) for s in steps)
        if is_outside
        else chain.from_iterable(repeat(steps, units))
    )
    before = sum(islice(order, early))
    tiles: list[list[int]] = [_spread(before // sms + (sm < before % sms), early // sms) for sm in range(sms)]
    free = [(0, slot) for slot in range(sms * slots)]
    heapify(free)
    for length in order:
        time, slot = free[0]
        tiles[slot % sms].append(length)
        heapreplace(free, (time + length + TILE_STEPS, slot))
    return _grouped([one for one in tiles if one])


def _spread(total: int, parts: int) -> list[int]:
    """`total` in `parts` nearly equal whole numbers."""
    return [(number + 1) * total // parts - number * total // parts for number in range(parts)] if parts else []


def _grouped(tiles: list[list[int]]) -> Shares:
    """Few groups for many SMs: the tiles of the middle one stand for its group, changed so that the sum stays."""
    ordered = sorted(tiles, key=lambda one: (-sum(one) - TILE_STEPS * len(one), one))
    groups: dict[tuple[int, ...], int] = {}
    first, share, left = 0, 0.0, sum(map(sum, tiles))
    for part in GROUPS:
        share += part
        end = round(share * len(ordered))
        members = ordered[first:end]
        if not members:
            continue
        middle, first = members[len(members) // 2], end
        steps = left if end == len(ordered) else sum(map(sum, members)) // len(members) * len(members)
        whole, more = divmod(steps, len(members))
        left -= steps
        for count, total in ((more, whole + 1), (len(members) - more, whole)):
            if count:
                sequence = _adjusted(middle, total)
                groups[sequence] = groups.get(sequence, 0) + count
    return tuple((count, sequence) for sequence, count in groups.items())


def _adjusted(tiles: list[int], total: int) -> tuple[int, ...]:
    """The tiles, as many as `total` K-steps are enough for, scaled so that they sum up to it; none below one."""
    tiles = tiles[:total]
    old = sum(tiles)
    found = [max(1, length * total // old) for length in tiles]
    spare = total - sum(found)
    for index in sorted(range(len(found)), key=lambda i: -found[i]):
        change = spare if spare > 0 else max(spare, 1 - found[index])
        found[index] += change
        spare -= change
        if not spare:
            break
    return tuple(found)
