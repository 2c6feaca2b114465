"""LFM2: gated short convolutions in most layers, attention in the others; dense or with experts.

Dense files give the width before two thirds are taken of it and it is rounded up (`block_auto_adjust_ff_dim`).
"""

from __future__ import annotations

from sim.workload.config_fields import ConfigFields
from sim.workload.family.transformer import Body, Traits, attention
from sim.workload.layer_spec import DenseFfn, LayerSpec, MoeFfn
from sim.workload.mixer_spec import ShortConvSpec

TRAITS = Traits(qk_norm=True)
KINDS = ("conv", "full_attention")


def read_lfm2(fields: ConfigFields, architecture: str) -> Body:
    """The layers; without them where there are problems."""
    fields.default({"tie_word_embeddings": fields.flag("tie_embedding", default=True)})
    count, hidden = fields.number("num_hidden_layers"), fields.number("hidden_size")
    kinds = _kinds(fields, count)
    full = attention(fields, TRAITS, None)
    conv = ShortConvSpec(hidden, fields.number("conv_L_cache"), fields.flag("conv_bias", default=False))
    if "Moe" in architecture:
        dense: DenseFfn = DenseFfn(fields.number("intermediate_size"))
        first, routed = fields.count("num_dense_layers"), _experts(fields)
    else:
        dense, first, routed = DenseFfn(_width(fields)), count, None
    if fields.problems or full is None:
        return Body()
    ffns = [dense if routed is None or index < first else routed for index in range(count)]
    mixers = [full if kind == "full_attention" else conv for kind in kinds]
    return Body(tuple(LayerSpec(mixer, ffn) for mixer, ffn in zip(mixers, ffns, strict=True)))


def _kinds(fields: ConfigFields, count: int) -> list[str]:
    """What mixes each layer: by `layer_types`, else attention at `full_attn_idxs`."""
    if fields.text.get("layer_types") is not None:
        return fields.names("layer_types", count, KINDS)
    listed = fields.text.get("full_attn_idxs")
    if not isinstance(listed, list) or not all(type(each) is int and each >= 0 for each in listed):
        fields.refuse("full_attn_idxs", "must list the layers that have attention, or layer_types name all layers")
        return []
    return ["full_attention" if index in listed else "conv" for index in range(count)]


def _width(fields: ConfigFields) -> int:
    """Width of the dense part (transformers, models/lfm2/modeling_lfm2.py, Lfm2MLP)."""
    width = fields.number(fields.given("block_ff_dim", "intermediate_size"))
    if not fields.flag("block_auto_adjust_ff_dim", default=True):
        return width
    factor = fields.text.get("block_ffn_dim_multiplier", 1.0)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor <= 100:
        fields.refuse("block_ffn_dim_multiplier", "must be a number above 0")
        factor = 1.0
    multiple = fields.number("block_multiple_of", default=256)
    return -(-int(factor * int(2 * width / 3)) // multiple) * multiple


def _experts(fields: ConfigFields) -> MoeFfn:
    count, top_k = fields.number("num_experts"), fields.number("num_experts_per_tok")
    if top_k > count:
        fields.refuse("num_experts_per_tok", f"a token cannot choose {top_k} of {count} experts")
    has_bias = fields.flag("use_expert_bias", default=True)
    return MoeFfn(count, top_k, fields.number("moe_intermediate_size"), router_bias=has_bias)
