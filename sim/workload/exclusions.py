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

_EXPERTS = tuple(f"{part}.experts.0." for part in ("mlp", "mixer", "block_sparse_moe", "feed_forward", "ffn"))
_BESIDE = ("experts.0.",)
"""Where Gemma 4 has its experts: beside the dense part, not in it."""
_SHARED = ("mlp.shared_expert.", "mlp.shared_experts.", "mixer.shared_experts.", "ffn.shared_experts.", "shared_mlp.")
_DENSE = ("mlp.", "mixer.", "feed_forward.", "shared_mlp.")
_ATTENTION = ("self_attn.", "mixer.", "attn.")
_PARTS = {
    "gate": ("gate_proj", "w1", "input_linear"),
    "up": ("up_proj", "w3", "input_linear"),
    "down": ("down_proj", "w2", "output_linear"),
}
_NAMES = {
    "attn_q": ("q_proj",),
    "attn_k": ("k_proj",),
    "attn_v": ("v_proj",),
    "attn_o": ("o_proj", "out_proj", "wo_b", "o_b_proj"),
    "attn_o_a": ("wo_a", "o_a_proj"),
    "attn_gate": ("g_proj",),
    "attn_q_a": ("q_a_proj", "wq_a"),
    "attn_q_b": ("q_b_proj", "wq_b"),
    "attn_kv_a": ("kv_a_proj_with_mqa", "wkv", "kv_proj"),
    "attn_kv_b": ("kv_b_proj",),
    "attn_index": ("indexer.wk", "indexer.k_proj", "index_k_proj"),
    "attn_index_q": ("indexer.wq_b", "indexer.q_proj", "index_q_proj"),
    "attn_compress": ("compressor.wkv", "compressor.kv_proj"),
}
_LINEAR = {
    "linear_in": (
        "linear_attn.in_proj_qkv",
        "linear_attn.in_proj_qkvz",
        "mixer.in_proj",
        "mamba.in_proj",
        "conv.in_proj",
        "self_attn.f_a_proj",
    ),
    "linear_out": ("linear_attn.out_proj", "mixer.out_proj", "mamba.out_proj", "conv.out_proj", "self_attn.o_proj"),
    "linear_gate": ("self_attn.f_b_proj", "self_attn.g_b_proj"),
    "laurel": ("laurel.linear_left",),
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
        yield from (start + name for start in _ATTENTION for name in _NAMES[tensor_class])
    elif kind in ("ffn", "expert", "shared") and part in ("gate", "up", "down"):
        experts = _BESIDE if layer.beside is not None else _EXPERTS
        starts = {"ffn": _DENSE, "expert": experts, "shared": _SHARED}[kind]
        yield from (f"{start}{name}" for start in starts for name in _PARTS[part])


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
