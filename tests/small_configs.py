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
