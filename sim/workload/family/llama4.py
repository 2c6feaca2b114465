"""Llama 4: attention in chunks in most layers, experts (with a shared one) in every or every other layer.

A query of a chunked layer sees its chunk up to itself, at most `attention_chunk_size` keys and half of them on average;
it is modelled as a window of that size, which is the same while no sequence is longer than a chunk.
"""

from __future__ import annotations

from dataclasses import replace

from sim.workload.config_fields import ConfigFields
from sim.workload.family.transformer import Body, Traits, attention
from sim.workload.layer_spec import DenseFfn, LayerSpec, MoeFfn

TRAITS = Traits()


def read_llama4(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    # Llama4TextConfig (transformers)
    fields.default({"interleave_moe_layer_step": 1, "no_rope_layer_interval": 4, "attention_chunk_size": 8192})
    count = fields.number("num_hidden_layers")
    step, chunk = fields.number("interleave_moe_layer_step"), fields.number("attention_chunk_size")
    full = attention(fields, TRAITS, None)
    experts, dense = _experts(fields), DenseFfn(fields.number("intermediate_size_mlp"))
    is_global = _global_layers(fields, count)
    if fields.problems or full is None:
        return Body()
    full = replace(full, qk_norm=False, is_q_scaled=True)
    local = replace(full, window=chunk, is_q_scaled=False)
    return Body(
        tuple(
            LayerSpec(full if is_global[index] else local, dense if (index + 1) % step else experts)
            for index in range(count)
        )
    )


def _global_layers(fields: ConfigFields, count: int) -> list[bool]:
    """The layers without rotary embedding see all keys: listed (0 = without), else every fourth."""
    listed = fields.text.get("no_rope_layers")
    if not listed:
        interval = fields.number("no_rope_layer_interval")
        return [(index + 1) % interval == 0 for index in range(count)]
    if not isinstance(listed, list) or len(listed) != count or not all(each in (0, 1) for each in listed):
        fields.refuse("no_rope_layers", f"must list 0 or 1 for each of the {count} layers")
        return [False] * count
    return [not each for each in listed]


def _experts(fields: ConfigFields) -> MoeFfn:
    count, top_k = fields.number("num_local_experts"), fields.number("num_experts_per_tok")
    if top_k > count:
        fields.refuse("num_experts_per_tok", f"a token cannot choose {top_k} of {count} experts")
    width = fields.number("intermediate_size")
    return MoeFfn(count, top_k, width, width)
