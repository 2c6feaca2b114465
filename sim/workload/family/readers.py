"""Which reader an architecture has, and the keys that only its family reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sim.workload.architecture import GATED_DELTA, GEMMA4, GLM4_MOE, LATENT, LLAMA4, MAMBA2
from sim.workload.config_fields import ConfigFields
from sim.workload.family.gated_delta import read_gated_delta
from sim.workload.family.gemma4 import read_gemma4
from sim.workload.family.glm4_moe import read_glm4_moe
from sim.workload.family.latent import read_latent
from sim.workload.family.llama4 import read_llama4
from sim.workload.family.mamba2 import read_mamba2
from sim.workload.family.transformer import Body, read_transformer

Reader = Callable[[ConfigFields, str], Body]


@dataclass(frozen=True, slots=True)
class Family:
    """Architectures with one reader. `keys`: structural keys that it reads or that change nothing it models."""

    names: frozenset[str]
    read: Reader
    keys: frozenset[str]


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
                "first_k_dense_replace",
                "kv_lora_rank",
                "moe_layer_freq",
                "n_routed_experts",
                "n_shared_experts",
                "num_nextn_predict_layers",
                "q_lora_rank",
                "qk_nope_head_dim",
                "qk_rope_head_dim",
                "v_head_dim",
            }
        ),
    ),
    Family(
        GLM4_MOE,
        read_glm4_moe,
        frozenset({"first_k_dense_replace", "n_routed_experts", "n_shared_experts", "num_nextn_predict_layers"}),
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
