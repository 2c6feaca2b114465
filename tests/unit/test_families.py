"""Has each family its checkpoint's parameters, the cache of its layers and the launches of its places?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.cost.attention import flops, kv_bytes
from sim.errors import ModelError, WorkloadError
from sim.system.memory_account import kv_cache_bytes
from sim.workload.hf_config import load_model
from sim.workload.layer_spec import AttentionSpec
from sim.workload.lower import Request, lower
from sim.workload.op import Attention, Gemm, GroupedGemm, Op
from sim.workload.quant import Format, formats, load_quant, resolve_quant, weights_bytes
from sim.workload.runtime_file import load_runtime
from tests.small_configs import LATENT_KEYS, MAMBA_KEYS

SIGLIP = 27 * (4 * (1152**2 + 1152) + 2 * 1152 * 4304 + 4304 + 1152 + 4 * 1152)
SIGLIP += (3 * 14 * 14 + 1) * 1152 + 4096 * 1152 + 2 * 1152
"""Vision tower of Gemma 3: 27 layers of 1,152, patches of 14, 64 x 64 positions (vision_config)."""


def gemma3_vision(hidden: int) -> int:
    """Tower and projector to the text's width, with its norm."""
    return SIGLIP + 1152 * hidden + 1152


def qwen_vision(width: int, inner: int, depth: int, text: int) -> int:
    """Tower of Qwen3.5: patches of 2 x 16 x 16, 48 x 48 positions, four patches merged to the text's width."""
    layer = 4 * width**2 + 4 * width + 2 * width * inner + inner + width + 4 * width
    merger = 2 * width + (4 * width + 1) * 4 * width + (4 * width + 1) * text
    return depth * layer + (3 * 2 * 16 * 16 + 1) * width + 48 * 48 * width + merger


LLAMA4_VISION = 34 * (4 * 1408**2 + 4 * 1408 + 2 * 1408 * 5632 + 5632 + 1408 + 4 * 1408)
LLAMA4_VISION += (14 * 14 * 3 + 1 + 577 + 4) * 1408 + 5632 * 4096 + 4096**2 + 4096 * 5120
"""Tower and projector of Llama 4: 34 layers of 1,408, patches of 14, 24 x 24 positions and one more."""

PUBLISHED = {
    # card: (total of the checkpoint's safetensors as its Hugging Face page prints it, of which not text)
    "gemma-3-1b": (999_885_952, 0),
    "gemma-3-4b": (4_300_079_472, gemma3_vision(2560)),
    "gemma-3-12b": (12_187_325_040, gemma3_vision(3840)),
    "gemma-3-27b": (27_432_406_640, gemma3_vision(5376)),
    "mistral-7b": (7_248_023_552, 0),
    "mistral-small-24b": (23_572_403_200, 0),
    "granite-3.3-2b": (2_533_539_840, 0),
    "granite-3.3-8b": (8_170_864_640, 0),
    "glm-4-9b": (9_400_279_040, 0),
    "glm-4-32b": (32_566_081_536, 0),
    "qwen2.5-0.5b": (494_032_768, 0),
    "qwen2.5-1.5b": (1_543_714_304, 0),
    "qwen2.5-3b": (3_085_938_688, 0),
    "qwen2.5-14b": (14_770_033_664, 0),
    "qwen2.5-32b": (32_763_876_352, 0),
    "qwen2.5-72b": (72_706_203_648, 0),
    "qwen3.5-0.8b": (873_438_784, qwen_vision(768, 3072, 12, 1024)),
    "qwen3.5-2b": (2_274_069_824, qwen_vision(1024, 4096, 24, 2048)),
    "qwen3.5-9b": (9_653_104_368, qwen_vision(1152, 4304, 27, 4096)),
    "qwen3.5-27b": (27_781_427_952, qwen_vision(1152, 4304, 27, 5120)),
    "qwen3.5-4b": (4_659_865_088, qwen_vision(1024, 4096, 24, 2560)),
    "qwen3.5-35b-a3b": (35_951_822_704, qwen_vision(1152, 4304, 27, 2048)),
    "qwen3.5-122b-a10b": (125_086_497_008, qwen_vision(1152, 4304, 27, 3072)),
    "deepseek-v3": (684_531_386_000, 2 * 129_280 * 7168),  # MTP holds a second embedding and head; scales counted in
    "glm-4.5-air": (110_468_824_832, 2 * 151_552 * 4096),  # as for DeepSeek
    "phi-4": (14_659_507_200, 0),
    "phi-4-mini": (3_836_021_760, 0),
    "llama-3.2-1b": (1_235_814_400, 0),
    "llama-3.2-3b": (3_212_749_824, 0),
    "mistral-nemo-12b": (12_247_782_400, 0),
    "mixtral-8x7b": (46_702_792_704, 0),
    "nemotron-nano-9b-v2": (8_888_227_328, 0),
    "qwen3-235b-a22b": (235_093_634_560, 0),
    "qwen3-next-80b-a3b": (81_324_862_720, 0),
    "seed-oss-36b": (36_151_104_512, 0),
    "kimi-k2": (1_026_408_232_448, 0),
    "llama-4-scout": (108_641_793_536, LLAMA4_VISION),
    "llama-4-maverick": (401_583_781_376, LLAMA4_VISION),
    "deepseek-v2-lite": (15_706_484_224, 0),
    "kimi-linear-48b-a3b": (49_122_681_728, 0),
    "granite-4.0-h-small": (32_207_337_984, 0),
    "granite-4.0-h-tiny": (6_939_037_248, 0),
    "lfm2-1.2b": (1_170_340_608, 0),
    "lfm2-2.6b": (2_569_272_320, 0),
    "lfm2-8b-a1b": (8_339_929_856, 0),
    "glm-4.6": (358_337_791_296, 2 * 151_552 * 5120),  # as for DeepSeek
    "glm-4.7-flash": (31_221_488_576, 2 * 154_880 * 2048),  # as for DeepSeek
    "devstral-2-123b": (125_025_988_608, 0),
}
"""https://huggingface.co/<the first alias of the card>: "Model size" of the safetensors."""

ROUNDED = {"gemma-4-26b-a4b": 25.2, "gemma-4-31b": 30.7, "nemotron-3-nano-30b-a3b": 31.6, "mistral-small-4-119b": 119.0}
"""Billions, as the model cards say them (Gemma's without its vision tower); no exact total is known to us."""

TRANSFORMERS = {
    "deepseek-v3.2": 671_877_944_064,
    "deepseek-v4-flash": 284_332_240_471,
    "deepseek-v4-pro": 1_572_997_201_763,
    "glm-5": 743_911_218_432,
    "glm-5.2": 743_377_019_904,
    "minimax-m2": 228_689_764_864,
    "minimax-m3": 426_174_572_928,
    "mimo-v2-flash": 308_778_780_864,
    "nemotron-3-super-120b-a12b": 120_668_707_840,
    "gemma-3n-e4b": 6_835_235_568,
    "gemma-3n-e2b": 4_435_182_688,
    "kimi-k2": 1_026_408_232_448,
    "qwen3-vl-8b": 8_190_735_360,
    "qwen3-vl-30b-a3b": 30_532_122_624,
}
"""Parameters of the text model that transformers 5.24 builds of the published config.json, with the routers' biases
(which it keeps as buffers) and without the drafting layers (which it leaves out)."""

DELTA = {
    "full_attention_interval": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 64,
    "linear_conv_kernel_dim": 4,
}
ROUTED = {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
LATENTS = {**ROUTED, **LATENT_KEYS}
MAMBA = {**ROUTED, "hybrid_override_pattern": "MEM*M-" * 2, **MAMBA_KEYS}
LLAMA4 = {"num_local_experts": 8, "num_experts_per_tok": 1, "intermediate_size_mlp": 1024}

READ_ONCE = [
    "deepseek-v3",
    "deepseek-v3.2",
    "deepseek-v4-flash",
    "gemma-4-26b-a4b",
    "glm-5.2",
    "granite-4.0-h-small",
    "kimi-linear-48b-a3b",
    "lfm2-8b-a1b",
    "mimo-v2-flash",
    "minimax-m3",
    "nemotron-3-nano-30b-a3b",
    "qwen3.5-4b",
]
"""A card of every family but Gemma 3n, whose layers read the router of their streams twice."""

FILE_SIZES = {
    # as llama-bench prints them beside its results, GiB: dgx-spark.md in llama.cpp, DandinPower/llama.cpp_bench
    ("gemma-3-4b", "q4_0_qat"): 2.35,
    ("ministral-3-3b", "q4_k_m"): 1.99,
    ("nemotron-3-nano-30b-a3b", "q4_k_m"): 22.82,  # rows of 1,856 and 2,688 are no multiples of 256: Q5_0 and Q8_0
    ("qwen2.5-coder-7b", "q8_0"): 7.54,
}


def config(folder: Path, architecture: str, **keys: Any) -> Path:
    """A small configuration of ours, given keys over those that every text model has."""
    base = {
        "architectures": [architecture],
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "vocab_size": 1000,
        "torch_dtype": "bfloat16",
    }
    path = folder / "small_config.json"
    path.write_text(json.dumps({key: value for key, value in {**base, **keys}.items() if value is not None}))
    return path


def decode_ops(model_name: str | Path, runtime_name: str, context: int = 100) -> list[Op]:
    """Every op of a decode step at that context, repeats included."""
    model, runtime = load_model(model_name), load_runtime(runtime_name).spec
    recipe = resolve_quant(model, None, runtime_name)
    workload = lower(model, recipe, runtime, Request(1, 0, context - 1, 1), runtime.kv_dtype)
    return [op for block in workload.phases[0].steps[0].blocks for _ in range(block.repeat) for op in block.ops]


@pytest.mark.parametrize("card", sorted(PUBLISHED))
def test_parameters_are_those_of_the_checkpoint(card: str) -> None:
    total, other = PUBLISHED[card]
    assert load_model(card).parameter_count() == pytest.approx(total - other, rel=1e-3)


@pytest.mark.parametrize("card", sorted(TRANSFORMERS))
def test_parameters_are_those_that_transformers_builds(card: str) -> None:
    model = load_model(card)
    assert sum(t.elements for t in model.tensor_inventory() if t.tensor_class != "mtp") == TRANSFORMERS[card]


@pytest.mark.parametrize("card", sorted(ROUNDED))
def test_parameters_round_to_what_the_model_card_says(card: str) -> None:
    assert round(load_model(card).parameter_count() / 1e9, 1) == ROUNDED[card]


@pytest.mark.parametrize(
    ("card", "billions"),
    [("gemma-4-26b-a4b", 3.8), ("qwen3.5-35b-a3b", 3.0), ("nemotron-3-nano-30b-a3b", 3.2), ("kimi-k2", 32)],
)
def test_active_parameters_are_about_what_the_name_says(card: str, billions: float) -> None:
    """Published figures are rounded, and leave the embedding or the drafting head out or not."""
    assert load_model(card).active_parameter_count() == pytest.approx(billions * 1e9, rel=0.3)


@pytest.mark.parametrize(("card", "recipe"), sorted(FILE_SIZES))
def test_weights_take_what_the_published_file_does(card: str, recipe: str) -> None:
    """Within the rounding of the printed size and 1 % for what a file holds besides (tokenizer, other vocabulary)."""
    size = weights_bytes(load_model(card), load_quant(recipe)) / 2**30
    assert size == pytest.approx(FILE_SIZES[card, recipe], rel=0.01, abs=0.005)


def test_a_tied_embedding_is_stored_once_in_the_format_of_the_head(tmp_path: Path) -> None:
    table = 256 * 1000
    tied = load_model(config(tmp_path, "LlamaForCausalLM", tie_word_embeddings=True))
    recipe = load_quant("q4_k_m")
    untied = weights_bytes(load_model(config(tmp_path, "LlamaForCausalLM", tie_word_embeddings=False)), recipe)
    assert untied - weights_bytes(tied, recipe) == table * 144 // 256


def test_gemma3_sees_all_keys_in_every_sixth_layer_only(tmp_path: Path) -> None:
    path = config(tmp_path, "Gemma3ForCausalLM", sliding_window=32, sliding_window_pattern=6)
    windows = [op.window for op in decode_ops(path, "vllm", 4000) if isinstance(op, Attention)]
    assert windows == ([32] * 5 + [None]) * 2
    assert load_model(path).kv_elements(4000) == 2 * 2 * 64 * (10 * 32 + 2 * 4000)


def test_gemma3_may_leave_out_what_its_class_defaults_to(tmp_path: Path) -> None:
    left_out = dict.fromkeys(("num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size"))
    model = load_model(config(tmp_path, "Gemma3ForConditionalGeneration", sliding_window=32, **left_out))
    assert isinstance(model.layers[0].mixer, AttentionSpec)
    assert (model.layers[0].mixer.heads, model.layers[0].mixer.head_dim, model.vocab_size) == (8, 256, 262208)
    assert model.is_tied
    assert [layer.mixer.window for layer in model.layers if isinstance(layer.mixer, AttentionSpec)][5] is None


@pytest.mark.parametrize(
    ("architecture", "keys", "per_layer", "per_step"),
    [
        ("Gemma3ForCausalLM", {"sliding_window": 32}, {"attn_post_norm", "ffn_post_norm", "q_scale"}, {"embed_scale"}),
        ("Glm4ForCausalLM", {}, {"attn_post_norm", "ffn_post_norm"}, set()),
        ("GraniteForCausalLM", {}, {"attn_scale", "ffn_scale"}, {"embed_scale", "logit_cap"}),
        ("Ministral3ForCausalLM", {"rope_parameters": {"llama_4_scaling_beta": 0.1}}, {"q_scale"}, set()),
        ("MistralForCausalLM", {}, set(), set()),
    ],
)
def test_llama_cpp_launches_what_the_family_adds(
    architecture: str, keys: dict[str, Any], per_layer: set[str], per_step: set[str], tmp_path: Path
) -> None:
    sites = [op.site for op in decode_ops(config(tmp_path, architecture, **keys), "llama.cpp")]
    families = {"attn_post_norm", "ffn_post_norm", "q_scale", "attn_scale", "ffn_scale", "embed_scale", "logit_cap"}
    assert {site for site in families if sites.count(site) == 12} == per_layer
    assert {site for site in families if sites.count(site) == 1} == per_step
    assert ("attn_residual" in sites) == ("attn_post_norm" not in per_layer)


def test_a_runtime_that_does_not_know_a_place_says_so(tmp_path: Path) -> None:
    runtime = load_runtime("vllm").spec
    poorer = runtime.model_copy(update={"sites": {k: v for k, v in runtime.sites.items() if k != "q_scale"}})
    model = load_model(config(tmp_path, "Gemma3ForCausalLM", sliding_window=32))
    with pytest.raises(WorkloadError, match="does not say what it launches at 'q_scale'"):
        lower(model, resolve_quant(model, None, "vllm"), poorer, Request(1, 0, 9, 1), "bf16")


def test_gemma4_layers_differ_in_heads_and_the_last_share_their_keys(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        "Gemma4ForCausalLM",
        layer_types=["sliding_attention", "sliding_attention", "full_attention"] * 4,
        sliding_window=32,
        global_head_dim=128,
        num_global_key_value_heads=1,
        attention_k_eq_v=True,
        num_kv_shared_layers=3,
        use_double_wide_mlp=True,
    )
    model = load_model(path)
    local, full, shared = (model.layers[index] for index in (0, 2, 11))
    assert dict(local.sizes(256))["attn_v"] == 2 * 64 * 256
    assert "attn_v" not in dict(full.sizes(256))
    assert dict(full.sizes(256))["attn_k"] == 128 * 256
    assert "attn_k" not in dict(shared.sizes(256))
    assert dict(shared.sizes(256))["ffn_up"] == 2 * dict(full.sizes(256))["ffn_up"]
    assert model.kv_elements(4000) == 2 * (6 * 2 * 64 * 32 + 3 * 128 * 4000)
    sites = [op.site for op in decode_ops(path, "vllm") if isinstance(op, Attention)]
    assert sites == ["attention_mixed"] * 12


def test_a_state_is_kept_once_whatever_the_context(tmp_path: Path) -> None:
    """Delta net: heads x key x value in FP32, and three tokens of queries, keys and values in 16 bits."""
    model = load_model(config(tmp_path, "Qwen3_5ForCausalLM", **DELTA))
    state = 4 * 32 * 64 * 4 + 3 * (2 * 2 * 32 + 4 * 64) * 2
    assert model.state_bytes() == 9 * state
    assert model.kv_elements(1000) == 3 * 2 * 2 * 64 * 1000
    runtime = load_runtime("vllm").spec
    sizes = [kv_cache_bytes(model, runtime, Request(3, n, 0, 0), Format("f8", 1, 1.0)) for n in (1600, 3200)]
    assert sizes == [3 * (3 * 256 * n + 9 * state) for n in (1600, 3200)]


def test_the_drafting_head_is_counted_and_not_run(tmp_path: Path) -> None:
    with_head = load_model(config(tmp_path, "Qwen3_5ForCausalLM", **DELTA, mtp_num_hidden_layers=1))
    n_ops = len(decode_ops(config(tmp_path, "Qwen3_5ForCausalLM", **DELTA, mtp_num_hidden_layers=1), "vllm"))
    without = load_model(config(tmp_path, "Qwen3_5ForCausalLM", **DELTA))
    layer = sum(size for _, size in without.layers[3].sizes(256))
    assert with_head.parameter_count() - without.parameter_count() == layer + 2 * 256 * 256 + 3 * 256
    assert n_ops == len(decode_ops(config(tmp_path, "Qwen3_5ForCausalLM", **DELTA), "vllm"))


def test_latent_attention_caches_and_reads_one_latent_for_all_heads(tmp_path: Path) -> None:
    path = config(tmp_path, "DeepseekV3ForCausalLM", **LATENTS)
    assert load_model(path).kv_elements(1000) == 12 * (64 + 16) * 1000
    attention = next(op for op in decode_ops(path, "vllm", 1000) if isinstance(op, Attention))
    bits = formats()["bf16"]
    assert kv_bytes(attention, bits) == pytest.approx(1008 * (64 + 16) * 2)
    assert flops(attention) == 2 * 4 * (80 + 64) * 1008


@pytest.mark.parametrize("runtime_name", ["vllm", "llama.cpp"])
def test_latents_are_widened_in_prefill_unless_the_runtime_absorbs(runtime_name: str, tmp_path: Path) -> None:
    model, runtime = load_model(config(tmp_path, "DeepseekV3ForCausalLM", **LATENTS)), load_runtime(runtime_name).spec
    workload = lower(model, resolve_quant(model, None, runtime_name), runtime, Request(1, 64, 0, 0), "f16")
    op = next(op for step in workload.phases[0].steps for op in step.ops() if isinstance(op, Attention))
    assert (op.kv_heads, op.head_dim, op.values) == ((1, 80, 64) if runtime_name == "llama.cpp" else (4, 48, 32))


def test_nemotron_runs_one_part_per_layer_in_the_order_of_its_pattern(tmp_path: Path) -> None:
    path = config(tmp_path, "NemotronHForCausalLM", **MAMBA)
    parts = {"linear_scan": "M", "attention": "*", "moe_down": "E", "down": "-"}
    assert "".join(parts[op.site] for op in decode_ops(path, "vllm") if op.site in parts) == "MEM*M-MEM*M-"
    assert load_model(path).state_bytes() == 6 * (256 * 64 * 4 + 3 * (256 + 2 * 2 * 64) * 2)


@pytest.mark.parametrize("runtime_name", ["vllm", "llama.cpp"])
@pytest.mark.parametrize("card", READ_ONCE)
def test_a_decode_step_reads_every_matrix_once(card: str, runtime_name: str) -> None:
    """All weights but embedding (unless it is the head), convolutions, norms, biases and the drafting head."""
    model, read = load_model(card), 0
    for op in decode_ops(card, runtime_name):
        if isinstance(op, Gemm):
            read += op.n * op.k
        elif isinstance(op, GroupedGemm):
            read += op.n * op.k * op.experts
    aside = {"norm", "bias", "linear_conv", "mtp"} | (set() if model.is_tied else {"embedding"})
    assert read == sum(t.elements for t in model.tensor_inventory() if t.tensor_class not in aside)


def test_glm4_moe_has_dense_layers_first_and_drafts_with_a_routed_one(tmp_path: Path) -> None:
    keys = {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
    given = {**keys, "first_k_dense_replace": 2, "num_nextn_predict_layers": 1, "attention_bias": True}
    model = load_model(config(tmp_path, "Glm4MoeForCausalLM", **given))
    assert [bool(layer.experts) for layer in model.layers] == [False, False] + [True] * 10
    assert model.drafter == model.layers[-1]
    assert all(isinstance(each.mixer, AttentionSpec) and each.mixer.qkv_bias for each in model.layers)


def test_llama4_has_chunks_in_three_of_four_layers_and_experts_by_turns(tmp_path: Path) -> None:
    keys = {"num_local_experts": 8, "num_experts_per_tok": 1, "intermediate_size_mlp": 1024, "attention_chunk_size": 32}
    model = load_model(config(tmp_path, "Llama4ForCausalLM", **keys, interleave_moe_layer_step=2))
    windows = [layer.mixer.window for layer in model.layers if isinstance(layer.mixer, AttentionSpec)]
    assert windows == [32, 32, 32, None] * 3
    assert [bool(layer.experts) for layer in model.layers] == [False, True] * 6


@pytest.mark.parametrize(
    ("architecture", "keys", "message"),
    [
        ("Gemma4ForCausalLM", {"num_kv_shared_layers": 12}, "12 of 12 layers cannot share"),
        ("Qwen3_5ForCausalLM", {"linear_num_value_heads": 3}, "3 heads cannot share 2 key heads evenly"),
        ("Qwen3_5ForCausalLM", {"layer_types": ["full_attention"]}, "lists 1 layers, num_hidden_layers says 12"),
        ("Qwen3_5ForCausalLM", {"layer_types": ["chunked"]}, "must be a list of linear_attention and full_attention"),
        ("NemotronHForCausalLM", {"hybrid_override_pattern": "MX"}, "must name every layer"),
        ("NemotronHForCausalLM", {"n_groups": 3}, "8 heads cannot share 3 groups evenly"),
        ("DeepseekV3ForCausalLM", {"num_experts_per_tok": 9}, "a token cannot choose 9 of 8 experts"),
        ("Llama4ForCausalLM", {"no_rope_layers": [1]}, "must list 0 or 1 for each of the 12 layers"),
        ("LlamaForCausalLM", {"linear_num_key_heads": 2}, "is not modelled"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(
    architecture: str, keys: dict[str, Any], message: str, tmp_path: Path
) -> None:
    families = {"Qwen": DELTA, "Nemo": MAMBA, "Deep": LATENTS, "Llama4": LLAMA4}
    base = next((given for start, given in families.items() if architecture.startswith(start)), {})
    with pytest.raises(ModelError, match=message):
        load_model(config(tmp_path, architecture, **{**base, **keys}))


DENSE_PARTS = ("ffn_gate", "ffn_up", "ffn_down")
ATTENTION_PARTS = ("attn_q", "attn_k", "attn_v", "attn_o")


@pytest.mark.parametrize(
    ("architecture", "given", "excluded", "kept"),
    [
        ("LlamaForCausalLM", {}, ["model.layers.1.self_attn*"], {(each, 1) for each in ATTENTION_PARTS}),
        ("LlamaForCausalLM", {}, ["lm_head", "model.layers.11.mlp.down_proj"], {("ffn_down", 11)}),
        ("LlamaForCausalLM", {}, ["re:.*layers.3.mlp.up.*"], {("ffn_up", 3)}),
        ("LlamaForCausalLM", {}, ["model.layers.1"], {(each, 1) for each in ATTENTION_PARTS + DENSE_PARTS}),
        (
            "DeepseekV3ForCausalLM",
            LATENTS,
            ["*.mlp.shared_experts.*", "model.layers.61*"],
            {(f"shared_{part}", index) for part in ("gate", "up", "down") for index in range(1, 12)},
        ),
        (
            "NemotronHForCausalLM",
            MAMBA,
            ["backbone.layers.2.mixer.in_proj", "backbone.layers.3.mixer.k_proj"],
            {("linear_in", 2), ("attn_k", 3)},
        ),
    ],
)
def test_exclude_lists_keep_what_they_name_in_the_plain_dtype(
    architecture: str, given: dict[str, Any], excluded: list[str], kept: set[tuple[str, int]], tmp_path: Path
) -> None:
    said = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": excluded}
    model = load_model(config(tmp_path, architecture, **given, quantization_config=said))
    recipe, plain = resolve_quant(model, None, "vllm"), load_quant("nvfp4")
    found = {
        (t.tensor_class, t.layer)
        for t in model.tensor_inventory()
        if recipe.format_of(t.tensor_class, t.layer, 12) != plain.format_of(t.tensor_class, t.layer, 12)
    }
    assert {(name, layer) for name, layer in found if name not in ("norm", "bias")} == kept
    elements = sum(t.elements for t in model.tensor_inventory() if (t.tensor_class, t.layer) in kept)
    assert weights_bytes(model, recipe) - weights_bytes(model, plain) == pytest.approx(elements * (16 - 4.5) / 8, abs=1)


def test_gemma4_keeps_its_experts_quantised_where_its_dense_parts_are_not(tmp_path: Path) -> None:
    ignore = [f"model.language_model.layers.{index}.mlp*" for index in range(12)]
    experts = {"enable_moe_block": True, "num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 128}
    said = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ignore}
    ops = decode_ops(config(tmp_path, "Gemma4ForCausalLM", **experts, quantization_config=said), "vllm")
    read = {op.site: op.dtype for op in ops if isinstance(op, Gemm | GroupedGemm)}
    assert (read["down"], read["moe_down"], read["o"]) == ("bf16", "nvfp4", "nvfp4")


def test_a_mixed_checkpoint_stores_every_module_as_it_lists_it(tmp_path: Path) -> None:
    listed = {"lm_head": "W4A16_NVFP4"} | {
        f"model.layers.{index}.{module}": algorithm
        for index in range(12)
        for module, algorithm in (("mlp.down_proj", "W4A16_NVFP4"), ("self_attn.o_proj", "FP8"))
    }
    modules = {name: {"quant_algo": algorithm} for name, algorithm in listed.items()}
    said = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": modules}
    path = config(tmp_path, "LlamaForCausalLM", tie_word_embeddings=False, quantization_config=said)
    read = {op.site: op.dtype for op in decode_ops(path, "vllm") if isinstance(op, Gemm)}
    assert read == {"qkv": "bf16", "o": "fp8", "gate_up": "bf16", "down": "nvfp4a16", "head": "nvfp4a16"}
    model = load_model(path)
    bits = {"ffn_down": 4.5, "head": 4.5, "attn_o": 8.0}
    stored = sum(t.elements * bits.get(t.tensor_class, 16.0) / 8 for t in model.tensor_inventory())
    assert weights_bytes(model, resolve_quant(model, None, "vllm")) == round(stored)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({}, "must list the format of every quantised module"),
        ({"model.layers.0.mlp.up_proj": {"quant_algo": "W2A2"}}, "has the algorithm 'W2A2', which is not modelled"),
        ({"model.layers.0.mlp.up_proj": "FP8"}, "has the algorithm 'None', which is not modelled"),
    ],
)
def test_a_mixed_checkpoint_that_cannot_be_read_is_refused(modules: Any, message: str, tmp_path: Path) -> None:
    said = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": modules}
    with pytest.raises(ModelError, match=message):
        load_model(config(tmp_path, "LlamaForCausalLM", quantization_config=said))
