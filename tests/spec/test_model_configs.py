"""Is every model configuration answered or refused by name, and is a wrong value never taken for a right one?"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from sim.cli import main
from sim.errors import ModelError
from sim.workload.architecture import (
    DECI,
    DEEPSEEK_V4,
    GATED_DELTA,
    GEMMA3N,
    GEMMA4,
    GLM4_MOE,
    GRANITE_HYBRID,
    KIMI_LINEAR,
    LATENT,
    LFM2,
    LIMITS,
    LLAMA4,
    MAMBA2,
    MIMO_V2,
    MINIMAX_M3,
    MODELLED,
    MOE,
    REASONS,
    STEP,
)
from sim.workload.hf_config import load_model
from tests import small_configs
from tests.small_configs import LATENT_KEYS, MAMBA_KEYS

AROUND = [folder / "shared" / "hf_configs" for folder in Path(__file__).parents]
COLLECTION = next((folder for folder in AROUND if folder.is_dir()), None)
"""Published configurations, where somebody keeps them beside the checkout: not ours to ship."""

SMALL: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 1000,
    "torch_dtype": "bfloat16",
}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
ROUTED = {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
FAMILY_KEYS: dict[frozenset[str], dict[str, Any]] = {
    GEMMA4: {
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 8,
        "global_head_dim": 128,
        "num_global_key_value_heads": 1,
        "attention_k_eq_v": True,
        "num_kv_shared_layers": 1,
        "use_double_wide_mlp": True,
        "hidden_size_per_layer_input": 16,
        "enable_moe_block": True,
        "num_experts": 8,
        "top_k_experts": 2,
        "moe_intermediate_size": 128,
        "final_logit_softcapping": 30.0,
    },
    GATED_DELTA: {
        **EXPERTS,
        "shared_expert_intermediate_size": 128,
        "full_attention_interval": 2,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 64,
        "linear_conv_kernel_dim": 4,
        "mtp_num_hidden_layers": 1,
    },
    MAMBA2: {**ROUTED, "num_hidden_layers": 4, "hybrid_override_pattern": "ME*-", **MAMBA_KEYS, "moe_latent_size": 64},
    GLM4_MOE: {**ROUTED, "first_k_dense_replace": 1, "num_nextn_predict_layers": 1, "attention_bias": True},
    LATENT: {**ROUTED, **LATENT_KEYS, "num_nextn_predict_layers": 1},
    DEEPSEEK_V4: {**small_configs.DEEPSEEK_V4_KEYS, "compress_ratios": [4, 128, 0], "num_nextn_predict_layers": 1},
    KIMI_LINEAR: small_configs.KIMI_LINEAR_KEYS,
    GRANITE_HYBRID: {**small_configs.GRANITE_KEYS, "layer_types": ["mamba", "attention"]},
    LFM2: {**small_configs.LFM2_KEYS, **small_configs.LFM2_MOE_KEYS, "layer_types": ["conv", "full_attention"]},
    GEMMA3N: {**small_configs.GEMMA3N_KEYS, "layer_types": ["sliding_attention", "full_attention"]},
    MINIMAX_M3: small_configs.MINIMAX_M3_KEYS,
    DECI: small_configs.DECI_KEYS,
    MIMO_V2: small_configs.MIMO_KEYS,
    STEP: small_configs.STEP_KEYS,
    LLAMA4: {
        "num_local_experts": 8,
        "num_experts_per_tok": 1,
        "intermediate_size_mlp": 1024,
        "interleave_moe_layer_step": 2,
        "attention_chunk_size": 8,
    },
}
"""What only one family has, every part of it in two layers (four, by the letters of Nemotron's pattern)."""


def config_of(architecture: str) -> dict[str, Any]:
    """A small configuration of ours, in the shape in which the architecture's own are published."""
    config = {"architectures": [architecture], **SMALL, **(EXPERTS if architecture in MOE else {})}
    config |= next((keys for names, keys in FAMILY_KEYS.items() if architecture in names), {})
    if architecture in GATED_DELTA and "Moe" not in architecture and "Next" not in architecture:
        config = {key: value for key, value in config.items() if "expert" not in key and not key.startswith("moe_")}
    if architecture.startswith(("DeepseekV32", "GlmMoeDsa")):
        config |= {**small_configs.INDEX_KEYS, "indexer_types": ["full", "shared"]}
    if architecture == "Lfm2ForCausalLM":
        config = {key: value for key, value in config.items() if key not in small_configs.LFM2_MOE_KEYS}
    if architecture.startswith(("Mixtral", "GptOss")):
        config["num_local_experts"] = config.pop("num_experts")
        config.pop("moe_intermediate_size")
    if "VL" in architecture:
        text = {key: config.pop(key) for key in list(config) if key != "architectures"}
        config |= {"text_config": text, "vision_config": {"depth": 2, "num_heads": 4}}
    return config


def write(folder: Path, config: object, name: str = "small_config.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return path


def short_run(path: Path, runtime: str) -> int:
    return main(
        ["run", "--model", str(path), "--runtime", runtime, "--prompt", "16", "--output", "2", "--cache", "off"]
    )


@pytest.mark.parametrize("runtime", ["vllm", "llama.cpp"])
@pytest.mark.parametrize("architecture", sorted(MODELLED))
def test_every_modelled_architecture_is_answered(
    architecture: str, runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert short_run(write(tmp_path, config_of(architecture)), runtime) == 0, capsys.readouterr().err


@pytest.mark.parametrize("start", sorted(REASONS))
def test_every_other_architecture_is_refused_with_its_reason(
    start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, {**config_of("LlamaForCausalLM"), "architectures": [f"{start}ForCausalLM"]})
    assert short_run(path, "vllm") == 2
    assert f"{start}ForCausalLM is not modelled: {REASONS[start]}" in capsys.readouterr().err


@pytest.mark.parametrize("key", sorted(LIMITS))
@pytest.mark.parametrize("value", [True, -1, 1.5, "64", 10**18, [64], {}])
def test_no_size_is_anything_but_a_sane_whole_number(key: str, value: object, tmp_path: Path) -> None:
    """Whatever the architecture needs: a wrong value of a known key is refused at its line, with its name."""
    for architecture in ("LlamaForCausalLM", "Qwen3MoeForCausalLM"):
        path = write(tmp_path, {**config_of(architecture), key: value})
        with pytest.raises(ModelError) as caught:
            load_model(path)
        problem = next(each for each in caught.value.problems if each.path == key)
        assert f'"{key}"' in path.read_text().splitlines()[(problem.line or 0) - 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_key_value_heads": 3}, "4 heads cannot share 3 key-value heads evenly"),
        (
            {"head_dim": None, "num_attention_heads": 3, "num_key_value_heads": 3},
            "hidden_size 256 is no multiple of 3 heads",
        ),
        ({"hidden_size": None}, "is missing"),
        ({"attention_bias": 1}, "must be true or false, not 1"),
        ({"torch_dtype": "int4"}, "must be one of bfloat16, float16, float32, not 'int4'"),
        ({"layer_types": ["full_attention"]}, "lists 1 layers, num_hidden_layers says 2"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding_window is not given"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "linear_attention layers are not modelled"),
        ({"kv_lora_rank": 512}, "is not modelled (512)"),
        ({"num_experts": 8}, "LlamaForCausalLM has no experts"),
        ({"text_config": 3}, "must be a mapping"),
        ({"architectures": []}, "must list the architecture"),
        ({"num_hiden_layers": 3, "num_hidden_layers": None}, "did you mean 'num_hidden_layers'?"),
        ({"hidden_size": 2**20, "intermediate_size": 2**24, "num_hidden_layers": 2048}, "parameters; at most 1e+14"),
        ({"quantization_config": "fp8"}, "quantization_config must be a mapping"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "'bitsandbytes' is not modelled"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "gptq with 3 bits is not modelled"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    config = {key: value for key, value in {**config_of("LlamaForCausalLM"), **changes}.items() if value is not None}
    with pytest.raises(ModelError) as caught:
        load_model(write(tmp_path, config))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("config", "recipe"),
    [
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8_block"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128], "expert_dtype": "fp4"}, "fp8_mxfp4"),
        ({"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True}, "int4_g64"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, "int4_sym"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "g": {"weights": {"num_bits": 4, "type": "int", "group_size": 32, "symmetric": True}}
                },
            },
            "int4_sym_g32",
        ),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "awq", "bits": 4}, "int4"),
        ({"quant_algo": "FP8", "producer": {"name": "modelopt"}}, "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "fp8",
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int"}}}},
            "int4",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "nvfp4-pack-quantized",
                "config_groups": {"g": {"weights": {"num_bits": 4, "type": "float"}, "input_activations": None}},
            },
            "nvfp4a16",
        ),
    ],
)
def test_quantisation_is_what_the_checkpoint_says(config: dict[str, Any], recipe: str, tmp_path: Path) -> None:
    model = load_model(write(tmp_path, {**config_of("LlamaForCausalLM"), "quantization_config": config}))
    assert model.quantization
    assert (model.quantization.recipe, model.quantization.source) == (recipe, "quantization_config")


def test_the_quantisers_file_beside_the_model_is_read(tmp_path: Path) -> None:
    """In both spellings: beside a config.json, and beside <stem>_config.json."""
    (tmp_path / "Small-FP8").mkdir()
    for path in (tmp_path / "small_config.json", tmp_path / "Small-FP8" / "config.json"):
        beside = path.with_name(path.name.replace("config.json", "hf_quant_config.json"))
        write(path.parent, config_of("LlamaForCausalLM"), path.name)
        assert path.parent == tmp_path or "its files name no quantisation" in _refusal(path)
        write(path.parent, {"quantization": {"quant_algo": "FP8"}}, beside.name)
        model = load_model(path)
        assert model.quantization
        assert (model.quantization.recipe, model.quantization.source) == ("fp8", beside.name)
        write(path.parent, {"quantization": {"quant_algo": "MIXED_PRECISION"}}, beside.name)
        assert "MIXED_PRECISION must list the format of every quantised module" in _refusal(path)
        write(path.parent, {"quantization": {"quant_algo": "W2A2"}}, beside.name)
        assert "'W2A2' is not modelled" in _refusal(path)


def _refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    return str(caught.value)


def test_an_override_reaches_a_nested_configuration(tmp_path: Path) -> None:
    path = write(tmp_path, config_of("Qwen3VLForConditionalGeneration"))
    assert len(load_model(path, overrides={"num_hidden_layers": "5"}).layers) == 5
    assert load_model(path, overrides={"intermediate_size": "x2"}).layers[0].ffn.intermediate == 1024


@pytest.mark.parametrize("runtime", ["vllm", "llama.cpp"])
def test_a_format_without_a_kernel_is_refused_by_name(
    runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, {**config_of("LlamaForCausalLM"), "quantization_config": {"quant_method": "fp8"}})
    code = short_run(path, runtime)
    assert code == (0 if runtime == "vllm" else 2)
    refusal = capsys.readouterr().err
    assert runtime == "vllm" or ("there is no GGUF form of fp8" in refusal and path.name in refusal)


@pytest.mark.slow
@pytest.mark.skipif(COLLECTION is None, reason="no collection of published configurations beside the checkout")
def test_every_published_configuration_gets_an_answer_or_a_named_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    assert COLLECTION
    codes: dict[int, int] = {}
    for path in sorted(COLLECTION.glob("*.json")):
        for runtime in ("vllm", "llama.cpp"):
            begun = time.process_time()
            code = short_run(path, runtime)
            printed = capsys.readouterr()
            assert code in (0, 2, 3), f"{path.name} {runtime}: {printed.err}"
            assert code != 2 or path.name in printed.err or "has no" in printed.err, printed.err
            assert time.process_time() - begun < 5.0, path.name
            codes[code] = codes.get(code, 0) + 1
    assert codes[0] >= 30  # most of these families are not modelled yet; those that are must not slip away
