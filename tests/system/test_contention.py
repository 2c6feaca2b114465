"""Do ops that run at the same time share the memory fairly, lose nothing, and wait only when it is full?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.engine import Engine
from sim.system.contention import SharedMemory, max_min_shares

demands = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6)
US = 1_000_000  # ps


def finish(*ops: tuple[int, int, int]) -> list[int]:
    """When ops (start, duration alone, memory busy; ps) end."""
    engine = Engine()
    memory = SharedMemory(engine)
    ends = [0] * len(ops)

    def behave(index: int):
        start, duration, busy = ops[index]
        yield engine.timeout(start)
        yield memory.run(duration, busy)
        ends[index] = engine.now

    engine.run(engine.all_of([engine.spawn(behave(i), f"op {i}") for i in range(len(ops))]))
    return ends


@given(demands)
def test_shares_are_max_min_fair(wanted: list[float]) -> None:
    """Nobody gets more than it wants or than there is; who gets less than it wants gets at least what anybody gets."""
    shares = max_min_shares(wanted)
    assert sum(shares) == pytest.approx(min(1.0, sum(wanted)))
    for share, want in zip(shares, wanted, strict=True):
        assert share <= want
        assert share == want or share >= max(shares) - 1e-9


@pytest.mark.parametrize("busy", [0, 1, 400_000, US])
def test_op_alone_takes_its_own_time(busy: int) -> None:
    assert finish((5, US, busy)) == [5 + US]


def test_two_that_together_ask_for_less_than_all_do_not_wait() -> None:
    assert finish((0, US, US // 2), (0, 2 * US, US)) == [US, 2 * US]


def test_two_streams_get_half_each() -> None:
    """Both want all of it: each half as fast; the longer one is alone after the shorter has ended."""
    assert finish((0, US, US), (0, 3 * US, 3 * US)) == [2 * US, 4 * US]


def test_small_demand_is_served_in_full_beside_a_stream() -> None:
    """The stream gets what the other leaves, 3/4: in 1 us it does 0.75 us of its own time, then 0.25 us alone."""
    assert finish((0, US, US // 4), (0, US, US)) == [US, US + US // 4]


def test_late_comer_slows_only_what_is_left() -> None:
    """0.5 us alone, then both at half speed until the first has done its other 0.5 us; then the second is alone."""
    assert finish((0, US, US), (US // 2, US, US)) == [US + US // 2, 2 * US]


@given(st.lists(st.tuples(st.integers(0, 5 * US), st.integers(1, 5 * US), st.floats(0, 1)), min_size=1, max_size=6))
def test_memory_is_never_over_full_and_nobody_is_faster_than_alone(ops: list[tuple[int, int, float]]) -> None:
    """Memory's work fits between the first start and the last end; so does each op's own time."""
    made = [(start, duration, int(duration * part)) for start, duration, part in ops]
    ends = finish(*made)
    slack = 2 * len(made)  # ends are rounded up to whole ps
    assert sum(busy for _, _, busy in made) <= max(ends) - min(start for start, _, _ in made) + slack
    for (start, duration, _), end in zip(made, ends, strict=True):
        assert end >= start + duration - slack


@given(st.integers(2, 6), st.integers(1, 5 * US))
def test_memory_never_idles_with_work_waiting(count: int, duration: int) -> None:
    """`count` streams that start together end together, when memory has done the work of all of them."""
    ends = finish(*[(0, duration, duration)] * count)
    assert ends == pytest.approx([count * duration] * count, abs=2 * count)
