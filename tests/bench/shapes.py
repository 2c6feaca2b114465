"""Ops of every kernel family in ordinary and extreme shapes: one by one, huge, prime, deep, wide, many experts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from sim.workload.op import Attention, Custom, Elementwise, Gemm, GroupedGemm, Op

FORMATS = ("bf16", "q8_0", "q4_k", "mxfp4", "nvfp4", "fp8", "f32")


def gemms() -> Iterator[Op]:
    """From a vector to 131,072 rows; square, wide, deep, prime and single-element weights."""
    sides = ((1, 1), (1, 65536), (128256, 4096), (4096, 4096), (997, 1009), (28672, 8192), (8192, 28672), (7, 262144))
    for m, (n, k), dtype in product((1, 2, 7, 9, 64, 97, 512, 2048, 8192, 32768, 131072), sides, FORMATS):
        yield Gemm(id=f"gemm {m} {n} {k} {dtype}", m=m, n=n, k=k, dtype=dtype)


def grouped() -> Iterator[Op]:
    """From one token to 32,768, from 8 experts to 2,048."""
    experts = ((8, 2), (128, 8), (128, 4), (512, 10), (2048, 8))
    sides = ((5760, 2880), (2880, 2880), (512, 2048), (97, 101))
    for tokens, (e, top_k), (n, k), dtype in product((1, 2, 8, 32, 127, 512, 4096, 32768), experts, sides, FORMATS):
        name = f"moe {tokens} {e} {top_k} {n} {k} {dtype}"
        yield GroupedGemm(id=name, tokens=tokens, experts=e, top_k=top_k, n=n, k=k, dtype=dtype, skew=0.5)


def attentions() -> Iterator[Op]:
    """Decode and prefill, one sequence to 512, contexts to a million, with and without a window."""
    heads = ((32, 8, 128), (64, 8, 64), (1, 1, 128), (96, 8, 128), (13, 13, 80))
    spans = (
        (1, 1), (1, 1000), (1, 131072), (1, 1_000_003), (2, 2), (512, 512), (512, 33000), (997, 1009), (2048, 2048),
        (8192, 131072), (131072, 131072),
    )  # fmt: skip
    for batch, (h, kv, d), (query, context), window in product((1, 3, 32, 512), heads, spans, (None, 128)):
        if batch * query <= 2**18:
            name = f"attention {batch} {h} {kv} {d} {query} {context} {window}"
            yield Attention(
                id=name, batch=batch, heads=h, kv_heads=kv, head_dim=d, query=query, context=context, window=window
            )


def streams() -> Iterator[Op]:
    """Element-wise kernels and kernels known by their totals."""
    for elements, rows in product((1, 1000, 10**6, 10**9), (0, 1, 97, 4096)):
        if rows <= elements:
            yield Elementwise(id=f"elementwise {elements} {rows}", elements=elements, rows=rows)
    for ctas, size, flops in product((1, 7, 48, 96, 1000, 100_003), (0, 1, 2**20, 2**33), (0.0, 1e9, 1e14)):
        name = f"custom {ctas} {size} {flops}"
        yield Custom(id=name, flops=flops, read_bytes=size, write_bytes=size // 2, ctas=ctas)


def every_op() -> list[Op]:
    """All of them, in a fixed order."""
    return [*gemms(), *grouped(), *attentions(), *streams()]
