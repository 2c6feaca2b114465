"""The ops of mixers that are no plain attention, up to their output projection: recurrences, convolution, latents."""

from __future__ import annotations

from sim.workload.mixer_spec import GatedDeltaSpec, KdaSpec, LatentSpec, Mamba2Spec, ShortConvSpec
from sim.workload.op import Scan
from sim.workload.op_builder import OpBuilder
from sim.workload.sparse_mixers import choose_keys, read_chosen


def gated_delta(build: OpBuilder, spec: GatedDeltaSpec, index: int) -> None:
    """Projections, convolution, decay, the pass over the states, gated norm."""
    hidden, tokens = build.model.hidden_size, build.tokens
    build.gemm("linear_in", "linear_in", tokens, spec.in_columns, hidden, index)
    build.gemm("linear_in_gates", "linear_in", tokens, 2 * spec.value_heads, hidden, index)
    build.launch("linear_conv", tokens * spec.conv_width)
    build.launch("linear_gates", tokens * spec.value_heads)
    build.launch("linear_norm", tokens * 2 * spec.key_heads * spec.key_dim, rows=tokens * 2 * spec.key_heads)
    for _ in build.parts():
        if build.one.query > 1:
            build.launch("linear_chunk", build.tokens * spec.value_width)
        state = build.one.sequences * spec.value_heads * spec.key_dim * spec.value_dim
        build.launch("linear_state_in", state)
        _scan(build, spec.value_heads, spec.key_heads, spec.key_dim, spec.value_dim, is_delta=True)
        build.launch("linear_state_out", state)
    build.launch("linear_out_norm", tokens * spec.value_width, rows=tokens * spec.value_heads)


def mamba2(build: OpBuilder, spec: Mamba2Spec, index: int) -> None:
    """Projection, convolution, step sizes, the pass over the states, gated norm."""
    tokens = build.tokens
    build.gemm("linear_in", "linear_in", tokens, spec.in_columns, build.model.hidden_size, index)
    build.launch("linear_conv", tokens * spec.conv_width)
    build.launch("linear_gates", tokens * spec.heads)
    for _ in build.parts():
        if build.one.query > 1:
            build.launch("linear_chunk", build.tokens * spec.inner)
        _scan(build, spec.heads, spec.groups, spec.state, spec.head_dim, is_delta=False)
        build.launch("linear_state_out", build.one.sequences * spec.inner * spec.state)
    build.launch("linear_out_norm", tokens * spec.inner, rows=tokens * spec.groups)


def kda(build: OpBuilder, spec: KdaSpec, index: int) -> None:
    """Projections, convolution, a decay per channel, the pass over the states, gated norm."""
    hidden, tokens, width = build.model.hidden_size, build.tokens, spec.out_width
    build.gemm("linear_in", "linear_in", tokens, spec.conv_width, hidden, index)
    build.gemm("linear_in_gates", "linear_in", tokens, spec.gate_columns, hidden, index)
    build.gemm("linear_decay", "linear_gate", tokens, width, spec.rank, index)
    if not spec.has_wide_gate:
        build.gemm("linear_gate", "linear_gate", tokens, width, spec.rank, index)
    build.launch("linear_conv", tokens * spec.conv_width)
    build.launch("kda_gates", tokens * width)
    build.launch("kda_norm", tokens * 2 * width, rows=tokens * 2 * spec.heads)
    for _ in build.parts():
        if build.one.query > 1:
            build.launch("kda_chunk", build.tokens * width)
        state = build.one.sequences * width * spec.head_dim
        build.launch("linear_state_in", state)
        _scan(build, spec.heads, spec.heads, spec.head_dim, spec.head_dim, is_delta=True, has_channel_decay=True)
        build.launch("linear_state_out", state)
    build.launch("linear_out_norm", tokens * width, rows=tokens * spec.heads)


def short_conv(build: OpBuilder, spec: ShortConvSpec, index: int) -> None:
    """Projection to two gates and a value, gate, convolution, gate."""
    tokens = build.tokens
    build.gemm("linear_in", "linear_in", tokens, 3 * spec.width, build.model.hidden_size, index)
    build.launch("short_conv", tokens * spec.width)


def _scan(
    build: OpBuilder,
    heads: int,
    key_heads: int,
    key_dim: int,
    value_dim: int,
    *,
    is_delta: bool,
    has_channel_decay: bool = False,
) -> None:
    build.add(
        Scan,
        "linear_scan",
        batch=build.one.sequences,
        heads=heads,
        key_heads=key_heads,
        key_dim=key_dim,
        value_dim=value_dim,
        query=build.one.query,
        is_delta=is_delta,
        has_channel_decay=has_channel_decay,
        dtype=build.runtime.activation_dtype,
        state_dtype=build.runtime.state_dtype,
    )


def latent(build: OpBuilder, spec: LatentSpec, index: int) -> None:
    """Latents, their cache, and attention over them (decode) or over the keys and values made from them."""
    hidden, tokens = build.model.hidden_size, build.tokens
    if spec.q_rank:
        build.gemm("q_a", "attn_q_a", tokens, spec.q_rank, hidden, index)
    build.gemm("kv_a", "attn_kv_a", tokens, spec.latent, hidden, index)
    build.launch("latent_norm", tokens * (spec.q_rank + spec.kv_rank), rows=tokens)
    build.gemm("q_b", "attn_q_b", tokens, spec.q_width, spec.q_rank or hidden, index)
    if spec.has_rope:
        build.launch("latent_rope", tokens * (spec.heads + 1) * spec.rope_dim)
    build.launch("latent_store", tokens * spec.latent)
    for _ in build.parts():
        if spec.index:
            choose_keys(build, spec.index, index)
        if spec.index or build.one.query == 1 or build.runtime.latent_prefill == "absorbed":
            _absorbed(build, spec, index)
        else:
            _expanded(build, spec, index)
    if spec.is_gated:
        build.gemm("gate", "attn_gate", tokens, spec.out_width, hidden, index)
        build.launch("attn_gate", tokens * spec.out_width)


def _absorbed(build: OpBuilder, spec: LatentSpec, index: int) -> None:
    """Queries are brought to the latents, and the result back to values: head by head, as one product each."""
    tokens, one = build.tokens, build.one
    build.gemm("q_absorb", "attn_kv_b", tokens, spec.kv_rank, spec.heads * spec.nope_dim, index)
    build.launch("latent_copy", tokens * spec.heads * spec.latent)
    if spec.index:
        read_chosen(build, spec.index, spec.heads, 1, spec.latent, spec.kv_rank, is_latent=True)
    else:
        build.attend("attention", spec.heads, 1, spec.latent, spec.kv_rank, one.context, is_latent=True)
    if one.query == 1:
        build.launch("attn_reduce", one.sequences * spec.heads * spec.kv_rank)
    build.gemm("v_absorb", "attn_kv_b", tokens, spec.heads * spec.value_dim, spec.kv_rank, index)


def _expanded(build: OpBuilder, spec: LatentSpec, index: int) -> None:
    """Keys and values of all heads for the tokens of this pass (and those before it)."""
    seen = build.one.sequences * build.one.context
    width = spec.heads * (spec.nope_dim + spec.value_dim)
    build.gemm("kv_b", "attn_kv_b", seen, width, spec.kv_rank, index)
    build.launch("latent_copy", seen * (width + spec.heads * spec.rope_dim))
    dim = spec.nope_dim + spec.rope_dim
    made = None if build.runtime.latent_prefill == "expanded_as_cached" else build.runtime.activation_dtype
    build.attend("attention", spec.heads, spec.heads, dim, spec.value_dim, build.one.context, made, is_latent=False)
