"""Has each family its checkpoint's parameters, the cache of its layers and the launches of its places?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.errors import WorkloadError
from sim.workload.hf_config import load_model
from sim.workload.layer_spec import AttentionSpec
from sim.workload.lower import Request, lower
from sim.workload.op import Attention, Op
from sim.workload.quant import load_quant, resolve_quant, weights_bytes
from sim.workload.runtime_file import load_runtime

SIGLIP = 27 * (4 * (1152**2 + 1152) + 2 * 1152 * 4304 + 4304 + 1152 + 4 * 1152)
SIGLIP += (3 * 14 * 14 + 1) * 1152 + 4096 * 1152 + 2 * 1152
"""Vision tower of Gemma 3: 27 layers of 1,152, patches of 14, 64 x 64 positions (vision_config)."""


def gemma3_vision(hidden: int) -> int:
    """Tower and projector to the text's width, with its norm."""
    return SIGLIP + 1152 * hidden + 1152


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
}
"""https://huggingface.co/<the first alias of the card>: "Model size" of the safetensors."""

FILE_SIZES = {
    # as llama-bench prints them beside its results, GiB: dgx-spark.md in llama.cpp, DandinPower/llama.cpp_bench
    ("gemma-3-4b", "q4_0_qat"): 2.35,
    ("ministral-3-3b", "q4_k_m"): 1.99,
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
