"""Qwen3-Next, Qwen3.5 and 3.6: gated delta nets in most layers, gated attention in the others; dense or with experts.

The drafting head (`mtp_num_hidden_layers`) is one attention layer that reads embedding and hidden state together: its
parameters are counted, it is not run.
"""

from __future__ import annotations

from dataclasses import replace

from sim.workload.config_fields import ConfigFields
from sim.workload.family.transformer import Body, Traits, attention, experts
from sim.workload.layer_spec import AttentionSpec, DenseFfn, LayerSpec, MoeFfn
from sim.workload.mixer_spec import GatedDeltaSpec
from sim.workload.model import Tensor

TRAITS = Traits(qk_norm=True)


def read_gated_delta(fields: ConfigFields, architecture: str) -> Body:
    """The layers; without them where there are problems."""
    # transformers' Qwen3NextConfig: published files of the family leave these out.
    fields.default({"full_attention_interval": 4, "attn_output_gate": True})
    count = fields.number("num_hidden_layers")
    full = attention(fields, TRAITS, None)
    delta = _delta(fields)
    is_full = _full_layers(fields, count)
    has_experts = "Moe" in architecture or "Next" in architecture
    ffn = _experts(fields) if has_experts else DenseFfn(fields.number("intermediate_size"))
    is_gated = fields.flag("attn_output_gate", default=True)
    if fields.problems or full is None:
        return Body()
    full = replace(full, is_gated=is_gated)
    layers = tuple(LayerSpec(full if each else delta, ffn) for each in is_full)
    extra = _drafting_head(fields, full, ffn)
    return Body(layers, extra=extra, drafter=LayerSpec(full, ffn) if extra else None)


def _delta(fields: ConfigFields) -> GatedDeltaSpec:
    key_heads, value_heads = fields.number("linear_num_key_heads"), fields.number("linear_num_value_heads")
    if value_heads % key_heads:
        fields.refuse("linear_num_value_heads", f"{value_heads} heads cannot share {key_heads} key heads evenly")
    key_dim, value_dim = fields.number("linear_key_head_dim"), fields.number("linear_value_head_dim")
    return GatedDeltaSpec(key_heads, value_heads, key_dim, value_dim, fields.number("linear_conv_kernel_dim"))


def _full_layers(fields: ConfigFields, count: int) -> list[bool]:
    """Which layers have attention: by `layer_types`, else every so many."""
    types = fields.text.get("layer_types")
    if types is None:
        interval = fields.number("full_attention_interval")
        return [(index + 1) % interval == 0 for index in range(count)]
    known = {"linear_attention", "full_attention"}
    if not isinstance(types, list) or not types or not all(isinstance(each, str) and each in known for each in types):
        fields.refuse("layer_types", "must be a list of linear_attention and full_attention")
    elif len(types) != count and not fields.is_changed("num_hidden_layers"):
        fields.refuse("layer_types", f"lists {len(types)} layers, num_hidden_layers says {count}")
    else:
        return [types[index % len(types)] == "full_attention" for index in range(count)]
    return [False] * count


def _experts(fields: ConfigFields) -> MoeFfn:
    shared = fields.number("shared_expert_intermediate_size")
    return replace(experts(fields, TRAITS), shared_intermediate=shared, shared_gate=True)


def _drafting_head(fields: ConfigFields, full: AttentionSpec, ffn: DenseFfn | MoeFfn) -> tuple[Tensor, ...]:
    """Layer, joining projection and three norms; embedding and head are the model's."""
    count = fields.count("mtp_num_hidden_layers")
    if not count:
        return ()
    hidden = fields.number("hidden_size")
    layer = sum(size for _, size in LayerSpec(full, ffn).sizes(hidden))
    return (Tensor("mtp", None, count * layer + 2 * hidden * hidden + 3 * hidden),)
