"""Which tensors the module lists of a quantised checkpoint name: those left out, or those of one format among several.

Entries name modules, with wildcards (`model.layers.3.self_attn*`, `*.mlp.shared_expert.*`) or as `re:` expressions; a
module without a wildcard stands for all below it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from sim.workload.layer_spec import LayerSpec

_EXPERTS = ("mlp.experts.0.", "mixer.experts.0.", "block_sparse_moe.experts.0.")
_BESIDE = ("experts.0.",)
"""Where Gemma 4 has its experts: beside the dense part, not in it."""
_SHARED = ("mlp.shared_expert.", "mlp.shared_experts.", "mixer.shared_experts.")
_DENSE = ("mlp.", "mixer.", "feed_forward.")
_ATTENTION = ("self_attn.", "mixer.")
_NAMES = {
    "attn_q": "q_proj",
    "attn_k": "k_proj",
    "attn_v": "v_proj",
    "attn_o": "o_proj",
    "attn_q_a": "q_a_proj",
    "attn_q_b": "q_b_proj",
    "attn_kv_a": "kv_a_proj_with_mqa",
    "attn_kv_b": "kv_b_proj",
}
_LINEAR = {
    "linear_in": ("linear_attn.in_proj_qkv", "linear_attn.in_proj_qkvz", "mixer.in_proj"),
    "linear_out": ("linear_attn.out_proj", "mixer.out_proj"),
}
_LAYER = re.compile(r"layers\.(\d+)\b")


def named_classes(listed: Iterable[str], layers: tuple[LayerSpec, ...], hidden: int) -> frozenset[tuple[str, int]]:
    """(tensor class, layer) of the matrices that entries of `listed` name."""
    everywhere: list[str] = []
    of_layer: dict[int, list[str]] = defaultdict(list)
    for entry in listed:
        number = _LAYER.search(entry)
        (of_layer[int(number[1])] if number else everywhere).append(entry)
    found = set()
    for index, layer in enumerate(layers):
        entries = [*everywhere, *of_layer[index]]
        for name in {name for name, _ in layer.sizes(hidden)} if entries else ():
            modules = [f"model.layers.{index}.{module}" for module in _modules(name, layer)]
            if any(_names(entry, module) for entry in entries for module in modules):
                found.add((name, index))
    return frozenset(found)


def _modules(tensor_class: str, layer: LayerSpec) -> Iterator[str]:
    """What checkpoints call the matrices of a class, below their layer."""
    kind, _, part = tensor_class.partition("_")
    if tensor_class in _LINEAR:
        yield from _LINEAR[tensor_class]
    elif kind == "attn":
        yield from (start + _NAMES[tensor_class] for start in _ATTENTION)
    elif kind in ("ffn", "expert", "shared") and part in ("gate", "up", "down"):
        experts = _BESIDE if layer.beside is not None else _EXPERTS
        starts = {"ffn": _DENSE, "expert": experts, "shared": _SHARED}[kind]
        yield from (f"{start}{part}_proj" for start in starts)


def _names(entry: str, module: str) -> bool:
    """Whether an entry of an exclude list names the module or one above it."""
    if entry.startswith("re:"):
        try:
            return re.match(entry[3:], module) is not None
        except re.error:
            return False
    if "layers." in entry:
        entry = "model." + entry[entry.index("layers.") :]
    return fnmatchcase(module, entry) or fnmatchcase(module, entry + ".*")
