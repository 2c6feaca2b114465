"""Do the urgent go first where the server looks at priorities, and what becomes of answers that users stop?"""

from __future__ import annotations

import numpy as np
import pytest

from sim.errors import InputError
from sim.result.order_statistics import Runs
from sim.result.served_run import FAILURES, ServedRun
from sim.serving.options import server_options
from sim.serving.scheduler import Limits
from tests.serving.small_server import MS, SCHEDULERS, flat, rows, serve, token_times

BURST = {"kind": "burst"}
STEP = 1000 * MS


def test_the_urgent_wait_as_cobham_says() -> None:
    """M/D/1 with two classes, no request interrupted: W1 = W0 / (1 - rho1), W2 = W0 / ((1 - rho1) (1 - rho)).

    W0 = rho S / 2 is what an arrival finds left of the service in progress (Cobham, Operations Research 2, 1954).
    So many waits still stray by some per cent. What all wait in sum is the same as in the order of arrival, exactly.
    """
    service_s, load, share, number = 0.1, 0.7, 0.3, 20_000
    traffic = {
        "arrivals": {"kind": "poisson", "rate": f"{load / service_s} /s"}, "prompt": 16, "output": 1,
        "priorities": [{"priority": 5, "share": 1 - share}, {"priority": 1, "share": share}],
    }  # fmt: skip
    limits = Limits(1, 4096, 4096, has_priorities=True)
    record, _ = serve("vllm", traffic, number, limits=limits, table=flat(100 * MS), seed=4)
    as_they_came, _ = serve("vllm", traffic, number, limits=Limits(1, 4096, 4096), table=flat(100 * MS), seed=4)
    assert record.sojourn_ps == as_they_came.sojourn_ps
    waits: dict[int, list[float]] = {1: [], 5: []}
    for _, arrival, first, *_, priority in rows(record):
        waits[priority].append((first - arrival) * 1e-12 - service_s)
    left, urgent = load * service_s / 2, share * load
    assert len(waits[1]) / number == pytest.approx(share, rel=0.05)
    assert np.mean(waits[1]) == pytest.approx(left / (1 - urgent), rel=0.05)
    assert np.mean(waits[5]) == pytest.approx(left / ((1 - urgent) * (1 - load)), rel=0.05)


def test_without_the_policy_they_go_as_they_came() -> None:
    """All at once, one at a time: numbers 1 to 8 in their order, whatever their priority."""
    traffic = {
        "arrivals": BURST, "prompt": 16, "output": 1,
        "priorities": [{"priority": 9, "share": 1.0}, {"priority": 0, "share": 1.0}],
    }  # fmt: skip
    for has_priorities in (False, True):
        limits = Limits(1, 4096, 4096, has_priorities=has_priorities)
        record, _ = serve("vllm", traffic, 8, limits=limits, table=flat(STEP), seed=1)
        order = [(row[-1], row[0]) for row in sorted(rows(record), key=lambda row: row[3])]
        assert {priority for priority, _ in order} == {0, 9}
        assert order == (sorted(order) if has_priorities else sorted(order, key=lambda each: each[1]))


def test_the_least_urgent_is_preempted() -> None:
    """3 blocks of 4 tokens, two prompts of 4: whichever was admitted first, the less urgent one gives way."""
    traffic = {
        "arrivals": BURST, "prompt": 4, "output": 6,
        "priorities": [{"priority": 0, "share": 1.0}, {"priority": 1, "share": 1.0}],
    }  # fmt: skip
    limits = Limits(8, 100, 12, block_tokens=4, has_priorities=True)
    seen = 0
    for seed in range(8):
        record, _ = serve("vllm", traffic, 2, limits=limits, table=flat(STEP), seed=seed)
        preempted = {row[-1]: row[-2] for row in rows(record)}
        if len(preempted) == 2:
            assert preempted == {0: 0, 1: 1}
            seen += 1
    assert seen


@pytest.mark.parametrize("plans_ahead", [False, True])
def test_stepping_through_gives_the_same(plans_ahead: bool) -> None:
    """With priorities an arrival may pass those that wait: stretches end for it as single steps do."""
    traffic = {
        "arrivals": {"kind": "poisson", "rate": "9 /s"},
        "prompt": {"uniform": [1, 90]}, "output": {"uniform": [1, 90]}, "cancels": {"share": 0.5, "after": "1 s"},
        "priorities": [{"priority": 0, "share": 1.0}, {"priority": 1, "share": 2.0}],
    }  # fmt: skip
    found = []
    for is_stepping in (False, True):
        limits = Limits(5, 64, 400, has_priorities=True)
        record, server = serve(
            "vllm", traffic, 120, limits=limits, seed=2, plans_ahead=plans_ahead, is_stepping=is_stepping
        )
        assert server.scheduler.preemptions > 0
        found.append((rows(record), record.failures, record.wasted_tokens, token_times(record)))
    assert found[0] == found[1]


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_an_answer_that_is_stopped_is_counted_with_the_tokens_made_for_nothing(scheduler: str) -> None:
    traffic = {
        "arrivals": {"kind": "poisson", "rate": "30 /s"}, "prompt": {"uniform": [1, 90]},
        "output": {"uniform": [1, 60]}, "cancels": {"share": 0.5, "after": "300 ms"},
    }  # fmt: skip
    record, server = serve(scheduler, traffic, 200, limits=Limits(5, 64, 640), seed=5, request_ps=10 * MS)
    assert record.completed + record.failures["cancelled"] == 200
    assert 0 < record.failures["cancelled"] < 130  # half of them, less those that were done before
    assert record.wasted_tokens > 0
    assert (server.scheduler.pool.used, server.scheduler.decoding.count) == (0, 0)
    assert record.in_system_ps == record.sojourn_ps


def test_a_session_ends_with_a_turn_that_got_no_answer() -> None:
    """Conversations of five turns whose first answer takes too long: no second turn is asked."""
    traffic = {
        "arrivals": BURST, "prompt": 16, "output": 50, "chat": {"turns": 5}, "timeout": {"e2e": "3 s"},
    }  # fmt: skip
    record, _ = serve("vllm", traffic, 2, limits=Limits(8, 4096, 4096), table=flat(STEP))
    assert record.arrived == 2


def test_each_priority_has_its_own_percentiles() -> None:
    """Two of priority 0 with 1 s and 3 s to the first token, one of priority 7 with 9 s."""
    second = 10**12
    columns = {
        "number": [1, 2, 3], "arrival_ps": [0, 0, 0], "first_ps": [second, 3 * second, 9 * second],
        "end_ps": [10 * second] * 3, "prompt": [1] * 3, "output": [2] * 3, "cached": [0] * 3, "preemptions": [0] * 3,
        "priority": [0, 0, 7],
    }  # fmt: skip
    none = np.array([], dtype=np.int64)
    names = ("counted_failed", "wasted_tokens", "peak_running", "peak_waiting", "preemptions", "cached_tokens")
    counts = dict.fromkeys((*names, "kv_peak_blocks", "steps", "busy_ps", "end_ps", *FAILURES), 0)
    requests = {name: np.array(column, dtype=np.int64) for name, column in columns.items()}
    found = ServedRun(0, requests, Runs(none, none, none, none), {}, counts).summary(1.0, {})["by_priority"]
    assert {rank: (one["completed"], one["ttft_s"]["mean"]) for rank, one in found.items()} == {
        "0": (2, 2.0), "7": (1, 9.0),
    }  # fmt: skip


def test_the_policy_is_vllms_own_option() -> None:
    assert server_options("vllm", 2048, {"scheduling_policy": "priority"}).limits(1600, 4096).has_priorities
    assert not server_options("vllm", 2048, {"scheduling_policy": "fcfs"}).limits(1600, 4096).has_priorities
    for family, options in (("vllm", {"scheduling_policy": "lifo"}), ("llama.cpp", {"scheduling_policy": "priority"})):
        with pytest.raises(InputError):
            server_options(family, 512, options)
