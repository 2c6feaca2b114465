"""Multi-head latent attention, dense layers first, then experts with a shared one: DeepSeek V2 to V3.2, Kimi K2, GLM-5.

DeepSeek V3.2 and GLM-5 choose keys with an indexer (`index_topk`); from GLM-5.2 on most layers take the choice of an
earlier one (`indexer_types`). The drafting layers (`num_nextn_predict_layers`) are a layer, a joining projection and
three norms, and in DeepSeek's checkpoints a second copy of embedding and head, which is not counted.
"""

from __future__ import annotations

from dataclasses import replace

from sim.workload.config_fields import ConfigFields
from sim.workload.family.transformer import Body
from sim.workload.layer_spec import DenseFfn, LayerSpec, MoeFfn
from sim.workload.mixer_spec import LatentSpec
from sim.workload.model import Tensor
from sim.workload.sparse_spec import IndexerSpec


def read_latent(fields: ConfigFields, architecture: str) -> Body:
    """The layers; without them where there are problems."""
    count = fields.number("num_hidden_layers")
    mixer = latent_attention(fields)
    mixers = _indexed(fields, mixer, count)
    is_dense = dense_layers(fields, count)
    routed = routed_experts(fields, has_bias=not architecture.startswith(("DeepseekV2", "Mistral4")))
    dense = DenseFfn(fields.number("intermediate_size") if any(is_dense) else 1)
    if fields.problems:
        return Body()
    layers = tuple(LayerSpec(mixers[i], dense if is_dense[i] else routed) for i in range(count))
    drafter = LayerSpec(mixers[0], routed)
    extra = drafting_layers(fields, drafter)
    return Body(layers, extra=extra, drafter=drafter if extra else None)


def latent_attention(fields: ConfigFields) -> LatentSpec:
    """Attention over latents, in DeepSeek's keys."""
    return LatentSpec(
        fields.number("num_attention_heads"),
        fields.count("q_lora_rank"),
        fields.number("kv_lora_rank"),
        fields.number("qk_nope_head_dim"),
        fields.number("qk_rope_head_dim"),
        fields.number("v_head_dim"),
    )


def _indexed(fields: ConfigFields, mixer: LatentSpec, count: int) -> list[LatentSpec]:
    """The attention of each layer, with the indexer where the configuration has one."""
    if fields.text.get("index_topk") is None:
        return [mixer] * count
    dim = fields.number("index_head_dim")
    own = IndexerSpec(
        fields.number("index_n_heads"), dim, fields.number("index_topk"), mixer.q_rank or 1, norms=2 * dim
    )
    if not mixer.q_rank:
        fields.refuse("q_lora_rank", "is missing: the indexer's queries are made from the latent of the queries")
    kinds = ["full"] * count
    if fields.text.get("indexer_types") is not None:
        kinds = fields.names("indexer_types", count, ("full", "shared"))
        if kinds and kinds[0] != "full":
            fields.refuse("indexer_types", "the first layer cannot share the choice of an earlier one")
    return [replace(mixer, index=replace(own, shares=kind == "shared")) for kind in kinds]


def dense_layers(fields: ConfigFields, count: int) -> list[bool]:
    """Which layers have a dense part: named one by one, flagged one by one (`moe_layer_freq`), else the first ones."""
    if fields.text.get("mlp_layer_types") is not None:
        kinds = fields.names("mlp_layer_types", count, ("dense", "sparse"))
        return [kind == "dense" for kind in kinds] or [False] * count
    every = fields.text.get("moe_layer_freq")
    if isinstance(every, list):
        if len(every) != count or not all(type(each) is int and each in (0, 1) for each in every):
            fields.refuse("moe_layer_freq", f"must be a number, or list 0 or 1 for each of the {count} layers")
            return [False] * count
        return [not each for each in every]
    first, step = fields.count("first_k_dense_replace"), fields.number("moe_layer_freq", default=1)
    return [index < first or index % step != 0 for index in range(count)]


def routed_experts(fields: ConfigFields, *, has_bias: bool = True) -> MoeFfn:
    """Experts with shared ones, in DeepSeek's keys; `has_bias`: routing is balanced by a bias per expert."""
    count, top_k = fields.number("n_routed_experts"), fields.number("num_experts_per_tok")
    if top_k > count:
        fields.refuse("num_experts_per_tok", f"a token cannot choose {top_k} of {count} experts")
    width = fields.number("moe_intermediate_size")
    return MoeFfn(count, top_k, width, fields.count("n_shared_experts") * width, router_bias=has_bias)


def drafting_layers(fields: ConfigFields, layer: LayerSpec) -> tuple[Tensor, ...]:
    """Parameters of the drafting layers: a layer, a joining projection and three norms each."""
    count = fields.count("num_nextn_predict_layers")
    if not count:
        return ()
    hidden = fields.number("hidden_size")
    one = sum(size for _, size in layer.sizes(hidden)) + 2 * hidden * hidden + 3 * hidden
    return (Tensor("mtp", None, count * one),)
