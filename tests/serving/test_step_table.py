"""Is the table of step times as good as simulating every step whole, and do its parts add up?

Reference: a whole mixed step simulated on the machine, at random points that are no knots.
"""

from __future__ import annotations

import random
from statistics import median

import pytest

from sim.api import load_hardware
from sim.component import COMPONENTS
from sim.serving.knots import context_knots, depth_knots, query_knots, sequence_knots, tile_knots, token_knots
from sim.system.step_cost import StepSimulator, step_table
from sim.workload.hf_config import load_model
from sim.workload.lower import Pass, build_step
from sim.workload.mixed_step import MixedPass, build_mixed_step
from sim.workload.quant import resolve_quant
from sim.workload.runtime_file import load_runtime


def _simulator(model_name: str, runtime_name: str, quant: str | None = None) -> StepSimulator:
    model, runtime = load_model(model_name), load_runtime(runtime_name).spec
    recipe = resolve_quant(model, quant, runtime.family)
    return StepSimulator(load_hardware("dgx-spark"), model, recipe, runtime, "bf16", None, COMPONENTS)


def _errors(model: str, runtime_name: str, quant: str | None, points: int) -> tuple[list[float], float]:
    """Errors of the table at random steps as a server makes them, and of the sum of their times."""
    simulator, runtime = _simulator(model, runtime_name, quant), load_runtime(runtime_name).spec
    table = step_table(simulator, load_model(model), runtime, is_unified=False)
    draw = random.Random(7)
    errors, predicted, simulated = [], 0, 0
    for number in range(points):
        decoding = (0, draw.randint(1, 16), draw.randint(1, 90))[number % 3]
        context, left = draw.randint(20, 12_000), runtime.ubatch_tokens - decoding
        pieces = []
        for _ in range((1, 0, 2)[number % 3] if decoding else 1):
            query = min(left, draw.choice((left, draw.randint(17, runtime.ubatch_tokens))))
            pieces.append((query, draw.choice((0, 0, draw.randint(1, 9000)))))
            left -= query
            if left < 17:
                break
        outputs = decoding + draw.randint(0, len(pieces))
        groups = [(decoding, 1, context)] if decoding else []
        groups += [(1, query, query + depth) for query, depth in pieces]
        whole = simulator.trace(groups, outputs).duration_ps
        whole = table.host.with_gpu(whole, decoding + len(pieces))
        known = table.step_ps(decoding, decoding * context, pieces, outputs)
        errors.append(abs(known / whole - 1))
        predicted, simulated = predicted + known, simulated + whole
    return errors, predicted / simulated - 1


def test_the_table_is_within_one_per_cent_of_simulating_every_step() -> None:
    errors, of_sum = _errors("llama-3.2-1b", "vllm@0.26.0", None, 12)
    assert median(errors) < 0.01
    assert max(errors) < 0.04
    assert abs(of_sum) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "runtime", "quant"),
    [
        ("llama-3.1-8b", "vllm@0.26.0", "fp8"), ("gpt-oss-20b", "vllm@0.26.0", None),
        ("qwen3.5-35b-a3b", "vllm@0.26.0", "fp8"), ("llama-3.1-8b", "llama.cpp", "q4_k_m"),
    ],
)  # fmt: skip
def test_the_same_for_experts_recurrent_layers_and_another_runtime(model: str, runtime: str, quant: str | None) -> None:
    errors, of_sum = _errors(model, runtime, quant, 40)
    assert median(errors) < 0.01
    assert sorted(errors)[int(0.9 * len(errors))] < 0.03
    assert abs(of_sum) < 0.01


def test_a_step_of_like_sequences_is_the_step_that_run_simulates() -> None:
    """One part only: the same ops in the same order as of a plain pass, but for their names."""
    for name, runtime_name in (("llama-3.2-1b", "vllm"), ("qwen3.5-0.8b", "vllm"), ("deepseek-v3", "vllm")):
        model, runtime = load_model(name), load_runtime(runtime_name).spec
        quant = resolve_quant(model, None, runtime.family)
        for one in (Pass(1, 700, 700, 1), Pass(5, 1, 900, 5, runtime.graph_tokens(5, 5)), Pass(1, 64, 500, 0)):
            plain = build_step(model, quant, runtime, one, "bf16", "x", 1.0)
            mixed = build_mixed_step(model, quant, runtime, MixedPass((one,), one.outputs, one.padded), "bf16", "x")
            assert [block.repeat for block in plain.blocks] == [block.repeat for block in mixed.blocks]
            for before, after in zip(plain.ops(), mixed.ops(), strict=True):
                fields = [name for name in before.__dataclass_fields__ if name not in ("id", "after")]
                assert type(before) is type(after)
                assert [getattr(before, name) for name in fields] == [getattr(after, name) for name in fields]


def test_a_step_taken_apart_adds_up_to_the_whole() -> None:
    simulator = _simulator("llama-3.2-1b", "vllm")
    groups = ((6, 1, 300), (1, 100, 100), (1, 50, 700))
    cost, whole = simulator.cost(groups, 7), simulator.trace(groups, 7)
    assert cost.total_ps == whole.duration_ps
    assert len(cost.parts_ps) == 3
    assert all(part > 0 for part in cost.parts_ps)
    assert cost.tail_ps > 0


def test_knots_lie_around_what_is_asked() -> None:
    for size in range(1, 9000, 7):
        for lower, upper in (token_knots(size), sequence_knots(size), query_knots(size)):
            assert lower <= size <= upper
        (lower, upper), tiled = tile_knots(size)
        assert lower <= tiled <= upper
        assert size <= tiled < size + 128
        lower, upper = depth_knots(size, (1000,))
        assert lower <= size <= upper
        assert not lower < 1000 < upper
        knots = context_knots(size, 2 * size, (1000,))
        assert knots[0] <= size
        assert knots[-1] >= 2 * size
        assert knots == sorted(set(knots))
