"""Nemotron-H and Nemotron 3: layers of one part each, by a pattern: Mamba2, attention, feed-forward or experts."""

from __future__ import annotations

from collections.abc import Mapping

from sim.workload.config_fields import ConfigFields
from sim.workload.family.transformer import Body, Traits, attention
from sim.workload.layer_spec import DenseFfn, LayerSpec, MoeFfn
from sim.workload.mixer_spec import Mamba2Spec

LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
"""Letters of `hybrid_override_pattern`, and the names that `layers_block_type` has for them."""
TRAITS = Traits(has_out_bias=True)


def read_mamba2(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    kinds = _kinds(fields)
    if fields.text.get("head_dim") is None and fields.text.get("attention_head_dim") is not None:
        fields.default({"head_dim": fields.text["attention_head_dim"]})
    layers: Mapping[str, LayerSpec] = {kind: _layer(fields, kind) for kind in sorted(set(kinds))}
    return Body() if fields.problems else Body(tuple(layers[kind] for kind in kinds))


def _kinds(fields: ConfigFields) -> list[str]:
    """What each layer is."""
    key = fields.given("hybrid_override_pattern", "layers_block_type")
    given = fields.text.get(key)
    kinds = [LETTERS.get(each, each) for each in given] if isinstance(given, str | list) else []
    if not kinds or not all(kind in LETTERS.values() for kind in kinds):
        fields.refuse(key, f"must name every layer: {', '.join(f'{k} {v}' for k, v in LETTERS.items())}")
        return []
    count = fields.number("num_hidden_layers", default=len(kinds))
    if count != len(kinds) and not fields.is_changed("num_hidden_layers"):
        fields.refuse(key, f"lists {len(kinds)} layers, num_hidden_layers says {count}")
    return [kinds[index % len(kinds)] for index in range(count)]


def _layer(fields: ConfigFields, kind: str) -> LayerSpec:
    if kind == "attention":
        return LayerSpec(attention(fields, TRAITS, None), None)
    if kind == "mamba":
        return LayerSpec(_mamba(fields), None)
    if kind == "mlp":
        width = fields.number("intermediate_size")
        return LayerSpec(None, DenseFfn(width, is_gated=False, bias=fields.flag("mlp_bias", default=False)))
    return LayerSpec(None, _experts(fields))


def _mamba(fields: ConfigFields) -> Mamba2Spec:
    heads, groups = fields.number("mamba_num_heads"), fields.number("n_groups")
    if heads % groups:
        fields.refuse("n_groups", f"{heads} heads cannot share {groups} groups evenly")
    return Mamba2Spec(
        heads,
        fields.number("mamba_head_dim"),
        groups,
        fields.number("ssm_state_size"),
        fields.number("conv_kernel"),
        fields.flag("use_conv_bias", default=True),
        fields.flag("mamba_proj_bias", default=False),
    )


def _experts(fields: ConfigFields) -> MoeFfn:
    """Experts and a shared one, all without a gate (squared ReLU); they may work on a latent of the stream."""
    count, top_k = fields.number("n_routed_experts"), fields.number("num_experts_per_tok")
    if top_k > count:
        fields.refuse("num_experts_per_tok", f"a token cannot choose {top_k} of {count} experts")
    n_shared = fields.count("n_shared_experts")
    shared = n_shared * fields.number("moe_shared_expert_intermediate_size") if n_shared else 0
    latent = fields.count("moe_latent_size")
    width = fields.number("moe_intermediate_size")
    return MoeFfn(count, top_k, width, shared, router_bias=True, is_gated=False, latent=latent)
