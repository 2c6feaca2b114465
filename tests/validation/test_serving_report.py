"""Are servers under load held to their targets, the rest listed, and are runs whose steps are alike simulated once?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sim.cli import main
from sim.validation.serving import BELOW, LIMITED, LONG, Knee, ServingReport, ServingRow, read_records, validate_serving


def _report(error: float, servers: int = 17, *, is_whole: bool = True) -> ServingReport:
    """Every quantity of every regime off by `error` on each of so many servers; 150 runs."""
    quantities = (
        "request_rate", "output_tok_s", "ttft_p50_s", "ttft_p95_s", "tpot_p50_s", "tpot_p95_s", "itl_p50_s",
        "e2e_p50_s", "gpu_w",
    )  # fmt: skip
    rows = [
        ServingRow(f"run {number}", f"server {number % servers}", regime, quantity, 1.0, 1.0 + error)
        for number in range(150)
        for regime in (BELOW, LIMITED, LONG)
        for quantity in quantities
    ]
    return ServingReport(rows, [Knee("server 0", 6, 1.0, 1.0 + error)], is_whole)


def test_targets_are_held_or_named() -> None:
    assert _report(0.0).broken_targets() == []
    broken = "\n".join(_report(0.5).broken_targets())
    assert "below 0.8 of the knee: ttft_p50_s off by 50.0%" in broken
    assert "concurrency limited: output_tok_s off by 50.0%, target 12%" in broken
    assert "ttft_p50_s within 15% on 0 servers" in broken
    assert "knees off by 50.0%" in broken
    assert _report(0.5, is_whole=False).broken_targets() == []
    fewer = replace(_report(0.0), rows=_report(0.0).rows[:27])
    assert any(line.startswith("1 records") for line in fewer.broken_targets())


def test_what_is_off_by_more_than_was_hoped_for_is_listed() -> None:
    """13 % is within 15 % below the knee, but not within the 12 % of a closed loop's throughput."""
    found = _report(0.13, servers=2).not_held()
    assert {one[:3] for one in found} == {(LIMITED, f"server {n}", "output_tok_s") for n in (0, 1)}
    assert _report(0.13, servers=2).to_text().count("output_tok_s       13%") == 2


def test_runs_whose_steps_are_alike_share_them() -> None:
    """Two servers of Gemma 4 26B-A4B differ in their share of memory only; long answers have steps of their own."""
    asked: list[Mapping[str, Any]] = []

    def server_of(first: Mapping[str, Any]) -> Callable[[Mapping[str, Any], Sequence[int]], Mapping[str, Any]]:
        asked.append(first)
        return lambda _scenario, _seeds: {"output_tok_s": 1.0}

    report = validate_serving(server_of, family="gemma-4-26b-a4b")
    records = [one for one in read_records().records if one.model == "gemma-4-26b-a4b"]
    assert len({one.server for one in records}) == 4
    assert len(asked) == len({one.steps for one in records}) < 8
    assert {row.id for row in report.rows} == {one.id for one in records}
    long = [one for one in records if one.is_long]
    assert all(one.scenario()["system"] == {"set": {"workload.content": "text"}} for one in long)
    assert {row.regime for row in report.rows if row.id == long[0].id} == {LONG}


@pytest.mark.validation
def test_published_servers_are_within_their_targets() -> None:
    """150 published runs, five seeds each: some five minutes."""
    assert main(["validate", "serving", "--check", "--quiet"]) == 0
