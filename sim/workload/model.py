"""A model as the simulator sees it: layers of attention and feed-forward parts, by their dimensions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from sim.workload.layer_spec import AttentionSpec, LayerSpec
from sim.workload.sizes import Sizes


class Tensor(NamedTuple):
    """Weights of one class in one layer (None: outside the layers)."""

    tensor_class: str
    layer: int | None
    elements: int


@dataclass(frozen=True, slots=True)
class Quantization:
    """What a checkpoint says of its own quantisation: a recipe name, where that is written, and modules left out.

    `modules`: where formats are given module by module, (storage format, modules) each; what they do not name is plain.
    `tensors`: the same by (tensor class, layer, storage format), of a file that says it of every matrix.
    """

    recipe: str
    source: str
    excluded: tuple[str, ...] = ()
    modules: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tensors: tuple[tuple[str, int | None, str], ...] = ()


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
    is_embedding_scaled: bool = False
    """The embedding is multiplied by a factor."""
    has_logit_cap: bool = False
    """The logits are squashed or scaled."""
    drafter: LayerSpec | None = None
    """The layer of the drafting head (multi-token prediction), whose weights are in `extra`."""
    extra: tuple[Tensor, ...] = ()
    """Weights outside the layers besides embedding, head and last norm."""

    @property
    def has_mixed_heads(self) -> bool:
        """Whether layers have heads of different sizes: some attention kernels cannot serve such a model."""
        return len({layer.mixer.head_dim for layer in self.layers if isinstance(layer.mixer, AttentionSpec)}) > 1

    def tensor_inventory(self) -> list[Tensor]:
        """Every weight tensor class, layer by layer, with its number of elements."""
        table = self.hidden_size * self.vocab_size
        tensors = [Tensor("embedding", None, table)]
        if not self.is_tied:
            tensors.append(Tensor("head", None, table))
        tensors.append(Tensor("norm", None, self.hidden_size))
        tensors += self.extra
        before: LayerSpec | None = None
        sizes: Sizes = []
        for index, layer in enumerate(self.layers):
            if layer is not before and layer != before:  # most layers are as the one before
                before, sizes = layer, layer.sizes(self.hidden_size)
            tensors += [Tensor(name, index, size) for name, size in sizes]
        return [tensor for tensor in tensors if tensor.elements]

    def depth_of(self, tensor_class: str, layer: int | None) -> int:
        """Length of the rows of a matrix: what is summed over. 0 where nothing is multiplied with it."""
        if tensor_class in ("norm", "bias", "linear_conv", "mtp", "stream"):
            return 0
        if layer is None:
            return self.hidden_size
        depths = self.layers[layer].depths()
        return depths.get(tensor_class, self.hidden_size)

    def parameter_count(self) -> int:
        """All parameters; tied embeddings counted once."""
        return sum(tensor.elements for tensor in self.tensor_inventory())

    def active_parameter_count(self) -> int:
        """Parameters that one token touches (embedding rows as one row)."""
        inventory = Counter[str]()
        for tensor in self.tensor_inventory():
            share = 1.0
            if tensor.tensor_class.startswith("expert_") and tensor.layer is not None:
                experts = self.layers[tensor.layer].experts
                share = experts.top_k / experts.experts if experts else 1.0
            inventory[tensor.tensor_class] += round(tensor.elements * share)
        return sum(inventory.values()) - (0 if self.is_tied else inventory["embedding"])

    def kv_elements(self, context: int, window_extra: int = 0) -> int:
        """Cached key and value elements of one sequence of `context` tokens; windowed layers keep window + extra."""
        return sum(layer.mixer.kv_elements(context, window_extra) for layer in self.layers if layer.mixer)

    def state_bytes(self) -> int:
        """Recurrent state of one sequence, whatever its length."""
        return sum(layer.mixer.state_bytes() for layer in self.layers if layer.mixer)
