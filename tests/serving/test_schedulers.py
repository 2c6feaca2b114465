"""Does each scheduler decide as its runtime does, in cases small enough to be worked out by hand?

Steps take 10 ms here, so that times count steps.
"""

from __future__ import annotations

import pytest

from sim.serving.pool import BlockPool
from sim.serving.request import Request
from sim.serving.scheduler import Limits
from sim.serving.step_table import Group, Host, StepCost, StepTable
from tests.serving.small_server import MS, flat, rows, serve

STEP = 10 * MS
BURST = {"kind": "burst"}


def _steps(scheduler: str, prompt: int, output: int, number: int, limits: Limits) -> list[tuple[int, int]]:
    """(steps to the first token, steps to the last) of requests that come at once."""
    traffic = {"arrivals": BURST, "prompt": prompt, "output": output}
    record, _ = serve(scheduler, traffic, number, limits=limits, table=flat(STEP))
    return [(first // STEP, end // STEP) for _, _, first, end, *_ in rows(record)]


def test_vllm_fills_its_budget_with_pieces_of_prompts() -> None:
    """A budget of 100 tokens, three prompts of 80: 80 + 20, then 1 that decodes, 60 and 39, then 41 beside two."""
    assert _steps("vllm", 80, 4, 3, Limits(8, 100, 10_000)) == [(1, 4), (2, 5), (3, 6)]


def test_vllm_admits_no_more_sequences_than_it_may() -> None:
    assert _steps("vllm", 10, 3, 3, Limits(2, 100, 10_000)) == [(1, 3), (1, 3), (4, 6)]


def test_vllm_preempts_the_last_and_computes_it_again() -> None:
    """3 blocks of 4 tokens, two prompts of 4: at the fifth token each wants a second block, and only one is there.

    The second is preempted when it has 1 token; it is computed again, 5 tokens, when the first is done after 6 steps,
    and has lost nothing of what it had got.
    """
    traffic = {"arrivals": BURST, "prompt": 4, "output": 6}
    record, server = serve("vllm", traffic, 2, limits=Limits(8, 100, 12, block_tokens=4), table=flat(STEP))
    (_, _, first, end, *_, preempted, _), (_, _, first_2, end_2, *_, preempted_2, _) = rows(record)
    assert (first // STEP, end // STEP, preempted) == (1, 6, 0)
    assert (first_2 // STEP, preempted_2) == (1, 1)
    assert end_2 // STEP == 6 + 5  # tokens 2 to 6: the first of them with the prompt that is computed again
    assert server.scheduler.preemptions == 1


def test_sglang_lets_those_that_decode_stand_still() -> None:
    """Two prompts of 80 in pieces of 100: 80 + 20, then 60 alone, and only then both decode."""
    assert _steps("sglang", 80, 3, 2, Limits(8, 100, 10_000, block_tokens=1)) == [(1, 4), (2, 4)]
    traffic = {"arrivals": BURST, "prompt": 80, "output": 3}
    record, _ = serve("sglang", traffic, 2, limits=Limits(8, 100, 10_000, block_tokens=1), table=flat(STEP))
    waits = sorted(
        first // STEP
        for first, count, tokens in zip(
            record.intervals.first_ps, record.intervals.count, record.intervals.tokens, strict=True
        )
        for _ in range(count * tokens)
    )
    assert waits == [1, 1, 1, 2]  # the first one waits for the second one's prompt


def test_tensorrt_llm_admits_only_what_nothing_can_evict() -> None:
    """Blocks for 20 tokens: prompt 4 and 8 to generate are 12, so that the second waits for the first to end."""
    limits = Limits(8, 100, 20, block_tokens=4)
    assert _steps("tensorrt-llm", 4, 8, 2, limits) == [(1, 8), (9, 16)]
    assert _steps("vllm", 4, 8, 2, limits)[0] == (1, 8)


def test_llama_server_has_slots_and_works_in_small_passes() -> None:
    """Two slots, three requests; a turn of 100 prompt tokens is four passes of 32, and a token comes at its end."""
    assert _steps("llama.cpp", 100, 3, 1, Limits(2, 128, 10_000, block_tokens=1, ubatch_tokens=32)) == [(4, 6)]
    found = _steps("llama.cpp", 20, 3, 3, Limits(2, 128, 10_000, block_tokens=1, ubatch_tokens=64))
    assert found == [(1, 3), (1, 3), (4, 6)]


def test_static_batching_waits_for_a_full_batch_and_for_its_longest() -> None:
    """Batches of two: 4 requests 100 ms apart start in pairs; places of those that are done are computed on."""
    traffic = {"arrivals": {"kind": "constant", "rate": "10 /s"}, "prompt": 8, "output": {"uniform": [1, 9]}}
    limits = Limits(2, 100, 10_000, wait_ps=10**13)
    record, _ = serve("static", traffic, 4, limits=limits, table=flat(STEP))
    found = rows(record)
    assert [first // STEP for _, _, first, *_ in found] == [21, 21, 41, 41]  # arrivals at 10, 20, 30, 40 steps
    assert [end // STEP - first // STEP for _, _, first, end, *_ in found] == [row[5] - 1 for row in found]
    half_full = rows(serve("static", traffic, 3, limits=limits, table=flat(STEP))[0])
    assert half_full[2][2] == 300 * MS + 10**13 + STEP  # the third has waited for a fourth as long as it may


def test_static_batching_pays_for_the_places_of_those_who_are_done() -> None:
    def by_tokens(groups: tuple[Group, ...], _outputs: int) -> StepCost:
        return StepCost(0, MS * sum(number * query for number, query, _ in groups), 0, (0,) * len(groups))

    table = StepTable(by_tokens, Host(0, 0, is_hidden=False))
    traffic = {"arrivals": BURST, "prompt": 5, "output": {"uniform": [1, 9]}}
    record, _ = serve("static", traffic, 4, limits=Limits(4, 100, 10_000), table=table, seed=3)
    longest = max(record.rows["output"])
    assert min(record.rows["output"]) < longest
    assert record.last_end_ps == MS * (4 * 5 + 4 * (longest - 1))


def test_a_step_that_was_planned_ahead_takes_nobody_who_came_since() -> None:
    """The first decodes in steps of 10 ms from 10 ms on; the second comes at 35 ms: in the step from 40, or from 50."""
    for plans_ahead, begins in ((False, 4), (True, 5)):
        traffic = {"arrivals": {"kind": "constant", "rate": "28.57142857 /s"}, "prompt": 4, "output": 40}
        record, _ = serve("vllm", traffic, 2, limits=Limits(8, 100, 10_000), table=flat(STEP), plans_ahead=plans_ahead)
        (_, arrival, *_), (_, second, first_token, *_) = rows(record)
        since = (first_token - arrival) / STEP
        assert (second - arrival) / STEP == pytest.approx(3.5, rel=1e-6)
        assert since == begins + 1


def test_text_that_was_seen_before_is_not_computed_again() -> None:
    """Whole blocks only, and never the last token: 40 shared tokens are 2 blocks of 16, 32 are 1 (of 33 tokens: 2)."""
    for shared, own, wanted in ((40, 8, 32), (32, 0, 16), (32, 1, 32), (15, 9, 0)):
        pool = BlockPool(100, 16, is_caching=True)
        first, second = (Request(i, shared + own, 4, content=((("a",), shared),)) for i in (1, 2))
        assert pool.cached_tokens(first) == 0
        pool.grow(first, pool.blocks(first.prompt))
        pool.publish(first)
        pool.release(first, first.own_blocks)
        assert pool.cached_tokens(second) == wanted
        assert pool.used == 0


def test_what_was_used_longest_ago_is_evicted_first_from_its_end() -> None:
    pool = BlockPool(6, 4, is_caching=True)
    for name in ("old", "new"):
        request = Request(1, 12, 1, content=((name, 12),))
        pool.grow(request, 3)
        pool.publish(request)
        pool.release(request, request.own_blocks)
    taker = Request(2, 4, 1)
    assert pool.grow(taker, 1)
    asks = {name: pool.cached_tokens(Request(3, 13, 1, content=((name, 12),))) for name in ("old", "new")}
    assert asks == {"old": 8, "new": 12}
    assert not pool.grow(taker, 6)
    assert pool.grow(taker, 5)
    assert pool.cached_tokens(Request(3, 13, 1, content=(("new", 12),))) == 0


def test_a_conversation_finds_what_was_said_before() -> None:
    """Turns of 32 and 16 tokens: turn 2 finds the 47 keys of turn 1, for the last token's is not made: two blocks."""
    one = {"kind": "closed_loop", "users": 1}
    traffic = {"arrivals": one, "prompt": 32, "output": 16, "chat": {"turns": 3}}
    record, server = serve("vllm", traffic, 3, limits=Limits(4, 512, 4096, is_caching=True), table=flat(STEP))
    assert [row[4] for row in rows(record)] == [32, 80, 128]
    assert [row[6] for row in rows(record)] == [0, 32, 80]
    assert server.scheduler.cached_tokens == 112
    agents = {"arrivals": one, "prompt": 32, "output": 16, "agents": {"rounds": 2, "tool_output": 100}}
    record, _ = serve("vllm", agents, 2, limits=Limits(4, 512, 4096, is_caching=True), table=flat(STEP))
    assert [(row[4], row[6]) for row in rows(record)] == [(32, 0), (148, 32)]
