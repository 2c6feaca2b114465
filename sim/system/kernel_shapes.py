"""What `kernel` takes: ops by name with the sizes that each wants, checked as a whole, and the launches they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

from sim.errors import InputError, Problem
from sim.workload.op import ALGORITHMS, AllReduce, Attention, Elementwise, Gemm, GroupedGemm, Op, Scan
from sim.workload.op_builder import choose_kernel
from sim.workload.quant import formats
from sim.workload.runtime import RuntimeSpec
from sim.yamlfile import closest

LARGEST = 2**31
MLA_SIZES = {"kv_rank": 512, "rope_dim": 64, "nope_dim": 128, "value_dim": 128}
"""Sizes of DeepSeek's and Kimi's latent attention."""
CHOICES = {"algorithm": ALGORITHMS}
"""Sizes that are words."""
Shape = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The names of an op's sizes: those it needs, and those it may leave out with what they then are."""

    needed: tuple[str, ...]
    optional: Mapping[str, float | str | None]
    about: str


OPS: dict[str, Sizes] = {
    "gemm": Sizes(("m", "n", "k"), {}, "(m, k) x (k, n)"),
    "attention": Sizes(
        ("batch", "heads", "kv_heads", "head_dim", "query", "context"),
        {"window": None},
        "causal; context counts all keys that the last query sees, its own included; one query: the split's sum too",
    ),
    "moe": Sizes(
        ("tokens", "hidden", "intermediate", "experts", "top_k"),
        {"skew": 0.0, "power": None, "gated": 1},
        "both grouped GEMMs and what the runtime launches before, between and after them; no router",
    ),
    "mla": Sizes(
        ("batch", "heads", "query", "context"),
        MLA_SIZES,
        "latent attention alone, over the latents or over the keys and values made from them, as the runtime does it",
    ),
    "gdn": Sizes(
        ("batch", "query", "key_heads", "value_heads"),
        {"key_dim": 128, "value_dim": 128},
        "gated delta rule: norms of queries and keys, what is done inside of chunks, the pass over the states",
    ),
    "mamba2": Sizes(
        ("batch", "query", "heads", "groups"),
        {"head_dim": 64, "state": 128},
        "state space scan: what is done inside of chunks, the pass over the states",
    ),
    "norm": Sizes(("rows", "width"), {}, "RMS norm of rows with the residual's sum, as the runtime fuses it"),
    "elementwise": Sizes(("elements",), {"reads": 1, "writes": 1}, "arrays read and written, dtype wide"),
    "quantize": Sizes(("rows", "width"), {}, "activations brought into the format that dtype's GEMM wants"),
    "kda": Sizes(
        ("batch", "query", "heads"),
        {"head_dim": 128},
        "Kimi delta attention: norms of queries and keys, what is done inside of chunks, the pass over the states",
    ),
    "all_reduce": Sizes(
        ("size", "ranks"),
        {"algorithm": "auto"},
        "bytes of each rank summed over all; one_shot and two_shot are libraries' kernels, ring and tree NCCL's",
    ),
    "copy": Sizes(("size",), {}, "bytes from device memory to device memory"),
}
"""Every op that is modelled."""
FRACTIONS = frozenset({"skew", "power", "reads", "writes"})
MAY_BE_ZERO = FRACTIONS | {"gated"}
SHAPE_NAMES = tuple(dict.fromkeys(name for sizes in OPS.values() for name in (*sizes.needed, *sizes.optional)))


def check_shape(op: str, dtype: str | None, shape: Mapping[str, object]) -> dict[str, float | str]:
    """The sizes of `op`, complete.

    Raises:
        InputError: an op that is not there or not modelled yet, an unknown format, and every size that is missing, of
            another op or out of range, at once.
    """
    problems = _of_op(op)
    if dtype is None:
        problems.append(Problem("is missing", code="missing", path="dtype", hint="e.g. bf16, fp8, nvfp4"))
    elif dtype not in formats():
        guess = closest(dtype, list(formats()))
        hint = f"did you mean {guess!r}?" if guess else f"known: {', '.join(formats())}"
        problems.append(Problem(f"unknown format {dtype[:40]!r}", code="unknown_format", path="dtype", hint=hint))
    if op not in OPS:
        raise InputError(problems)
    sizes = OPS[op]
    known = (*sizes.needed, *sizes.optional)
    given = {name: value for name, value in shape.items() if value is not None}
    missing = [name for name in sizes.needed if name not in given]
    if missing:
        names = ", ".join(missing)
        message = f"{op} also needs {names}"
        problems.append(Problem(message, code="missing", path="shape", hint=f"{op} takes {', '.join(known)}"))
    for name, value in given.items():
        problems += _of_size(op, name, value, known)
    if not problems:
        problems += _together(op, given)
    if problems:
        raise InputError(problems)
    defaults = {name: value for name, value in sizes.optional.items() if value is not None}
    return defaults | {name: value for name, value in given.items() if isinstance(value, int | float | str)}


def _of_op(op: str) -> list[Problem]:
    if op in OPS:
        return []
    guess = closest(op, list(OPS))
    hint = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(OPS)}"
    return [Problem(f"unknown op {op[:40]!r}", code="unknown_op", path="op", hint=hint)]


def _of_size(op: str, name: str, value: object, known: Sequence[str]) -> list[Problem]:
    if name not in known:
        guess = closest(name, known)
        hint = f"did you mean {guess!r}?" if guess else f"it takes {', '.join(known)}"
        return [Problem(f"{op} has no size {name!r}", code="unknown_size", path=name, hint=hint)]
    if name in CHOICES:
        if value in CHOICES[name]:
            return []
        hint = f"there are: {', '.join(CHOICES[name])}"
        return [Problem(f"unknown {name} {str(value)[:40]!r}", code="bad_argument", path=name, hint=hint)]
    if isinstance(value, bool) or not isinstance(value, int if name not in FRACTIONS else int | float):
        return [Problem(f"must be a whole number, not {value!r}", code="bad_argument", path=name)]
    assert isinstance(value, int | float)
    least = 0 if name in MAY_BE_ZERO else 2 if name == "ranks" else 1
    if not isfinite(value) or not least <= value <= (
        100 if name in ("skew", "power") else 2**46 if name == "size" else LARGEST
    ):
        return [Problem(f"must be {least} or more and sane, not {value}", code="bad_argument", path=name)]
    return []


def _together(op: str, shape: Mapping[str, object]) -> list[Problem]:
    """What must hold between sizes."""
    rules: list[tuple[str, bool, str, str]] = []
    n = {name: value for name, value in shape.items() if isinstance(value, int | float)}
    if op == "attention":
        rules = [
            ("kv_heads", n["heads"] % n["kv_heads"] == 0, "must divide heads", "one KV head serves heads / kv_heads"),
            ("query", n["query"] <= n["context"], "must not exceed context", "context counts the new tokens too"),
        ]
    if op == "mla":
        rules = [("query", n["query"] <= n["context"], "must not exceed context", "context counts the new tokens too")]
    if op in ("gdn", "mamba2"):
        heads, keys = ("value_heads", "key_heads") if op == "gdn" else ("heads", "groups")
        rules = [(keys, n[heads] % n[keys] == 0, f"must divide {heads}", "keys are shared evenly")]
    if op == "moe":
        rules = [("top_k", n["top_k"] <= n["experts"], "must not exceed experts", "each token picks different experts")]
    if op == "elementwise":
        moved = n.get("reads", 1) + n.get("writes", 1)
        rules = [("reads", moved > 0, "and writes must not both be 0", "an op that moves nothing takes no time")]
    return [
        Problem(f"{what}", code="bad_argument", path=name, hint=hint) for name, holds, what, hint in rules if not holds
    ]


def launches_of(op: str, runtime: RuntimeSpec, dtype: str, shape: Mapping[str, float | str]) -> list[Op]:
    """The kernel launches of `op`, in order; each reads what the one before wrote.

    Raises:
        InputError: the runtime has no kernel for this format and shape.
    """
    numbers = {name: value for name, value in shape.items() if not isinstance(value, str)}
    if op == "all_reduce":
        size, ranks = int(numbers["size"]), int(numbers["ranks"])
        return [AllReduce(id=op, size_bytes=size, ranks=ranks, algorithm=str(shape.get("algorithm", "auto")))]
    sizes = {name: value if name in FRACTIONS else int(value) for name, value in numbers.items()}
    return BUILDERS[op](runtime, dtype, sizes)


def _gemm(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    act = runtime.activation_dtype
    rule = runtime.kernels[_chosen(runtime, "gemm", dtype, "", m=int(s["m"]), n=int(s["n"]), k=int(s["k"]))]
    one = Gemm(
        id="gemm", m=int(s["m"]), n=int(s["n"]), k=int(s["k"]), dtype=dtype, inputs=rule.activation or act, outputs=act
    )
    return [one]


def _attention(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    batch, heads, head_dim, query = (int(s[name]) for name in ("batch", "heads", "head_dim", "query"))
    one = Attention(
        id="attention",
        batch=batch,
        heads=heads,
        kv_heads=int(s["kv_heads"]),
        head_dim=head_dim,
        query=query,
        context=int(s["context"]),
        window=int(s["window"]) if "window" in s else None,
        kv_dtype=dtype,
        dtype=runtime.activation_dtype,
    )
    return [one]


def _moe(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    tokens, hidden, width = (int(s[name]) for name in ("tokens", "hidden", "intermediate"))
    rows, act = tokens * int(s["top_k"]), runtime.activation_dtype
    is_fused, is_gated = runtime.gate_up == "fused", s.get("gated", 1) != 0
    gates = [("moe_gate", width), ("moe_up", width)] if is_gated else [("moe_up", width)]
    if is_gated and is_fused:
        gates = [("moe_gate_up", 2 * width)]
    first, each = gates[0], ceil(tokens / int(s["experts"]))
    suffix = runtime.kernels[
        _chosen(runtime, "grouped_gemm", dtype, first[0], m=tokens, n=first[1], k=hidden, tokens_per_expert=each)
    ].site_suffix

    def around(site: str, elements: int) -> list[Op]:
        return site_launches(runtime, f"{site}{suffix or ''}", elements, tokens)

    ops: list[Op] = [*around("moe_sort", rows), *around("moe_gather", rows * hidden)]
    middle = around("moe_activation", rows * width)
    for site, n, k, after in (*((site, n, hidden, []) for site, n in gates), ("moe_down", hidden, width, middle)):
        ops += after
        chosen = _chosen(runtime, "grouped_gemm", dtype, site, m=tokens, n=n, k=k, tokens_per_expert=each)
        rule = runtime.kernels[chosen]
        if rule.quantize_site:
            ops += site_launches(runtime, rule.quantize_site, rows * k, tokens)
        one = GroupedGemm(
            id=site,
            site=site,
            tokens=tokens,
            experts=int(s["experts"]),
            top_k=int(s["top_k"]),
            n=n,
            k=k,
            dtype=dtype,
            skew=float(s.get("skew", 0.0)),
            power=s.get("power"),
            inputs=rule.activation or act,
            outputs=act,
        )
        ops.append(one)
    return [*ops, *around("moe_weight", rows * hidden), *around("moe_sum", rows * hidden)]


def _mla(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    rank, rope, nope, value = (int(s.get(name, n)) for name, n in MLA_SIZES.items())
    heads, query = int(s["heads"]), int(s["query"])
    is_latent = query == 1 or runtime.latent_prefill == "absorbed"
    is_cached = is_latent or runtime.latent_prefill == "expanded_as_cached"
    one = Attention(
        id="mla",
        site="mla",
        batch=int(s["batch"]),
        heads=heads,
        kv_heads=1 if is_latent else heads,
        head_dim=rank + rope if is_latent else nope + rope,
        value_dim=rank if is_latent else value,
        is_latent=is_latent,
        query=query,
        context=int(s["context"]),
        kv_dtype=dtype if is_cached else runtime.activation_dtype,
        dtype=runtime.activation_dtype,
    )
    return [one]


def _gdn(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    key_heads, heads = int(s["key_heads"]), int(s["value_heads"])
    dims = int(s.get("key_dim", 128)), int(s.get("value_dim", 128))
    return _recurrence(runtime, dtype, s, "gdn", heads, key_heads, *dims)


def _kda(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    heads, dim = int(s["heads"]), int(s.get("head_dim", 128))
    return _recurrence(runtime, dtype, s, "kda", heads, heads, dim, dim)


def _mamba2(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    heads, groups = int(s["heads"]), int(s["groups"])
    return _recurrence(runtime, dtype, s, "mamba2", heads, groups, int(s.get("state", 128)), int(s.get("head_dim", 64)))


def _recurrence(
    runtime: RuntimeSpec, dtype: str, s: Shape, name: str, heads: int, key_heads: int, key_dim: int, value_dim: int
) -> list[Op]:
    """A pass over states and, of a prompt, what comes before it: norms (delta rules), products inside of chunks."""
    batch, query = int(s["batch"]), int(s["query"])
    tokens, is_delta = batch * query, name != "mamba2"
    before: list[Op] = []
    if query > 1 and is_delta:
        norm = "kda_norm" if name == "kda" else "linear_norm"
        rows = tokens * 2 * key_heads
        before += site_launches(runtime, norm, rows * key_dim, rows, is_prompt=True)
    if query > 1:
        chunk = "kda_chunk" if name == "kda" else "linear_chunk"
        before += site_launches(runtime, chunk, tokens * heads * value_dim, tokens)
    scan = Scan(
        id=name,
        batch=batch,
        heads=heads,
        key_heads=key_heads,
        key_dim=key_dim,
        value_dim=value_dim,
        query=query,
        is_delta=is_delta,
        has_channel_decay=name == "kda",
        dtype=dtype,
        state_dtype=runtime.state_dtype,
    )
    return [*before, scan]


def _norm(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    rows, width = int(s["rows"]), int(s["width"])
    return site_launches(runtime, "ffn_norm", rows * width, rows)


def _quantize(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    rows, width = int(s["rows"]), int(s["width"])
    rule = runtime.kernels[_chosen(runtime, "gemm", dtype, "", m=rows, n=width, k=width)]
    if rule.quantize_site is None:
        message = f"{runtime.name} does not quantize activations for {dtype} weights of this size"
        raise InputError(Problem(message, code="no_kernel", path="dtype", hint="its GEMM reads them as they are"))
    return site_launches(runtime, rule.quantize_site, rows * width, rows)


def _elementwise(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    return [
        Elementwise(id="elementwise", elements=int(s["elements"]), reads=s["reads"], writes=s["writes"], dtype=dtype)
    ]


def _copy(runtime: RuntimeSpec, dtype: str, s: Shape) -> list[Op]:
    size = int(s["size"])
    return [
        Elementwise(id="copy", elements=size, read_bytes=size, write_bytes=size, flops_per_element=0.0, is_cold=True)
    ]


BUILDERS: dict[str, Callable[[RuntimeSpec, str, Shape], list[Op]]] = {
    "gemm": _gemm,
    "attention": _attention,
    "moe": _moe,
    "mla": _mla,
    "gdn": _gdn,
    "kda": _kda,
    "mamba2": _mamba2,
    "norm": _norm,
    "elementwise": _elementwise,
    "quantize": _quantize,
    "copy": _copy,
}


def site_launches(runtime: RuntimeSpec, site: str, elements: int, tokens: int, *, is_prompt: bool = False) -> list[Op]:
    """The element-wise launches of a place in the model that has `elements` elements in a step of `tokens` tokens.

    `is_prompt`: those of long steps, for cases of few tokens mean decode.
    """
    ops: list[Op] = []
    for launch in runtime.launches(site, LARGEST if is_prompt else tokens):
        name, dtype = launch.name or site, runtime.activation_dtype
        ops.append(Elementwise(id=f"{site}{len(ops) or ''}", site=name, dtype=dtype, **launch.fields(elements, tokens)))
    return ops


def _chosen(runtime: RuntimeSpec, kind: str, dtype: str, site: str, **sizes: int) -> str:
    try:
        return choose_kernel(runtime, kind, dtype, site, **sizes)
    except LookupError:
        named = sorted({one for rule in runtime.kernels.values() if kind in rule.ops for one in rule.dtypes})
        message = f"{runtime.name}@{runtime.version} has no {kind} kernel for {dtype} of this shape"
        hint = f"it has kernels for {', '.join(named)}"
        raise InputError(Problem(message, code="no_kernel", path="dtype", hint=hint)) from None
