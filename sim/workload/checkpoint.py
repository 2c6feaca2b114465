"""What a checkpoint says of its own quantisation: `quantization_config`, or the quantiser's file beside the model's."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sim.errors import Problem, SimError
from sim.workload.model import Quantization
from sim.yamlfile import load_json

INT4 = frozenset({"int4", "int4_g32", "int4_g64", "int4_sym", "int4_sym_g32"})
CLAIMS = {
    "fp8": frozenset({"fp8", "fp8_block", "fp8_mxfp4"}),
    "nvfp4": frozenset({"nvfp4", "nvfp4a16"}),
    "mxfp4": frozenset({"mxfp4"}),
    "fp4": frozenset({"nvfp4", "nvfp4a16", "mxfp4"}),
    "awq": INT4,
    "gptq": INT4,
    "int4": INT4,
    "int8": frozenset({"int8"}),
    "w8a8": frozenset({"int8", "fp8", "fp8_block"}),
}
"""What a model's name may claim, and the recipes that the files must then name."""

METHODS = {"mxfp4": "mxfp4", "fp8": "fp8", "fbgemm_fp8": "fp8", "awq": "int4", "gptq": "int4"}
"""`quant_method` of a configuration -> recipe."""

ALGORITHMS = {"FP8": "fp8", "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4a16", "W4A16_AWQ": "int4"}
"""`quant_algo` of NVIDIA's quantiser -> recipe."""

MIXED = "MIXED_PRECISION"
STORED = {"FP8": "fp8", "MXFP8": "mxfp8", "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4a16", "W4A16_AWQ": "int4"}
"""`quant_algo` of single modules in a mixed checkpoint -> storage format."""

_GROUPED = ("compressed-tensors", "modelopt", "modelopt_fp4", "")
_GROUP_RECIPES = {("float", 4): "nvfp4", ("float", 8): "fp8", ("int", 8): "int8", ("int", 4): "int4"}
_KNOWN = f"modelled: {', '.join([*METHODS, *filter(None, _GROUPED)])}"


def checkpoint_quantization(
    whole: dict[str, Any], config: dict[str, Any], path: Path, name: str, problems: list[Problem]
) -> Quantization | None:
    """The recipe that the checkpoint names, or None; contradictions and unknown methods are added to `problems`.

    `name`: what the model is called, whose claims (FP8, NVFP4, AWQ...) the files must bear out.
    """
    before = len(problems)
    given = whole.get("quantization_config", config.get("quantization_config"))
    found = None if given is None else _from_config(given, path, config.get("expert_dtype"), problems)
    beside = _beside(path)
    if beside is not None and given is None:
        found = _from_quantiser(beside, problems)
    words = re.split(r"[^a-z0-9]+", name.lower())
    claim = next((word for word in CLAIMS if word in words), None)
    said = found.recipe if found else None
    held = {said, *(fmt for fmt, _ in found.modules)} if found else {None}
    if claim and len(problems) == before and not held & CLAIMS[claim]:
        fact = f"{found.source} says {said}" if found else "its files name no quantisation"
        message = f"the name says {claim.upper()}, but {fact}"
        problems.append(Problem(message, code="quant_contradiction", file=str(path), line=1))
    return found


def _from_config(given: Any, path: Path, expert_dtype: Any, problems: list[Problem]) -> Quantization | None:
    message = None
    method = ""
    if not isinstance(given, dict):
        message = "quantization_config must be a mapping"
    elif given.get("quant_algo") == MIXED:
        return _mixed(given, "quantization_config", path, problems)
    else:
        method = str(given.get("quant_method") or "").lower()
        bits = given.get("bits", given.get("w_bit", 4))
        recipe = METHODS.get(method)
        if method in _GROUPED:
            recipe = _grouped(given)
        if recipe == "int4" and method in METHODS and bits != 4:
            message = f"{method} with {str(bits)[:20]} bits is not modelled"
        elif recipe is None:
            message = f"quantization method {(method or '(none)')[:60]!r} is not modelled"
        else:
            return Quantization(_grained(recipe, given, expert_dtype), "quantization_config", _excluded(given))
    at = "quantization_config.quant_method" if method else "quantization_config"
    problems.append(Problem(message, code="unsupported_quantization", file=str(path), path=at, hint=_KNOWN))
    return None


def _grained(recipe: str, given: dict[str, Any], expert_dtype: Any) -> str:
    """The recipe with the grain of its scales: FP8 by blocks, INT4 by groups of 32 or 64, with zero points or without.

    `expert_dtype`: what the configuration says of the experts alone (DeepSeek V4: fp4).
    """
    if recipe == "fp8" and isinstance(given.get("weight_block_size"), list):
        return "fp8_mxfp4" if given.get("expert_dtype", expert_dtype) == "fp4" else "fp8_block"
    if recipe != "int4":
        return recipe
    weights = next((w for w in _weight_groups(given.get("config_groups"))), given)
    size, is_symmetric = weights.get("group_size", 128), weights.get("symmetric", weights.get("sym", False))
    if is_symmetric is True:
        return "int4_sym_g32" if size == 32 else "int4_sym"
    return {32: "int4_g32", 64: "int4_g64"}.get(size, "int4") if isinstance(size, int) else "int4"


def _mixed(given: dict[str, Any], source: str, path: Path, problems: list[Problem]) -> Quantization | None:
    """A checkpoint whose modules have formats of their own; what it does not list is plain, or FP8 as it was before."""
    listed = given.get("quantized_layers")
    at, modules = f"{source}.quantized_layers", defaultdict[str, list[str]](list)
    for module, entry in listed.items() if isinstance(listed, dict) else ():
        algorithm = entry.get("quant_algo") if isinstance(entry, dict) else None
        if not isinstance(algorithm, str) or algorithm not in STORED:
            message = f"{str(module)[:80]} has the algorithm {str(algorithm)[:40]!r}, which is not modelled"
            hint = f"modelled: {', '.join(STORED)}"
            problems.append(Problem(message, "unsupported_quantization", str(path), path=at, hint=hint))
            return None
        modules[STORED[algorithm]].append(str(module))
    if not modules:
        message = f"{MIXED} must list the format of every quantised module in quantized_layers"
        problems.append(Problem(message, code="unsupported_quantization", file=str(path), path=at))
        return None
    recipe = "mixed_fp8" if given.get("quant_method") == "fp8" else "mixed"
    return Quantization(recipe, source, modules=tuple((fmt, tuple(names)) for fmt, names in modules.items()))


def _grouped(given: dict[str, Any]) -> str | None:
    """The recipe of a configuration with `quant_algo`, or with weights described group by group."""
    algorithm = given.get("quant_algo")
    if isinstance(algorithm, str):
        return ALGORITHMS.get(algorithm)
    groups = given.get("config_groups")
    found = {_GROUP_RECIPES.get(kind) for kind in _weights(groups)}
    if "nvfp4" in str(given.get("format", "")).lower():
        found = {"nvfp4"}
    if "mxfp4" in str(given.get("format", "")).lower():
        found = {"mxfp4"}
    if found == {"nvfp4"} and _is_weight_only(groups):
        found = {"nvfp4a16"}
    return found.pop() if len(found) == 1 else None


def _is_weight_only(groups: Any) -> bool:
    """Whether groups say of their activations that they are not quantised (the key stands there, and is null)."""
    listed = list(groups.values()) if isinstance(groups, dict) else []
    return bool(listed) and all(isinstance(g, dict) and g.get("input_activations", g) is None for g in listed)


def _weights(groups: Any) -> Iterator[tuple[str, Any]]:
    for weights in _weight_groups(groups):
        bits = weights.get("num_bits")
        yield str(weights.get("type")), bits if isinstance(bits, int) else None


def _weight_groups(groups: Any) -> Iterator[dict[str, Any]]:
    """What the groups of a compressed-tensors configuration say of their weights."""
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            yield weights


def _excluded(given: Any) -> tuple[str, ...]:
    """The modules that are not quantised."""
    for key in ("ignore", "exclude_modules", "modules_to_not_convert"):
        listed = given.get(key)
        if isinstance(listed, list):
            return tuple(each for each in listed if isinstance(each, str))
    return ()


def _beside(path: Path) -> Path | None:
    names = [path.with_name("hf_quant_config.json")] if path.name == "config.json" else []
    if path.stem.endswith("_config"):
        names.append(path.with_name(path.stem.removesuffix("_config") + "_hf_quant_config.json"))
    return next((name for name in names if name.is_file()), None)


def _from_quantiser(path: Path, problems: list[Problem]) -> Quantization | None:
    try:
        document = load_json(path)
    except SimError as error:
        problems.extend(error.problems)
        return None
    given = document.data.get("quantization") if isinstance(document.data, dict) else None
    algorithm = given.get("quant_algo") if isinstance(given, dict) else None
    if isinstance(given, dict) and algorithm == MIXED:
        return _mixed(given, path.name, path, problems)
    recipe = ALGORITHMS.get(algorithm) if isinstance(algorithm, str) else None
    if recipe is None:
        message = f"quantisation {str(algorithm)[:40]!r} is not modelled"
        line = document.line_of(("quantization", "quant_algo"))
        hint = f"modelled: {', '.join(ALGORITHMS)}"
        code = "unsupported_quantization"
        problems.append(Problem(message, code, str(path), line, "quantization.quant_algo", hint))
        return None
    return Quantization(recipe, path.name, _excluded(given))
