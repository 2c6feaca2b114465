"""When components work side by side, does each moment of a step count once, towards the op that matters?"""

from __future__ import annotations

from pathlib import Path

import pytest

import sim


def test_an_op_that_waits_for_another_component_does_not_count(tmp_path: Path):
    """The host waits for the GPU, then works 20 us; a small copy hides behind the GPU. Four times."""
    path = tmp_path / "net.yaml"
    path.write_text(
        "schema: sparksim.ops/1\nname: net\nops:\n"
        "  - {id: gemm, op: gemm, m: 8, n: 16384, k: 16384, dtype: bf16}\n"
        "  - {id: copy, op: copy, size: 64 KiB, from: cpu, to: gpu}\n"
        "  - {id: host, op: host, duration: 20 us, after: [gemm, copy]}\n"
        "repeat: 4\n"
    )
    trace = sim.run(file=path, runtime="vllm").trace
    assert trace is not None
    elapsed = trace.steps[0].elapsed
    assert elapsed[0, "copy"] == {}
    assert elapsed[0, "host"] == {"step": 4 * 20_000_000}
    assert sum(elapsed[0, "gemm"].values()) == trace.steps[0].duration_ps - 4 * 20_000_000


def test_shares_of_a_trace_with_three_components_sum_to_its_time(tmp_path: Path):
    path = tmp_path / "net.yaml"
    path.write_text(
        "schema: sparksim.ops/1\nname: net\nops:\n"
        "  - {id: up, op: gemm, m: 8, n: 4096, k: 4096, dtype: bf16}\n"
        "  - {id: h2d, op: copy, size: 2 MiB, from: cpu, to: gpu}\n"
        "  - {id: wait, op: host, duration: 50 us, after: [up, h2d]}\n"
        "repeat: 20\n"
    )
    result = sim.run(file=path, runtime="vllm")
    assert result.trace is not None
    step = result.trace.steps[0]
    assert sum(sum(causes.values()) for causes in step.elapsed.values()) == pytest.approx(step.duration_ps)
    host_share = 20 * 50e-6 / (step.duration_ps / 1e12)
    assert result.summary()["phases"]["run"]["causes"]["step"] == pytest.approx(host_share, rel=0.02)
