"""Do the servers keep queueing theory: shares, order, Little's law, M/D/1, and no idling with work waiting?"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine import Behaviour, Engine, FairServer, FifoServer, Flow

PS = 1e12


def _serve(jobs: list[tuple[int, float, float]], rate: float, spread_ps: int = 0) -> tuple[list[int], FairServer]:
    """Completion times of (arrival ps, work, weight) on one fair server."""
    engine = Engine()
    server = FairServer(engine, "s", rate)
    server.spread_ps = spread_ps
    ended = [0] * len(jobs)
    last = engine.event()
    left = len(jobs)

    def done(number: int) -> Callable[[], None]:
        def note() -> None:
            nonlocal left
            ended[number] = engine.now
            left -= 1
            if not left:
                last.succeed()

        return note

    for number, (arrival, work, weight) in enumerate(jobs):
        engine.call_after(arrival, lambda n=number, w=work, k=weight: server.submit(w, k, done(n)))
    engine.run(last)
    return ended, server


def test_two_jobs_share_and_the_longer_then_runs_alone() -> None:
    """Processor sharing: 1 and 3 units at rate 1: the first ends at 2 s, the second at 4 s."""
    ended, _ = _serve([(0, 1.0, 1), (0, 3.0, 1)], 1.0)
    assert ended == [2 * PS, 4 * PS]


def test_a_late_job_shares_only_what_is_left() -> None:
    """3 units from 0, 1 unit from 1 s: both at half rate until 3 s, then the first alone until 4 s."""
    ended, _ = _serve([(0, 3.0, 1), (int(PS), 1.0, 1)], 1.0)
    assert ended == [4 * PS, 3 * PS]


def test_a_cohort_gets_the_share_of_its_members() -> None:
    """Weight 3 against weight 1: 3/4 of the rate, as three single requesters would have together."""
    ended, _ = _serve([(0, 3.0, 3), (0, 1.0, 1)], 1.0)
    apart, _ = _serve([(0, 1.0, 1)] * 4, 1.0)
    assert ended == [4 * PS, 4 * PS]
    assert apart == [4 * PS] * 4


JOBS = st.lists(
    st.tuples(st.integers(0, 10**7), st.floats(1, 1e4), st.integers(1, 48).map(float)), min_size=1, max_size=12
)


@given(JOBS)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_fair_server_conserves_work_and_never_idles_with_work_waiting(jobs: list[tuple[int, float, float]]) -> None:
    rate = 1e9  # units per second: 1e4 units take 10 us
    ended, server = _serve(jobs, rate)
    work = sum(job[1] for job in jobs)
    assert server.served == pytest.approx(work)
    # Busy time is exactly that of the work: never faster than the rate, no idling (the last job ends a busy period).
    assert server.busy_ps == pytest.approx(work / rate * PS, rel=1e-9, abs=2 * len(jobs))
    free = 0.0
    for arrival, amount, _ in sorted(jobs):
        free = max(free, arrival) + amount / rate * PS
    assert max(ended) == pytest.approx(free, abs=2 * len(jobs))
    for (arrival, amount, _), end in zip(jobs, ended, strict=True):
        assert end >= arrival + amount / rate * PS - 2


@given(JOBS, st.integers(0, 10**7))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_members_of_a_cohort_that_are_spread_wait_less_but_no_more_is_served(
    jobs: list[tuple[int, float, float]], spread_ps: int
) -> None:
    """What a cohort's members get while the server seemed idle is time that has passed and that nobody else had."""
    rate = 1e9
    ended, server = _serve(jobs, rate, spread_ps)
    at_once, _ = _serve(jobs, rate)
    assert server.served == pytest.approx(sum(job[1] for job in jobs))
    assert server.busy_ps <= max(ended) + 2 * len(jobs)
    assert max(ended) <= max(at_once) + 2 * len(jobs)
    for (arrival, amount, weight), end in zip(jobs, ended, strict=True):
        assert end >= arrival + amount / weight / rate * PS - 2  # a member's own share takes its time


def test_of_a_cohort_that_comes_evenly_spread_hardly_anybody_waits() -> None:
    """Ten members, 1 s of work each, every 20 s: utilisation 1/2, so spread evenly they would not meet at all (D/D/1).

    At once they end 10 s after they came; the first time nothing is known of them.
    """
    jobs = [(int(20 * i * PS), 10.0, 10) for i in range(5)]
    ended, _ = _serve(jobs, 1.0, spread_ps=int(20 * PS))
    waits = [(end - arrival) / PS for (arrival, _, _), end in zip(jobs, ended, strict=True)]
    assert waits[0] == pytest.approx(10)
    assert waits[2:] == pytest.approx([1.0] * 3, abs=1.0)


@given(JOBS)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_with_equal_work_per_member_who_comes_first_ends_first(jobs: list[tuple[int, float, float]]) -> None:
    same = sorted((arrival, 100.0 * weight, weight) for arrival, _, weight in jobs)
    ended, _ = _serve(same, 1e9)
    assert ended == sorted(ended)


def test_a_flow_serves_in_order_and_counts_as_one_requester() -> None:
    engine = Engine()
    server = FairServer(engine, "s", 1.0)
    mine, other = Flow(server), Flow(server)
    ended: list[tuple[str, str, int]] = []
    last = engine.event()
    for number in range(3):
        mine.submit(1.0, 1, lambda by, n=number: ended.append((f"mine {n}", by.name, engine.now)))
    other.submit(3.0, 1, lambda by: (ended.append(("other", by.name, engine.now)), last.succeed()))
    engine.run(last)
    # three jobs of one flow against one job of another: half each, whatever the number of jobs
    times = {"mine 0": 2, "mine 1": 4, "mine 2": 6, "other": 6}
    assert sorted(ended) == [(job, "s", end * PS) for job, end in times.items()]


def test_a_fifo_server_makes_each_wait_for_all_before() -> None:
    engine = Engine()
    server = FifoServer(engine, "s")
    assert [server.reserve(10), server.reserve(5), server.reserve(1)] == [10, 15, 16]
    engine.run(engine.timeout(12))
    assert server.reserve(4) == 8
    assert server.busy_ps == 20


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_mean_wait_of_an_m_d_1_queue(load: float) -> None:
    """Poisson arrivals, fixed service s: mean wait = s x rho / (2 (1 - rho)) (Pollaczek-Khinchine)."""
    service, jobs = 1000, 40_000
    draw = random.Random(7)
    engine = Engine()
    server = FifoServer(engine, "s")
    waits: list[int] = []

    def arrive() -> Behaviour:
        for _ in range(jobs):
            yield engine.timeout(round(draw.expovariate(load / service)))
            waits.append(server.reserve(service) - service)

    engine.run(engine.spawn(arrive(), "arrivals"))
    expected = service * load / (2 * (1 - load))
    # standard error with correlated waits, generously: 4 sigma at an effective sample of jobs x (1 - rho)^2
    assert sum(waits) / jobs == pytest.approx(expected, rel=4 / (jobs * (1 - load) ** 2) ** 0.5 * 2)
    # Little's law: jobs in service on average = utilisation
    assert server.busy_ps / engine.now == pytest.approx(load, rel=0.03)


def test_mean_time_in_an_m_d_1_processor_sharing_queue() -> None:
    """Insensitivity of processor sharing: mean time in system = s / (1 - rho), whatever the service law."""
    service, load, jobs = 1000, 0.5, 10_000
    draw = random.Random(3)
    at, arrivals = 0, []
    for _ in range(jobs):
        at += round(draw.expovariate(load / service))
        arrivals.append((at, float(service), 1.0))
    ended, server = _serve(arrivals, PS)
    times = [end - arrival for end, (arrival, _, _) in zip(ended, arrivals, strict=True)]
    assert sum(times) / jobs == pytest.approx(service / (1 - load), rel=0.06)
    in_system = sum(times) / max(ended)
    assert in_system == pytest.approx(load / (1 - load), rel=0.06)  # Little: rate x time
    assert server.busy_ps == pytest.approx(jobs * service, abs=jobs)  # wake-ups are rounded up to whole ps
