"""Is what a run shows still what it showed? Few, small files that a person can check; `--update-golden` rewrites them.

`net.txt` holds the shape of a trace whose times its companion law derives: `test_the_trace_adds_up`, and for any graph
tests/laws/test_graphs.py. `summary_keys.txt` holds names that others script against; its companion is
`test_shares_sum_to_one`. No predicted value is kept here: those move with the models, laws do not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sim
from sim.result.run_result import RunResult
from sim.system.machine import Machine
from sim.system.prediction import launch_costs
from sim.workload.runtime_file import load_runtime

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def net() -> RunResult:
    return sim.run(file=HERE / "net.yaml", runtime="vllm", cache="off")


@pytest.fixture(scope="module")
def decode() -> RunResult:
    return sim.run(model="qwen3-0.6b", runtime="llama.cpp", prompt=64, output=3, cache="off")


def _compare(name: str, text: str, config: pytest.Config) -> None:
    path = HERE / name
    if config.getoption("--update-golden"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"if this is meant: pytest tests/golden --update-golden ({path})"


def test_the_trace_of_a_net_keeps_its_shape(net: RunResult, pytestconfig: pytest.Config) -> None:
    """Who runs what in which order, why time passes, and the bytes, which are those of the file."""
    assert net.trace is not None
    (step,) = net.trace.steps
    lines = [f"{step.phase} {step.name}: {len(step.ops)} ops"]
    lines += [
        f"{op.op:<5}{op.kind:<12}on {op.component:<14}x{op.repeat}"
        f"  asked {op.asked_read_bytes:.0f} B read, {op.asked_write_bytes:.0f} B written"
        f"; memory {op.dram_read_bytes:.0f} B read, {op.dram_write_bytes:.0f} B written"
        for op in step.ops
    ]
    ends = {(span.iteration, span.op): span.end_ps for span in step.all_spans()}
    lines.append("ends: " + " ".join(f"{op}#{iteration}" for iteration, op in sorted(ends, key=lambda key: ends[key])))
    _compare("net.txt", "\n".join(lines) + "\n", pytestconfig)


def test_the_trace_adds_up(net: RunResult) -> None:
    """Companion law of net.txt: an iteration ends with the host step, which waits for the slower of its two inputs."""
    assert net.trace is not None
    (step,) = net.trace.steps
    ops = {op.op: op for op in step.ops}
    costs = launch_costs(Machine(net.hardware), load_runtime("vllm").spec, "run", 0)
    kernels = sum(ops[name].duration_ps + costs.boundary_ps for name in ("fill", "sum"))
    iteration = max(kernels, ops["load"].duration_ps) + 20_000_000
    assert ops["wait"].duration_ps == 20_000_000
    assert step.duration_ps == max(costs.start_ps + 2 * iteration, costs.host_step_ps)
    assert ops["sum"].dram_read_bytes == 0  # what it reads was just written


def _keys(value: Any, path: str = "") -> list[str]:
    if not isinstance(value, dict) or path.rpartition(".")[2] in {"causes", "ops"}:
        return [path]
    return [key for name in value for key in _keys(value[name], f"{path}.{name}" if path else name)]


def test_the_keys_of_a_summary_stay(decode: RunResult, pytestconfig: pytest.Config) -> None:
    _compare("summary_keys.txt", "\n".join(sorted(_keys(decode.summary()))) + "\n", pytestconfig)


def test_shares_sum_to_one(decode: RunResult) -> None:
    """Companion law of summary_keys.txt."""
    summary = decode.summary()
    for part in (summary, *summary["phases"].values()):
        assert sum(part["bound_share"].values()) == pytest.approx(1)
        assert sum(part["causes"].values()) == pytest.approx(1)
        ops = part.get("ops", {"all": part["causes"]})
        assert sum(sum(parts.values()) for parts in ops.values()) == pytest.approx(1)
        assert part["bound_share"][part["bound"]] == max(part["bound_share"].values())
    memory = summary["memory"]
    parts = ("weights_bytes", "kv_cache_bytes", "activation_bytes", "runtime_bytes")
    assert memory["needed_bytes"] == sum(memory[part] for part in parts)
    assert memory["peak_bytes"] == memory["needed_bytes"] + memory["reserved_bytes"]
    assert memory["fits"] == (memory["short_bytes"] == 0) == (memory["needed_bytes"] <= memory["available_bytes"])
