"""MiniMax M3: grouped-query attention that reads chosen blocks of keys, dense layers first, then experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sim.workload.config_fields import ConfigFields
from sim.workload.family.latent import dense_layers
from sim.workload.family.transformer import Body, Traits, attention
from sim.workload.layer_spec import DenseFfn, LayerSpec, MoeFfn
from sim.workload.sparse_spec import IndexerSpec

TRAITS = Traits(qk_norm=True)
SIZES = ("sparse_num_index_heads", "sparse_index_dim", "sparse_topk_blocks", "sparse_block_size")


def read_minimax_m3(fields: ConfigFields, _architecture: str) -> Body:
    """The layers; without them where there are problems."""
    count = fields.number("num_hidden_layers")
    full = attention(fields, TRAITS, None)
    index, is_sparse = _indexer(fields, count)
    is_dense, routed = dense_layers(fields, count), _experts(fields)
    dense = DenseFfn(fields.number("dense_intermediate_size") if any(is_dense) else 1)
    if fields.problems or full is None:
        return Body()
    chosen = replace(full, index=index)
    return Body(
        tuple(LayerSpec(chosen if is_sparse[i] else full, dense if is_dense[i] else routed) for i in range(count))
    )


def _indexer(fields: ConfigFields, count: int) -> tuple[IndexerSpec | None, list[bool]]:
    """What chooses blocks of keys, and the layers that have it."""
    given: Any = fields.text.get("sparse_attention_config")
    if given is None:
        return None, [False] * count
    sizes: list[Any] = [given.get(name) for name in SIZES] if isinstance(given, dict) else []
    if not sizes or not all(type(each) is int and 1 <= each <= 2**20 for each in sizes):
        fields.refuse("sparse_attention_config", f"must say {', '.join(SIZES)}, each from 1 up")
        return None, [False] * count
    heads, dim, blocks, block = sizes
    flags = given.get("sparse_attention_freq", [1] * count)
    if not isinstance(flags, list) or len(flags) < count or not all(type(x) is int and x in (0, 1) for x in flags):
        fields.refuse("sparse_attention_config", f"sparse_attention_freq must list 0 or 1 for {count} layers")
        return None, [False] * count
    hidden = fields.number("hidden_size")
    index = IndexerSpec(heads, dim, blocks * block, hidden, block=block, has_weights=False, norms=2 * dim)
    return index, [bool(flags[i]) for i in range(count)]


def _experts(fields: ConfigFields) -> MoeFfn:
    count, top_k = fields.number("num_local_experts"), fields.number("num_experts_per_tok")
    if top_k > count:
        fields.refuse("num_experts_per_tok", f"a token cannot choose {top_k} of {count} experts")
    shared = fields.count("n_shared_experts") * fields.count("shared_intermediate_size")
    has_bias = fields.flag("use_routing_bias", default=True)
    return MoeFfn(count, top_k, fields.number("intermediate_size"), shared, router_bias=has_bias)
