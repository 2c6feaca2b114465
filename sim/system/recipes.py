"""Which formats a model can have on a runtime: of its weights and of its KV cache."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path

from sim.errors import InputError, Problem
from sim.paths import available
from sim.workload.model import ModelSpec
from sim.workload.quant import OUTSIDE_LAYERS, QuantRecipe, formats, load_quant, resolve_quant, weights_bytes
from sim.workload.runtime import RuntimeSpec

ALIASES = {"auto": "bf16", "fp16": "f16", "float16": "f16", "bfloat16": "bf16", "fp8_e4m3": "fp8"}
SMALLER = {"llama.cpp": ("q8_0", "q4_k_m")}
"""Recipes to propose where a model does not fit, by family of runtime."""
NOT_ASKED = frozenset({"formats", "gguf", "mixed"})
"""Files among the recipes that are no recipe of their own: storage formats, and what a checkpoint or GGUF file says."""


def kv_storage(name: str) -> str:
    """The storage format that a KV dtype stands for, whoever keeps it.

    Raises:
        InputError: it is not known.
    """
    known = ALIASES.get(name.lower(), name.lower())
    if known not in formats():
        hint = f"known: {', '.join(formats())}"
        raise InputError(Problem(f"unknown KV format {name!r}", code="unknown_format", path="kv_dtype", hint=hint))
    return known


def kv_format(name: str, runtime: RuntimeSpec) -> str:
    """The storage format that a KV dtype stands for.

    Raises:
        InputError: it is not known, or the runtime keeps no cache in it.
    """
    known = kv_storage(name)
    if runtime.kv_dtypes and known not in runtime.kv_dtypes:
        message = f"{runtime.name} keeps no KV cache in {known}"
        hint = f"it has {', '.join(runtime.kv_dtypes)}"
        raise InputError(Problem(message, code="unsupported_format", path="kv_dtype", hint=hint))
    return known


def smaller_recipes(model: ModelSpec, runtime: RuntimeSpec) -> list[QuantRecipe]:
    """Recipes to propose on this runtime for a model that does not fit; none for a checkpoint that is quantised."""
    names = SMALLER.get(runtime.family, ("fp8", "nvfp4"))
    return [load_quant(name) for name in names if model.quantization is None]


def recipes_of(
    model: ModelSpec, runtime: RuntimeSpec, first: QuantRecipe, search_dirs: Sequence[str | Path] = ()
) -> list[QuantRecipe]:
    """Every recipe that the checkpoint allows and the runtime has kernels for; the largest first.

    Of those that store this model alike only one: `first`, or the checkpoint's own. A quantised checkpoint has none
    with more bits than it has itself.
    """
    own = resolve_quant(model, None, runtime.family, search_dirs)
    most = weights_bytes(model, own) if model.quantization else None
    found: dict[Hashable, QuantRecipe] = {_stored(model, first): first}
    names: list[str | QuantRecipe] = [own]
    names += [name for name in available("quants", search_dirs) if name not in NOT_ASKED]
    for name in names:
        try:
            recipe = resolve_quant(model, name, runtime.family, search_dirs)
        except InputError:
            continue
        if _has_kernels(model, recipe, runtime) and (most is None or weights_bytes(model, recipe) <= most):
            found.setdefault(_stored(model, recipe), recipe)
    return sorted(found.values(), key=lambda recipe: (-weights_bytes(model, recipe), recipe.name))


def _stored(model: ModelSpec, recipe: QuantRecipe) -> Hashable:
    """How the recipe stores the model: the format of every class of tensor, layer by layer."""
    layers = range(len(model.layers))
    classes = sorted({tensor.tensor_class for tensor in model.tensor_inventory()})
    depths = {name: model.depth_of(name, 0 if name not in OUTSIDE_LAYERS else None) for name in classes}
    places = [(name, None if name in OUTSIDE_LAYERS else layer) for name in classes for layer in layers]
    return tuple(recipe.format_of(name, layer, len(layers), depths[name]).name for name, layer in places)


def _has_kernels(model: ModelSpec, recipe: QuantRecipe, runtime: RuntimeSpec) -> bool:
    """Whether the runtime has a kernel for each format of the matrices that are multiplied with."""
    n_layers = len(model.layers)
    needed: dict[str, set[str]] = {"gemm": set(), "grouped_gemm": set()}
    for tensor in set(model.tensor_inventory()):
        if model.depth_of(tensor.tensor_class, tensor.layer) and tensor.tensor_class not in _LOOKED_UP:
            op = "grouped_gemm" if tensor.tensor_class.startswith("expert_") else "gemm"
            depth = model.depth_of(tensor.tensor_class, tensor.layer)
            needed[op].add(recipe.format_of(tensor.tensor_class, tensor.layer, n_layers, depth).name)
    return all(_runs(runtime, op, dtype) for op, dtypes in needed.items() for dtype in dtypes)


_LOOKED_UP = frozenset({"embedding", "per_layer_embedding"})


def _runs(runtime: RuntimeSpec, op: str, dtype: str) -> bool:
    rules = [rule for rule in runtime.kernels.values() if op in rule.ops]
    return any(not rule.dtypes or dtype in rule.dtypes for rule in rules)
