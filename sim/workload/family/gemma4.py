"""Gemma 4: local and global layers with heads of different size, shared keys, experts beside the dense part.

Layers follow `layer_types`. Global layers may have `global_head_dim`, `num_global_key_value_heads` and no value
projection (`attention_k_eq_v`); the last `num_kv_shared_layers` read the cache of an earlier layer, with a feed-forward
part twice as wide where `use_double_wide_mlp` says so. Every layer may have an input of its own per token.
"""

from __future__ import annotations

from dataclasses import replace

from sim.workload.config_fields import ConfigFields
from sim.workload.family.transformer import Body, Traits, attention, read_windows
from sim.workload.layer_spec import AttentionSpec, DenseFfn, LayerSpec, MoeFfn
from sim.workload.model import Tensor

TRAITS = Traits(qk_norm=True, defaults={"tie_word_embeddings": True})


def read_gemma4(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    fields.default(TRAITS.defaults)
    count, ffn = fields.number("num_hidden_layers"), fields.number("intermediate_size")
    windows = read_windows(fields, count)
    shared, width = fields.count("num_kv_shared_layers"), fields.count("hidden_size_per_layer_input")
    is_wide = fields.flag("use_double_wide_mlp", default=False)
    beside = _experts(fields)
    if shared >= count:
        fields.refuse("num_kv_shared_layers", f"{shared} of {count} layers cannot share the keys of an earlier one")
    kinds = {window: _attention(fields, window) for window in set(windows)}
    extra = per_layer_inputs(fields, count, width)
    if fields.problems:
        return Body()
    layers = []
    for index, window in enumerate(windows):
        mixer, shares = kinds[window], index >= count - shared
        layers.append(
            LayerSpec(
                replace(mixer, shares_kv=shares) if mixer else None,
                DenseFfn(ffn * (2 if shares and is_wide else 1)),
                post_norms=True,
                beside=beside,
                per_layer_input=width,
            )
        )
    return Body(tuple(layers), True, bool(fields.text.get("final_logit_softcapping")), extra)


def _attention(fields: ConfigFields, window: int | None) -> AttentionSpec | None:
    """The attention of the layers with that window."""
    one = attention(fields, TRAITS, window)
    if one is None:
        return None
    one = replace(one, v_norm=True)
    if window is not None:
        return one
    head_dim = fields.count("global_head_dim") or one.head_dim
    if not fields.flag("attention_k_eq_v", default=False):
        return replace(one, head_dim=head_dim)
    kv_heads = fields.count("num_global_key_value_heads") or one.kv_heads
    if one.heads % kv_heads:
        message = f"{one.heads} heads cannot share {kv_heads} key-value heads evenly"
        fields.refuse("num_global_key_value_heads", message)
    return replace(one, head_dim=head_dim, kv_heads=kv_heads, is_key_value=True)


def _experts(fields: ConfigFields) -> MoeFfn | None:
    """The mixture of experts beside the dense part; its router and experts have scales."""
    if not fields.flag("enable_moe_block", default=False):
        return None
    count = fields.number("num_experts")
    top_k = fields.number(fields.given("top_k_experts", "num_experts_per_tok"))
    if top_k > count:
        fields.refuse("top_k_experts", f"a token cannot choose {top_k} of {count} experts")
    return MoeFfn(count, top_k, fields.number("moe_intermediate_size"), scales=fields.number("hidden_size") + count)


def per_layer_inputs(fields: ConfigFields, count: int, width: int) -> tuple[Tensor, ...]:
    """The table of all layers' inputs, and what makes more of them from the embedding."""
    if not width:
        return ()
    vocab = fields.number("vocab_size_per_layer_input", default=fields.number("vocab_size"))
    return (
        Tensor("per_layer_embedding", None, vocab * count * width),
        Tensor("per_layer", None, fields.number("hidden_size") * count * width),
        Tensor("norm", None, width),
    )
