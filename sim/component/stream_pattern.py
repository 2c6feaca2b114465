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
from sim.component.stream_warp import Piece, Touch

PATTERNS = ("tile", "flat", "random")
"""Each CTA walks through a part of its own; all CTAs walk through memory side by side; anywhere."""
DRAWN = 1024
"""Random addresses that are drawn at once."""
TILE = 16384
"""Bytes that a CTA reads in a row in the pattern "tile": those of the traffic that the channels' rates come from."""
INTERLEAVE = 256
"""Bytes in one channel and then in the next, for a memory whose mapping is not described."""
MOST_SLOTS = 1 << 16
"""Slots of a chase up to which their order is kept."""
WALKED_FIRST, WALKED = 8, 32
"""Steps of a walk that are worked out at once, at first and later."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory that is read over and over, every piece once in a round: bytes of it, of a piece, of L2 and of a page.

    A round through more than a cache's capacity evicts every line before its turn comes again (LRU): all or nothing
    hits. `side_cache_bytes`: of the memory-side cache, 0 if the GPU does not look there.
    """

    n_bytes: int
    piece: float
    l2_bytes: float
    page_bytes: int = 2 << 20
    side_cache_bytes: float = 0.0

    @property
    def n_pieces(self) -> int:
        """Pieces in it."""
        return max(1, int(self.n_bytes // self.piece))

    @property
    def level(self) -> str:
        """Who has it: "l2", "side_cache" or "memory"."""
        if self.n_bytes <= self.l2_bytes:
            return "l2"
        return "side_cache" if self.n_bytes <= self.side_cache_bytes else "memory"


def mapping_of(memory: Memory) -> AddressMap:
    """How `memory` spreads addresses over its channels (a common choice where the hardware file does not say)."""
    spec = memory.dram.mapping if memory.dram else None
    grain, is_hashed = (spec.channel_interleave, spec.is_hashed) if spec else (INTERLEAVE, True)
    return AddressMap(memory.channels, grain, (), is_hashed, grain)


class Cutter:
    """Cuts a footprint into pieces by channel. Pieces that look alike to the channels are one object."""

    def __init__(self, mapping: AddressMap, footprint: Footprint) -> None:
        self._mapping = mapping
        self.footprint = footprint
        self._level = footprint.level
        self._known: dict[tuple[int, ...], Piece] = {}

    def cut(self, addresses: npt.NDArray[np.int64]) -> Iterator[Touch]:
        """The pieces that begin at `addresses`, in their order, and the page of each."""
        grain, size = self._mapping.channel_interleave, self.footprint.piece
        first = addresses // grain
        most = int(np.ceil((addresses % grain + size) / grain).max())
        channels = self._mapping.channel_of((first[:, None] + np.arange(most)) * grain)
        keys = np.column_stack((addresses % grain, channels)).tolist()
        pages = (addresses // self.footprint.page_bytes).tolist()
        known = self._known
        for row, page in zip(keys, pages, strict=True):
            key = tuple(row)
            piece = known.get(key)
            if piece is None:
                piece = known[key] = self._piece(key)
            yield piece, page

    def _piece(self, key: tuple[int, ...]) -> Piece:
        """The piece that begins so many bytes into a block, from the channels of the blocks from there on."""
        offset, *channels = key
        grain, blocks = self._mapping.channel_interleave, []
        end = offset + self.footprint.piece
        for number, channel in enumerate(channels):
            size = min(end, (number + 1) * grain) - max(offset, number * grain)
            if size > 0:
                blocks.append((channel, float(size)))
        return Piece(tuple(blocks), self._level)


def walk(cutter: Cutter, pattern: str, ctas: int, warps: int, cta: int, warp: int) -> Iterator[Touch]:
    """The pieces that a warp of a CTA asks for ("tile" or "flat"), for ever."""
    footprint = cutter.footprint
    step, n_pieces, ahead_by = 0, footprint.n_pieces, WALKED_FIRST
    per_tile = max(1, int(TILE // footprint.piece))
    ahead = int(cta * GOLDEN % 1.0 * per_tile)  # CTAs do not keep step: each is somewhere else in its tile
    while True:
        steps = np.arange(step, step + ahead_by, dtype=np.int64)
        if pattern == "flat":
            numbers = (steps * ctas + cta) * warps + warp
        else:
            in_order = ahead + steps * warps + warp
            numbers = (in_order // per_tile * ctas + cta) * per_tile + in_order % per_tile
        yield from cutter.cut((numbers % n_pieces * footprint.piece).astype(np.int64))
        step += ahead_by
        ahead_by = WALKED


def scattered(cutter: Cutter, seed: int) -> Iterator[Touch]:
    """Pieces anywhere in the footprint, for ever, for whoever asks next."""
    random = np.random.default_rng(seed)
    footprint = cutter.footprint
    while True:
        addresses = (random.integers(0, footprint.n_pieces, DRAWN) * footprint.piece).astype(np.int64)
        yield from cutter.cut(addresses)


def slots(cutter: Cutter, granule: int, seed: int) -> Iterator[Touch]:
    """A pointer chase over places `granule` bytes apart, each once before any comes again (many: any, at random)."""
    random, n_slots = np.random.default_rng(seed), max(1, cutter.footprint.n_bytes // granule)
    order = random.permutation(n_slots).astype(np.int64) if n_slots <= MOST_SLOTS else None
    while True:
        for start in range(0, min(n_slots, MOST_SLOTS), DRAWN):
            some = random.integers(0, n_slots, DRAWN) if order is None else order[start : start + DRAWN]
            yield from cutter.cut(some * granule)
