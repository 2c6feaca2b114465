"""Do clients that give up, and a queue that is full, leave a server that has lost nothing and holds nothing?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.serving.scheduler import Limits
from tests.serving.small_server import MS, SCHEDULERS, flat, rows, serve, token_times

STEP = MS
ONE = Limits(1, 1000, 10_000)


def test_who_comes_to_a_full_queue_is_turned_away() -> None:
    """Five at once, two may wait before the server looks: three go."""
    traffic = {"arrivals": {"kind": "burst"}, "prompt": 10, "output": 3}
    record, _ = serve("vllm", traffic, 5, limits=Limits(8, 100, 1000, max_waiting=2), table=flat(STEP))
    assert (record.completed, record.failures) == (2, {"refused": 0, "turned_away": 3, "timed_out": 0, "cancelled": 0})


def test_who_waits_too_long_for_the_first_token_is_gone() -> None:
    """One at a time, four steps each: the second and the third give up after 2.5 steps, the first has its token."""
    traffic = {"arrivals": {"kind": "burst"}, "prompt": 10, "output": 4, "timeout": {"ttft": "2500 us"}}
    record, _ = serve("vllm", traffic, 3, limits=ONE, table=flat(STEP))
    assert [row[3] // STEP for row in rows(record)] == [4]
    assert record.failures["timed_out"] == 2


def test_an_answer_that_takes_too_long_stops_with_the_step_that_runs() -> None:
    """Nine tokens would take nine steps; the client gives up after 4.5, and the fifth is the last one."""
    traffic = {"arrivals": {"kind": "burst"}, "prompt": 10, "output": {"constant": 9}, "timeout": {"e2e": "4500 us"}}
    record, server = serve("vllm", traffic, 1, limits=ONE, table=flat(STEP))
    assert (record.completed, record.failures["timed_out"], record.steps()) == (0, 1, 5)
    assert (server.scheduler.pool.used, server.scheduler.decoding.count, len(server.scheduler.running)) == (0, 0, 0)


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 99),
    ttft_ms=st.integers(1, 400),
    e2e_ms=st.integers(1, 2000),
    waiting=st.integers(1, 8),
    plans_ahead=st.booleans(),
)
def test_nothing_is_lost_and_stepping_is_the_same(
    name: str, seed: int, ttft_ms: int, e2e_ms: int, waiting: int, plans_ahead: bool
) -> None:
    """Everybody is answered, turned away or gone; the pool is empty; closed form and single steps agree to the ps."""
    traffic = {
        "arrivals": {"kind": "poisson", "rate": "10 /s"},
        "prompt": {"uniform": [1, 60]},
        "output": {"uniform": [1, 40]},
        "timeout": {"ttft": f"{ttft_ms} ms", "e2e": f"{e2e_ms} ms"},
    }
    limits = Limits(4, 64, 640, block_tokens=1 if name in ("sglang", "llama.cpp") else 16, max_waiting=waiting)
    found = [
        serve(name, traffic, 25, limits=limits, seed=seed, plans_ahead=plans_ahead, is_stepping=is_stepping)
        for is_stepping in (False, True)
    ]
    (record, server), (stepped, _) = found
    assert record.arrived == record.completed + record.failed == 25
    assert sum(record.failures.values()) == record.failed
    assert (server.scheduler.pool.used, server.scheduler.decoding.count) == (0, 0)
    assert record.in_system_ps == record.sojourn_ps
    assert (rows(record), record.failures) == (rows(stepped), stepped.failures)
    assert token_times(record) == token_times(stepped)
