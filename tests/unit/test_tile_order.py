"""Does the order of the grid say who takes which tiles, with every K-step kept, and do growing tiles leave a tail?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.cost.tile_order import in_order


def _loads(shares: tuple[tuple[int, tuple[int, ...]], ...]) -> list[int]:
    return sorted((sum(steps) for count, steps in shares for _ in range(count)), reverse=True)


@given(
    steps=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    units=st.integers(1, 40),
    sms=st.integers(1, 24),
    slots=st.integers(1, 3),
    is_outside=st.booleans(),
)
def test_every_step_of_every_tile_is_taken(
    steps: list[int], units: int, sms: int, slots: int, is_outside: bool
) -> None:
    shares = in_order(steps, units, sms, slots, is_outside=is_outside)
    assert sum(count * sum(sequence) for count, sequence in shares) == units * sum(steps)
    assert sum(count for count, _ in shares) == min(sms, units * len(steps))
    assert all(step >= 1 for _, sequence in shares for step in sequence)


def test_growing_tiles_leave_a_tail() -> None:
    """On 16 SMs 16 tiles of one step and then 8 of nine: eight SMs end after 10 steps, eight after one."""
    loads = _loads(in_order([1, 1, 9], 8, 16, 1, is_outside=True))
    assert (loads[0], loads[-1], sum(loads)) == (10, 1, 88)


def test_unit_after_unit_spreads_what_length_after_length_does_not() -> None:
    """2 SMs, tiles of 1 and 2 steps of two heads: 1, 2, 1, 2 gives 1 + 1 and 2 + 2, and 1, 1, 2, 2 gives 3 each."""
    assert _loads(in_order([1, 2], 2, 2, 1, is_outside=False)) == [4, 2]
    assert _loads(in_order([1, 2], 2, 2, 1, is_outside=True)) == [3, 3]


@pytest.mark.parametrize("is_outside", [False, True])
def test_many_tiles_even_out(is_outside: bool) -> None:
    """The tail is as long as the longest tile, whatever came before it."""
    loads = _loads(in_order([1, 2, 3, 4], 400, 4, 1, is_outside=is_outside))
    assert sum(loads) == 4000
    assert loads[0] - loads[-1] <= 4 + 2
