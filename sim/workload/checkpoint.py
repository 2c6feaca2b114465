"""What a checkpoint says of its own quantisation: `quantization_config`, or the quantiser's file beside the model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.errors import Problem, SimError
from sim.workload.model import Quantization
from sim.yamlfile import load_json

CLAIMS = {"fp8": "fp8", "nvfp4": "nvfp4", "awq": "int4", "gptq": "int4", "mxfp4": "mxfp4"}
"""What a model's name may claim, and the recipe that the files must then have."""


def checkpoint_quantization(
    whole: dict[str, Any], config: dict[str, Any], path: Path, problems: list[Problem]
) -> Quantization | None:
    """The recipe that the checkpoint names, or None; contradictions and unknown methods are added to `problems`."""
    found = _from_config(whole.get("quantization_config", config.get("quantization_config")), path, problems)
    beside = _beside(path)
    if found is None and beside is not None:
        found = _from_quantiser(beside, problems)
    claim = next((recipe for word, recipe in CLAIMS.items() if word in path.stem.lower().split("_config")[0]), None)
    if claim and path.suffix == ".json" and not problems:
        said = found.recipe if found else None
        if said is None or (claim == "int4") != (said == "int4") or (claim in ("fp8", "nvfp4") and said != claim):
            fact = f"its files say {said}" if said else "its files name no quantisation"
            problems.append(
                Problem(f"the name says {claim}, but {fact}", code="quant_contradiction", file=str(path), line=1)
            )
    return found


def _from_config(given: Any, path: Path, problems: list[Problem]) -> Quantization | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        problems.append(Problem("quantization_config must be a mapping", code="bad_config", file=str(path)))
        return None
    method = str(given.get("quant_method", "")).lower()
    text = str(given).lower()
    recipe = {"mxfp4": "mxfp4", "fp8": "fp8", "awq": "int4", "gptq": "int4", "fbgemm_fp8": "fp8"}.get(method)
    if method in ("modelopt", "compressed-tensors", "modelopt_fp4"):
        recipe = (
            "nvfp4"
            if "nvfp4" in text or ("'num_bits': 4" in text and "'type': 'float'" in text)
            else "fp8"
            if "fp8" in text or "'num_bits': 8" in text
            else None
        )
    if recipe is None:
        problems.append(
            Problem(
                f"quantization method {method or '(none)'!r} is not modelled",
                code="unsupported_quantization",
                file=str(path),
                path="quantization_config.quant_method",
                hint="modelled: mxfp4, fp8, awq, gptq, modelopt, compressed-tensors",
            )
        )
        return None
    return Quantization(recipe, "quantization_config")


def _beside(path: Path) -> Path | None:
    names = [path.with_name("hf_quant_config.json")] if path.name == "config.json" else []
    if path.stem.endswith("_config"):
        names.append(path.with_name(path.stem.removesuffix("_config") + "_hf_quant_config.json"))
    return next((name for name in names if name.is_file()), None)


def _from_quantiser(path: Path, problems: list[Problem]) -> Quantization | None:
    try:
        data = load_json(path).data
    except SimError as error:
        problems.extend(error.problems)
        return None
    text = str(data.get("quantization", {})).lower() if isinstance(data, dict) else ""
    recipe = "nvfp4" if "nvfp4" in text else "fp8" if "fp8" in text else None
    if recipe is None:
        problems.append(
            Problem("names no quantisation that is modelled", code="unsupported_quantization", file=str(path), line=1)
        )
        return None
    return Quantization(recipe, path.name)
