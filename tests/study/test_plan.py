"""Does a plan find the most that is held, and say when its own error leaves the answer open?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sim.cli import main
from sim.errors import InputError
from sim.study.plan import CLOSE, MODEL_ERROR, NO, YES, find_most, judge, read_slo
from sim.validation.serving import knee, quantities, read_records

SCENARIO = """schema: sparksim.scenario/1
kind: serve
model: qwen3-0.6b
runtime: {name: vllm, version: 0.26.0, set: {max_num_seqs: 16, prefix_caching: false}}
traffic:
  arrivals: {kind: closed_loop, users: 1, think_time: 1 s}
  prompt: {constant: 512}
  output: {constant: 16}
until: {requests: 30}
seeds: [1, 2]
"""


def _summaries(ttft_s: float, tpot_s: float = 0.01) -> Sequence[Mapping[str, Any]]:
    return [{"ttft_s": {"p95": ttft_s}, "tpot_s": {"p50": tpot_s}, "output_tok_s": 1.0}]


def test_limits_are_read_as_they_are_written() -> None:
    assert [(one.name, one.most_s) for one in read_slo("ttft_p95<3s, tpot_p50 <= 100 ms")] == [
        ("ttft_p95", 3.0), ("tpot_p50", 0.1),
    ]  # fmt: skip
    with pytest.raises(InputError) as caught:
        read_slo("ttft_p94<3s,tpot_p95<100,e2e_p50>1s")
    assert [problem.message for problem in caught.value.problems] == [
        "'ttft_p94<3s' is no limit", '"100" needs a unit, e.g. "1.5 us"', "'e2e_p50>1s' is no limit",
    ]  # fmt: skip


def test_what_the_models_error_leaves_open_is_too_close() -> None:
    """3 s at most: sure below 3 / 1.15 and above 3 / 0.85."""
    limits = read_slo("ttft_p95<3s")
    for value, verdict in ((2.6, YES), (2.62, CLOSE), (3.4, CLOSE), (3.54, NO)):
        assert judge(1.0, _summaries(value), limits).verdict == verdict
    spread = [*_summaries(1.0), *_summaries(3.0)]  # a mean of 2 s, two standard errors of 2 s
    assert judge(1.0, spread, limits).verdict == CLOSE
    assert judge(1.0, [{"ttft_s": None}], limits).verdict == NO


@pytest.mark.parametrize("is_users", [True, False])
def test_bisection_finds_the_last_load_that_is_surely_held(is_users: bool) -> None:
    """Latency is the load in tenths of a second: 3 s are surely held up to a load of 30 / 1.15 = 26.08."""
    asked: list[float] = []

    def serve(load: float) -> Sequence[Mapping[str, Any]]:
        asked.append(load)
        return _summaries(load / 10)

    plan = find_most(serve, read_slo("ttft_p95<3s,tpot_p50<1s"), is_users=is_users)
    most = 30 / (1 + MODEL_ERROR)
    if is_users:
        assert plan.most == int(most)
    else:
        assert plan.most == pytest.approx(most, rel=0.03)
    assert plan.least_broken is not None
    assert 30 / (1 - MODEL_ERROR) < plan.least_broken < 30 / (1 - MODEL_ERROR) * 1.3
    assert (plan.limited_by, plan.verdict) == ("ttft_p95", YES)
    assert len(asked) == len(set(asked)) < 25


def test_nothing_is_held_where_not_even_the_least_load_is() -> None:
    plan = find_most(lambda _: _summaries(9.0), read_slo("ttft_p95<3s"), is_users=True)
    assert (plan.most, plan.verdict, plan.least_broken) == (None, NO, 1.0)


def test_the_command_answers_with_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    words = ["plan", "--workload", str(path), "--json", "--quiet", "--slo"]
    assert main([*words, "ttft_p95<1s", "--users", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["verdict"], found["unit"], found["asked"]) == ("sparksim.plan/1", "yes", "users", 2)
    assert main([*words, "ttft_p95<1ms", "--users", "2"]) == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == "no"
    assert main([*words, "ttft_p95<1s", "--rate", "2"]) == 2
    assert "rate: arrivals of kind closed_loop have users" in capsys.readouterr().err
    assert main([*words, "nonsense"]) == 2


def test_published_runs_of_servers_are_read_and_judged_by_one_rule() -> None:
    """The knee: the first rate whose value is above three times that of the lowest one."""
    records = read_records().records
    assert len(records) == len({one.id for one in records}) >= 150
    assert knee([(0.1, 1.0), (0.2, 2.0), (0.5, 3.0), (1.0, 3.1)]) == 1.0
    assert knee([(0.1, 1.0), (0.2, 2.0)]) is None
    assert knee([(0.1, None), (0.2, 2.0), (0.3, 7.0)]) == 0.3
    summary = {"request_rate": 1.0, "output_tok_s": 2.0}
    summary |= {name: {"p50": 3.0, "p95": 4.0} for name in ("ttft_s", "tpot_s", "itl_s", "e2e_s")}
    assert quantities(summary)["ttft_p95_s"] == 4.0
    assert quantities(summary)["request_rate"] == 1.0
