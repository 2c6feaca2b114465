"""Does a server in time slices serve one owner at a time, fairly, and lose only what changing owners costs?"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.engine import Engine, SlicedServer

MS = 1_000_000_000  # ps


def _busy(engine: Engine, server: SlicedServer, owner: str, piece: int):
    while True:
        yield server.run(owner, piece)


def test_two_that_always_have_work_get_equal_time_less_the_changes() -> None:
    """A round is two slices and two changes: each gets 2 / (2 x 2.1) = 47.6 % of 420 ms."""
    engine = Engine()
    server = SlicedServer(engine, 2 * MS, MS // 10)
    for owner in ("a", "b"):
        engine.spawn(_busy(engine, server, owner, 50 * MS), owner)
    engine.run(engine.timeout(420 * MS))
    assert server.busy_ps["a"] == pytest.approx(200 * MS, abs=2 * MS)
    assert server.busy_ps["b"] == pytest.approx(200 * MS, abs=2 * MS)
    assert server.switches == pytest.approx(200, abs=2)


def test_alone_it_keeps_the_server_and_pays_nothing() -> None:
    engine = Engine()
    server = SlicedServer(engine, 2 * MS, MS)
    engine.run(server.run("a", 7 * MS))
    assert (engine.now, server.switches) == (7 * MS, 0)


def test_short_work_that_goes_on_at_once_keeps_its_slice() -> None:
    """Kernels of 0.5 ms one after the other fill a slice of 2 ms: as much time as for one long kernel."""
    engine = Engine()
    server = SlicedServer(engine, 2 * MS, 0)
    engine.spawn(_busy(engine, server, "short", MS // 2), "short")
    engine.spawn(_busy(engine, server, "long", 50 * MS), "long")
    engine.run(engine.timeout(400 * MS))
    assert server.busy_ps["short"] == pytest.approx(200 * MS, abs=2 * MS)


def test_who_pauses_loses_the_rest_of_its_slice() -> None:
    """0.5 ms of work and a pause: the other has the server until its own slice ends, 2 ms of every 2.5."""
    engine = Engine()
    server = SlicedServer(engine, 2 * MS, 0)

    def pausing():
        while True:
            yield server.run("pausing", MS // 2)
            yield engine.timeout(1)

    engine.spawn(pausing(), "pausing")
    engine.spawn(_busy(engine, server, "long", 50 * MS), "long")
    engine.run(engine.timeout(500 * MS))
    assert server.busy_ps["pausing"] == pytest.approx(100 * MS, abs=2 * MS)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), min_size=1, max_size=12), st.integers(0, 3))
def test_all_work_is_done_one_at_a_time_without_idling(works: list[tuple[str, int]], switch: int) -> None:
    """Busy time per owner is what it asked for; the end is all work and all changes; pieces never overlap."""
    engine, pieces = Engine(), []
    server = SlicedServer(engine, 4, switch, lambda owner, start, end: pieces.append((start, end, owner)))
    engine.run(engine.all_of([server.run(owner, work) for owner, work in works]))
    for name in {owner for owner, _ in works}:
        assert server.busy_ps.get(name, 0) == sum(work for owner, work in works if owner == name)
    assert engine.now == sum(work for _, work in works) + switch * server.switches
    assert all(end <= start for (_, end, _), (start, _, _) in pairwise(pieces))
    assert all(end - start <= 4 for start, end, _ in pieces)


def test_a_slice_must_take_time() -> None:
    with pytest.raises(ValueError, match="a slice must take time"):
        SlicedServer(Engine(), 0, 0)
