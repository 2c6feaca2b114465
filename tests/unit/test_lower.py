"""Does a step read each weight once, does prefill process each token once, and do knots stand for all passes?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.workload.hf_config import load_model
from sim.workload.layer_spec import MoeFfn
from sim.workload.lower import Request, lower, prefill_passes
from sim.workload.op import Attention, Gemm, GroupedGemm
from sim.workload.op_builder import choose_kernel
from sim.workload.quant import formats, resolve_quant, weights_bytes
from sim.workload.runtime_file import load_runtime

RUNTIMES = ("llama.cpp", "vllm")
DENSE = ("llama-3.1-8b", "qwen3-0.6b", "qwen3-32b", "qwen2.5-coder-7b")


def _decode_blocks(model_name: str, runtime_name: str):
    model, runtime = load_model(model_name), load_runtime(runtime_name).spec
    recipe = resolve_quant(model, None, runtime_name)
    workload = lower(model, recipe, runtime, Request(1, 0, 100, 1), runtime.kv_dtype)
    return model, recipe, workload.phases[0].steps[0].blocks


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("model_name", DENSE)
def test_a_decode_step_reads_every_matrix_of_a_dense_checkpoint_once(model_name: str, runtime: str) -> None:
    """All weights but the embedding table (one row of it is read), norms and biases."""
    model, recipe, blocks = _decode_blocks(model_name, runtime)
    read = sum(
        block.repeat * op.n * op.k * formats()[op.dtype].bits_per_weight / 8
        for block in blocks
        for op in block.ops
        if isinstance(op, Gemm)
    )
    small = {"norm", "bias"} | (set() if model.is_tied else {"embedding"})
    n_layers = len(model.layers)
    left_out = sum(
        t.elements * recipe.format_of(t.tensor_class, t.layer, n_layers).bits_per_weight / 8
        for t in model.tensor_inventory()
        if t.tensor_class in small
    )
    tied = 0.0
    if model.is_tied:  # the table is stored once and read as the head
        table = model.hidden_size * model.vocab_size
        tied = table * (
            recipe.format_of("head", None, n_layers).bits_per_weight
            - recipe.format_of("embedding", None, n_layers).bits_per_weight
        ) / 8  # fmt: skip
    assert read == pytest.approx(weights_bytes(model, recipe) - left_out + tied, rel=2e-3)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("model_name", ["gpt-oss-20b", "qwen3-30b-a3b"])
def test_a_decode_step_touches_every_expert_matrix_of_every_layer(model_name: str, runtime: str) -> None:
    model, _, blocks = _decode_blocks(model_name, runtime)
    held = sum(
        block.repeat * op.n * op.k * op.experts for block in blocks for op in block.ops if isinstance(op, GroupedGemm)
    )
    expected = sum(
        layer.ffn.experts * 3 * model.hidden_size * layer.ffn.intermediate
        for layer in model.layers
        if isinstance(layer.ffn, MoeFfn)
    )
    assert held == expected


@given(st.integers(1, 40), st.integers(1, 20_000), st.integers(0, 50_000), st.sampled_from(RUNTIMES))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_prefill_passes_process_each_token_of_each_sequence_once(
    batch: int, prompt: int, depth: int, runtime_name: str
) -> None:
    runtime = load_runtime(runtime_name).spec
    passes = prefill_passes(runtime, Request(batch, prompt, depth, 1))
    assert sum(one.sequences * one.query for one in passes) == batch * prompt
    assert sum(one.outputs for one in passes) == batch
    assert all(one.sequences * one.query <= max(runtime.ubatch_tokens, one.query) for one in passes)
    assert all(one.query <= runtime.ubatch_tokens for one in passes)
    assert max(one.context for one in passes) == depth + prompt
    keys = sum(one.sequences * sum(range(one.context - one.query + 1, one.context + 1)) for one in passes)
    assert keys == batch * sum(range(depth + 1, depth + prompt + 1))  # causal pairs, each once


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1]), (5, [1, 2, 2]), (6, [1, 2, 2, 1])])
def test_a_server_starts_with_the_first_sequence_alone(batch: int, sizes: list[int]) -> None:
    """Two prompts of 1,000 tokens fill a pass of 2,048, but the others arrive while the first one runs."""
    spec = load_runtime("vllm", overrides={"ubatch_tokens": "2048"}).spec
    assert spec.prefill_packing == "arrivals"
    assert [one.sequences for one in prefill_passes(spec, Request(batch, 1000, 0, 1))] == sizes
    together = spec.model_copy(update={"prefill_packing": "sequences"})
    assert [one.sequences for one in prefill_passes(together, Request(batch, 1000, 0, 1))] == [2] * (batch // 2) + (
        [1] if batch % 2 else []
    )


def test_a_request_waits_once_before_its_prompt_passes() -> None:
    """However many passes there are; decode does not wait."""
    model, runtime = load_model("qwen3-0.6b"), load_runtime("vllm", overrides={"request_s": "9 ms"}).spec
    workload = lower(model, resolve_quant(model, None, "vllm"), runtime, Request(3, 5000, 0, 4), "bf16")
    waits = {
        phase.name: sum(step.weight * op.duration_s for step in phase.steps for op in step.ops() if op.kind == "host")
        for phase in workload.phases
    }
    assert waits == pytest.approx({"prefill": 9e-3, "decode": 0.0})


def test_the_backend_chooses_the_kernel_of_a_format() -> None:
    """Native FP4 products where nothing is said; Marlin reads weights alone, and quantises no activations."""
    model = load_model("llama-3.1-8b")
    for backend, kernel in (("auto", "nvfp4_cutlass"), ("marlin", "marlin")):
        runtime = load_runtime("vllm", overrides={"linear_backend": backend}).spec.on(48)
        assert choose_kernel(runtime, "gemm", "nvfp4", "qkv", m=1, n=6144, k=4096) == kernel
        workload = lower(model, resolve_quant(model, "nvfp4", "vllm"), runtime, Request(1, 0, 9, 1), "bf16")
        sites = {op.site for op in workload.phases[0].steps[0].ops()}
        assert ("quantize_nvfp4" in sites) == (backend == "auto")
    with pytest.raises(InputError, match="vllm has no kernels of 'cutlas'"):
        load_runtime("vllm", overrides={"linear_backend": "cutlas"})


@pytest.mark.parametrize("runtime_name", RUNTIMES)
@pytest.mark.parametrize(
    ("prompt", "output", "batch"), [(1, 1, 1), (5000, 1, 3), (70_000, 2, 1), (3, 999, 7), (0, 5, 2)]
)
def test_weights_of_the_knots_sum_to_the_passes(runtime_name: str, prompt: int, output: int, batch: int) -> None:
    model, runtime = load_model("qwen3-0.6b"), load_runtime(runtime_name).spec
    request = Request(batch, prompt, 0, output)
    workload = lower(model, resolve_quant(model, None, runtime_name), runtime, request, runtime.kv_dtype)
    counts = {phase.name: phase.step_count for phase in workload.phases}
    expected = {"prefill": len(prefill_passes(runtime, request))} if prompt else {}
    if output > (1 if prompt else 0):
        expected["decode"] = output - (1 if prompt else 0)
    assert counts == pytest.approx(expected)


@pytest.mark.parametrize("runtime_name", RUNTIMES)
def test_knots_integrate_what_is_linear_in_context_exactly(runtime_name: str) -> None:
    """Hat functions: the weighted sum over knots of the context is the sum over all passes."""
    model, runtime = load_model("qwen3-0.6b"), load_runtime(runtime_name).spec
    request = Request(1, 60_000, 123, 1)
    workload = lower(model, resolve_quant(model, None, runtime_name), runtime, request, runtime.kv_dtype)
    passes = prefill_passes(runtime, request)
    knots = workload.phases[0].steps
    assert len(knots) < len(passes)
    assert sum(step.weight * step.context for step in knots) == pytest.approx(sum(one.context for one in passes))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("model_name", ["llama-3.1-8b", "gpt-oss-20b"])
def test_every_layer_attends_once_and_ops_read_only_what_ran_before(model_name: str, runtime: str) -> None:
    model, _, blocks = _decode_blocks(model_name, runtime)
    assert sum(b.repeat for b in blocks for op in b.ops if isinstance(op, Attention)) == len(model.layers)
    seen: set[str] = set()
    for block in blocks:
        names = [op.id for op in block.ops]
        assert len(names) == len(set(names))
        for op in block.ops:
            assert set(op.after) <= seen | (set(names) if block.repeat > 1 else set())
            seen.add(op.id)


def test_split_tiles_are_added_up_behind_a_product() -> None:
    """Stream-k: one more launch over what the CTAs share; the next op still reads all of the product."""
    model, runtime = load_model("qwen3-4b"), load_runtime("llama.cpp").spec
    recipe = resolve_quant(model, "q4_k_m", "llama.cpp")
    for prompt, elements in ((16, 16 * 9728), (2048, 786_432)):
        step = lower(model, recipe, runtime, Request(1, prompt, 0, 1), "f16").phases[0].steps[0]
        ops = [op for block in step.blocks for op in block.ops]
        at = next(i for i, op in enumerate(ops) if op.site == "up")
        assert (ops[at + 1].site, ops[at + 1].elements) == ("fixup", min(elements, prompt * 9728, 786_432))
        assert ops[at].id in ops[at + 2].after


@pytest.mark.parametrize(
    ("batch", "context", "keys"),
    [(1, 4200, 3072), (4, 2000, 2000), (4, 4200, 1280), (4, 3500, 3072), (4, 6144, 3072), (4, 8292, 2304)],
)
def test_a_ring_is_read_up_to_its_newest_key(batch: int, context: int, keys: int) -> None:
    """Window 1,024 and ubatch 2,048: position 4,200 lies in slot 1,128, 3,500 in slot 428, where the window wraps."""
    model = load_model("gemma-3-4b")
    runtime = load_runtime("llama.cpp@b6989", overrides={"ubatch_tokens": "2048"}).spec
    step = lower(model, resolve_quant(model, "q8_0", "llama.cpp"), runtime, Request(batch, 0, context - 1, 1), "f16")
    local = [op for op in step.phases[0].steps[0].ops() if isinstance(op, Attention)]
    assert min(min(op.context, op.window or op.context, context) for op in local) == keys


@pytest.mark.parametrize(
    ("runtime", "sequences", "tokens"),
    [("vllm", 1, 1), ("vllm", 3, 4), ("vllm", 5, 8), ("vllm", 250, 256), ("vllm", 257, 272), ("vllm", 600, 600),
     ("sglang", 9, 12), ("sglang", 13, 16), ("llama.cpp", 5, 5), ("tensorrt-llm", 5, 5)],
)  # fmt: skip
def test_a_decode_step_runs_in_the_next_captured_graph(runtime: str, sequences: int, tokens: int) -> None:
    """Captured by vLLM: 1, 2, 4, 8, 16, ... 256, 272, ... 512; SGLang 12 too; the others run what there is."""
    assert load_runtime(runtime).spec.graph_tokens(sequences, sequences) == tokens


@pytest.mark.parametrize(("runtime", "routed"), [("vllm@0.25.0", 8), ("vllm@0.26.0", 5)])
def test_padding_works_on_weights_but_has_no_context(runtime: str, routed: int) -> None:
    """Five sequences in a graph of eight: products take eight rows, attention and the head five, experts by version."""
    model, spec = load_model("qwen3-30b-a3b"), load_runtime(runtime).spec
    recipe = resolve_quant(model, None, "vllm")
    (phase,) = lower(model, recipe, spec, Request(5, 0, 100, 1), spec.kv_dtype).phases
    ops = [op for block in phase.steps[0].blocks for op in block.ops]
    assert {op.m for op in ops if isinstance(op, Gemm) and op.site != "head"} == {8}
    assert {op.m for op in ops if isinstance(op, Gemm) and op.site == "head"} == {5}
    assert {op.batch for op in ops if isinstance(op, Attention)} == {5}
    assert {op.tokens for op in ops if isinstance(op, GroupedGemm)} == {routed}
    assert phase.steps[0].tokens == 5
