"""The element-wise places of a model: what a runtime's launch table is keyed by."""

from __future__ import annotations

SITES = {
    "embed": "embedding rows to the residual stream (tokens x hidden)",
    "attn_norm": "norm before attention (tokens x hidden)",
    "q_bias": "bias of the query projection (tokens x query width)",
    "k_bias": "bias of the key projection (tokens x key width)",
    "v_bias": "bias of the value projection (tokens x key width)",
    "q_norm": "per-head norm of queries (tokens x query width)",
    "k_norm": "per-head norm of keys (tokens x key width)",
    "rope_q": "rotary embedding of queries (tokens x query width)",
    "rope_k": "rotary embedding of keys (tokens x key width)",
    "kv_store": "keys and values into the cache (tokens x 2 key widths)",
    "attn_reduce": "adds up the parts of split attention (batch x query width x parts)",
    "attn_out_bias": "bias of the output projection (tokens x hidden)",
    "attn_residual": "residual add after attention (tokens x hidden)",
    "ffn_norm": "norm before the feed-forward part (tokens x hidden)",
    "activation": "gate activation and product (tokens x intermediate)",
    "ffn_residual": "residual add after the feed-forward part (tokens x hidden)",
    "router_bias": "bias of the router (tokens x experts)",
    "router_topk": "softmax and choice of experts (tokens x experts)",
    "moe_sort": "rows sorted by expert (tokens x experts per token)",
    "moe_gather": "rows copied in expert order (tokens x experts per token x hidden)",
    "moe_gate_bias": "bias of the experts' gate (tokens x experts per token x intermediate)",
    "moe_up_bias": "bias of the experts' up projection (tokens x experts per token x intermediate)",
    "moe_activation": "activation in the experts (tokens x experts per token x intermediate)",
    "moe_down_bias": "bias of the experts' down projection (tokens x experts per token x hidden)",
    "moe_weight": "scaling by the router's weight (tokens x experts per token x hidden)",
    "moe_sum": "sum over a token's experts (tokens x experts per token x hidden)",
    "quantize": "activations into the kernel's format (rows x depth of the GEMM)",
    "gather_last": "rows of the tokens whose output is wanted (outputs x hidden)",
    "final_norm": "norm before the head (outputs x hidden)",
    "sample": "from logits to a token (outputs x vocabulary)",
}
"""Places that every transformer has, or that many have: a runtime has to list each."""

MOE_SITES = ("moe_sort", "moe_gather", "moe_activation", "moe_weight", "moe_sum")
"""Places of a layer of experts whose launches a kernel rule may have of its own (`site_suffix`)."""

FAMILY_SITES = {
    "embed_scale": "factor on the embedding (tokens x hidden)",
    "q_scale": "factor on the queries (tokens x query width)",
    "attn_post_norm": "norm behind attention, with the residual add (tokens x hidden)",
    "ffn_post_norm": "norm behind the feed-forward part, with the residual add (tokens x hidden)",
    "attn_scale": "factor on the output of attention (tokens x hidden)",
    "ffn_scale": "factor on the output of the feed-forward part (tokens x hidden)",
    "v_norm": "per-head norm of values (tokens x value width)",
    "attn_gate": "attention's output times the sigmoid of its gate (tokens x query width)",
    "router_norm": "norm before the router alone (tokens x hidden)",
    "dense_post_norm": "norm behind the dense part that has experts beside it (tokens x hidden)",
    "beside_norm": "norm before the experts beside a dense part (tokens x hidden)",
    "beside_post_norm": "norm behind those experts, and the sum of both parts (tokens x hidden)",
    "per_layer_inputs": "the layers' own inputs: looked up, normalised, added (tokens x layers x their width)",
    "per_layer_gate": "activation and product with the layer's own input (tokens x its width)",
    "per_layer_post_norm": "norm behind it and residual add (tokens x hidden)",
    "shared_gate": "shared expert's output times the sigmoid of its gate (tokens x hidden)",
    "shared_add": "sum of experts and shared expert (tokens x hidden)",
    "latent_norm": "norms of the latents of queries and keys (tokens x their ranks)",
    "latent_rope": "rotary part of queries and key (tokens x heads x rotary size)",
    "latent_store": "latents into the cache (tokens x latent)",
    "latent_copy": "queries, or keys and values of all heads, put together (tokens x their width)",
    "linear_conv": "causal convolution over queries, keys and values, or Mamba's inputs (tokens x their width)",
    "linear_gates": "decay and step size per head (tokens x heads)",
    "linear_norm": "queries and keys to unit length (tokens x 2 key widths)",
    "linear_chunk": "products inside of the chunks of a prefill (tokens x value width)",
    "linear_state_in": "states of the sequences, out of their cache for a delta net (sequences x state)",
    "linear_state_out": "new states back into the cache (sequences x state)",
    "linear_out_norm": "norm of the output, times its gate (tokens x value width)",
    "logit_cap": "factor on the logits, or their squashing (outputs x vocabulary)",
}
"""Places of some families only: a runtime lists those of the models that it is described for."""
