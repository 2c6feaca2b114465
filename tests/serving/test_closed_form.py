"""Do steps that are passed over in closed form give, to the picosecond, what stepping through them one by one gives?"""

from __future__ import annotations

import random

import pytest

from sim.result.order_statistics import Runs
from sim.serving.line import Line, line_through
from sim.serving.scheduler import Limits
from sim.serving.step_table import Host, StepTable
from tests.serving.small_server import SCHEDULERS, curved, rows, serve, token_times

TRAFFIC = (
    {"arrivals": {"kind": "poisson", "rate": "20 /s"}, "prompt": {"uniform": [1, 90]}, "output": {"uniform": [1, 60]}},
    {
        "arrivals": {"kind": "closed_loop", "users": 7, "think_time": "20 ms"},
        "prompt": {"lognormal": {"median": 30, "sigma": 0.8, "max": 100}},
        "output": {"uniform": [1, 70]},
    },
    {
        "arrivals": {"kind": "burst", "size": 9, "every": "1500 ms"},
        "prompt": 20,
        "output": {"uniform": [2, 25]},
        "chat": {"turns": {"uniform": [1, 3]}, "think_time": "300 ms"},
        "shared_prefix": {"tokens": 13, "groups": 2},
    },
)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("traffic", range(len(TRAFFIC)))
@pytest.mark.parametrize("plans_ahead", [False, True])
def test_closed_form_equals_stepping(scheduler: str, traffic: int, plans_ahead: bool) -> None:
    """Small pools, so that requests are preempted and cached text is evicted on the way."""
    preempted = 0
    for seed in range(4):  # four shapes of pool
        pool = (176, 208, 184, 170)[seed]
        limits = Limits(6, 48, pool, block_tokens=(16, 16, 8, 1)[seed], is_caching=seed % 2 == 1, ubatch_tokens=32)
        both = [
            serve(
                scheduler, TRAFFIC[traffic], 40, limits=limits, seed=seed, plans_ahead=plans_ahead,
                is_stepping=is_stepping, request_ps=10**9,
            )
            for is_stepping in (False, True)
        ]  # fmt: skip
        (fast, server), (slow, stepped) = both
        assert rows(fast) == rows(slow)
        assert token_times(fast) == token_times(slow)
        assert (fast.busy_ps, fast.steps(), fast.completed) == (slow.busy_ps, slow.steps(), 40)
        assert server.scheduler.pool.peak == stepped.scheduler.pool.peak
        assert len(fast.intervals.count) < len(slow.intervals.count)
        preempted += server.scheduler.preemptions
    if scheduler == "vllm" and traffic != 2:
        assert preempted > 0


def test_a_stretch_is_cut_where_the_limit_is_reached() -> None:
    """`Line.walk` against adding `Line.at` up, for lines that rise, fall and bend within the stretch."""
    draw = random.Random(3)
    for _ in range(300):
        x = 0
        points = []
        for _ in range(draw.randint(1, 5)):
            points.append((x, draw.randint(1_000, 100_000)))
            x += draw.randint(1, 200)
        line = line_through(points)
        start, stride, most = draw.randint(0, 300), draw.randint(0, 9), draw.randint(1, 120)
        times = [line.at(start + stride * step) for step in range(most)]
        if min(times) <= 0:
            continue
        runs, steps, total = line.walk(start, stride, most)
        assert (steps, total) == (most, sum(times))
        assert [run.first_ps + run.more_ps * i for run in runs for i in range(run.steps)] == times
        limit = draw.randint(1, sum(times))
        wanted = next(n for n in range(1, most + 1) if sum(times[:n]) >= limit)
        _, steps, total = line.walk(start, stride, most, limit)
        assert (steps, total) == (wanted, sum(times[:wanted]))


def test_a_floor_lifts_what_is_below_it() -> None:
    draw = random.Random(5)
    for _ in range(200):
        line = line_through([(x, draw.randint(0, 1000)) for x in sorted(draw.sample(range(200), draw.randint(1, 5)))])
        floor = draw.randint(0, 1000)
        raised = line.at_least(floor)
        assert [raised.at(x) for x in range(260)] == [max(floor, line.at(x)) for x in range(260)]
    assert isinstance(raised, Line)


def test_percentiles_of_runs_are_numpys() -> None:
    """Both ways of counting, against the values written out."""
    import numpy as np

    draw = np.random.default_rng(1)
    shares = (0, 1, 37.5, 50, 90, 99, 100)
    for _ in range(60):
        size = int(draw.integers(1, 20))
        count, times = draw.integers(1, 9, size), draw.integers(1, 5, size)
        more = draw.integers(-3, 4, size) * draw.integers(0, 2, size)
        first = draw.integers(100, 200, size)
        runs = Runs(first, more, count, times)
        values = [
            f + m * i for f, m, c, t in zip(first, more, count, times, strict=True) for i in range(c) for _ in range(t)
        ]
        wanted = np.percentile(values, shares)
        assert runs.percentiles(shares) == pytest.approx(wanted, rel=1e-12)
        assert [runs._order(rank) for rank in range(runs.total)] == sorted(values)
        assert runs.mean() == pytest.approx(np.mean(values))


def test_a_longer_range_of_contexts_does_not_change_a_shorter_one() -> None:
    """The table's answers do not depend on what it was asked before."""
    fresh, used = (StepTable(curved, Host(0, 0, is_hidden=False), (100,)) for _ in range(2))
    used.decode_line(5, 5, 50_000)
    for context in (5, 500, 777, 4000, 20_001):
        assert fresh.decode_line(5, context, context).at(context) == used.decode_line(5, context, context).at(context)
