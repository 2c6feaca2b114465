"""Which reader an architecture has, and the keys that only its family reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    LLAMA4,
    MAMBA2,
    MIMO_V2,
    MINIMAX_M3,
    STEP,
)
from sim.workload.config_fields import ConfigFields
from sim.workload.family.deci import read_deci
from sim.workload.family.deepseek_v4 import read_deepseek_v4
from sim.workload.family.gated_delta import read_gated_delta
from sim.workload.family.gemma3n import read_gemma3n
from sim.workload.family.gemma4 import read_gemma4
from sim.workload.family.glm4_moe import read_glm4_moe
from sim.workload.family.granite_hybrid import read_granite_hybrid
from sim.workload.family.kimi_linear import read_kimi_linear
from sim.workload.family.latent import read_latent
from sim.workload.family.lfm2 import read_lfm2
from sim.workload.family.llama4 import read_llama4
from sim.workload.family.mamba2 import read_mamba2
from sim.workload.family.minimax_m3 import read_minimax_m3
from sim.workload.family.mixed_heads import read_mimo_v2, read_step
from sim.workload.family.transformer import Body, read_transformer

Reader = Callable[[ConfigFields, str], Body]


@dataclass(frozen=True, slots=True)
class Family:
    """Architectures with one reader. `keys`: structural keys that it reads or that change nothing it models."""

    names: frozenset[str]
    read: Reader
    keys: frozenset[str]


_LATENTS = frozenset(
    {
        "first_k_dense_replace",
        "kv_lora_rank",
        "moe_layer_freq",
        "q_lora_rank",
        "qk_nope_head_dim",
        "qk_rope_head_dim",
        "v_head_dim",
    }
)
"""Keys of latent attention and of what goes with it."""

FAMILIES = (
    Family(
        GEMMA4,
        read_gemma4,
        frozenset(
            {
                "attention_k_eq_v",
                "enable_moe_block",
                "global_head_dim",
                "hidden_size_per_layer_input",
                "num_global_key_value_heads",
                "num_kv_shared_layers",
                "top_k_experts",
                "use_double_wide_mlp",
                "vocab_size_per_layer_input",
            }
        ),
    ),
    Family(
        GATED_DELTA,
        read_gated_delta,
        frozenset(
            {
                "attn_output_gate",
                "full_attention_interval",
                "linear_conv_kernel_dim",
                "linear_key_head_dim",
                "linear_num_key_heads",
                "linear_num_value_heads",
                "linear_value_head_dim",
                "mamba_ssm_dtype",
                "mtp_num_hidden_layers",
                "shared_expert_intermediate_size",
            }
        ),
    ),
    Family(
        MAMBA2,
        read_mamba2,
        frozenset(
            {
                "attention_head_dim",
                "conv_kernel",
                "hybrid_override_pattern",
                "layers_block_type",
                "mamba_head_dim",
                "mamba_hidden_act",
                "mamba_num_heads",
                "mamba_proj_bias",
                "mamba_ssm_cache_dtype",
                "moe_latent_size",
                "moe_shared_expert_intermediate_size",
                "moe_shared_expert_overlap",
                "mtp_hybrid_override_pattern",
                "n_groups",
                "n_routed_experts",
                "n_shared_experts",
                "ssm_state_size",
                "time_step_rank",
                "use_bias",
                "use_conv_bias",
                "use_mamba_kernels",
                "norm_topk_prob",
                "num_logits_to_keep",
            }
        ),
    ),
    Family(
        LATENT,
        read_latent,
        frozenset(
            {
                *_LATENTS,
                "index_head_dim",
                "index_n_heads",
                "index_share_for_mtp_iteration",
                "index_skip_topk_offset",
                "index_topk",
                "index_topk_freq",
                "indexer_types",
                "moe_router_dtype",
                "n_routed_experts",
                "n_shared_experts",
                "num_nextn_predict_layers",
                "qk_head_dim",
            }
        ),
    ),
    Family(
        DEEPSEEK_V4,
        read_deepseek_v4,
        frozenset(
            {
                "compress_ratios",
                "expert_dtype",
                "hc_eps",
                "hc_mult",
                "hc_sinkhorn_iters",
                "index_head_dim",
                "index_n_heads",
                "index_topk",
                "n_routed_experts",
                "n_shared_experts",
                "num_hash_layers",
                "num_nextn_predict_layers",
                "o_lora_rank",
                "q_lora_rank",
                "qk_rope_head_dim",
            }
        ),
    ),
    Family(
        KIMI_LINEAR,
        read_kimi_linear,
        frozenset(
            {
                *_LATENTS,
                "linear_attn_config",
                "moe_renormalize",
                "moe_router_activation_func",
                "num_expert_group",
                "num_experts_per_token",
                "num_nextn_predict_layers",
                "num_shared_experts",
            }
        ),
    ),
    Family(
        GRANITE_HYBRID,
        read_granite_hybrid,
        frozenset(
            {
                "mamba_chunk_size",
                "mamba_conv_bias",
                "mamba_d_conv",
                "mamba_d_head",
                "mamba_d_state",
                "mamba_expand",
                "mamba_n_groups",
                "mamba_n_heads",
                "mamba_proj_bias",
                "shared_intermediate_size",
            }
        ),
    ),
    Family(
        LFM2,
        read_lfm2,
        frozenset(
            {
                "block_auto_adjust_ff_dim",
                "block_dim",
                "block_ff_dim",
                "block_ffn_dim_multiplier",
                "block_mlp_init_scale",
                "block_multiple_of",
                "block_norm_eps",
                "block_out_init_scale",
                "block_use_swiglu",
                "block_use_xavier_init",
                "conv_L_cache",
                "conv_bias",
                "conv_dim",
                "conv_dim_out",
                "conv_use_xavier_init",
                "num_heads",
                "use_expert_bias",
            }
        ),
    ),
    Family(
        GEMMA3N,
        read_gemma3n,
        frozenset(
            {
                "altup_active_idx",
                "altup_coef_clip",
                "altup_correct_scale",
                "altup_lr_multiplier",
                "altup_num_inputs",
                "hidden_size_per_layer_input",
                "laurel_rank",
                "num_kv_shared_layers",
                "vocab_size_per_layer_input",
            }
        ),
    ),
    Family(
        MINIMAX_M3,
        read_minimax_m3,
        frozenset(
            {
                "dense_intermediate_size",
                "first_k_dense_replace",
                "moe_layer_freq",
                "n_shared_experts",
                "num_nextn_predict_layers",
                "shared_intermediate_size",
                "sparse_attention_config",
            }
        ),
    ),
    Family(DECI, read_deci, frozenset({"block_configs"})),
    Family(
        MIMO_V2,
        read_mimo_v2,
        frozenset(
            {
                "add_full_attention_sink_bias",
                "add_swa_attention_sink_bias",
                "attention_chunk_size",
                "hybrid_layer_pattern",
                "moe_layer_freq",
                "n_routed_experts",
                "n_shared_experts",
                "sliding_window_size",
                "swa_head_dim",
                "swa_num_attention_heads",
                "swa_num_key_value_heads",
                "swa_v_head_dim",
                "v_head_dim",
            }
        ),
    ),
    Family(
        STEP,
        read_step,
        frozenset(
            {
                "att_impl_type",
                "attention_other_setting",
                "first_k_dense_replace",
                "moe_every_n_layer",
                "moe_layer_offset",
                "moe_layers_enum",
                "moe_num_experts",
                "moe_router_activation",
                "moe_router_scaling_factor",
                "moe_top_k",
                "n_routed_experts",
                "n_shared_experts",
                "norm_expert_weight",
                "num_attention_groups",
                "num_nextn_predict_layers",
                "num_sliding_attention_heads",
                "need_fp32_gate",
                "share_expert_dim",
                "share_expert_dims",
                "use_head_wise_attn_gate",
                "use_moe",
                "use_moe_router_bias",
                "yarn_only_types",
            }
        ),
    ),
    Family(
        GLM4_MOE,
        read_glm4_moe,
        frozenset(
            {
                "first_k_dense_replace",
                "n_routed_experts",
                "n_shared_experts",
                "num_nextn_predict_layers",
                "moe_layer_freq",
            }
        ),
    ),
    Family(
        LLAMA4,
        read_llama4,
        frozenset(
            {
                "attention_chunk_size",
                "interleave_moe_layer_step",
                "intermediate_size_mlp",
                "moe_layers",
                "no_rope_layer_interval",
                "no_rope_layers",
            }
        ),
    ),
)


def reader_of(architecture: str) -> Reader:
    """What makes layers of the architecture's configuration."""
    return next((family.read for family in FAMILIES if architecture in family.names), read_transformer)


def keys_of(architecture: str) -> frozenset[str]:
    """Structural keys that only this family reads."""
    return next((family.keys for family in FAMILIES if architecture in family.names), frozenset())


OTHERS: Mapping[str, Family] = {name: family for family in FAMILIES for name in family.names}
"""Architectures with a reader of their own."""
