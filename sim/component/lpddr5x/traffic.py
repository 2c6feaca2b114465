"""What the GPU sends: streams of many CTAs in pieces of a warp, as the accesses that one channel sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim.component.lpddr5x.controller import Access
from sim.component.lpddr5x.mapping import AddressMap, flat_banks
from sim.component.lpddr5x.spec import OrganisationSpec

KINDS = ("read", "write", "random", "copy")
"""Long reads, long writes, scattered reads of 512 B, and reads and writes in equal parts."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """How the GPU asks.

    `streams`: CTAs at work; `piece`: bytes that a warp asks for at once; `tile`: bytes that a CTA reads in a row before
    it goes on elsewhere. Pieces and tiles are powers of two.

    Defaults: two CTAs on each of 48 SMs, 32 lanes of 16 B. `seed`: the order in which warps come is shuffled with it.
    """

    streams: int = 96
    piece: int = 512
    tile: int = 16384
    seed: int = 1


def pieces_of(kind: str, traffic: Traffic, n_pieces: int, capacity: int) -> npt.NDArray[np.int64]:
    """Addresses of `n_pieces` pieces in the order of their coming.

    Scattered: anywhere in `capacity` bytes. Otherwise each stream walks through a tile of its own and then another, a
    piece per round, streams at different places of theirs, and those of a round come in any order.
    """
    random = np.random.default_rng(traffic.seed)
    n_slots = capacity // traffic.piece
    if kind == "random":
        return random.integers(0, n_slots, n_pieces) * traffic.piece
    per_tile = traffic.tile // traffic.piece
    rounds = -(-n_pieces // traffic.streams)
    tiles = random.integers(0, n_slots // per_tile, (rounds // per_tile + 2, traffic.streams)) * per_tile
    done = np.arange(rounds)[:, None] + random.integers(0, per_tile, traffic.streams)
    slots = tiles[done // per_tile, np.arange(traffic.streams)] + done % per_tile
    return random.permuted(slots, axis=1).reshape(-1)[:n_pieces] * traffic.piece


def accesses_of(
    kind: str, traffic: Traffic, mapping: AddressMap, organisation: OrganisationSpec, n_accesses: int, capacity: int
) -> list[Access]:
    """At least `n_accesses` accesses that channel 0 sees of this kind of traffic, all there from the start.

    Reads and writes of a copy alternate in their numbers.
    """
    if kind == "copy":
        half = -(-n_accesses // 2)
        read = _seen(traffic, "read", mapping, organisation, half, capacity)
        other = replace(traffic, seed=traffic.seed + 1)
        write = _seen(other, "write", mapping, organisation, half, capacity)
        pairs = zip(read, write, strict=False)
        numbered = (access for pair in pairs for access in ((*pair[0], False), (*pair[1], True)))
    else:
        seen = _seen(traffic, kind, mapping, organisation, n_accesses, capacity)
        numbered = ((bank, row, kind == "write") for bank, row in seen)
    return [Access(number, *access) for number, access in enumerate(numbered)]


def _seen(
    traffic: Traffic, kind: str, mapping: AddressMap, organisation: OrganisationSpec, n_accesses: int, capacity: int
) -> Iterator[tuple[int, int]]:
    """(flat bank, row) of each access of channel 0, in order."""
    per_piece = traffic.piece // mapping.access
    n_pieces = n_accesses * mapping.channels // per_piece + traffic.streams
    mine = np.zeros(0, dtype=np.int64)
    while len(mine) < n_accesses:  # the mapping gives a channel its share on average only
        n_pieces += n_pieces // 4
        pieces = pieces_of(kind, traffic, n_pieces, capacity)
        addresses = (pieces[:, None] + np.arange(per_piece) * mapping.access).reshape(-1)
        mine = addresses[mapping.channel_of(addresses) == 0]
    fields = mapping.fields_of(mapping.within_channel(mine[:n_accesses]))
    banks = flat_banks(fields, organisation.bank_groups, organisation.banks_per_group)
    return zip(banks, fields["row"].tolist(), strict=True)
