"""Which addresses the warps of a bandwidth microbenchmark ask for, and which channels serve them.

Patterns differ by their addresses alone; no pattern has a number of its own but scattered reads their sustained rate.
Said beforehand and held: scattered pieces meet at a channel by chance while others idle, so that they need more in
flight (212 GB/s measured at 4 KiB per SM, 216 simulated; 229 if channels did not matter). Not explained: GB10 reads
"tile" 1-3 % faster than "flat" at the plateau, and 8 % faster at 2 KiB per SM than it comes out here. Rows of the DRAM
are not why: walked side by side they are opened less often, and the channel model makes "flat" the faster one (242
against 234 GB/s). Two points of "flat" with one CTA per SM are faster beside a second kernel than alone: what holds
them back is not the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.component.lpddr5x.mapping import AddressMap
from sim.component.lpddr5x.rates import Memory
from sim.component.sm import GOLDEN
from sim.component.stream import Piece

PATTERNS = ("tile", "flat", "random")
"""Each CTA walks through a part of its own; all CTAs walk through memory side by side; anywhere."""
DRAWN = 4096
"""Random addresses that are drawn at once."""
TILE = 16384
"""Bytes that a CTA reads in a row in the pattern "tile": those of the traffic that the channels' rates come from."""
INTERLEAVE = 256
"""Bytes in one channel and then in the next, for a memory whose mapping is not described."""
WALKED = 64
"""Steps of a walk that are worked out at once."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory that is read over and over, every piece once in a round: bytes of it, of a piece, and of L2.

    A round through more than L2's capacity evicts every line before its turn comes again (LRU): all or nothing hits.
    """

    n_bytes: int
    piece: float
    l2_bytes: float

    @property
    def n_pieces(self) -> int:
        """Pieces in it."""
        return max(1, int(self.n_bytes // self.piece))

    @property
    def is_resident(self) -> bool:
        """Whether L2 has all of it."""
        return self.n_bytes <= self.l2_bytes


def mapping_of(memory: Memory) -> AddressMap:
    """How `memory` spreads addresses over its channels (a common choice where the hardware file does not say)."""
    spec = memory.dram.mapping if memory.dram else None
    grain, is_hashed = (spec.channel_interleave, spec.is_hashed) if spec else (INTERLEAVE, True)
    return AddressMap(memory.channels, grain, (), is_hashed, grain)


def cut(mapping: AddressMap, addresses: npt.NDArray[np.int64], piece: float) -> list[tuple[tuple[int, float], ...]]:
    """Bytes by channel of pieces that begin at `addresses`, in the order of their addresses."""
    grain = mapping.channel_interleave
    first, last = addresses // grain, np.ceil((addresses + piece) / grain).astype(np.int64)
    most = int((last - first).max())
    channels = mapping.channel_of((first[:, None] + np.arange(most)) * grain).tolist()
    found: list[tuple[tuple[int, float], ...]] = []
    for address, block, end, names in zip(addresses.tolist(), first.tolist(), last.tolist(), channels, strict=True):
        inner = [number * grain for number in range(block + 1, end)]
        edges = [address, *inner, address + piece]
        found.append(tuple((c, z - a) for c, a, z in zip(names, edges, edges[1:], strict=False)))
    return found


def walk(
    mapping: AddressMap, footprint: Footprint, pattern: str, ctas: int, warps: int, cta: int, warp: int
) -> Iterator[Piece]:
    """The pieces that a warp of a CTA asks for ("tile" or "flat"), for ever, and whether L2 has them."""
    step, n_pieces = 0, footprint.n_pieces
    per_tile = max(1, int(TILE // footprint.piece))
    ahead = int(cta * GOLDEN % 1.0 * per_tile)  # CTAs do not keep step: each is somewhere else in its tile
    while True:
        steps = np.arange(step, step + WALKED, dtype=np.int64)
        if pattern == "flat":
            numbers = (steps * ctas + cta) * warps + warp
        else:
            in_order = ahead + steps * warps + warp
            numbers = (in_order // per_tile * ctas + cta) * per_tile + in_order % per_tile
        addresses = (numbers % n_pieces * footprint.piece).astype(np.int64)
        for blocks in cut(mapping, addresses, footprint.piece):
            yield Piece(blocks, footprint.is_resident)
        step += WALKED


def scattered(mapping: AddressMap, footprint: Footprint, seed: int) -> Iterator[Piece]:
    """Pieces anywhere in the footprint, for ever, for whoever asks next, and whether L2 has them."""
    random = np.random.default_rng(seed)
    while True:
        addresses = (random.integers(0, footprint.n_pieces, DRAWN) * footprint.piece).astype(np.int64)
        for blocks in cut(mapping, addresses, footprint.piece):
            yield Piece(blocks, footprint.is_resident)
