"""When components work side by side, does each moment of a step count once, towards the op that matters?"""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.result.critical import elapsed
from sim.result.trace import Folded, OpRecord, Span, StepTrace


def _op(name: str, component: str, wall_ps: int, causes: dict[str, float], repeat: int = 1) -> OpRecord:
    return OpRecord(
        name,
        name,
        "gemm",
        0,
        repeat,
        component,
        "",
        wall_ps,
        wall_ps,
        causes,
        0.0,
        "",
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
    )


def test_an_op_that_waits_for_another_component_does_not_count():
    """The host waits 100 ps for the GPU, then works 20 ps; a copy of 30 ps hides behind the GPU. Four times."""
    ops = (
        _op("gemm", "gpu", 100, {"dram": 60.0, "tensor": 40.0}, 4),
        _op("copy", "copy:cpu-gpu", 30, {"c2c": 30.0}, 4),
        _op("host", "host", 120, {"dependency": 100.0, "step": 20.0}, 4),
    )
    spans = (
        Span("copy:cpu-gpu", "copy", 0, 0, "c2c", 0, 30),
        Span("gpu", "gemm", 0, 0, "dram", 0, 60),
        Span("gpu", "gemm", 0, 0, "tensor", 60, 100),
        Span("host", "host", 0, 0, "dependency", 0, 100),
        Span("host", "host", 0, 0, "step", 100, 120),
    )
    step = StepTrace("run", "run", 1.0, 0, 0, 480, ops, spans, (Folded(0, 5, 3, 120),))
    assert elapsed(step) == {
        (0, "gemm"): {"dram": 240.0, "tensor": 160.0},
        (0, "copy"): {},
        (0, "host"): {"step": 80.0},
    }


def test_one_component_alone_counts_as_recorded():
    step = StepTrace("run", "run", 1.0, 0, 0, 300, (_op("a", "gpu", 100, {"dram": 100.0}, 3),), ())
    assert elapsed(step) == {(0, "a"): {"dram": 300.0}}


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
    assert sum(sum(causes.values()) for causes in elapsed(step).values()) == pytest.approx(step.duration_ps)
    host_share = 20 * 50e-6 / (step.duration_ps / 1e12)
    assert result.summary()["phases"]["run"]["causes"]["step"] == pytest.approx(host_share, rel=0.02)
