"""The parts of a layer by their dimensions: each knows its weights, what it caches per token and its state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sim.workload.sizes import Sizes
from sim.workload.sparse_spec import IndexerSpec
from sim.workload.streams import StreamSpec


class Mixer(Protocol):
    """The part of a layer in which tokens see each other."""

    @property
    def out_width(self) -> int:
        """Elements of a token that the output projection reads."""
        ...

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class, for a residual stream of `hidden`; without the layer's own norms."""
        ...

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        ...

    def kv_elements(self, context: int, window_extra: int) -> int:
        """Cached elements of one sequence of `context` tokens; a window keeps `window_extra` more."""
        ...

    def state_bytes(self) -> int:
        """Recurrent state of one sequence, whatever its length."""
        ...


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """Grouped-query attention of one layer; `window`: keys a query sees, None = all of them.

    `is_q_scaled`: queries are multiplied by a factor outside the kernel. `is_gated`: the query projection also makes a
    gate of the output. `is_key_value`: there is no value projection, values are made from the keys (both are cached).
    `shares_kv`: keys and values are those of an earlier layer. `v_norm`: values are normalised, without weights.
    `is_norm_wide`: the norms of queries and keys are over all heads together. `values`: size of a value where it is
    not that of a key. `index`: a query reads only the keys that it chooses. `gate_heads`: the output is multiplied by
    one gate per head, from a projection of its own.
    """

    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    sinks: bool = False
    is_q_scaled: bool = False
    is_gated: bool = False
    is_key_value: bool = False
    shares_kv: bool = False
    v_norm: bool = False
    is_norm_wide: bool = False
    values: int | None = None
    index: IndexerSpec | None = None
    gate_heads: bool = False

    @property
    def q_width(self) -> int:
        """Elements of a token's queries."""
        return self.heads * self.head_dim

    @property
    def value_dim(self) -> int:
        """Size of a value."""
        return self.head_dim if self.values is None else self.values

    @property
    def out_width(self) -> int:
        """Elements of a token that the output projection reads."""
        return self.heads * self.value_dim

    @property
    def q_columns(self) -> int:
        """Columns of the query projection, the gate's included."""
        return self.q_width * (2 if self.is_gated else 1)

    @property
    def kv_width(self) -> int:
        """Elements of a token's keys."""
        return self.kv_heads * self.head_dim

    @property
    def v_width(self) -> int:
        """Elements of a token's values."""
        return self.kv_heads * self.value_dim

    @property
    def projected(self) -> tuple[tuple[str, int], ...]:
        """The projections there are, with their columns."""
        if self.shares_kv:
            return (("q", self.q_columns),)
        values = () if self.is_key_value else (("v", self.v_width),)
        return (("q", self.q_columns), ("k", self.kv_width), *values)

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class."""
        bias = sum(width for _, width in self.projected) if self.qkv_bias else 0
        bias += (hidden if self.out_bias else 0) + (self.heads if self.sinks else 0)
        q_norm, k_norm = (self.q_width, self.kv_width) if self.is_norm_wide else (self.head_dim, self.head_dim)
        norms = q_norm + (0 if self.shares_kv else k_norm) if self.qk_norm else 0
        matrices = [(f"attn_{name}", width * hidden) for name, width in self.projected]
        matrices += [("attn_o", self.out_width * hidden), ("attn_gate", self.heads * hidden if self.gate_heads else 0)]
        return [*matrices, ("bias", bias), ("norm", norms), *(self.index.sizes(hidden) if self.index else [])]

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        return {"attn_o": self.out_width} | (self.index.depths() if self.index else {})

    def kv_elements(self, context: int, window_extra: int) -> int:
        """Keys and values of the tokens that are kept."""
        kept = context if self.window is None else min(context, self.window + window_extra)
        own = 0 if self.shares_kv else (self.kv_width + self.v_width) * kept
        return own + (self.index.kv_elements(context) if self.index else 0)

    def state_bytes(self) -> int:
        """None: attention keeps keys and values only."""
        return 0


@dataclass(frozen=True, slots=True)
class DenseFfn:
    """A feed-forward part: gate and up (when gated) and down projections."""

    intermediate: int
    is_gated: bool = True
    bias: bool = False

    @property
    def width(self) -> int:
        """Activations that a token has at its widest."""
        return self.intermediate

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class."""
        one = hidden * self.intermediate
        bias = (2 * self.intermediate + hidden) if self.bias else 0
        return [("ffn_gate", one if self.is_gated else 0), ("ffn_up", one), ("ffn_down", one), ("bias", bias)]

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        return {"ffn_down": self.intermediate}


@dataclass(frozen=True, slots=True)
class MoeFfn:
    """A mixture of experts, `top_k` of `experts` a token; `shared_intermediate`: width of the shared one, 0 = none.

    `shared_gate`: a token weighs the shared expert with a gate of its own. `latent`: the experts work on a projection
    of the residual stream to this width, 0 = on the stream itself. `scales`: weights without a matrix (scales
    of Gemma 4's router and experts).
    """

    experts: int
    top_k: int
    intermediate: int
    shared_intermediate: int = 0
    router_bias: bool = False
    expert_bias: bool = False
    is_gated: bool = True
    shared_gate: bool = False
    scales: int = 0
    latent: int = 0

    @property
    def width(self) -> int:
        """Activations that a token has at its widest."""
        return self.intermediate * self.top_k

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class."""
        one = self.experts * (self.latent or hidden) * self.intermediate
        shared = hidden * self.shared_intermediate
        gates = 2 if self.is_gated else 1
        bias = self.experts * ((gates * self.intermediate + hidden) if self.expert_bias else 0)
        bias += (self.experts if self.router_bias else 0) + self.scales
        return [
            ("expert_gate", one if self.is_gated else 0),
            ("expert_up", one),
            ("expert_down", one),
            ("shared_gate", shared if self.is_gated else 0),
            ("shared_up", shared),
            ("shared_down", shared),
            ("expert_latent", 2 * hidden * self.latent),
            ("router", self.experts * hidden + (hidden if self.shared_gate else 0)),
            ("bias", bias),
        ]

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        inputs = {"expert_gate": self.latent, "expert_up": self.latent} if self.latent else {}
        return {**inputs, "expert_down": self.intermediate, "shared_down": self.shared_intermediate}


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer: a mixer and a feed-forward part, each behind a norm; either may be missing.

    `post_norms`: another norm behind each part. `is_scaled`: each part's output is multiplied by a factor. `beside`: a
    second feed-forward part that works on the same residual stream, with norms of its own (Gemma 4: `ffn` is the
    dense one, `beside` the experts). `per_layer_input`: width of the token's own input of this layer, 0 = none.
    `streams`: residual streams side by side. `laurel`: rank of a projection beside attention, 0 = none.
    """

    mixer: Mixer | None
    ffn: DenseFfn | MoeFfn | None
    post_norms: bool = False
    is_scaled: bool = False
    beside: MoeFfn | None = None
    per_layer_input: int = 0
    streams: StreamSpec | None = None
    laurel: int = 0

    @property
    def experts(self) -> MoeFfn | None:
        """The layer's mixture of experts."""
        return self.beside or (self.ffn if isinstance(self.ffn, MoeFfn) else None)

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        parts = [part for part in (self.mixer, self.ffn, self.beside) if part is not None]
        return {name: depth for part in parts for name, depth in part.depths().items()}

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class, the layer's norms last."""
        parts = [part for part in (self.mixer, self.ffn) if part is not None]
        norms = len(parts) * (2 if self.post_norms else 1)
        found = [size for part in parts for size in part.sizes(hidden)]
        if self.beside is not None:
            found += self.beside.sizes(hidden)
            norms += 3  # before and behind the experts, and behind the dense part alone
        if self.per_layer_input:
            found += [("per_layer", 2 * hidden * self.per_layer_input), ("norm", hidden)]
        if self.streams:
            found += self.streams.sizes(hidden)
        if self.laurel:
            found += [("laurel", 2 * hidden * self.laurel), ("norm", hidden)]
        return [*found, ("norm", norms * hidden)]
