"""How the collectors of aiconfigurator run an op: what they launch before it, and what L2 then holds."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from sim.system.kernel_prediction import KernelBench, Start
from sim.system.kernel_shapes import site_launches
from sim.validation.kernel_data import Measured
from sim.workload.op import Attention, Gemm, Op
from sim.workload.popularity import route
from sim.workload.quant import formats
from sim.workload.runtime import RuntimeSpec

ROOM = 1.05
"""Weights that just do not fit still hit for the most part: replacement is not strictly by last use."""
STORED = {"mxfp4": (256, 128)}
"""Multiples to which hidden and intermediate sizes are stored padded (gpt-oss on Marlin)."""
LATENT = 576
"""Elements of a latent with its rotary part, in DeepSeek's and Kimi's models."""
WRITTEN_PLACES = 1.5
"""Room in L2 that written tensors take of what has just been read: they push out more than their size."""


def launched_first(row: Measured, ops: Sequence[Op], runtime: RuntimeSpec, bench: KernelBench) -> list[Op]:
    """What the collector's layer launches first: the store into the KV cache, or bringing inputs into format.

    Where a prompt's latents are expanded: the rotary embedding of queries and keys.
    """
    first = ops[0]
    if isinstance(first, Attention) and row.op == "attention":
        sizes = row.sizes
        tokens = sizes["batch"] * sizes["query"]
        heads = 2 * sizes["kv_heads"] + (sizes["heads"] if bench.stores_queries(first) else 0)
        elements = tokens * heads * sizes["head_dim"]
        return site_launches(runtime, bench.store_site(first), elements, tokens)
    if isinstance(first, Attention):
        return _before_latents(first, runtime, bench)
    if not isinstance(first, Gemm):
        return []
    site = bench.quantize_site(first)
    return site_launches(runtime, site, first.m * first.k, first.m) if site else []


def _before_latents(op: Attention, runtime: RuntimeSpec, bench: KernelBench) -> list[Op]:
    """Rotary embedding, the store of latents into the cache, and what brings queries, keys and values into format."""
    if bench.store_site(op) == "kv_store":
        return []
    rotary, tokens = op.head_dim - op.values, op.batch * op.query
    elements = (op.heads + 1) * rotary if op.is_latent else 2 * op.heads * rotary + LATENT
    ops = site_launches(runtime, bench.store_site(op), tokens * elements, tokens)
    if site := bench.quantize_site(op):
        ops += site_launches(runtime, site, tokens * op.heads * (2 * op.head_dim + op.values), tokens)
    return ops


def start_of(row: Measured, capacity: float, *, is_quantized: bool) -> Start:
    """What L2 of `capacity` bytes holds of weights (keys) and activations when the collector comes round again.

    Whole tensors lie evenly over the sets, so that what fits all stays and what does not is all gone (LRU).
    """
    starts = {"attention": _attention, "moe": _moe, "mla": _mla, "gdn": _gdn, "kda": _kda, "quantize": _quantize}
    if row.op == "all_reduce":
        return Start()
    return starts.get(row.op, _gemm)(row, capacity, is_quantized)


def _attention(row: Measured, capacity: float, _is_quantized: bool) -> Start:
    sizes = row.sizes
    width = 2.0 * sizes["batch"] * sizes["head_dim"]
    seen = min(sizes["context"], sizes.get("window", sizes["context"]) + sizes["query"] - 1)
    keys = width * sizes["kv_heads"] * seen * formats()[row.dtype].bits_per_weight / 8
    queries = 2.0 * width * sizes["heads"] * sizes["query"]
    return Start(float(keys + queries <= capacity), float(keys <= capacity))


def _mla(row: Measured, capacity: float, _is_quantized: bool) -> Start:
    sizes = row.sizes
    keys = sizes["batch"] * sizes["context"] * LATENT * formats()[row.dtype].bits_per_weight / 8
    queries = 2.0 * sizes["batch"] * sizes["query"] * sizes["heads"] * LATENT
    return Start(float(keys + queries <= capacity), float(keys <= capacity))


def _gdn(row: Measured, capacity: float, _is_quantized: bool) -> Start:
    sizes = row.sizes
    tokens = sizes["batch"] * sizes["query"]
    states = 4.0 * sizes["batch"] * sizes["value_heads"] * sizes["key_dim"] * sizes["value_dim"]
    inputs = 2.0 * tokens * (2 * sizes["key_heads"] * sizes["key_dim"] + sizes["value_heads"] * sizes["value_dim"])
    return Start(float(inputs + states <= capacity), float(inputs + states <= capacity))


def _kda(row: Measured, capacity: float, _is_quantized: bool) -> Start:
    sizes = row.sizes
    width = sizes["heads"] * sizes["head_dim"]
    sets = 1 if sizes["query"] == 1 else 2  # prompts leave their states beside those that they began with
    states, inputs = (
        sets * 4.0 * sizes["batch"] * width * sizes["head_dim"],
        10.0 * sizes["batch"] * sizes["query"] * width,
    )
    return Start(float(inputs + states <= capacity), float(inputs + states <= capacity))


def _quantize(row: Measured, capacity: float, _is_quantized: bool) -> Start:
    """Read and written over and over: the rows stay in L2 where both fit."""
    elements = row.sizes["rows"] * row.sizes["width"]
    return Start(float(3.0 * elements <= capacity))


def _moe(row: Measured, capacity: float, _is_quantized: bool) -> Start:
    sizes = row.sizes
    experts = route(sizes["tokens"], sizes["experts"], sizes["top_k"], 0.0, 128, sizes["power"]).active
    hidden, width = (
        ceil(sizes[name] / multiple) * multiple
        for name, multiple in zip(("hidden", "intermediate"), STORED.get(row.dtype, (1, 1)), strict=True)
    )
    per_expert = (3 if sizes.get("gated", 1) else 2) * hidden * width
    weights = experts * per_expert * formats()[row.dtype].bits_per_weight / 8
    moved = 4.0 * sizes["tokens"] * sizes["top_k"] * (sizes["hidden"] + sizes["intermediate"])
    return Start(1.0, float(weights + moved <= ROOM * capacity))


def _gemm(row: Measured, capacity: float, is_quantized: bool) -> Start:
    sizes = row.sizes
    weights = sizes["n"] * sizes["k"] * formats()[row.dtype].bits_per_weight / 8
    inputs, written = 2.0 * sizes["m"] * sizes["k"], 2.0 * sizes["m"] * sizes["n"]
    if is_quantized:
        written += sizes["m"] * sizes["k"] * formats()[row.dtype].bits_per_weight / 8
    inputs *= row.input_copies
    streams = float(weights * row.copies + inputs + written <= ROOM * capacity)
    return Start(float(weights + inputs + WRITTEN_PLACES * written <= capacity), streams)
