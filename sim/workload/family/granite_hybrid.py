"""Granite 4: Mamba2 in most layers, attention in a few, each with a dense part and, where there are any, experts."""

from __future__ import annotations

from sim.workload.config_fields import ConfigFields
from sim.workload.family.transformer import Body, Traits, attention
from sim.workload.layer_spec import DenseFfn, LayerSpec, MoeFfn
from sim.workload.mixer_spec import Mamba2Spec

TRAITS = Traits(defaults={"tie_word_embeddings": True})
KINDS = ("mamba", "attention", "linear_attention", "full_attention")


def read_granite_hybrid(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    fields.default(TRAITS.defaults)
    count = fields.number("num_hidden_layers")
    kinds = fields.names(fields.given("layer_types", "layers_block_type"), count, KINDS)
    full = attention(fields, TRAITS, None)
    recurrent = _mamba(fields) if {"mamba", "linear_attention"} & set(kinds) else None
    ffn = _ffn(fields)
    if fields.problems or full is None:
        return Body()
    layers = tuple(LayerSpec(recurrent if "att" not in k or "lin" in k else full, ffn, is_scaled=True) for k in kinds)
    return Body(layers, is_embedding_scaled=True, has_logit_cap=True)


def _mamba(fields: ConfigFields) -> Mamba2Spec:
    heads, groups = fields.number("mamba_n_heads"), fields.number("mamba_n_groups")
    if heads % groups:
        fields.refuse("mamba_n_groups", f"{heads} heads cannot share {groups} groups evenly")
    inner = fields.number("mamba_expand", default=2) * fields.number("hidden_size")
    if inner % heads:
        fields.refuse("mamba_n_heads", f"{heads} heads cannot share {inner} elements evenly")
    given = fields.text.get("mamba_d_head")
    dim = inner // heads if given in (None, "auto") else fields.number("mamba_d_head")
    if dim * heads != inner and not fields.problems:
        fields.refuse("mamba_d_head", f"{heads} heads of {dim} are not the {inner} elements of mamba_expand")
    return Mamba2Spec(
        heads,
        dim,
        groups,
        fields.number("mamba_d_state"),
        fields.number("mamba_d_conv"),
        fields.flag("mamba_conv_bias", default=True),
        fields.flag("mamba_proj_bias", default=False),
    )


def _ffn(fields: ConfigFields) -> DenseFfn | MoeFfn:
    """A dense part, beside the experts where there are some."""
    shared, count = fields.number("shared_intermediate_size"), fields.count("num_local_experts")
    if not count:
        return DenseFfn(shared)
    top_k = fields.number("num_experts_per_tok")
    if top_k > count:
        fields.refuse("num_experts_per_tok", f"a token cannot choose {top_k} of {count} experts")
    return MoeFfn(count, top_k, fields.number("intermediate_size"), shared)
