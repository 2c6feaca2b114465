"""The ops of attention that reads few of its keys: the choice by an indexer, and DeepSeek V4's compressed entries.

Tokens of one sequence that each read keys of their own stand as sequences of one query (`Attention.shared_by`): that is
how kernels of sparse attention run them, a CTA per token and group of heads.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from sim.workload.op import Attention
from sim.workload.op_builder import OpBuilder
from sim.workload.sparse_spec import CompressedSpec, IndexerSpec

SAMPLES = 64
"""Positions of a pass at which keys are counted: what a query reads is linear in between but for one bend."""


def choose_keys(build: OpBuilder, spec: IndexerSpec, index: int) -> None:
    """The indexer's queries and keys, the scores of all keys, and the choice; nothing where it is another layer's."""
    if spec.shares:
        return
    tokens, hidden = build.tokens, build.model.hidden_size
    weights = spec.heads if spec.has_weights else 0
    build.gemm("index_q", "attn_index_q", tokens, spec.q_width, spec.q_input, index)
    build.gemm("index_k", "attn_index", tokens, spec.k_columns + weights, hidden, index)
    build.launch("index_queries", tokens * spec.q_width)
    build.launch("index_keys", tokens * spec.k_columns)
    mean = _mean(build, lambda seen: seen // spec.stride)
    if not mean:
        return
    entries = build.one.context // spec.stride
    _attention(build, "index_scores", spec.heads, 1, spec.dim, 1, mean, entries, is_latent=True)
    build.launch("index_topk", tokens * mean * (1 if spec.has_weights else spec.heads), rows=tokens)


def read_chosen(
    build: OpBuilder, spec: IndexerSpec, heads: int, kv_heads: int, head_dim: int, value_dim: int, *, is_latent: bool
) -> None:
    """Attention over the keys that the indexer chose."""
    mean = _mean(build, spec.chosen)
    seen = build.one.context
    _attention(build, "attention_sparse", heads, kv_heads, head_dim, value_dim, max(1, mean), seen, is_latent=is_latent)


def compressed(build: OpBuilder, spec: CompressedSpec, index: int) -> None:
    """Latent of the queries, shared keys, what is pooled, the choice, and attention over window and entries."""
    hidden, tokens, one = build.model.hidden_size, build.tokens, build.one
    build.gemm("q_a", "attn_q_a", tokens, spec.q_rank, hidden, index)
    build.gemm("kv_a", "attn_kv_a", tokens, spec.head_dim, hidden, index)
    build.launch("latent_norm", tokens * (spec.q_rank + spec.head_dim), rows=tokens)
    build.gemm("q_b", "attn_q_b", tokens, spec.q_width, spec.q_rank, index)
    build.launch("q_norm", tokens * spec.q_width, rows=tokens * spec.heads)
    build.launch("latent_rope", tokens * (spec.heads + 1) * spec.rope_dim)
    build.launch("latent_store", tokens * spec.head_dim)
    if spec.ratio:
        build.gemm("compress", "attn_compress", tokens, spec.pooled_columns, hidden, index)
        build.launch("compress", tokens * spec.pooled_columns)
    if spec.index:
        choose_keys(build, spec.index, index)
    seen = min(one.context, spec.window + one.query - 1) + (one.context // spec.ratio if spec.ratio else 0)
    dim = spec.head_dim
    if build.runtime.sparse_keys == "masked":
        if spec.ratio:
            build.launch("sparse_concat", one.sequences * seen * dim)
            build.launch("sparse_mask", tokens * seen)
        # Not chosen is masked, but read and multiplied.
        build.attend("attention_sparse", spec.heads, 1, dim, dim, seen, is_latent=True)
    else:
        mean = max(1, _mean(build, spec.keys))
        _attention(build, "attention_sparse", spec.heads, 1, dim, dim, mean, seen, is_latent=True)
    if one.query == 1:
        build.launch("attn_reduce", one.sequences * spec.q_width)
    build.launch("latent_rope", tokens * spec.heads * spec.rope_dim)  # the values' rotation is taken back
    build.gemm("o_a", "attn_o_a", tokens, spec.out_width, spec.q_width // spec.groups, index)


def _mean(build: OpBuilder, keys_of: Callable[[int], int]) -> int:
    """Keys that a token of the pass reads on average, whole; `keys_of`: those of a token that sees so many."""
    one = build.one
    first, count = one.context - one.query + 1, min(SAMPLES, one.query)
    seen = [first + (2 * place + 1) * one.query // (2 * count) for place in range(count)]
    return round(sum(keys_of(each) for each in seen) / count)


def _attention(
    build: OpBuilder,
    site: str,
    heads: int,
    kv_heads: int,
    head_dim: int,
    value_dim: int,
    keys: int,
    seen: int,
    *,
    is_latent: bool,
) -> None:
    """Every token as a sequence of one query over `keys` of the `seen` keys that its sequence has."""
    one = build.one
    readers = max(1, min(one.query, ceil(one.query * keys / max(1, seen))))
    build.add(
        Attention,
        site,
        batch=one.sequences * one.query,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_dim=value_dim,
        is_latent=is_latent,
        shared_by=readers,
        query=1,
        context=keys,
        kv_dtype=build.kv_dtype,
        dtype=build.runtime.activation_dtype,
    )
