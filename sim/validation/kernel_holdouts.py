"""What no number rests on, told apart: a band of sizes, runtimes with others' numbers, a machine never calibrated on.

A half of all pairs of sizes, drawn by their CRC, says how well kernels are met between sizes that numbers rest on.
These three say how far the numbers carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.paths import find
from sim.validation.kernel_data import NEVER_CALIBRATED, Measured
from sim.yamlfile import load_yaml

BAND = {"n": (2048, 5120), "k": (6144, 7168)}
"""A rectangle of N and K in which every pair that was measured falls into the half that nothing may rest on."""
FITTED = frozenset({"calibrated", "measured"})


def is_in_band(row: Measured) -> bool:
    """Whether a GEMM's weights lie in `BAND`, on a machine that numbers do rest on."""
    sizes = row.sizes
    return (
        row.op == "gemm"
        and row.chip not in NEVER_CALIBRATED
        and all(low <= sizes[name] <= high for name, (low, high) in BAND.items())
    )


def own_kernels(runtime: str) -> frozenset[str]:
    """Kernels of a runtime with a fitted number of its own file: the rule's, a library's, or of a rule that it is like.

    The others take all of theirs from the runtime that the file extends; what those rest on, their sources say.
    """
    data: Mapping[str, Any] = load_yaml(find("runtimes", runtime)).data
    layers = [layer or {} for layer in (data.get("base"), *(data.get("versions") or {}).values())]
    libraries = {name for layer in layers for name, shared in (layer.get("libraries") or {}).items() if _is_own(shared)}
    rules = {name: rule or {} for layer in layers for name, rule in (layer.get("kernels") or {}).items()}
    own = {name for name, rule in rules.items() if _is_own(rule) or libraries & set(_libraries(rule))}
    while more := {name for name, rule in rules.items() if rule.get("like") in own} - own:
        own |= more
    return frozenset(own)


def _is_own(fields: Any) -> bool:
    """Whether some number of a rule or a library is fitted."""
    return isinstance(fields, dict) and any(isinstance(v, dict) and v.get("kind") in FITTED for v in fields.values())


def _libraries(rule: Mapping[str, Any]) -> list[str]:
    named = rule.get("library", [])
    return named if isinstance(named, list) else [named]


def set_apart(row: Measured, kernel: str, own: frozenset[str]) -> list[str]:
    """The hold-outs that a row belongs to. `kernel`: what ran longest of it; `own`: see `own_kernels`."""
    found = []
    if is_in_band(row):
        bounds = ", ".join(f"{name.upper()} {low:,} to {high:,}" for name, (low, high) in BAND.items())
        found.append(f"band of sizes ({bounds}): {row.chip} {row.dtype}")
    if row.chip in NEVER_CALIBRATED:
        found.append(f"machine never calibrated on: {row.chip} {row.table} {row.dtype} {row.runtime}")
    elif kernel not in own:
        found.append(f"runtime without numbers of its own: {row.chip} {row.table} {row.dtype} {row.runtime}")
    return found
