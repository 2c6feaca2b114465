"""Does a pass over recurrent states move each state once in and once out, whatever the length, and read inputs once?"""

from __future__ import annotations

import pytest

from sim.cost.kernel import Lowering
from sim.cost.scan import flops
from sim.workload.launch import Launch
from sim.workload.op import Scan
from sim.workload.quant import formats
from sim.workload.runtime_file import load_runtime

STATE = 2 * 8 * 64 * 128 * 4
"""Two sequences, eight heads of 64 x 128 in FP32."""


def kernel(runtime: str, query: int, **fields: object):
    spec = load_runtime(runtime).spec
    op = Scan(id="s", batch=2, heads=8, key_heads=4, key_dim=64, value_dim=128, query=query, **fields)
    return op, Lowering(spec, formats(), 48).kernel(op), Lowering(spec, formats(), 48).traffic(op)


@pytest.mark.parametrize("runtime", ["vllm", "llama.cpp"])
@pytest.mark.parametrize("query", [1, 64, 1000])
def test_states_go_in_and_out_once_and_inputs_in_once(runtime: str, query: int) -> None:
    _, built, traffic = kernel(runtime, query)
    inputs = 2 * query * (2 * 4 * 64 + 8 * 128) * 2
    assert built.l2_read_bytes == pytest.approx(STATE + inputs)
    assert built.written_bytes == pytest.approx(STATE + 2 * query * 8 * 128 * 2)
    assert (traffic.stream_bytes, traffic.input_bytes) == (STATE, inputs)


def test_the_delta_rule_reads_the_state_once_more() -> None:
    """A multiply-add per element and token."""
    plain, *_ = kernel("vllm", 7)
    delta, *_ = kernel("vllm", 7, is_delta=True)
    assert flops(delta) - flops(plain) == 2 * 2 * 8 * 64 * 128 * 7


@pytest.mark.parametrize("runtime", ["vllm", "llama.cpp"])
def test_chunks_follow_each_other_in_the_same_thread_block(runtime: str) -> None:
    """More tokens make more steps, not more CTAs: a chunk needs the state that the one before it left."""
    _, short, _ = kernel(runtime, 256)
    _, long, _ = kernel(runtime, 1024)
    assert (long.tiles, long.n_steps) == (short.tiles, 4 * short.n_steps)
    assert sum(work.flops for work in long.work) * long.total_steps == pytest.approx(long.flops)


def test_chunks_of_the_delta_rule_are_two_products_with_the_state() -> None:
    """What the state says of the keys, and what new values change in it: 2 x 2 FLOPs per element and token, no more."""
    op, built, _ = kernel("vllm", 256, is_delta=True)
    assert sum(work.flops for work in built.work) * built.total_steps == pytest.approx(4 * 2 * 8 * 64 * 128 * 256)
    assert built.flops == flops(op)


def test_new_states_may_go_out_wider_than_old_ones_came_in() -> None:
    """TensorRT-LLM keeps states in BF16 and its kernel of one token returns them in FP32."""
    spec = load_runtime("tensorrt-llm").spec
    op = Scan(id="s", batch=2, heads=8, key_heads=4, key_dim=64, value_dim=128, query=1, state_dtype="bf16")
    built = Lowering(spec, formats(), 188).kernel(op)
    assert built.written_bytes == pytest.approx(STATE + 2 * 8 * 128 * 2)
    assert sum(o.step_bytes for o in built.operands if o.name == "state") * built.total_steps == STATE / 2


@pytest.mark.parametrize(("tokens", "cycles"), [(1, 600), (16, 2100), (64, 6900), (5000, 6900)])
def test_a_launch_waits_for_the_tokens_of_a_chunk(tokens: int, cycles: int) -> None:
    """500 cycles and 100 for each token, of 64 at most."""
    launch = Launch(row_cycles=500, token_cycles=100, token_limit=64, is_row=True)
    assert launch.fields(4096 * tokens, tokens)["row_cycles"] == cycles
