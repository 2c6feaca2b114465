"""Do families with chosen or compressed keys, convolutions and streams keep, read and launch what they say they do?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.cost.attention import flops, kv_bytes
from sim.cost.scan import input_bytes
from sim.errors import ModelError
from sim.workload.hf_config import load_model
from sim.workload.layer_spec import AttentionSpec, DenseFfn
from sim.workload.lower import Pass, build_step
from sim.workload.mixer_spec import KdaSpec, LatentSpec, Mamba2Spec, ShortConvSpec
from sim.workload.op import Attention, Op, Scan
from sim.workload.quant import formats, resolve_quant
from sim.workload.runtime_file import load_runtime
from tests.small_configs import (
    DECI_KEYS,
    DEEPSEEK_V4_KEYS,
    GEMMA3N_KEYS,
    GRANITE_KEYS,
    INDEX_KEYS,
    KIMI_LINEAR_KEYS,
    LATENT_KEYS,
    LFM2_KEYS,
    LFM2_MOE_KEYS,
    MIMO_KEYS,
    MINIMAX_M3_KEYS,
    ROUTED_KEYS,
    STEP_KEYS,
)

TOP_K, HEADS = INDEX_KEYS["index_topk"], INDEX_KEYS["index_n_heads"]
V32 = ("DeepseekV32ForCausalLM", {**ROUTED_KEYS, **LATENT_KEYS, **INDEX_KEYS})
V4 = ("DeepseekV4ForCausalLM", {**DEEPSEEK_V4_KEYS, "compress_ratios": [4, 128]})


def config(folder: Path, architecture: str, keys: dict[str, Any], layers: int = 2) -> Path:
    """A small configuration of ours."""
    base = {
        "architectures": [architecture],
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "vocab_size": 1000,
        "torch_dtype": "bfloat16",
    }
    path = folder / "small_config.json"
    path.write_text(json.dumps({key: value for key, value in {**base, **keys}.items() if value is not None}))
    return path


def ops_of(path: Path, query: int, context: int, runtime_name: str = "vllm") -> list[Op]:
    """The ops of a pass of one sequence, repeats included."""
    model, runtime = load_model(path), load_runtime(runtime_name).spec
    recipe = resolve_quant(model, None, runtime_name)
    step = build_step(model, recipe, runtime, Pass(1, query, context, query), "bf16", "step", 1.0)
    return [op for block in step.blocks for _ in range(block.repeat) for op in block.ops]


def attentions(path: Path, query: int, context: int, site: str) -> list[Attention]:
    """The attention ops of a place."""
    return [op for op in ops_of(path, query, context) if isinstance(op, Attention) and op.site == site]


@pytest.mark.parametrize("context", [32, 1000])
def test_decode_reads_the_chosen_keys_and_scores_all_of_them(context: int, tmp_path: Path) -> None:
    path = config(tmp_path, *V32)
    chosen, scored = (attentions(path, 1, context, site) for site in ("attention_sparse", "index_scores"))
    latent = LATENT_KEYS["kv_lora_rank"] + LATENT_KEYS["qk_rope_head_dim"]
    assert [op.context for op in chosen] == [min(TOP_K, context)] * 2
    assert [kv_bytes(op, formats()["bf16"]) for op in chosen] == [min(TOP_K, context) * latent * 2] * 2
    assert [(op.context, op.heads, op.cached) for op in scored] == [(context, HEADS, INDEX_KEYS["index_head_dim"])] * 2


def test_a_prompt_reads_as_many_keys_as_its_tokens_choose_and_its_cache_once(tmp_path: Path) -> None:
    """Token p of the prompt reads min(top_k, p) keys; all together see the latents of the prompt once."""
    query = 512
    (op, _) = attentions(config(tmp_path, *V32), query, query, "attention_sparse")
    expected = sum(min(TOP_K, position) for position in range(1, query + 1))
    assert op.batch * op.context == pytest.approx(expected, rel=0.01)
    assert flops(op) == pytest.approx(2 * 4 * (80 + 64) * expected, rel=0.01)
    assert kv_bytes(op, formats()["bf16"]) == pytest.approx(query * 80 * 2, rel=0.1)


def test_llama_cpp_masks_what_is_not_chosen_and_reads_all_keys(tmp_path: Path) -> None:
    """src/models/deepseek4.cpp: window and entries side by side, a mask over both; keys in multiples of 256."""
    path = config(tmp_path, *V4)
    ops = [op for op in ops_of(path, 1, 4096, "llama.cpp") if op.site == "attention_sparse"]
    assert [op.context for op in ops if isinstance(op, Attention)] == [1280, 256]  # 16 + 4096 / 4, and 16 + 4096 / 128
    sites = [op.site for op in ops_of(path, 1, 4096, "llama.cpp")]
    assert sites.count("sparse_concat") == 2
    assert "sparse_mask" not in [op.site for op in ops_of(path, 1, 4096)]


def test_a_shared_choice_is_made_once(tmp_path: Path) -> None:
    """GLM-5.2: the second layer has neither the indexer's weights nor its keys, and scores nothing."""
    keys = {**V32[1], "indexer_types": ["full", "shared"]}
    path = config(tmp_path, "GlmMoeDsaForCausalLM", keys)
    full, shared = (dict(layer.mixer.sizes(256)) for layer in load_model(path).layers if layer.mixer)
    assert full["attn_index_q"] == HEADS * 32 * LATENT_KEYS["q_lora_rank"]
    assert "attn_index_q" not in shared
    assert [len(attentions(path, 1, 500, site)) for site in ("index_scores", "attention_sparse")] == [1, 2]
    assert load_model(path).kv_elements(500) == 500 * (2 * 80 + 32)


@pytest.mark.parametrize("context", [8, 100, 4096])
def test_v4_reads_its_window_and_its_entries(context: int, tmp_path: Path) -> None:
    """A layer of ratio 4 reads at most 64 of context / 4 entries, one of ratio 128 all of context / 128."""
    path = config(tmp_path, *V4)
    wanted = [min(16, context) + min(TOP_K, context // 4), min(16, context) + context // 128]
    assert [op.context for op in attentions(path, 1, context, "attention_sparse")] == wanted
    kept = 128 * (2 * min(16, context) + context // 4 + context // 128) + 32 * (context // 4)
    assert load_model(path).kv_elements(context) == kept


def test_v4_has_four_streams_and_routes_by_the_token_first(tmp_path: Path) -> None:
    """(2 + 4) x 4 weights of each token from 4 x 256 elements before each part, and four behind the last layer."""
    path = config(tmp_path, *V4)
    gemms = [op for op in ops_of(path, 1, 100) if op.site in ("stream_weights", "stream_join")]
    assert [(op.n, op.k) for op in gemms] == [(24, 1024)] * 4 + [(4, 1024)]  # type: ignore[attr-defined]
    assert [layer.ffn.router_bias for layer in load_model(path).layers] == [False, True]  # type: ignore[union-attr]
    assert not [op for op in ops_of(path, 1, 100) if op.site.endswith("_residual")]


def test_kimi_linear_decays_channel_by_channel(tmp_path: Path) -> None:
    path = config(tmp_path, "KimiLinearForCausalLM", KIMI_LINEAR_KEYS)
    first, second = (layer.mixer for layer in load_model(path).layers)
    assert isinstance(first, KdaSpec)
    assert isinstance(second, LatentSpec)
    assert first.state_bytes() == 4 * 32 * 32 * 4 + 3 * 3 * 128 * 2
    (scan,) = (op for op in ops_of(path, 8, 8) if isinstance(op, Scan))
    assert (scan.has_channel_decay, scan.is_delta, scan.heads, scan.key_heads) == (True, True, 4, 4)
    assert input_bytes(scan, formats()["bf16"]) == 8 * 128 * (3 * 2 + 4)  # gates in f32 beside keys, queries, values
    assert not [op for op in ops_of(path, 8, 8) if op.site == "latent_rope"]


def test_granite_has_experts_and_a_dense_part_behind_every_mixer(tmp_path: Path) -> None:
    path = config(tmp_path, "GraniteMoeHybridForCausalLM", {**GRANITE_KEYS, "layer_types": ["mamba", "attention"]})
    first, second = load_model(path).layers
    assert isinstance(first.mixer, Mamba2Spec)
    assert isinstance(second.mixer, AttentionSpec)
    assert first.mixer.inner == 2 * 256
    sites = [op.site for op in ops_of(path, 1, 100)]
    assert all(
        sites.count(site) == 2 for site in ("moe_down", "shared_down", "attn_scale", "ffn_scale") if site in sites
    )
    assert sites.count("shared_down") == 2
    dense = config(
        tmp_path,
        "GraniteMoeHybridForCausalLM",
        {**GRANITE_KEYS, "num_local_experts": 0, "layer_types": ["mamba", "attention"]},
    )
    assert [layer.ffn for layer in load_model(dense).layers] == [DenseFfn(256)] * 2


def test_lfm2_rounds_two_thirds_of_its_width_up(tmp_path: Path) -> None:
    """2/3 of 768 is 512, a multiple of 256; of 800 it is 533, so 768. The state is two tokens of every channel."""
    kinds = {"layer_types": ["conv", "full_attention"]}
    widths = []
    for given in (768, 800):
        model = load_model(config(tmp_path, "Lfm2ForCausalLM", {**LFM2_KEYS, **kinds, "block_ff_dim": given}))
        widths.append(model.layers[0].ffn.width if model.layers[0].ffn else 0)
    assert widths == [512, 768]
    assert isinstance(model.layers[0].mixer, ShortConvSpec)
    assert model.state_bytes() == 2 * 256 * 2
    assert model.is_tied
    routed = load_model(config(tmp_path, "Lfm2MoeForCausalLM", {**LFM2_KEYS, **LFM2_MOE_KEYS, **kinds}))
    assert [bool(layer.experts) for layer in routed.layers] == [False, True]


def test_gemma3n_updates_its_streams_around_every_layer(tmp_path: Path) -> None:
    path = config(
        tmp_path, "Gemma3nForCausalLM", {**GEMMA3N_KEYS, "layer_types": ["sliding_attention", "full_attention"]}
    )
    sites = [op.site for op in ops_of(path, 1, 100)]
    assert (sites.count("stream_in"), sites.count("stream_out")) == (2, 2 + 2)  # besides, at the embedding and the head
    assert (sites.count("stream_embed"), sites.count("stream_join"), sites.count("laurel_out")) == (1, 1, 2)
    assert dict(load_model(path).layers[1].sizes(256)).get("attn_k") is None


def test_minimax_reads_blocks_that_every_group_chooses_for_itself(tmp_path: Path) -> None:
    """Four blocks of 16 keys; two heads of the indexer score one key each for their group."""
    path = config(tmp_path, "MiniMaxM3ForCausalLM", MINIMAX_M3_KEYS)
    (op,) = attentions(path, 1, 1000, "attention_sparse")
    assert (op.context, op.kv_heads, op.is_latent) == (64, 2, False)
    sizes = dict(load_model(path).layers[1].mixer.sizes(256))  # type: ignore[union-attr]
    assert (sizes["attn_index_q"], sizes["attn_index"]) == (2 * 32 * 256, 32 * 256)


def test_layers_of_other_heads_are_read_as_they_stand(tmp_path: Path) -> None:
    first, second = load_model(config(tmp_path, "DeciLMForCausalLM", DECI_KEYS)).layers
    assert isinstance(first.mixer, AttentionSpec)
    assert (first.mixer.kv_heads, first.ffn, second.mixer, second.ffn) == (2, DenseFfn(256), None, DenseFfn(512))
    mimo = [layer.mixer for layer in load_model(config(tmp_path, "MiMoV2FlashForCausalLM", MIMO_KEYS)).layers]
    assert [(m.kv_heads, m.head_dim, m.value_dim, m.window, m.sinks) for m in mimo if isinstance(m, AttentionSpec)] == [
        (2, 96, 64, None, False),
        (4, 96, 64, 8, True),
    ]
    step = [layer.mixer for layer in load_model(config(tmp_path, "Step3p7FlashForCausalLM", STEP_KEYS)).layers]
    assert [(m.heads, m.window) for m in step if isinstance(m, AttentionSpec)] == [(4, None), (6, 8)]


@pytest.mark.parametrize(
    ("architecture", "keys", "message"),
    [
        (V32[0], {**V32[1], "q_lora_rank": None}, "indexer's queries are made from the latent"),
        (V32[0], {**V32[1], "indexer_types": ["shared", "full"]}, "the first layer cannot share"),
        (V32[0], {**V32[1], "mlp_layer_types": ["dense"]}, "lists 1 layers, num_hidden_layers says 2"),
        (V32[0], {**V32[1], "moe_layer_freq": [0, 2]}, "list 0 or 1 for each of the 2 layers"),
        (V4[0], {**V4[1], "compress_ratios": [4, 8]}, "must list 0, 4, 128 for each layer"),
        (V4[0], {**V4[1], "o_groups": 3}, "4 heads cannot be split into 3 groups evenly"),
        ("KimiLinearForCausalLM", {**KIMI_LINEAR_KEYS, "linear_attn_config": 3}, "must say num_heads, head_dim"),
        ("KimiLinearForCausalLM", {**KIMI_LINEAR_KEYS, "num_experts_per_token": 9}, "cannot choose 9 of 8"),
        ("GraniteMoeHybridForCausalLM", {**GRANITE_KEYS, "layer_types": ["conv"] * 2}, "conv layers are not modelled"),
        ("GraniteMoeHybridForCausalLM", {**GRANITE_KEYS, "layer_types": ["mamba"] * 2, "mamba_d_head": 8}, "of 8 are"),
        ("Lfm2ForCausalLM", LFM2_KEYS, "must list the layers that have attention"),
        ("Gemma3nForCausalLM", {**GEMMA3N_KEYS, "intermediate_size": [5]}, "lists 1 layers, num_hidden_layers says 2"),
        ("Gemma3nForCausalLM", {**GEMMA3N_KEYS, "num_kv_shared_layers": 2}, "2 of 2 layers cannot share"),
        ("MiniMaxM3ForCausalLM", {**MINIMAX_M3_KEYS, "sparse_attention_config": {}}, "must say sparse_num_index_heads"),
        ("DeciLMForCausalLM", {**DECI_KEYS, "block_configs": [{}, {}]}, "must describe attention and ffn"),
        ("MiMoV2FlashForCausalLM", {**MIMO_KEYS, "hybrid_layer_pattern": [2, 0]}, "must list 0 or 1"),
        ("Step3p7FlashForCausalLM", {**STEP_KEYS, "moe_layers_enum": "a,b"}, "must list the layers that have experts"),
        ("LlamaForCausalLM", {"index_topk": 64}, "is not modelled"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_by_name(
    architecture: str, keys: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(config(tmp_path, architecture, keys))


def test_a_word_for_infinity_is_harmless_where_nothing_reads_it(tmp_path: Path) -> None:
    """Python writes `Infinity` into config.json (Nemotron's `time_step_limit`); a size that says so is refused."""
    path = config(tmp_path, "LlamaForCausalLM", {})
    text = path.read_text()
    path.write_text(text.replace("{", '{"time_step_limit": [0.0, Infinity], ', 1))
    assert len(load_model(path).layers) == 2
    path.write_text(text.replace('"hidden_size": 256', '"hidden_size": NaN'))
    with pytest.raises(ModelError, match="must be a whole number, not 'NaN'"):
        load_model(path)
