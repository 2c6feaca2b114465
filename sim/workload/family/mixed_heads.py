"""Windowed layers with other heads than the others: MiMo V2 (values smaller than keys, sinks), Step 3.5 and 3.7."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sim.workload.config_fields import ConfigFields
from sim.workload.family.latent import dense_layers, drafting_layers, routed_experts
from sim.workload.family.transformer import Body, Traits, attention, read_windows
from sim.workload.layer_spec import AttentionSpec, DenseFfn, LayerSpec, MoeFfn

MIMO, STEP = Traits(), Traits(qk_norm=True)


def read_mimo_v2(fields: ConfigFields, _architecture: str) -> Body:
    """MiMo V2's layers; without them where there are problems. `hybrid_layer_pattern`: 1 for a layer with a window."""
    count = fields.number("num_hidden_layers")
    full = _of_mimo(fields, attention(fields, MIMO, None), "")
    local = _of_mimo(fields, attention(fields, MIMO, fields.number("sliding_window")), "swa_")
    is_local = _pattern(fields, count)
    is_dense, routed = dense_layers(fields, count), routed_experts(fields)
    dense = DenseFfn(fields.number("intermediate_size"))
    if fields.problems or full is None or local is None:
        return Body()
    local = replace(local, sinks=fields.flag("add_swa_attention_sink_bias", default=True))
    full = replace(full, sinks=fields.flag("add_full_attention_sink_bias", default=False))
    return Body(
        tuple(LayerSpec(local if is_local[i] else full, dense if is_dense[i] else routed) for i in range(count))
    )


def _of_mimo(fields: ConfigFields, one: AttentionSpec | None, start: str) -> AttentionSpec | None:
    """Heads, sizes of keys and values of the layers whose keys begin with `start`."""
    if one is None:
        return None
    heads = fields.number(f"{start}num_attention_heads", default=one.heads)
    kv_heads = fields.number(f"{start}num_key_value_heads", default=one.kv_heads)
    if heads % kv_heads:
        fields.refuse(f"{start}num_key_value_heads", f"{heads} heads cannot share {kv_heads} key-value heads evenly")
    dim = fields.number(f"{start}head_dim", default=one.head_dim)
    values = fields.number(f"{start}v_head_dim", default=fields.number("v_head_dim", default=dim))
    return replace(one, heads=heads, kv_heads=kv_heads, head_dim=dim, values=None if values == dim else values)


def _pattern(fields: ConfigFields, count: int) -> list[bool]:
    given = fields.text.get("hybrid_layer_pattern")
    if not isinstance(given, list) or len(given) < count or not all(type(x) is int and x in (0, 1) for x in given):
        fields.refuse("hybrid_layer_pattern", f"must list 0 or 1 (a window) for each of the {count} layers")
        return [False] * count
    return [bool(each) for each in given[:count]]


def read_step(fields: ConfigFields, _architecture: str) -> Body:
    """Step's layers; without them where there are problems. Each head's output is multiplied by a gate of its own."""
    count = fields.number("num_hidden_layers")
    if fields.text.get("num_key_value_heads") is None and fields.text.get("num_attention_groups") is not None:
        fields.default({"num_key_value_heads": fields.text["num_attention_groups"]})
    listed: Any = fields.text.get("layer_types")
    if isinstance(listed, list) and len(listed) > count:
        fields.text["layer_types"] = listed[:count]  # those of the drafting layers come behind
    full, heads = attention(fields, STEP, None), _sliding_heads(fields)
    windows = read_windows(fields, count)
    is_dense, routed = _dense_of_step(fields, count), _experts_of_step(fields)
    dense = DenseFfn(fields.number("intermediate_size"))
    if fields.problems or full is None:
        return Body()
    full = replace(full, gate_heads=True)
    kinds = {each: replace(full, window=each, heads=heads if each else full.heads) for each in {*windows, None}}
    layers = [LayerSpec(kinds[windows[i]], dense if is_dense[i] else routed) for i in range(count)]
    drafter = LayerSpec(kinds[None], dense)
    extra = drafting_layers(fields, drafter)
    return Body(tuple(layers), extra=extra, drafter=drafter if extra else None)


def _sliding_heads(fields: ConfigFields) -> int:
    """Query heads of the layers with a window."""
    usual = fields.number("num_attention_heads")
    if fields.text.get("num_sliding_attention_heads") is not None:
        return fields.number("num_sliding_attention_heads")
    other: Any = fields.text.get("attention_other_setting")
    heads = other.get("num_attention_heads", usual) if isinstance(other, dict) else usual
    if type(heads) is not int or heads < 1 or heads % fields.number("num_key_value_heads", default=heads):
        fields.refuse("attention_other_setting", "num_attention_heads must be a multiple of num_key_value_heads")
        return usual
    return heads


def _dense_of_step(fields: ConfigFields, count: int) -> list[bool]:
    """Layers without experts: not in `moe_layers_enum` (a text of numbers), else the first ones."""
    given = fields.text.get("moe_layers_enum")
    if given is None:
        return dense_layers(fields, count)
    parts = str(given).split(",") if isinstance(given, str) else given if isinstance(given, list) else []
    if not parts or not all(str(part).strip().isdecimal() for part in parts):
        fields.refuse("moe_layers_enum", "must list the layers that have experts")
        return [False] * count
    return [index not in {int(part) for part in parts} for index in range(count)]


def _experts_of_step(fields: ConfigFields) -> MoeFfn:
    count = fields.number(_first(fields, "n_routed_experts", "moe_num_experts", "num_experts"))
    top_k = fields.number(fields.given("moe_top_k", "num_experts_per_tok"))
    if top_k > count:
        fields.refuse("num_experts_per_tok", f"a token cannot choose {top_k} of {count} experts")
    shared = fields.count(fields.given("share_expert_dim", "share_expert_dims"))
    width = fields.number("moe_intermediate_size")
    return MoeFfn(count, top_k, width, shared, router_bias=fields.flag("use_moe_router_bias", default=True))


def _first(fields: ConfigFields, *keys: str) -> str:
    """The first of several spellings that the configuration has."""
    return next((key for key in keys if fields.text.get(key) is not None), keys[0])
