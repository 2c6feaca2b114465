"""Llama-Nemotron (DeciLM): a Llama whose layers a search made different: heads shared otherwise, parts left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sim.workload.config_fields import ConfigFields
from sim.workload.family.transformer import Body, Traits, attention
from sim.workload.layer_spec import AttentionSpec, DenseFfn, LayerSpec

TRAITS = Traits(has_out_bias=True)
WIDTH_MULTIPLE = 256
"""Widths are rounded up to this (modeling_decilm.py, `_find_multiple`)."""


def read_deci(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    count = fields.number("num_hidden_layers")
    full = attention(fields, TRAITS, None)
    given: Any = fields.text.get("block_configs")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        fields.refuse("block_configs", "must describe attention and ffn of each layer")
    elif len(given) != count and not fields.is_changed("num_hidden_layers"):
        fields.refuse("block_configs", f"lists {len(given)} layers, num_hidden_layers says {count}")
    if fields.problems or full is None:
        return Body()
    found = [_layer(fields, full, given[index % len(given)]) for index in range(count)]
    return Body() if fields.problems else Body(tuple(found))


def _layer(fields: ConfigFields, full: AttentionSpec, block: dict[str, Any]) -> LayerSpec:
    """One layer; either part may be missing. What else a search may put in its place is refused."""
    parts = [block.get(name) for name in ("attention", "ffn")]
    if not all(isinstance(part, dict) for part in parts):
        fields.refuse("block_configs", "must describe attention and ffn of each layer")
        return LayerSpec(None, None)
    mixer, ffn = parts
    assert isinstance(mixer, dict)
    assert isinstance(ffn, dict)
    for part in (mixer, ffn):
        odd = [key for key in ("replace_with_linear", "sparsify", "window_length", "num_sink_tokens") if part.get(key)]
        if odd:
            fields.refuse("block_configs", f"{odd[0]} is not modelled", code="unsupported_feature")
    return LayerSpec(
        None if mixer.get("no_op") else _attention(fields, full, mixer), None if ffn.get("no_op") else _ffn(fields, ffn)
    )


def _attention(fields: ConfigFields, full: AttentionSpec, part: dict[str, Any]) -> AttentionSpec:
    sharing = part.get("n_heads_in_group")
    if type(sharing) is not int or sharing < 1 or full.heads % sharing:
        fields.refuse("block_configs", f"n_heads_in_group must divide the {full.heads} heads, not {str(sharing)[:20]}")
        return full
    return replace(full, kv_heads=full.heads // sharing)


def _ffn(fields: ConfigFields, part: dict[str, Any]) -> DenseFfn:
    factor = part.get("ffn_mult")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor <= 100:
        fields.refuse("block_configs", f"ffn_mult must be a number above 0, not {str(factor)[:20]}")
        return DenseFfn(1)
    width = int(2 * factor * fields.number("hidden_size") / 3)
    return DenseFfn(-(-width // WIDTH_MULTIPLE) * WIDTH_MULTIPLE)
