"""Results to draw, each simulated once."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim import RunResult

OP_TRACE = """\
schema: sparksim.ops/1
name: side-by-side
ops:
  - {id: up, op: gemm, m: 8, n: 4096, k: 4096, dtype: bf16}
  - {id: h2d, op: copy, size: 2 MiB, from: cpu, to: gpu}
  - {id: wait, op: host, duration: 50 us, after: [up, h2d]}
repeat: 6
phases: {decode: {repeat: 3}}
"""
NO_FLOPS = """\
schema: sparksim.ops/1
name: only-moves
ops:
  - {id: h2d, op: copy, size: 2 MiB, from: cpu, to: gpu}
  - {id: wait, op: host, duration: 50 us, after: [h2d]}
"""
MANY_PHASES = (
    "schema: sparksim.ops/1\nname: many\nops:\n  - {id: up, op: gemm, m: 8, n: 256, k: 256, dtype: bf16}\n"
    "phases: {" + ", ".join(f"p{n}: {{repeat: {n + 1}}}" for n in range(12)) + "}\n"
)
SHORT = {"prompt": 256, "output": 16}
MODELS: dict[str, dict[str, object]] = {
    "both": {"model": "gpt-oss-20b", "runtime": "llama.cpp", "prompt": 512, "output": 16},
    "batch": {"model": "qwen3-0.6b", "runtime": "vllm", "batch": 32, **SHORT},
    "changed": {"model": "qwen3-0.6b", "runtime": "vllm", "set": ["memory.bandwidth=x2"], **SHORT},
    "prefill": {"model": "qwen3-0.6b", "runtime": "llama.cpp", "quant": "q8_0", "prompt": 256, "output": 0},
    "decode": {"model": "qwen3-0.6b", "runtime": "llama.cpp", "quant": "q8_0", "prompt": 0, "depth": 256},
    "does-not-fit": {"model": "llama-3.1-70b", "runtime": "vllm"},
}
TRACES = {"ops": OP_TRACE, "no-flops": NO_FLOPS, "many-phases": MANY_PHASES}
CASES = [*MODELS, *TRACES]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunResult]:
    """Results by case."""
    folder: Path = tmp_path_factory.mktemp("traces")
    found = {name: sim.run(**arguments) for name, arguments in MODELS.items()}
    for name, text in TRACES.items():
        path = folder / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        found[name] = sim.run(file=path, runtime="vllm")
    return found


@pytest.fixture(params=CASES)
def result(request: pytest.FixtureRequest, results: dict[str, RunResult]) -> RunResult:
    """Each case in turn."""
    return results[request.param]
