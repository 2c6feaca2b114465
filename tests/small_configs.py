"""Keys of small configurations that several tests share, as the families publish them."""

LATENT_KEYS = {
    "first_k_dense_replace": 1,
    "q_lora_rank": 96,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
}
MAMBA_KEYS = {
    "mamba_num_heads": 8,
    "mamba_head_dim": 32,
    "n_groups": 2,
    "ssm_state_size": 64,
    "conv_kernel": 4,
    "moe_shared_expert_intermediate_size": 256,
}
ROUTED_KEYS = {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
INDEX_KEYS = {"index_n_heads": 8, "index_head_dim": 32, "index_topk": 64}
DEEPSEEK_V4_KEYS = {
    **ROUTED_KEYS,
    **INDEX_KEYS,
    "num_key_value_heads": 1,
    "head_dim": 128,
    "q_lora_rank": 96,
    "qk_rope_head_dim": 16,
    "o_groups": 2,
    "o_lora_rank": 64,
    "hc_mult": 4,
    "sliding_window": 16,
    "num_hash_layers": 1,
}
KIMI_LINEAR_KEYS = {
    **{key: value for key, value in LATENT_KEYS.items() if key != "q_lora_rank"},
    "num_experts": 8,
    "num_experts_per_token": 2,
    "num_shared_experts": 1,
    "moe_intermediate_size": 128,
    "mla_use_nope": True,
    "linear_attn_config": {"num_heads": 4, "head_dim": 32, "short_conv_kernel_size": 4, "full_attn_layers": [2]},
}
GRANITE_KEYS = {
    "shared_intermediate_size": 256,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "mamba_n_heads": 16,
    "mamba_d_head": 32,
    "mamba_n_groups": 1,
    "mamba_d_state": 64,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
}
LFM2_KEYS = {"block_ff_dim": 768, "block_multiple_of": 256, "conv_L_cache": 3}
LFM2_MOE_KEYS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 128, "num_dense_layers": 1}
GEMMA3N_KEYS = {
    "num_kv_shared_layers": 1,
    "hidden_size_per_layer_input": 32,
    "vocab_size_per_layer_input": 1000,
    "altup_num_inputs": 4,
    "laurel_rank": 16,
    "sliding_window": 8,
}
MINIMAX_M3_KEYS = {
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "shared_intermediate_size": 128,
    "dense_intermediate_size": 512,
    "moe_layer_freq": [0, 1],
    "sparse_attention_config": {
        "sparse_num_index_heads": 2,
        "sparse_index_dim": 32,
        "sparse_topk_blocks": 4,
        "sparse_block_size": 16,
        "sparse_attention_freq": [0, 1],
    },
}
DECI_KEYS = {
    "num_key_value_heads": None,
    "block_configs": [
        {"attention": {"n_heads_in_group": 2, "no_op": False}, "ffn": {"ffn_mult": 1.5, "no_op": False}},
        {"attention": {"n_heads_in_group": None, "no_op": True}, "ffn": {"ffn_mult": 3.0, "no_op": False}},
    ],
}
MIMO_KEYS = {
    **ROUTED_KEYS,
    "head_dim": 96,
    "v_head_dim": 64,
    "swa_num_key_value_heads": 4,
    "swa_head_dim": 96,
    "swa_v_head_dim": 64,
    "sliding_window": 8,
    "hybrid_layer_pattern": [0, 1],
    "moe_layer_freq": [0, 1],
}
STEP_KEYS = {
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 128,
    "share_expert_dim": 128,
    "first_k_dense_replace": 1,
    "layer_types": ["full_attention", "sliding_attention"],
    "sliding_window": 8,
    "attention_other_setting": {"num_attention_heads": 6},
    "num_nextn_predict_layers": 1,
}
