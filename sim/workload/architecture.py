"""Which architectures of `config.json` are modelled, which keys are read, and which sizes are sane."""

from __future__ import annotations

import re

DENSE = frozenset(
    {
        "Gemma3ForCausalLM",
        "Gemma3ForConditionalGeneration",
        "Glm4ForCausalLM",
        "GlmForCausalLM",
        "GraniteForCausalLM",
        "LlamaForCausalLM",
        "MiMoForCausalLM",
        "Ministral3ForCausalLM",
        "Mistral3ForConditionalGeneration",
        "MistralForCausalLM",
        "Phi3ForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
        "Qwen3VLForConditionalGeneration",
        "SeedOssForCausalLM",
    }
)
"""Grouped-query attention and a gated feed-forward part in every layer."""

MOE = frozenset(
    {
        "GptOssForCausalLM",
        "MiniMaxM2ForCausalLM",
        "MixtralForCausalLM",
        "Qwen3MoeForCausalLM",
        "Qwen3VLMoeForConditionalGeneration",
    }
)
"""A mixture of experts in all or some layers."""

GEMMA4 = frozenset({"Gemma4ForCausalLM", "Gemma4ForConditionalGeneration"})
"""Heads of different sizes, shared keys, experts beside a dense part."""

GATED_DELTA = frozenset(
    {
        "Qwen3NextForCausalLM",
        "Qwen3_5ForCausalLM",
        "Qwen3_5ForConditionalGeneration",
        "Qwen3_5MoeForCausalLM",
        "Qwen3_5MoeForConditionalGeneration",
    }
)
"""Gated delta nets and attention by turns."""

MAMBA2 = frozenset({"NemotronHForCausalLM"})
"""Mamba2, attention and feed-forward parts by a pattern."""

GLM4_MOE = frozenset({"Glm4MoeForCausalLM", "Glm4vMoeForConditionalGeneration"})
"""Grouped-query attention, dense layers first, then experts with a shared one."""

LATENT = frozenset(
    {
        "DeepseekV2ForCausalLM",
        "DeepseekV32ForCausalLM",
        "DeepseekV3ForCausalLM",
        "Glm4MoeLiteForCausalLM",
        "GlmMoeDsaForCausalLM",
        "KimiK25ForConditionalGeneration",
        "KimiK2ForCausalLM",
        "Mistral4ForCausalLM",
    }
)
"""Multi-head latent attention, over all keys or over those that an indexer chooses."""

DEEPSEEK_V4 = frozenset({"DeepseekV4ForCausalLM"})
"""Attention over a window and compressed entries, several residual streams."""

KIMI_LINEAR = frozenset({"KimiLinearForCausalLM"})
"""Kimi delta attention and latent attention by turns."""

GRANITE_HYBRID = frozenset({"GraniteMoeHybridForCausalLM"})
"""Mamba2 and attention by turns, each with a feed-forward part."""

LFM2 = frozenset({"Lfm2ForCausalLM", "Lfm2MoeForCausalLM"})
"""Gated short convolutions and attention by turns."""

GEMMA3N = frozenset({"Gemma3nForCausalLM", "Gemma3nForConditionalGeneration"})
"""Alternating updates of residual streams, a projection beside attention."""

MINIMAX_M3 = frozenset(
    {"MiniMaxM3ForCausalLM", "MiniMaxM3SparseForCausalLM", "MiniMaxM3SparseForConditionalGeneration"}
)
"""Grouped-query attention over chosen blocks of keys."""

DECI = frozenset({"DeciLMForCausalLM"})
"""A Llama whose layers differ."""

LLAMA4 = frozenset({"Llama4ForCausalLM", "Llama4ForConditionalGeneration"})
"""Chunked attention and interleaved experts."""

MIMO_V2 = frozenset({"MiMoV2FlashForCausalLM"})
"""Windowed layers with heads of their own, keys and values of unequal size."""

STEP = frozenset({"Step3p5ForCausalLM", "Step3p7FlashForCausalLM", "Step3p7ForConditionalGeneration"})
"""Windowed layers with heads of their own, a gate per head."""

MODELLED = (
    DENSE
    | MOE
    | GEMMA4
    | GATED_DELTA
    | MAMBA2
    | GLM4_MOE
    | LATENT
    | LLAMA4
    | DEEPSEEK_V4
    | KIMI_LINEAR
    | GRANITE_HYBRID
    | LFM2
    | GEMMA3N
    | MINIMAX_M3
    | DECI
    | MIMO_V2
    | STEP
)

WITHOUT_VISION = frozenset(
    {
        "Gemma3nForConditionalGeneration",
        "Gemma4ForConditionalGeneration",
        "Glm4vMoeForConditionalGeneration",
        "MiniMaxM3SparseForConditionalGeneration",
        "KimiK25ForConditionalGeneration",
        "Llama4ForConditionalGeneration",
        "Qwen3_5ForConditionalGeneration",
        "Qwen3_5MoeForConditionalGeneration",
        "Gemma3ForConditionalGeneration",
        "Mistral3ForConditionalGeneration",
        "Qwen3VLForConditionalGeneration",
        "Qwen3VLMoeForConditionalGeneration",
        "Step3p7ForConditionalGeneration",
    }
)
"""Modelled as far as their text goes."""

REASONS = {
    "Deepseek": "an earlier form of attention",
    "Kimi": "residual streams that attention mixes",
    "Nemotron": "layers of another shape",
    "Gemma2": "scores that are squashed",
}
"""Why not, by how the name of an architecture begins."""

KNOWN = frozenset(
    [
        "architectures",
        "attention_bias",
        "head_dim",
        "hidden_size",
        "intermediate_size",
        "layer_types",
        "max_position_embeddings",
        "max_window_layers",
        "model_type",
        "moe_intermediate_size",
        "num_attention_heads",
        "num_experts",
        "num_experts_per_tok",
        "num_hidden_layers",
        "num_key_value_heads",
        "num_local_experts",
        "quantization_config",
        "sliding_window",
        "sliding_window_pattern",
        "_sliding_window_pattern",
        "final_logit_softcapping",
        "tie_word_embeddings",
        "torch_dtype",
        "dtype",
        "use_sliding_window",
        "vocab_size",
        "text_config",
        "mlp_only_layers",
        "decoder_sparse_step",
        "experts_per_token",
        "mlp_bias",
        "qkv_bias",
        "use_qk_norm",
        "sparksim",
        "aliases",
    ]
)
"""Keys that are read."""

HARMLESS = frozenset(
    [
        "use_routing_bias",
        "mtp_transformer_layers",
        "swiglu_limit",
        "router_aux_loss_coef",
        "output_router_logits",
        "initial_context_length",
        "hidden_act",
        "norm_topk_prob",
        "hidden_dropout",
        "router_jitter_noise",
        "vision_config",
        "image_token_id",
        "multimodal_projector_bias",
        "video_token_id",
        "vision_start_token_id",
        "vision_end_token_id",
    ]
)
"""Keys that look structural and change nothing that is modelled."""

STRUCTURAL = re.compile(
    r"softcap|bias|expert|head|rank|latent|conv|ssm|moe|window|intermediate|mamba|linear_"
    r"|^index_|^hc_|^compress_ratio|altup|laurel|^sparse_attention|^block_|^attn_res|kda"
)
"""Other keys that match say something about the layers: what is not modelled is refused, never overlooked."""

EXPERT_KEYS = (
    "num_experts",
    "num_local_experts",
    "num_experts_per_tok",
    "experts_per_token",
    "moe_intermediate_size",
    "decoder_sparse_step",
    "mlp_only_layers",
)
"""Keys that only a mixture of experts has."""

PER_LAYER = dict.fromkeys(GEMMA3N, ("intermediate_size",))
"""Keys that may be a list of one number for each layer, by architecture."""

FLAGS = ("attention_bias", "mlp_bias", "qkv_bias", "tie_word_embeddings", "use_qk_norm", "use_sliding_window")
"""Keys that are true or false."""

MOST_PARAMETERS = 10**14
"""A model beyond this is a typing error: the largest published ones have some 10^12."""

LIMITS = {
    "num_hidden_layers": 2048,
    "hidden_size": 2**20,
    "vocab_size": 2**24,
    "num_attention_heads": 2**14,
    "num_key_value_heads": 2**14,
    "head_dim": 2**14,
    "intermediate_size": 2**24,
    "moe_intermediate_size": 2**24,
    "num_experts": 2**16,
    "num_local_experts": 2**16,
    "num_experts_per_tok": 2**16,
    "experts_per_token": 2**16,
    "sliding_window": 2**31,
    "sliding_window_pattern": 2**16,
    "_sliding_window_pattern": 2**16,
    "max_position_embeddings": 2**31,
    "decoder_sparse_step": 2**16,
    "max_window_layers": 2**16,
}
"""Keys that are whole numbers, and the largest sane one: far above every published model."""
