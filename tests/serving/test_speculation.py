"""Does a server that verifies drafts give tokens as `sim.run` does with the same drafts, and count what they need?"""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.serving.step_table import Host, StepCost, StepTable
from tests.serving.small_server import curved

SCENARIO = """schema: sparksim.scenario/1
kind: serve
model: qwen3-4b
quant: fp8
runtime: {name: vllm, version: 0.26.0, set: {prefix_caching: false}}
traffic:
  arrivals: {kind: closed_loop, users: 1}
  prompt: {constant: 512}
  output: {constant: 65}
until: {requests: 2}
"""
DRAFTS = {"workload.draft": "eagle3", "workload.draft_tokens": 3, "workload.acceptance_length": 2.5}


def test_one_user_gets_tokens_as_a_run_does(tmp_path: Path) -> None:
    """Time per token and memory of weights are those of the run; the table may be off by 2 %."""
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    served = sim.serve(path, set=DRAFTS).summary()
    plain = sim.serve(path).summary()
    alone = sim.run(model="qwen3-4b", quant="fp8", runtime="vllm@0.26.0", prompt=512, output=65, set=DRAFTS).summary()
    assert served["speculation"]["acceptance_length"] == 2.5
    assert served["tpot_s"]["p50"] == pytest.approx(alone["tpot_s"], rel=0.02)
    assert served["memory"]["weights_bytes"] == alone["memory"]["weights_bytes"] > plain["memory"]["weights_bytes"]
    assert 1 / 2.5 < served["tpot_s"]["p50"] / plain["tpot_s"]["p50"] < 0.75
    assert served["ttft_s"]["p50"] == pytest.approx(plain["ttft_s"]["p50"], rel=0.02)  # a prompt has no drafts


def test_beside_a_prompt_nobody_drafts() -> None:
    """The keys of those who decode are read once in a step, whatever share of it a token would have had."""
    plain = StepTable(curved, Host(0, 0, is_hidden=True))

    def shared(groups: tuple[tuple[int, int, int], ...], outputs: int) -> StepCost:
        cost = curved(groups, outputs)
        if any(query > 1 for _, query, _ in groups):
            return cost
        parts = tuple(round(part / 2) for part in cost.parts_ps)
        return StepCost(round(cost.tiles_ps / 2), round(cost.rows_ps / 2), round(cost.tail_ps / 2), parts)

    drafting = StepTable(shared, Host(0, 0, is_hidden=True), tokens_of_step=2.0)
    one = plain.step_ps(4, 4000, [(256, 0)], 5), drafting.step_ps(4, 4000, [(256, 0)], 5)
    assert one[1] == pytest.approx(one[0], rel=1e-6)
    both = (table.decode_line(4, 4000, 4000).at(4000) for table in (plain, drafting))
    assert next(both) == pytest.approx(2 * next(both), rel=1e-6)


def test_a_drafter_that_there_is_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    with pytest.raises(sim.InputError) as caught:
        sim.serve(path, set={"workload.draft": "mtp", "workload.draft_tokens": 2})
    assert "no drafting layer" in str(caught.value.problems[0])
    with pytest.raises(sim.InputError) as caught:
        sim.serve(path, set={"workload.skew": 2})
    assert "content, draft" in str(caught.value.problems[0].hint)
