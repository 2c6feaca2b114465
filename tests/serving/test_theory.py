"""Does a server do what queueing theory says of it, and do the laws of serving catch what breaks them?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.errors import LawError
from sim.result.serve_laws import check_serving
from sim.serving.scheduler import Limits
from tests.serving.small_server import MS, SCHEDULERS, flat, rows, serve

ONE_AT_A_TIME = Limits(1, 4096, 4096, block_tokens=16)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_constant_service_waits_as_m_d_1(load: float) -> None:
    """Pollaczek and Khinchine: with constant service S the mean wait is load / (2 (1 - load)) S."""
    service_s, number = 0.1, 60_000
    traffic = {"arrivals": {"kind": "poisson", "rate": f"{load / service_s} /s"}, "prompt": 16, "output": 1}
    record, _ = serve("vllm", traffic, number, limits=ONE_AT_A_TIME, table=flat(100 * MS), seed=11)
    wait_s = np.mean([(first - arrival) * 1e-12 for _, arrival, first, *_ in rows(record)]) - service_s
    # The mean of so many waits strays by a few per cent: they hang together over busy periods.
    assert wait_s == pytest.approx(load / (2 * (1 - load)) * service_s, rel=0.05)
    assert record.busy_ps == number * 100 * MS


def test_batches_of_constant_steps_serve_a_closed_loop_at_its_bound() -> None:
    """8 users who do not think, answers of 10 tokens, steps of 5 ms: each user gets 10 tokens in 10 steps."""
    traffic = {"arrivals": {"kind": "closed_loop", "users": 8}, "prompt": 4, "output": 10}
    record, _ = serve("vllm", traffic, 800, limits=Limits(8, 512, 8192), table=flat(5 * MS))
    assert record.last_end_ps == 800 // 8 * 10 * 5 * MS
    assert record.peak_running == 8


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_request_is_served_once_and_littles_law_holds(scheduler: str) -> None:
    """L11 and L12 under overload, with requests that are refused because nothing can hold them."""
    traffic = {
        "arrivals": {"kind": "gamma", "rate": "30 /s", "burstiness": 0.4},
        "prompt": {"lognormal": {"median": 40, "sigma": 1.0}},
        "output": {"uniform": [1, 40]},
    }
    record, server = serve(scheduler, traffic, 400, limits=Limits(5, 64, 160, block_tokens=16), seed=5)
    counts = {name: getattr(record, name) for name in ("arrived", "completed", "failed", "in_system_ps", "sojourn_ps")}
    check_serving({name: np.array(column) for name, column in record.rows.items()}, counts)
    assert record.failed > 0
    assert record.completed + record.failed == 400
    assert server.scheduler.pool.used == 0
    assert not server.scheduler.running
    gained = sum(count * tokens for count, tokens in zip(record.intervals.count, record.intervals.tokens, strict=True))
    assert gained == sum(output - 1 for output in record.rows["output"])


def test_requests_of_the_warm_up_are_served_and_not_counted() -> None:
    traffic = {"arrivals": {"kind": "constant", "rate": "4 /s"}, "prompt": 10, "output": 5}
    record, _ = serve("vllm", traffic, 30, limits=Limits(8, 64, 1024), warm_up=12)
    assert record.completed == 42
    assert [row[0] for row in rows(record)] == list(range(13, 43))
    assert record.first_arrival_ps == 13 * 250 * MS
    tokens = sum(c * t for c, t in zip(record.intervals.count, record.intervals.tokens, strict=True))
    assert tokens == 30 * 4


def test_the_laws_of_serving_catch_what_breaks_them() -> None:
    record, _ = serve(
        "vllm", {"arrivals": {"kind": "constant", "rate": "4 /s"}, "prompt": 10, "output": 5}, 9,
        limits=Limits(8, 64, 1024),
    )  # fmt: skip
    sound = {name: np.array(column) for name, column in record.rows.items()}
    counts = {name: getattr(record, name) for name in ("arrived", "completed", "failed", "in_system_ps", "sojourn_ps")}
    check_serving(sound, counts)
    twice = {**sound, "number": np.where(sound["number"] == 2, 1, sound["number"])}
    early = {**sound, "first_ps": sound["arrival_ps"] - 1}
    for requests, said, words in (
        (sound, counts | {"arrived": 10}, "L11 broken"),
        (twice, counts, "served twice"),
        (early, counts, "request 1 came at"),
        (sound, counts | {"sojourn_ps": counts["sojourn_ps"] + 1}, "L12 broken"),
    ):
        with pytest.raises(LawError, match=words):
            check_serving(requests, said)


def test_arrivals_come_at_their_rate() -> None:
    """Means and spread of the gaps: a gamma distribution of shape k has a standard deviation of mean / sqrt(k)."""
    limits = Limits(64, 4096, 2**20)
    for arrivals, deviation in (
        ({"kind": "poisson", "rate": "5 /s"}, 1.0),
        ({"kind": "gamma", "rate": "5 /s", "burstiness": 4.0}, 0.5),
        ({"kind": "gamma", "rate": "5 /s", "burstiness": 0.25, "exact_rate": True}, 2.0),
        ({"kind": "constant", "rate": "5 /s"}, 0.0),
    ):
        traffic = {"arrivals": arrivals, "prompt": 1, "output": 1}
        record, _ = serve("vllm", traffic, 8000, limits=limits, table=flat(1), seed=2)
        arrival_s = np.sort(record.rows["arrival_ps"]) * 1e-12
        gaps = np.diff(arrival_s)
        assert gaps.mean() == pytest.approx(0.2, rel=0.06)
        assert gaps.std() == pytest.approx(0.2 * deviation, rel=0.1, abs=1e-9)
        if arrivals.get("exact_rate"):
            assert arrival_s[-1] == pytest.approx(8000 / 5, abs=1e-6)


def test_lengths_are_drawn_as_said() -> None:
    limits = Limits(64, 4096, 2**20)
    base = {"arrivals": {"kind": "burst"}, "output": 1}
    for length, mean, ends in (
        ({"uniform": [10, 20]}, 15.0, (10, 20)),
        ({"lognormal": {"median": 100, "sigma": 0.5, "max": 150}}, None, (None, 150)),
        (7, 7.0, (7, 7)),
    ):
        record, _ = serve("vllm", {**base, "prompt": length}, 3000, limits=limits, table=flat(MS))
        prompts = np.array(record.rows["prompt"])
        if mean is not None:
            assert prompts.mean() == pytest.approx(mean, rel=0.02)
        else:
            assert np.median(prompts) == pytest.approx(100, rel=0.05)
        assert prompts.max() == ends[1]
        assert ends[0] is None or prompts.min() == ends[0]


def test_seeds_differ_and_repeat() -> None:
    traffic = {
        "arrivals": {"kind": "poisson", "rate": "9 /s"},
        "prompt": {"uniform": [1, 50]},
        "output": {"uniform": [1, 9]},
    }
    limits = replace(ONE_AT_A_TIME, max_sequences=8)
    first, again, other = (rows(serve("vllm", traffic, 50, limits=limits, seed=seed)[0]) for seed in (1, 1, 2))
    assert first == again != other
