"""Does a server draw what its steps draw alone, and does a million tokens cost what prices, watts and rate say?"""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.result.served_energy import Prices, ServedEnergy
from sim.serving.activity import Activity

SCENARIO = """schema: sparksim.scenario/1
kind: serve
model: qwen3-0.6b
runtime: {name: vllm, version: 0.26.0, set: {prefix_caching: false}}
traffic:
  arrivals: ARRIVALS
  prompt: {constant: 512}
  output: {constant: 128}
until: {requests: 6}
prices: {machine: 3156 USD, electricity: 0.36 USD, years: 2}
"""


def _served(tmp_path: Path, arrivals: str) -> dict[str, object]:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO.replace("ARRIVALS", arrivals), encoding="utf-8")
    return sim.serve(path).summary()


def test_the_cost_of_a_million_tokens() -> None:
    """3,155.76 dollars over two years are 5e-5 a second; 100 W at 0.36 a kWh 1e-5; at 10 tokens/s 6e-6 a token."""
    prices = Prices(3155.76, 0.36, 2.0, {})
    assert prices.dollars_per_second(100.0) == pytest.approx(6e-5)
    cost = prices.cost(100.0, 10.0, 40.0)
    assert cost["usd_per_million_output_tokens"] == pytest.approx(6.0)
    assert cost["usd_per_million_tokens"] == pytest.approx(1.5)
    assert cost["electricity_usd_per_million_output_tokens"] == pytest.approx(1.0)
    unknown = Prices(None, 0.36, 2.0, {}).cost(100.0, 10.0, 40.0)
    assert unknown["usd_per_million_output_tokens"] is None
    assert unknown["electricity_usd_per_million_output_tokens"] == pytest.approx(1.0)


def test_energy_is_told_for_the_time_of_the_counted_requests() -> None:
    """60 J in 2 s are 30 W; over 10 s, with 5 requests and 100 tokens, 3 J a token."""
    found = ServedEnergy({"gpu": 60.0, "package": 80.0, "wall": 120.0}, 2.0).to_dict(10.0, 5, 100)
    assert found["gpu_j"] == pytest.approx(300.0)
    assert found["joules_per_output_token"]["gpu"] == pytest.approx(3.0)
    assert found["joules_per_request"]["wall"] == pytest.approx(120.0)


def test_activity_keeps_the_mean_context() -> None:
    """Three steps of two sequences see 20, 22 and 24 keys: 22 in the mean."""
    activity = Activity()
    activity.decode(2, 20, 3, 1000)
    assert activity.decoding[2].context_ps // activity.decoding[2].ps == 22
    activity.prefill([(100, 0), (50, 350)], 3, 30, 10)
    found = activity.prefilling[(150).bit_length()]
    assert (found.tokens, found.seen, found.decoding, found.context) == (150, 100 * 100 + 50 * 400, 3, 30)


def test_one_user_draws_what_the_run_draws(tmp_path: Path) -> None:
    """The same prompt and answer over and over: the watts of `sim.run`, which looks at every step and at the heat."""
    served = _served(tmp_path, "{kind: closed_loop, users: 1}")
    alone = sim.run(model="qwen3-0.6b", runtime="vllm@0.26.0", prompt=512, output=128).summary()
    energy, seconds = alone["energy"], alone["e2e_s"]
    assert isinstance(served["energy"], dict)
    for rail in ("gpu", "wall"):
        assert served["energy"]["power_w"][rail] == pytest.approx(energy[f"{rail}_j"] / seconds, rel=0.05)


def test_a_server_that_waits_draws_little_and_costs_the_same(tmp_path: Path) -> None:
    busy = _served(tmp_path, "{kind: closed_loop, users: 1}")
    idle = _served(tmp_path, "{kind: constant, rate: 0.05 /s}")
    assert isinstance(busy["energy"], dict)
    assert isinstance(idle["energy"], dict)
    assert idle["energy"]["power_w"]["gpu"] < 0.6 * busy["energy"]["power_w"]["gpu"]
    assert isinstance(idle["cost"], dict)
    assert idle["cost"]["sources"]["machine"] == "as the scenario says"
    wall, rate = idle["energy"]["power_w"]["wall"], idle["output_tok_s"]
    expected = (3156 / (2 * 365.25 * 86400) + wall * 0.36 / 3.6e6) / rate * 1e6  # type: ignore[operator]
    assert idle["cost"]["usd_per_million_output_tokens"] == pytest.approx(expected)
