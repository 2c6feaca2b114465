"""The operations a step is made of: shapes and formats only, no hardware and no cost.

Every op has an `id`, the ids of the ops whose output it reads (`after`) and a `site`: the place in the model that it
comes from (`attn_norm`, `ffn_down`...), which is what a runtime's launch table is keyed by and what plots group by.
Sizes are counts of elements, tokens or bytes; formats are names of `workloads/quants` formats (`bf16`, `q4_k`, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """What all ops share."""

    kind: ClassVar[str] = "op"
    id: str
    after: tuple[str, ...] = ()
    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemm(Op):
    """(m, k) activations times (k, n) weights in format `dtype`; `inputs`/`outputs` are the activation formats."""

    kind: ClassVar[str] = "gemm"
    m: int
    n: int
    k: int
    dtype: str
    inputs: str = "bf16"
    outputs: str = "bf16"
    is_gated: bool = False
    """gate and up projections in one kernel whose epilogue applies the activation: n counts both, n / 2 is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedGemm(Op):
    """One GEMM per expert that some of `tokens` chose: (rows of the expert, k) times (k, n), `top_k` rows a token.

    `power`: the rows of the experts follow a power law with this exponent (0: all equal), as benchmarks make
    them; None: tokens choose on their own, by `skew`.
    """

    kind: ClassVar[str] = "grouped_gemm"
    tokens: int
    experts: int
    top_k: int
    n: int
    k: int
    dtype: str
    skew: float = 0.0
    power: float | None = None
    inputs: str = "bf16"
    outputs: str = "bf16"
    is_gated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention(Op):
    """Causal attention: `query` new positions of each of `batch` sequences; `context` keys seen by the last of them.

    `value_dim`: size of a value where it is not that of a key. `is_latent`: values are the first part of the keys, so
    that only keys are read. `shared_by`: so many sequences in a row read the same keys (tokens of one sequence that
    choose their keys stand here as sequences of one query each).
    """

    kind: ClassVar[str] = "attention"
    batch: int
    heads: int
    kv_heads: int
    head_dim: int
    query: int
    context: int
    window: int | None = None
    kv_dtype: str = "bf16"
    dtype: str = "bf16"
    value_dim: int | None = None
    is_latent: bool = False
    shared_by: int = 1

    @property
    def values(self) -> int:
        """Size of a value."""
        return self.head_dim if self.value_dim is None else self.value_dim

    @property
    def cached(self) -> int:
        """Elements read per key and KV head."""
        return self.head_dim if self.is_latent else self.head_dim + self.values


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan(Op):
    """A linear recurrence: every head of every sequence carries a state of key_dim x value_dim over `query` tokens.

    `key_heads`: heads that have keys (and queries) of their own. `is_delta`: the update first takes out what the state
    already says of the key (the delta rule). `has_channel_decay`: each row of a state decays by itself (Kimi delta
    attention), by a gate that is read with the keys, not all of a head's state at once.
    """

    kind: ClassVar[str] = "scan"
    batch: int
    heads: int
    key_heads: int
    key_dim: int
    value_dim: int
    query: int
    is_delta: bool = False
    has_channel_decay: bool = False
    dtype: str = "bf16"
    state_dtype: str = "f32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementwise(Op):
    """A streaming kernel over `elements`: `reads` arrays in, `writes` arrays out, each element `dtype` wide.

    `read_bytes`/`write_bytes` say the exact traffic instead (mixed widths). `flops_per_element` on CUDA cores.
    `rows`: independent rows that are reduced (norms, softmax); 0 where there is no reduction. `threads` of a CTA;
    `row_cycles`: what a CTA waits besides its bytes and FLOPs (None: two reductions, where there are rows). `trips`:
    reads of L2 that it makes besides, each waiting for the one before. `walkers` CTAs walk the elements in
    `walk_steps` steps (0: a CTA per row, or as many as there is work for, in one step).
    """

    kind: ClassVar[str] = "elementwise"
    elements: int
    reads: float = 1
    writes: float = 1
    dtype: str = "bf16"
    read_bytes: int | None = None
    write_bytes: int | None = None
    flops_per_element: float = 1.0
    rows: int = 0
    threads: int = 512
    row_cycles: int | None = None
    trips: int = 0
    walkers: int = 0
    walk_steps: int = 1
    is_cold: bool = False
    """True where the read does not come from a previous op but from memory (embedding rows, a KV cache)."""
    is_strided: bool = False
    """True where a CTA reads one head of many: short pieces at a stride, which the memory serves more slowly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Op):
    """`size_bytes` moved between two components of the machine (`cpu`, `gpu`, `nvme`, `nic`...)."""

    kind: ClassVar[str] = "copy"
    size_bytes: int
    source: str
    target: str


ALGORITHMS = ("auto", "one_shot", "two_shot", "ring", "tree")
"""How ranks sum: libraries' own kernels (one-shot, two-shot), NCCL's ring and tree, or the fastest of those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllReduce(Op):
    """`size_bytes` of each of `ranks` equal machines summed, so that every one has the sum."""

    kind: ClassVar[str] = "all_reduce"
    size_bytes: int
    ranks: int
    algorithm: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host(Op):
    """The CPU works for `duration_s`; a host op that follows a GPU op waits for it (a synchronisation)."""

    kind: ClassVar[str] = "host"
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom(Op):
    """A kernel described by its totals: FLOPs on `unit`, bytes read and written, spread over `ctas`."""

    kind: ClassVar[str] = "custom"
    flops: float = 0.0
    read_bytes: int = 0
    write_bytes: int = 0
    ctas: int = 1
    unit: str = "fp32"
    component: str | None = None
    """The component that runs it, when the user says so (an accelerator of their own)."""


OP_KINDS: dict[str, type[Op]] = {
    cls.kind: cls for cls in (Gemm, GroupedGemm, Attention, Scan, Elementwise, Copy, AllReduce, Host, Custom)
}
