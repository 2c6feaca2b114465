"""Does serving cost what was promised: 100,000 requests in 30 s of a core and 1 GiB, in proportion to their number?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench
SCENARIO = """schema: sparksim.scenario/1
kind: serve
model: llama-3.1-8b
quant: fp8
runtime: {{name: vllm, version: 0.26.0, set: {{prefix_caching: false}}}}
traffic:
  arrivals: {{kind: poisson, rate: 0.5 /s}}
  prompt: {{constant: 2048}}
  output: {{constant: 128}}
until: {{requests: {requests}}}
"""
PROGRAM = """
import json, resource, sys, time
import sim
sim.serve(sys.argv[1])  # the steps, simulated
begin = time.process_time()
summary = sim.serve(sys.argv[2]).summary()
took = time.process_time() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([took, peak / 2**20, summary["completed"]]))
"""


def _served(folder: Path, root: Path, requests: int) -> tuple[float, float]:
    """CPU seconds, and the most memory in GiB, of serving so many requests."""
    files = []
    for number in (500, requests):
        files.append(folder / f"{number}.yaml")
        files[-1].write_text(SCENARIO.format(requests=number), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, files)],
        cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    took, peak, completed = json.loads(done.stdout)
    assert completed == requests
    return took, peak


NOISE = 1.35
"""What a busy neighbour may add to a ratio, as in test_speed.py: here a difference of times stands over another."""


def test_a_hundred_thousand_requests(root: Path, tmp_path: Path) -> None:
    """CPU time, so that others on the machine do not count; at most 15 % above linear from 10,000 on."""
    cost = {requests: _served(tmp_path, root, requests) for requests in (10_000, 30_000, 100_000)}
    assert cost[100_000][0] < 30
    assert cost[100_000][1] < 1
    further = [(cost[b][0] - cost[a][0]) / (b - a) for a, b in ((10_000, 30_000), (30_000, 100_000))]
    assert further[1] <= 1.15 * NOISE * further[0]  # without the start, in which steps are simulated
    assert cost[30_000][0] / 3 <= 1.15 * cost[10_000][0]
    assert cost[100_000][0] / 10 <= 1.15 * cost[30_000][0] / 3  # less a request is as good: the start is shared by more
