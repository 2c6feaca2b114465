"""A kernel as the device level runs it: a grid of CTA programs over operand tiles. Plain data, no time in it.

A grid has `tiles` work items (output tiles). Each takes `n_steps` K-steps; in a step a CTA fetches one tile of every
operand and then does the step's work. CTAs that use the same panel of an operand (a row of A tiles, a column of B
tiles, the KV of one head) share it through L2; `Grid` says which CTA is where, `Operand.follows` what it shares.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sim.cost.tile_order import Shares

Loads = tuple[tuple[int, float], ...]
Place = tuple[int, int, int, int]
"""Of a tile: batch, row, column, split; or of a panel, with zeros for what does not tell it."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The order in which tiles are walked; K-splits move fastest.

    `order`: the coordinates from slowest to fastest: `b` (experts, heads, sequences), `m` (rows), `n` (columns). In the
    order `bnm` rows may move inside groups of `group` rows (a swizzle).
    """

    rows: int
    columns: int = 1
    splits: int = 1
    group: int = 0
    order: str = "bnm"
    batches: int = 1

    def has_panel_per_tile(self, operand: Operand) -> bool:
        """Whether no two tiles share a panel of `operand`, so that it streams through the cache."""
        varies = {"m": self.rows > 1, "n": self.columns > 1, "b": self.batches > 1}
        is_shared = operand.shared_by > 1 or any(v and axis not in operand.follows for axis, v in varies.items())
        return not is_shared

    def place(self, tile: int) -> Place:
        """(batch, row, column, split) of a tile."""
        rest, split = divmod(tile, self.splits)
        if self.order == "nbm":
            rest, row = divmod(rest, self.rows)
            column, batch = divmod(rest, self.batches)
            return batch, row, column, split
        batch, within = divmod(rest, self.rows * self.columns)
        if self.order == "bmn":
            row, column = divmod(within, self.columns)
            return batch, row, column, split
        group = self.group or self.rows
        block, inside = divmod(within, group * self.columns)
        height = min(group, self.rows - block * group)
        column, row = divmod(inside, height)
        return batch, block * group + row, column, split


@dataclass(frozen=True, slots=True)
class Operand:
    """One input of the kernel, seen tile by tile.

    `step_bytes`: bytes that one CTA fetches per K-step (edge tiles averaged in, so that totals are exact).
    `follows`: which coordinates of a tile tell its panel: letters of `bmn`. `shared_by`: so many batches in a row share
    a panel (query heads of one KV head). `resident_share`: so much of the panels is in L2 at the start (0 to 1).
    `access`: `read`, `random` (scattered pieces of 512 B) or `strided` (rows of a tile, a few sectors each).
    `panel_walks`: bytes of a panel over those of a tile's mean walk through it: more than 1 where tiles see different
    parts of it, as those of a causal attention do, or of one with a window.
    """

    name: str
    step_bytes: float
    follows: str
    resident_share: float = 0.0
    access: str = "read"
    shared_by: int = 1
    panel_walks: float = 1.0

    def panels(self, places: Iterable[Place]) -> set[Place]:
        """Which panels of this operand (and which K-splits of them) the tiles at `places` use."""
        batches, rows, columns = (axis in self.follows for axis in "bmn")
        shared_by = self.shared_by
        return {
            (batch // shared_by if batches else 0, row if rows else 0, column if columns else 0, split)
            for batch, row, column, split in places
        }


@dataclass(frozen=True, slots=True)
class Work:
    """What a CTA computes in one K-step: `flops` on `unit` (a key of the GPU's rates), issued at `efficiency`."""

    unit: str
    flops: float
    efficiency: float = 1.0


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch. Sizes in bytes, counts in CTAs or steps, cycles of the SM clock.

    `schedule`: `tiles` (a CTA per tile, dealt breadth first) or `persistent` (`ctas` CTAs, each an equal contiguous
    share of all K-steps: stream-k). `stages`: K-steps whose fetches may be outstanding. `kinds`: (tiles, n_steps) runs
    where tiles differ (causal attention), else empty. `shares`: SMs in groups by the tiles that they take, where the
    order of the grid decides that: (how many, K-steps of each tile in turn). `loads`: persistent CTAs in groups by
    their work, most first: (how many, work relative to the mean of all); empty where all have the same. `store_bytes`:
    written per tile. `flush_bytes`: dirty bytes of others that this kernel pushes out of L2 to memory.
    `step_trips`: reads of L2 within a K-step, each waiting for the one before. `epilogue_bytes`: what a CTA's epilogue
    writes to and reads from shared memory. `chain_cycles`: how long a K-step takes where nothing counts but the chain
    of its products, each waiting for its fragments and the one before.
    `write_back_bytes`: what of its own output does not stay in L2. `fill_bytes`: of the tiles that a CTA fetches per
    K-step, what lies beyond the matrix: no bytes of it are moved, but L2 has to answer. `flops`: useful FLOPs (padding
    excluded).
    """

    name: str
    tiles: int
    n_steps: int
    grid: Grid
    operands: tuple[Operand, ...]
    work: tuple[Work, ...]
    stages: int = 2
    schedule: str = "tiles"
    ctas: int = 0
    ctas_per_sm: int = 0
    kinds: tuple[tuple[int, int], ...] = ()
    shares: Shares = ()
    loads: Loads = ()
    store_bytes: float = 0.0
    flush_bytes: float = 0.0
    write_back_bytes: float = 0.0
    fill_bytes: float = 0.0
    threads: int = 256
    shared_bytes: int = 0
    registers: int = 64
    prologue_cycles: int = 500
    step_cycles: int = 0
    step_trips: int = 0
    epilogue_cycles: int = 0
    epilogue_bytes: float = 0.0
    chain_cycles: float = 0.0
    first_cycles: int = 0
    tile: tuple[int, ...] = ()
    split_k: int = 1
    mma: str = ""
    flops: float = 0.0

    @property
    def step_bytes(self) -> float:
        """Bytes that one CTA fetches per K-step, all operands."""
        return sum(operand.step_bytes for operand in self.operands)

    @property
    def total_steps(self) -> int:
        """K-steps of the whole grid."""
        if self.shares:
            return sum(count * sum(steps) for count, steps in self.shares)
        return sum(count * steps for count, steps in self.kinds) if self.kinds else self.tiles * self.n_steps

    @property
    def l2_read_bytes(self) -> float:
        """Bytes that the CTAs ask of L2: what the device must have served when the kernel ends."""
        return self.step_bytes * self.total_steps

    @property
    def written_bytes(self) -> float:
        """Bytes that the CTAs store."""
        return self.store_bytes * self.stored_tiles

    @property
    def stored_tiles(self) -> int:
        """Tiles that are stored. Those of `shares` are of a group's middle SM: some more or fewer than there are."""
        return sum(count * len(steps) for count, steps in self.shares) if self.shares else self.tiles
