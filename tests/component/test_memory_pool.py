"""Does the pool never give out more than there is, take cached pages back first, and remember who had what when?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.component.memory_pool import PAGE_CACHE, MemoryPool

CAPACITY = 1000
STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "give", "cache"]), st.sampled_from(["a", "b", "c"]), st.integers(0, 700)),
    max_size=40,
)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@given(STEPS)
def test_it_holds_what_was_taken_and_never_more_than_there_is(steps: list[tuple[str, str, int]]):
    clock = Clock()
    pool, held, high = MemoryPool(clock, CAPACITY), dict.fromkeys("abc", 0), 0
    for number, (what, name, n_bytes) in enumerate(steps):
        clock.now = number
        if what == "take":
            room = CAPACITY - sum(held.values())
            short = pool.take(name, n_bytes)
            assert short == max(0, n_bytes - room)
            held[name] += 0 if short else n_bytes
        elif what == "give" and n_bytes <= held[name]:
            pool.give(name, n_bytes)
            held[name] -= n_bytes
        elif what == "cache":
            pool.cache(n_bytes)
        high = max(high, sum(held.values()))
        assert {each: pool.held(each) for each in held} == held
        assert pool.in_use_bytes == sum(held.values())
        assert pool.in_use_bytes + pool.held(PAGE_CACHE) + pool.free_bytes == CAPACITY
        assert pool.free_bytes >= 0
    assert pool.high_water.n_bytes == high == sum(pool.high_water.by_class.values())
    last = {change.what: change.n_bytes for change in pool.changes}
    assert {name: n for name, n in last.items() if n} == {
        name: n for name, n in {**held, PAGE_CACHE: pool.held(PAGE_CACHE)}.items() if n
    }
    assert [change.time_ps for change in pool.changes] == sorted(change.time_ps for change in pool.changes)


def test_cached_pages_make_room_and_nothing_else_does():
    clock = Clock()
    pool = MemoryPool(clock, CAPACITY)
    pool.take("weights", 300)
    pool.cache(900)
    assert pool.held(PAGE_CACHE) == 700  # as much as there is room for
    clock.now = 5
    assert pool.take("kv_cache", 600) == 0
    assert (pool.held(PAGE_CACHE), pool.free_bytes) == (100, 0)
    assert pool.take("kv_cache", 101) == 1  # one too many: nothing is taken, and the pages stay
    assert (pool.held("kv_cache"), pool.held(PAGE_CACHE)) == (600, 100)
    assert pool.high_water == (5, 900, {"weights": 300, "kv_cache": 600})


def test_changes_at_one_time_are_one_entry():
    clock = Clock()
    pool = MemoryPool(clock, CAPACITY)
    pool.why = "load"
    for _ in range(3):
        pool.take("weights", 10)
    clock.now = 7
    pool.take("weights", 10)
    assert [tuple(change) for change in pool.changes] == [(0, "load", "weights", 30), (7, "load", "weights", 40)]


@pytest.mark.parametrize("n_bytes", [-1, 11])
def test_nobody_gives_back_what_they_have_not(n_bytes: int):
    pool = MemoryPool(Clock(), CAPACITY)
    pool.take("weights", 10)
    with pytest.raises(ValueError, match=f"weights gives back {n_bytes} of 10 bytes"):
        pool.give("weights", n_bytes)


def test_what_makes_no_sense_is_refused():
    pool = MemoryPool(Clock(), CAPACITY)
    with pytest.raises(ValueError, match="holds nothing"):
        MemoryPool(Clock(), 0)
    with pytest.raises(ValueError, match="takes -3 bytes"):
        pool.take("weights", -3)
    with pytest.raises(ValueError, match="takes what is free"):
        pool.take(PAGE_CACHE, 3)
