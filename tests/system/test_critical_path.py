"""Is the elapsed time of overlapping components told by what really delayed the end?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.system.critical_path import Turn, critical_path


def test_what_runs_beside_the_path_does_not_count() -> None:
    turns = {
        0: Turn(0, 10, {"dram": 10}, None),
        1: Turn(10, 40, {"tensor": 30}, 0),  # on another component, reads what 0 wrote
        2: Turn(10, 15, {"cuda": 5}, 0),  # beside it
        3: Turn(40, 42, {"l2": 2}, 1),
    }
    assert critical_path(turns) == [0, 1, 3]


def test_nothing_ran() -> None:
    assert critical_path({}) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 100), st.integers(0, 2)), min_size=1, max_size=12))
def test_path_fills_the_elapsed_time_without_gap_or_overlap(ops: list[tuple[int, int, int]]) -> None:
    """Random ops on three components; each becomes ready when its component is free and the op it reads has ended."""
    turns: dict[int, Turn] = {}
    last: dict[int, int] = {}
    for position, (reads, duration, component) in enumerate(ops):
        gates = [p for p in (last.get(component), reads if reads < position else None) if p is not None]
        freed_by = max(gates, key=lambda p: turns[p].end_ps, default=None)
        ready = turns[freed_by].end_ps if freed_by is not None else 0
        turns[position] = Turn(ready, ready + duration, {"dram": duration}, freed_by)
        last[component] = position
    at = 0
    for position in critical_path(turns):
        assert turns[position].ready_ps == at
        at = turns[position].end_ps
    assert at == max(turn.end_ps for turn in turns.values())
