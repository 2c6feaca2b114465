"""A model as the simulator sees it: layers of attention and feed-forward parts, by their dimensions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """Grouped-query attention of one layer; `window`: keys a query sees, None = all of them."""

    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    sinks: bool = False


@dataclass(frozen=True, slots=True)
class DenseFfn:
    """A feed-forward part: gate and up (when gated) and down projections."""

    intermediate: int
    is_gated: bool = True
    bias: bool = False


@dataclass(frozen=True, slots=True)
class MoeFfn:
    """A mixture of experts, `top_k` of `experts` a token; `shared_intermediate`: width of the shared one, 0 = none."""

    experts: int
    top_k: int
    intermediate: int
    shared_intermediate: int = 0
    router_bias: bool = False
    expert_bias: bool = False
    is_gated: bool = True


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer."""

    attention: AttentionSpec
    ffn: DenseFfn | MoeFfn


class Tensor(NamedTuple):
    """Weights of one class in one layer (None: outside the layers)."""

    tensor_class: str
    layer: int | None
    elements: int


@dataclass(frozen=True, slots=True)
class Quantization:
    """What a checkpoint says of its own quantisation: a recipe name, and where that is written."""

    recipe: str
    source: str


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A transformer. `dtype`: format of the checkpoint's plain tensors. `expert_skew`: see `popularity`."""

    name: str
    title: str
    architecture: str
    hidden_size: int
    vocab_size: int
    layers: tuple[LayerSpec, ...]
    is_tied: bool
    dtype: str
    quantization: Quantization | None
    max_context: int
    expert_skew: float | None
    source_file: str
    digest: str
    warnings: tuple[str, ...] = ()

    def tensor_inventory(self) -> list[Tensor]:
        """Every weight tensor class, layer by layer, with its number of elements."""
        table = self.hidden_size * self.vocab_size
        tensors = [Tensor("embedding", None, table)]
        if not self.is_tied:
            tensors.append(Tensor("head", None, table))
        tensors.append(Tensor("norm", None, self.hidden_size))
        for index, layer in enumerate(self.layers):
            tensors += [Tensor(name, index, size) for name, size in self._attention_sizes(layer.attention)]
            tensors += [Tensor(name, index, size) for name, size in self._ffn_sizes(layer.ffn)]
        return [tensor for tensor in tensors if tensor.elements]

    def _attention_sizes(self, a: AttentionSpec) -> list[tuple[str, int]]:
        hidden, q, kv = self.hidden_size, a.heads * a.head_dim, a.kv_heads * a.head_dim
        bias = (q + 2 * kv if a.qkv_bias else 0) + (hidden if a.out_bias else 0) + (a.heads if a.sinks else 0)
        norms = 2 * hidden + (2 * a.head_dim if a.qk_norm else 0)
        return [
            ("attn_q", q * hidden),
            ("attn_k", kv * hidden),
            ("attn_v", kv * hidden),
            ("attn_o", q * hidden),
            ("bias", bias),
            ("norm", norms),
        ]

    def _ffn_sizes(self, ffn: DenseFfn | MoeFfn) -> list[tuple[str, int]]:
        hidden = self.hidden_size
        if isinstance(ffn, DenseFfn):
            one = hidden * ffn.intermediate
            bias = (2 * ffn.intermediate + hidden) if ffn.bias else 0
            return [("ffn_gate", one if ffn.is_gated else 0), ("ffn_up", one), ("ffn_down", one), ("bias", bias)]
        one = ffn.experts * hidden * ffn.intermediate
        shared = hidden * ffn.shared_intermediate
        bias = ffn.experts * ((2 * ffn.intermediate + hidden) if ffn.expert_bias else 0)
        bias += ffn.experts if ffn.router_bias else 0
        return [
            ("expert_gate", one if ffn.is_gated else 0),
            ("expert_up", one),
            ("expert_down", one),
            ("shared_gate", shared),
            ("shared_up", shared),
            ("shared_down", shared),
            ("router", ffn.experts * hidden),
            ("bias", bias),
        ]

    def parameter_count(self) -> int:
        """All parameters; tied embeddings counted once."""
        return sum(tensor.elements for tensor in self.tensor_inventory())

    def active_parameter_count(self) -> int:
        """Parameters that one token touches (embedding rows as one row)."""
        inventory = Counter[str]()
        for tensor in self.tensor_inventory():
            share = 1.0
            if tensor.tensor_class.startswith("expert_") and tensor.layer is not None:
                ffn = self.layers[tensor.layer].ffn
                share = ffn.top_k / ffn.experts if isinstance(ffn, MoeFfn) else 1.0
            inventory[tensor.tensor_class] += round(tensor.elements * share)
        return sum(inventory.values()) - (0 if self.is_tied else inventory["embedding"])

    def kv_elements(self, context: int, window_extra: int = 0) -> int:
        """Cached key and value elements of one sequence of `context` tokens; windowed layers keep window + extra."""
        total = 0
        for layer in self.layers:
            a = layer.attention
            kept = context if a.window is None else min(context, a.window + window_extra)
            total += 2 * a.kv_heads * a.head_dim * kept
        return total
