"""Which addresses the warps of a bandwidth microbenchmark ask for, and which channels serve them.

The patterns are those of the program that was measured (littles.cu): its addresses, and nothing else, tell them apart;
no pattern has a number of its own but scattered reads their sustained rate. Scattered pieces meet at a channel by
chance while others idle, so that they need more in flight. Not explained: at 2 KiB in flight per SM GB10 reads "tile"
faster than any other, 181 GB/s, where 164 come out here. At the plateau it reads "tile" at 235-237 and "flat" at
230-232 GB/s; the channel model has 237 and 232 beside 768 warps but 232 and 235 beside 192, each good to 1.2 %: no
cause to see. Two points of "flat" with one CTA per SM are faster beside a second kernel than alone: what holds them is
not memory.
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
"""A warp reads down a column of a matrix, 512 B of each row, warps side by side; 32 KiB in a row; anywhere."""
DRAWN = 1024
"""Random addresses that are drawn at once."""
SEGMENT, MATRIX = 64, 4096
"""Pieces that a warp reads one after the other before it goes on elsewhere, and pieces of a matrix of "tile"."""
INTERLEAVE = 256
"""Bytes in one channel and then in the next, for a memory whose mapping is not described."""
MOST_SLOTS = 1 << 16
"""Slots of a chase up to which their order is kept."""
WALKED = 8
"""Steps of a walk that are worked out at once."""


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


def banks_of(n_banks: int, line_bytes: int) -> AddressMap:
    """How L2 spreads lines over its banks."""
    return AddressMap(n_banks, line_bytes, (), is_hashed=True, access=line_bytes)


class Cutter:
    """Cuts a footprint into pieces by channel, or by bank where L2 has it. Pieces that look alike are one object."""

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


class Together:
    """The pieces that each of some warps asks for, for ever; worked out for all of them at once."""

    def __init__(self, cutter: Cutter, warps: int) -> None:
        self._cutter = cutter
        self._warps = np.arange(warps, dtype=np.int64)[:, None]
        self._known: dict[int, list[Touch]] = {}
        self._takers: dict[int, int] = {}

    def of(self, warp: int) -> Iterator[Touch]:
        """What one of the warps asks for."""
        turn = 0
        while True:
            yield from self._turn(turn)[warp * WALKED : (warp + 1) * WALKED]
            turn += 1

    def _turn(self, turn: int) -> list[Touch]:
        """The next `WALKED` pieces of every warp, warp after warp; forgotten when all have taken theirs."""
        known = self._known.get(turn)
        if known is None:
            steps = np.arange(turn * WALKED, (turn + 1) * WALKED, dtype=np.int64)
            addresses = (self._numbers(steps) * self._cutter.footprint.piece).astype(np.int64)
            known = self._known[turn] = list(self._cutter.cut(addresses.reshape(-1)))
        self._takers[turn] = self._takers.get(turn, 0) + 1
        if self._takers[turn] == len(self._warps):
            del self._known[turn], self._takers[turn]
        return known

    def _numbers(self, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which piece each warp (row) asks for at each of its steps (column)."""
        raise NotImplementedError


class Walks(Together):
    """Warps that read all of the footprint ("tile" or "flat"): 64 pieces each, then on behind all the others."""

    def __init__(self, cutter: Cutter, pattern: str, warps: int) -> None:
        super().__init__(cutter, warps)
        self._is_tile = pattern == "tile" and cutter.footprint.n_pieces >= MATRIX
        # Warps do not keep step: each is somewhere else in its segment.
        self._begin = (self._warps * GOLDEN % 1.0 * SEGMENT).astype(np.int64)

    def _numbers(self, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        n_pieces, steps = self._cutter.footprint.n_pieces, self._begin + steps
        numbers = ((steps // SEGMENT * len(self._warps) + self._warps) * SEGMENT + steps % SEGMENT) % n_pieces
        return _tiled(numbers % (n_pieces // MATRIX * MATRIX)) if self._is_tile else numbers


class Rows(Together):
    """CTAs that each read a part of their own from its beginning on, a row of one piece per warp at each step."""

    def __init__(self, cutter: Cutter, ctas: int, warps: int) -> None:
        super().__init__(cutter, ctas * warps)
        part = cutter.footprint.n_pieces // ctas
        self._begin = self._warps // warps * part + self._warps % warps
        self._per_row = warps

    def _numbers(self, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return (self._begin + steps * self._per_row) % self._cutter.footprint.n_pieces


def _tiled(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where the pieces of segments lie in matrices: a segment is a column of one, and its pieces are a row apart.

    Of three matrices two have rows of 16 pieces and 256 rows, four segments to a column, and one has 64 rows of 64.
    """
    matrix, place = np.divmod(numbers, MATRIX)
    segment, row = np.divmod(place, SEGMENT)
    narrow = segment // 16 * (SEGMENT * 16) + segment % 16 + row * 16
    within: npt.NDArray[np.int64] = np.where(matrix % 3 < 2, narrow, segment + row * 64)
    return matrix * MATRIX + within


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
