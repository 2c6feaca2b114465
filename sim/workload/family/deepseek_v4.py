"""DeepSeek V4: attention over a window and compressed entries, experts in every layer, four residual streams.

`compress_ratios` names each layer's ratio: 0 a window alone, 4 with an indexer's choice of entries, 128 with all of
them (or `layer_types` says it in words). The first `num_hash_layers` route by the token, without a bias to balance.
"""

from __future__ import annotations

from dataclasses import replace

from sim.workload.config_fields import ConfigFields
from sim.workload.family.latent import routed_experts
from sim.workload.family.transformer import Body
from sim.workload.layer_spec import LayerSpec
from sim.workload.model import Tensor
from sim.workload.sparse_spec import CompressedSpec, IndexerSpec
from sim.workload.streams import StreamSpec

RATIOS = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
"""Ratio of each kind of layer (transformers, models/deepseek_v4/configuration_deepseek_v4.py)."""
# transformers' DeepseekV4Config: published files of the family leave these out.
DEFAULTS = {"sliding_window": 128, "n_shared_experts": 1}


def read_deepseek_v4(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    fields.default(DEFAULTS)
    count, hashed = fields.number("num_hidden_layers"), fields.count("num_hash_layers")
    ratios = _ratios(fields, count)
    kinds = {ratio: _attention(fields, ratio) for ratio in {*ratios, 0}}
    routed, streams = routed_experts(fields), StreamSpec("hyper", fields.number("hc_mult"))
    if fields.problems:
        return Body()
    by_token = replace(routed, router_bias=False)
    layers = tuple(
        LayerSpec(kinds[ratio], by_token if index < hashed else routed, streams=streams)
        for index, ratio in enumerate(ratios)
    )
    hidden = fields.number("hidden_size")
    extra = tuple(Tensor(name, None, size) for name, size in streams.outside(hidden))
    drafter = LayerSpec(kinds[0], routed, streams=streams)
    drafting = _drafting_layers(fields, drafter, streams)
    return Body(layers, extra=(*extra, *drafting), drafter=drafter if drafting else None)


def _ratios(fields: ConfigFields, count: int) -> list[int]:
    """The ratio of each layer; a list may go on with those of the drafting layers."""
    if fields.text.get("layer_types") is not None:
        return [RATIOS[name] for name in fields.names("layer_types", count, RATIOS)] or [0] * count
    given = fields.text.get("compress_ratios")
    known = set(RATIOS.values())
    if not isinstance(given, list) or not given or not all(type(each) is int and each in known for each in given):
        fields.refuse("compress_ratios", f"must list {', '.join(map(str, sorted(known)))} for each layer")
    elif len(given) < count and not fields.is_changed("num_hidden_layers"):
        fields.refuse("compress_ratios", f"lists {len(given)} layers, num_hidden_layers says {count}")
    else:
        return [given[index % len(given)] for index in range(count)]
    return [0] * count


def _attention(fields: ConfigFields, ratio: int) -> CompressedSpec:
    heads, groups = fields.number("num_attention_heads"), fields.number("o_groups")
    if heads % groups:
        fields.refuse("o_groups", f"{heads} heads cannot be split into {groups} groups evenly")
    q_rank = fields.number("q_lora_rank")
    dim = fields.number("index_head_dim")
    index = IndexerSpec(
        fields.number("index_n_heads"), dim, fields.number("index_topk"), q_rank, stride=RATIOS_INDEXED, norms=dim
    )
    return CompressedSpec(
        heads,
        fields.number("head_dim"),
        q_rank,
        fields.number("qk_rope_head_dim", default=64),
        fields.number("sliding_window"),
        ratio,
        groups,
        fields.number("o_lora_rank"),
        index if ratio == RATIOS_INDEXED else None,
    )


RATIOS_INDEXED = RATIOS["compressed_sparse_attention"]
"""Layers of this ratio have an indexer."""


def _drafting_layers(fields: ConfigFields, layer: LayerSpec, streams: StreamSpec) -> tuple[Tensor, ...]:
    """A layer without entries, two joining projections, three norms, and streams that are joined again."""
    count, hidden = fields.count("num_nextn_predict_layers"), fields.number("hidden_size")
    one = sum(size for _, size in (*layer.sizes(hidden), *streams.outside(hidden)))
    return (Tensor("mtp", None, count * (one + 2 * hidden * hidden + 3 * hidden)),) if count else ()
