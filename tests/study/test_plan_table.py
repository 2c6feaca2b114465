"""Is the candidate recommended that holds the most, and the cheapest one named, whatever cannot be served?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from sim.cli import main
from sim.errors import InputError, Problem
from sim.study.plan import NO, YES, Plan, Point, find_most, read_slo
from sim.study.plan_server import ROUNDS, parts_of, read_axes, with_rounds
from sim.study.plan_table import plan_each
from sim.system.serve_prepare import open_serve

SCENARIO = """schema: sparksim.scenario/1
kind: serve
model: qwen3-0.6b
runtime: {name: vllm, version: 0.26.0, set: {max_num_seqs: 16, prefix_caching: false}}
traffic:
  arrivals: {kind: closed_loop, users: 1, think_time: 1 s}
  prompt: {constant: 256}
  output: {constant: 8}
until: {requests: 20}
"""


def _plan(most: float | None, dollars: float | None) -> Plan:
    verdict = NO if most is None else YES
    point = Point(most or 1.0, {"ttft_p95": 1.0}, {"ttft_p95": verdict}, 10.0, 50.0, dollars, 4000.0)
    return Plan("users", most, None, None, (point,))


def test_the_most_is_recommended_and_the_cheapest_is_named() -> None:
    """Of these b and c hold the most, c for less; d is the cheapest of all; e holds nothing, f cannot be served."""
    plans = {"a": (5, 1.0), "b": (9, 2.0), "c": (9, 1.5), "d": (2, 0.5), "e": (None, 0.1)}

    def plan(candidate: Mapping[str, str]) -> Plan:
        if candidate["model"] == "f":
            raise InputError(Problem("no kernel"))
        return _plan(*plans[candidate["model"]])

    table = plan_each([{"model": name} for name in "abcdef"], plan, "users")
    found = table.to_dict()
    assert (found["recommended"], found["cheapest"], found["verdict"]) == ({"model": "c"}, {"model": "d"}, YES)
    assert [row["most"] for row in found["candidates"]] == [5, 9, 9, 2, None, None]
    assert found["candidates"][-1]["refused"] == "no kernel"
    assert plan_each([{"model": "e"}], plan, "users").to_dict()["verdict"] == NO


def test_candidates_are_all_combinations() -> None:
    axes = read_axes(["model=a, b", "runtime.max_num_seqs=8,16"])
    assert axes.candidates() == [
        {"model": model, "runtime.max_num_seqs": number} for model in ("a", "b") for number in ("8", "16")
    ]
    assert parts_of({"model": "a", "hardware": "h", "runtime": "vllm@0.26.0"}) == {
        "model": "a", "system.hardware": "h", "runtime.name": "vllm", "runtime.version": "0.26.0",
    }  # fmt: skip
    with pytest.raises(InputError) as caught:
        read_axes(["model", "quant=", "model=a", "model=b"])
    assert [problem.path for problem in caught.value.problems] == ["vary"] * 3


def test_a_ladder_is_looked_at_whole() -> None:
    """1 s of latency per user, 3.5 s at most: two are held, four are not, and eight are looked at all the same."""
    plan = find_most(
        lambda load: [{"ttft_s": {"p95": load}, "output_tok_s": 1.0}],
        read_slo("ttft_p95<2.5s"),
        is_users=True,
        ladder=(8, 1, 2, 4),
    )
    assert [(point.load, point.verdict) for point in plan.points] == [(1, YES), (2, YES), (4, NO), (8, NO)]
    assert (plan.most, plan.least_broken, plan.limited_by) == (2, 4, "ttft_p95")


def test_every_user_asks_often_enough(tmp_path: Path) -> None:
    """A file that ends after 20 requests says nothing about 100 users."""
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    until = with_rounds(open_serve(path), 100).scenario.until
    assert (until.requests, until.after_warm_up) == (ROUNDS * 100, 100)
    assert with_rounds(open_serve(path), 2).scenario.until.requests == 20


def test_the_command_compares_candidates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    words = ["plan", "--workload", str(path), "--slo", "ttft_p95<1s", "--quiet"]
    vary = ["--vary", "model=qwen3-0.6b,no-such-model", "--ladder", "1,4", "--plot", str(tmp_path / "p.svg")]
    assert main([*words, *vary, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    good, bad = found["candidates"]
    assert (found["schema"], found["recommended"], good["most"]) == ("sparksim.plan_table/1", good["candidate"], 4)
    assert good["usd_per_million_output_tokens"] > 0 < good["wall_w"]
    assert "unknown model 'no-such-model'" in bad["refused"]
    assert {file.name for file in tmp_path.glob("p.*")} == {"p.svg", "p.png"}
    assert main([*words, "--ladder", "1,0,x"]) == 2
    assert capsys.readouterr().err.count("is no whole number of users above 0") == 2
