"""Does a wave miss, to the last bit, what its panels miss when they are touched one by one?

Expected: the model as the module's docstring states it, with `Grid.place` and `Operand.panel` for every tile.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.component.panel_cache import SEGMENTS, PanelCache, survival
from sim.cost.program import Grid, Kernel, Operand

Operands = st.lists(
    st.builds(
        Operand,
        st.just("operand"),
        st.floats(1.0, 1e6),
        st.sampled_from(["m", "n", "b", "bm", "bn", "mn", "bmn"]),
        st.booleans(),
        shared_by=st.integers(1, 3),
    ),
    min_size=1,
    max_size=2,
)
Grids = st.builds(Grid, st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), batches=st.integers(1, 4))


def one_by_one(kernel: Kernel, waves: list[list[int]], steps: int, missed_after: Callable[[float], float]):
    """Bytes that miss per K-step, by wave and operand; a panel read once by design counts as never read before."""
    inserted, touched_at, found = 0.0, {}, []
    for tiles in waves:
        missing = [0.0] * len(kernel.operands)
        for segment in range(SEGMENTS):
            for index, operand in enumerate(kernel.operands):
                first, missed = 1.0 - operand.resident_share, 0.0
                size = operand.step_bytes * steps / SEGMENTS
                if kernel.grid.has_panel_per_tile(operand):
                    missed = first * len(tiles)
                    inserted += missed * size
                else:
                    for panel in sorted(operand.panels(kernel.grid.place(tile) for tile in tiles)):
                        key = (index, panel, segment)
                        share = missed_after(inserted - touched_at[key]) if key in touched_at else first
                        inserted += share * size
                        touched_at[key] = inserted
                        missed += share
                missing[index] += missed * operand.step_bytes / SEGMENTS
        found.append(missing)
    return found


@pytest.mark.parametrize("schedule", ["tiles", "persistent"])
@given(
    grid=Grids,
    operands=Operands,
    width=st.integers(1, 9),
    steps=st.integers(1, 5),
    capacity=st.sampled_from([1e3, 1e6, 1e9]),
)
def test_a_wave_misses_what_its_panels_miss_one_by_one(schedule, grid, operands, width, steps, capacity):
    tiles = grid.rows * grid.columns * grid.splits * grid.batches
    kernel = Kernel("kernel", tiles, steps, grid, tuple(operands), (), schedule=schedule)
    waves = [list(range(start, min(tiles, start + width))) for start in range(0, tiles, width)]
    if schedule == "persistent":
        waves += waves[:2]  # stream-k: parts of a tile fall to several visits

    cache = PanelCache(capacity, 16)

    def missed_after(inserted: float) -> float:
        return 1.0 - survival(16, inserted / capacity)

    assert [cache.wave(kernel, wave, steps) for wave in waves] == one_by_one(kernel, waves, steps, missed_after)
