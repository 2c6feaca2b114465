"""Mixers that are no plain attention: linear recurrences with a state, convolutions, and attention over latents."""

from __future__ import annotations

from dataclasses import dataclass

from sim.workload.sizes import Sizes
from sim.workload.sparse_spec import IndexerSpec

STATE_BYTES = 4
"""Recurrent states are kept in FP32 (`mamba_ssm_dtype`, vLLM's default for these models; llama.cpp has no other)."""
CONV_BYTES = 2
"""What the convolution still needs of the last tokens is kept in the activations' width."""


@dataclass(frozen=True, slots=True)
class GatedDeltaSpec:
    """Gated delta net (arXiv 2412.06464, as in Qwen3-Next): a state of key_dim x value_dim per value head."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    conv: int

    @property
    def value_width(self) -> int:
        """Elements of a token's values; of its output gate as many."""
        return self.value_heads * self.value_dim

    @property
    def out_width(self) -> int:
        """Elements of a token that the output projection reads."""
        return self.value_width

    @property
    def conv_width(self) -> int:
        """Queries, keys and values: what is convolved over time."""
        return 2 * self.key_heads * self.key_dim + self.value_width

    @property
    def in_columns(self) -> int:
        """Queries, keys, values and output gate."""
        return self.conv_width + self.value_width

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class; two numbers per value head say how fast its state decays."""
        return [
            ("linear_in", self.in_columns * hidden),
            ("linear_in", 2 * self.value_heads * hidden),
            ("linear_conv", self.conv_width * self.conv),
            ("bias", 2 * self.value_heads),
            ("norm", self.value_dim),
            ("linear_out", self.value_width * hidden),
        ]

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        return {"linear_out": self.value_width}

    def kv_elements(self, context: int, window_extra: int) -> int:
        """None: a state is kept instead."""
        return 0

    def state_bytes(self) -> int:
        """State, and the last tokens that the convolution sees again."""
        state = self.value_heads * self.key_dim * self.value_dim
        return state * STATE_BYTES + (self.conv - 1) * self.conv_width * CONV_BYTES


@dataclass(frozen=True, slots=True)
class Mamba2Spec:
    """Mamba2 (arXiv 2405.21060): a state of head_dim x state per head; `groups` of heads share inputs of the state."""

    heads: int
    head_dim: int
    groups: int
    state: int
    conv: int
    conv_bias: bool = True
    bias: bool = False

    @property
    def inner(self) -> int:
        """Elements of a token inside the layer."""
        return self.heads * self.head_dim

    @property
    def out_width(self) -> int:
        """Elements of a token that the output projection reads."""
        return self.inner

    @property
    def conv_width(self) -> int:
        """What is convolved over time."""
        return self.inner + 2 * self.groups * self.state

    @property
    def in_columns(self) -> int:
        """Gate, convolved inputs, and a step size per head."""
        return self.inner + self.conv_width + self.heads

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class."""
        return [
            ("linear_in", self.in_columns * hidden),
            ("linear_conv", self.conv_width * self.conv),
            ("bias", (self.conv_width if self.conv_bias else 0) + 3 * self.heads),
            ("bias", self.in_columns + hidden if self.bias else 0),
            ("norm", self.inner),
            ("linear_out", self.inner * hidden),
        ]

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        return {"linear_out": self.inner}

    def kv_elements(self, context: int, window_extra: int) -> int:
        """None: a state is kept instead."""
        return 0

    def state_bytes(self) -> int:
        """State, and the last tokens that the convolution sees again."""
        return self.inner * self.state * STATE_BYTES + (self.conv - 1) * self.conv_width * CONV_BYTES


@dataclass(frozen=True, slots=True)
class KdaSpec:
    """Kimi delta attention (arXiv 2510.26692): a delta net whose state decays channel by channel of the keys.

    Decay and output gate come from projections through `rank` elements, the gate's straight where `has_wide_gate`.
    """

    heads: int
    head_dim: int
    conv: int
    rank: int
    has_wide_gate: bool = False

    @property
    def out_width(self) -> int:
        """Elements of a token's values, which the output projection reads; of its keys and queries as many."""
        return self.heads * self.head_dim

    @property
    def conv_width(self) -> int:
        """Queries, keys and values: what is convolved over time."""
        return 3 * self.out_width

    @property
    def gate_columns(self) -> int:
        """What the residual stream is projected to for step sizes, decay and output gate."""
        return self.heads + self.rank + (self.out_width if self.has_wide_gate else self.rank)

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class; a decay per head and an offset per channel besides."""
        widened = 1 if self.has_wide_gate else 2
        return [
            ("linear_in", (self.conv_width + self.gate_columns) * hidden),
            ("linear_gate", widened * self.rank * self.out_width),
            ("linear_conv", self.conv_width * self.conv),
            ("bias", self.heads + self.out_width),
            ("norm", self.head_dim),
            ("linear_out", self.out_width * hidden),
        ]

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        return {"linear_out": self.out_width, "linear_gate": self.rank}

    def kv_elements(self, context: int, window_extra: int) -> int:
        """None: a state is kept instead."""
        return 0

    def state_bytes(self) -> int:
        """State, and the last tokens that the convolution sees again."""
        state = self.out_width * self.head_dim
        return state * STATE_BYTES + (self.conv - 1) * self.conv_width * CONV_BYTES


@dataclass(frozen=True, slots=True)
class ShortConvSpec:
    """Gated short convolution (LFM2, arXiv 2511.23404): a gate, `conv` taps a channel over time, another gate."""

    width: int
    conv: int
    bias: bool = False

    @property
    def out_width(self) -> int:
        """Elements of a token that the output projection reads."""
        return self.width

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class."""
        return [
            ("linear_in", 3 * self.width * hidden),
            ("linear_conv", self.width * self.conv),
            ("bias", 4 * self.width + hidden if self.bias else 0),
            ("linear_out", self.width * hidden),
        ]

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        return {"linear_out": self.width}

    def kv_elements(self, context: int, window_extra: int) -> int:
        """None: the last tokens are kept instead."""
        return 0

    def state_bytes(self) -> int:
        """The last tokens that the convolution sees again."""
        return (self.conv - 1) * self.width * CONV_BYTES


@dataclass(frozen=True, slots=True)
class LatentSpec:
    """Multi-head latent attention (arXiv 2405.04434): a token caches one latent of kv_rank + rope_dim for all heads.

    `index`: attention reads only the keys that it chooses. `is_gated`: the output is multiplied by a gate that the
    residual stream makes. `has_rope`: its `rope_dim` part is rotated (Kimi Linear's is not).
    """

    heads: int
    q_rank: int
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    index: IndexerSpec | None = None
    is_gated: bool = False
    has_rope: bool = True

    @property
    def q_width(self) -> int:
        """Elements of a token's queries."""
        return self.heads * (self.nope_dim + self.rope_dim)

    @property
    def out_width(self) -> int:
        """Elements of a token that the output projection reads."""
        return self.heads * self.value_dim

    @property
    def latent(self) -> int:
        """Elements that a token caches."""
        return self.kv_rank + self.rope_dim

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class; queries come from a latent of their own where `q_rank` is given."""
        queries = [("attn_q_a", self.q_rank * hidden), ("attn_q_b", self.q_width * (self.q_rank or hidden))]
        return [
            *queries,
            ("attn_kv_a", self.latent * hidden),
            ("attn_kv_b", self.heads * (self.nope_dim + self.value_dim) * self.kv_rank),
            ("attn_o", self.out_width * hidden),
            ("attn_gate", self.out_width * hidden if self.is_gated else 0),
            ("norm", self.q_rank + self.kv_rank),
            *(self.index.sizes(hidden) if self.index else []),
        ]

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        own = {"attn_q_b": self.q_rank, "attn_kv_b": self.kv_rank, "attn_o": self.out_width}
        return own | (self.index.depths() if self.index else {})

    def kv_elements(self, context: int, window_extra: int) -> int:
        """One latent per token, and the key that the index has of it."""
        return self.latent * context + (self.index.kv_elements(context) if self.index else 0)

    def state_bytes(self) -> int:
        """None."""
        return 0
