"""Kimi Linear: Kimi delta attention in most layers, latent attention in every fourth, experts with a shared one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sim.workload.config_fields import ConfigFields
from sim.workload.family.latent import dense_layers, latent_attention
from sim.workload.family.transformer import Body
from sim.workload.layer_spec import DenseFfn, LayerSpec, MoeFfn
from sim.workload.mixer_spec import KdaSpec


def read_kimi_linear(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    count = fields.number("num_hidden_layers")
    if fields.text.get("max_position_embeddings") is None and fields.text.get("model_max_length") is not None:
        fields.default({"max_position_embeddings": fields.text["model_max_length"]})
    full = replace(latent_attention(fields), has_rope=not fields.flag("mla_use_nope", default=False))
    delta, is_full = _delta(fields, count)
    is_dense, routed = dense_layers(fields, count), _experts(fields)
    dense = DenseFfn(fields.number("intermediate_size") if any(is_dense) else 1)
    if fields.problems or delta is None:
        return Body()
    return Body(tuple(LayerSpec(full if is_full[i] else delta, dense if is_dense[i] else routed) for i in range(count)))


def _delta(fields: ConfigFields, count: int) -> tuple[KdaSpec | None, list[bool]]:
    """The layers with delta attention, and which ones have latent attention instead (counted from 1)."""
    given: Any = fields.text.get("linear_attn_config")
    sizes = [given.get(name) for name in ("num_heads", "head_dim", "short_conv_kernel_size")] if _is_dict(given) else []
    full = given.get("full_attn_layers") if _is_dict(given) else None
    if not sizes or not all(type(each) is int and 1 <= each <= 2**14 for each in sizes):
        fields.refuse("linear_attn_config", "must say num_heads, head_dim and short_conv_kernel_size, each from 1 up")
    elif not isinstance(full, list) or not all(type(each) is int and each >= 1 for each in full):
        fields.refuse("linear_attn_config", "full_attn_layers must list layers, counted from 1")
    else:
        heads, dim, conv = sizes
        return KdaSpec(heads, dim, conv, dim), [index + 1 in full for index in range(count)]
    return None, [False] * count


def _is_dict(given: Any) -> bool:
    return isinstance(given, dict)


def _experts(fields: ConfigFields) -> MoeFfn:
    count = fields.number(fields.given("num_experts", "num_local_experts"))
    top_k = fields.number(fields.given("num_experts_per_token", "num_experts_per_tok"))
    if top_k > count:
        fields.refuse("num_experts_per_token", f"a token cannot choose {top_k} of {count} experts")
    width = fields.number("moe_intermediate_size")
    shared = fields.count(fields.given("num_shared_experts", "n_shared_experts"))
    return MoeFfn(count, top_k, width, shared * width, router_bias=True)
