"""Is every CTA dealt exactly once, on SMs that hold as many as fit?"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.component.grid import SmLimits, deal, occupancy, tiles_of
from sim.cost.program import Grid, Kernel, Operand, Work

LIMITS = SmLimits(shared_bytes=100 * 1024, registers=65536, threads=1536, ctas=24)


def _kernel(tiles: int, n_steps: int = 1, **fields: object) -> Kernel:
    shape: dict[str, object] = {"grid": Grid(tiles), "operands": (Operand("a", 1.0, "m"),), "work": (Work("fp32", 1),)}
    return Kernel("k", tiles, n_steps, **(shape | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "ctas"),
    [
        ({"threads": 256, "registers": 0}, 6),  # 1536 threads
        ({"threads": 256, "registers": 128}, 2),  # 65536 registers
        ({"threads": 128, "registers": 32, "shared_bytes": 30_000}, 3),  # 100 KiB
        ({"threads": 32, "registers": 0}, 24),  # the limit itself
        ({"threads": 32, "registers": 0, "ctas_per_sm": 1}, 1),
        ({"threads": 1024, "registers": 255}, 1),  # would not fit; one at least
    ],
)
def test_occupancy_is_what_binds_first(fields: dict[str, object], ctas: int) -> None:
    assert occupancy(_kernel(100, **fields), LIMITS) == ctas


@given(st.integers(1, 500), st.integers(1, 50), st.integers(1, 12))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_equal_tiles_are_dealt_once_each_and_breadth_first(tiles: int, sms: int, n_steps: int) -> None:
    classes = deal(_kernel(tiles, n_steps), sms, 2)
    assert sum(c.count * c.visits for c in classes) == tiles
    members = [member for c in classes for member in c.members]
    assert sorted(members) == list(range(min(sms, tiles)))
    kernel = _kernel(tiles, n_steps)
    dealt = Counter(t for c in classes for k in range(c.visits) for t in tiles_of(kernel, list(c.members), k, sms, 2))
    assert dealt == Counter(range(tiles))
    assert max(c.visits for c in classes) - min(c.visits for c in classes) <= 1


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 20), st.integers(1, 3), st.integers(0, 30))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_persistent_ctas_share_all_steps_evenly(tiles: int, sms: int, n_steps: int, slots: int, ctas: int) -> None:
    classes = deal(_kernel(tiles, n_steps, schedule="persistent", ctas=ctas), sms, slots)
    assert sum(c.count * sum(c.steps_of) for c in classes) == tiles * n_steps
    members = [member for c in classes for member in c.members]
    assert len(members) == len(set(members)) <= sms
    workers = min(ctas or sms * slots, sms * slots, tiles * n_steps)
    per_worker = tiles * n_steps / workers
    held = -(-workers // min(sms, workers))
    assert max(sum(c.steps_of) for c in classes) <= (per_worker + 1) * held


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 30)), min_size=1, max_size=4), st.integers(1, 20))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_tiles_of_different_length_are_dealt_once_each_to_the_least_busy(
    kinds: list[tuple[int, int]], sms: int
) -> None:
    ordered = tuple(sorted(kinds, key=lambda kind: -kind[1]))
    tiles = sum(count for count, _ in ordered)
    classes = deal(_kernel(tiles, 1, kinds=ordered), sms, 2)
    dealt = Counter[int]()
    for c in classes:
        for steps in c.steps_of:
            dealt[steps] += c.count
    asked = Counter[int]()
    for count, steps in ordered:
        asked[steps] += count
    assert dealt == asked
    loads = [sum(c.steps_of) for c in classes]
    idle = 0 if sum(c.count for c in classes) < sms else min(loads)
    assert max(loads) - idle <= max(steps for _, steps in ordered)  # list scheduling: never further apart than a tile


@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(0, 3)), min_size=1, max_size=6),
    st.integers(1, 400),
    st.integers(1, 40),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_uneven_loads_lose_no_step_and_make_none_up(groups: list[tuple[int, float]], tiles: int, n_steps: int) -> None:
    loads = tuple(sorted(((count, load + 0.01) for count, load in groups), key=lambda group: -group[1]))
    sms = sum(count for count, _ in loads)
    classes = deal(_kernel(tiles, n_steps, schedule="persistent", loads=loads), sms, 1)
    assert sum(c.count * sum(c.steps_of) for c in classes) == tiles * n_steps
    members = [member for c in classes for member in c.members]
    assert len(members) == len(set(members)) <= sms


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 5), st.integers(1, 3))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_grid_walks_every_place_once(rows: int, columns: int, splits: int, group: int, batches: int) -> None:
    grid = Grid(rows, columns, splits, group)
    places = [grid.place(tile) for tile in range(rows * columns * splits * batches)]
    assert len(set(places)) == len(places)
    assert set(places) == {
        (b, m, n, s) for b in range(batches) for m in range(rows) for n in range(columns) for s in range(splits)
    }
