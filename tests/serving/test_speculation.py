"""Does a server that verifies drafts give tokens at the rate that its steps and their acceptance make?"""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.errors import InputError
from sim.serving.request import Request
from sim.serving.scheduler import Limits
from sim.serving.step_table import Host, StepCost, StepTable, Verifying
from tests.serving.small_server import MS, SCHEDULERS, curved, rows, serve, token_times

SCENARIO = """schema: sparksim.scenario/1
kind: serve
system: {set: {workload.draft: eagle3, workload.draft_tokens: 3, workload.acceptance_length: 2.4}}
model: qwen3-0.6b
runtime: {name: vllm, version: 0.26.0, set: {prefix_caching: false}}
traffic:
  arrivals: {kind: closed_loop, users: USERS}
  prompt: {constant: 256}
  output: {constant: 121}
until: {requests: REQUESTS}
"""
NOTHING = Host(0, 0, is_hidden=False)


def _drafts(_sequences: int, _context: int) -> int:
    return 5 * MS


def _flat(accepted: float, query: int = 4) -> StepTable:
    """10 ms to verify, 5 ms to draft."""
    return StepTable(
        lambda groups, _: StepCost(10 * MS, 0, 0, (0,) * len(groups)), NOTHING,
        verifying=Verifying(query, accepted, _drafts),
    )  # fmt: skip


def test_a_token_takes_its_share_of_a_step() -> None:
    """Drafts and verification take 15 ms and yield 2.5 tokens: 6 ms each, after a prompt of 10 ms."""
    limits = Limits(8, 512, 8192, step_tokens=4, accepted=2.5)
    traffic = {"arrivals": {"kind": "burst"}, "prompt": 4, "output": 101}
    record, _ = serve("vllm", traffic, 1, limits=limits, table=_flat(2.5))
    ((_, _, first, end, *_),) = rows(record)
    assert (first, end - first) == (10 * MS, 100 * 6 * MS)
    assert record.steps(2.5) == 1 + 100 / 2.5


def test_steps_beside_prompts_yield_as_much_on_average() -> None:
    """Of ten such steps at 2.3 tokens: 23 tokens, two or three at a time; never more blocks than there are."""
    scheduler = SCHEDULERS["vllm"](Limits(8, 64, 1024, step_tokens=4, accepted=2.3))
    gained = [scheduler.gain() for _ in range(10)]
    assert sum(gained) in (22, 23)  # what is owed is less than one
    assert set(gained) == {2, 3}
    assert SCHEDULERS["vllm"](Limits(8, 64, 1024)).gain() == 1


@pytest.mark.parametrize("name", ["vllm", "tensorrt-llm", "llama.cpp"])
def test_drafts_count_against_the_budget_of_a_step(name: str) -> None:
    """Budget 64, five that decode with four tokens each: a prompt of 60 gets 44 of it."""
    scheduler = SCHEDULERS[name](Limits(8, 64, 8192, step_tokens=4, accepted=2.0))
    for number in range(5):
        scheduler.add(Request(number, 4, 40))
    batch = scheduler.plan(0)
    assert batch is not None
    for request in scheduler.finish_step(batch):
        scheduler.start_decoding(request)
    scheduler.add(Request(9, 60, 5))
    batch = scheduler.plan(0)
    # TensorRT-LLM computes a prompt in one piece or not yet.
    assert batch is not None
    assert [tokens for _, tokens in batch.pieces] == ([] if name == "tensorrt-llm" else [44])


@pytest.mark.parametrize("scheduler", ["vllm", "sglang", "tensorrt-llm", "llama.cpp"])
@pytest.mark.parametrize("plans_ahead", [False, True])
def test_stepping_through_gives_the_same_and_nobody_gets_more_than_it_wants(scheduler: str, plans_ahead: bool) -> None:
    traffic = {
        "arrivals": {"kind": "poisson", "rate": "20 /s"}, "prompt": {"uniform": [1, 90]},
        "output": {"uniform": [1, 60]},
    }  # fmt: skip
    found = []
    for is_stepping in (False, True):
        table = StepTable(curved, Host(10**8, 10**7, is_hidden=plans_ahead), verifying=Verifying(3, 1.7, _drafts))
        limits = Limits(5, 64, 320, step_tokens=3, accepted=1.7)
        record, server = serve(
            scheduler, traffic, 60, limits=limits, table=table, seed=3, plans_ahead=plans_ahead, is_stepping=is_stepping
        )
        assert record.completed == 60
        assert (server.scheduler.pool.used, server.scheduler.decoding.count) == (0, 0)
        assert record.in_system_ps == record.sojourn_ps
        found.append((rows(record), token_times(record), record.busy_ps))
    assert found[0] == found[1]


def test_what_sequences_and_a_prompt_cost_each_other_has_no_drafts_in_it() -> None:
    """A table whose steps cost nothing but contexts, one nanosecond a token and key: nothing is lost side by side.

    So a step with a piece is drafts, verification and the piece, in sum: 4 sequences verify 3 tokens over 1,000 keys.
    """

    def simulate(groups: tuple[tuple[int, int, int], ...], _outputs: int) -> StepCost:
        return StepCost(0, 0, 0, tuple(1000 * number * query * context for number, query, context in groups))

    table = StepTable(simulate, NOTHING, verifying=Verifying(3, 2.0, _drafts))
    piece = StepTable(simulate, NOTHING).step_ps(0, 0, [(256, 0)], 1)
    verify = 1000 * 4 * 3 * 1002
    assert table.step_ps(4, 4000, [(256, 0)], 5) == pytest.approx(5 * MS + verify + piece, rel=1e-3)


def _write(folder: Path, users: int, requests: int, **changes: str) -> Path:
    path = folder / "s.yaml"
    text = SCENARIO.replace("USERS", str(users)).replace("REQUESTS", str(requests))
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


def test_one_user_gets_tokens_as_a_run_says(tmp_path: Path) -> None:
    found = sim.serve(_write(tmp_path, 1, 2)).summary()
    said = {"workload.draft": "eagle3", "workload.draft_tokens": 3, "workload.acceptance_length": 2.4}
    alone = sim.run(model="qwen3-0.6b", runtime="vllm@0.26.0", prompt=256, output=121, set=said).summary()
    assert found["tpot_s"]["mean"] == pytest.approx(alone["tpot_s"], rel=0.015)
    assert found["speculation"] == alone["speculation"]
    bare = "system: {set: {workload.draft: eagle3, workload.draft_tokens: 3, workload.acceptance_length: 2.4}}\n"
    plain = sim.serve(_write(tmp_path, 1, 2, **{bare: ""})).summary()
    assert plain["memory"]["weights_bytes"] < found["memory"]["weights_bytes"]
    assert 1 / 2.4 < found["tpot_s"]["mean"] / plain["tpot_s"]["mean"] < 1
    assert found["ttft_s"]["mean"] == pytest.approx(plain["ttft_s"]["mean"], rel=0.02)  # a prompt has no drafts
    assert found["memory"]["weights_bytes"] == alone["memory"]["weights_bytes"]  # the head's too
    assert found["steps"] == 2 * (1 + 120 / 2.4)


def test_what_is_wrong_with_drafts_is_said_at_once(tmp_path: Path) -> None:
    bad = _write(
        tmp_path, 1, 1, **{"draft_tokens: 3": "draft_tokens: 99", "workload.draft: eagle3": "workload.draft: mtp"}
    )
    with pytest.raises(InputError) as found:
        sim.serve(bad)
    assert {problem.path for problem in found.value.problems} == {"workload.draft", "workload.draft_tokens"}
    with pytest.raises(InputError):
        sim.serve(_write(tmp_path, 1, 1), set={"workload.drafts": "3"})
