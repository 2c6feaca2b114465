"""What there is to look up: names, descriptions and schemas of everything of a kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sim import errors
from sim.component import COMPONENTS, spec_types
from sim.errors import InputError, Problem
from sim.hwspec import json_schema, load_hardware
from sim.paths import available, find
from sim.result.laws import LAWS
from sim.result.trace import CAUSES
from sim.units import format_quantity
from sim.workload.hf_config import load_model
from sim.workload.layer import SITES
from sim.workload.op import OP_KINDS
from sim.workload.quant import load_quant, resolve_quant, weights_bytes
from sim.workload.runtime import RuntimeFile
from sim.workload.runtime_file import load_runtime
from sim.yamlfile import load_yaml

Folders = Sequence[str | Path]


def names(kind: str, search_dirs: Folders = ()) -> list[str]:
    """Names of a kind."""
    return [entry["name"] for entry in entries(kind, search_dirs)]


def entries(kind: str, search_dirs: Folders = ()) -> list[dict[str, str]]:
    """Name and title of everything of a kind."""
    if kind == "calibrated":
        return calibrated(search_dirs)
    if kind in TABLES:
        return [{"name": name, "title": title} for name, title in TABLES[kind]().items()]
    return [{"name": name, "title": _title(kind, name, search_dirs)} for name in available(kind, search_dirs)]


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").split("\n")[0]


def _errors() -> dict[str, str]:
    found = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    return {name: _first_line(value) for name, value in found.items() if issubclass(value, errors.SimError)}


TABLES: dict[str, Callable[[], dict[str, str]]] = {
    "ops": lambda: {name: _first_line(op) for name, op in OP_KINDS.items()},
    "components": lambda: {name: _first_line(component.Spec) for name, component in COMPONENTS.items()},
    "laws": lambda: LAWS,
    "errors": _errors,
    "result": lambda: {cause: f"a cause of time, counts towards the bound {bound}" for cause, bound in CAUSES.items()},
}
"""Kinds that are tables of the code, not files: name -> what it is."""


def _title(kind: str, name: str, search_dirs: Folders) -> str:
    data = load_yaml(find(kind, name, search_dirs)).data
    if not isinstance(data, dict):
        return ""
    extra = data.get("sparksim")
    return str(data.get("title") or (extra.get("title") if isinstance(extra, dict) else "") or "")


def calibrated(search_dirs: Folders = ()) -> list[dict[str, str]]:
    """Every number of the shipped files that is marked calibrated, with what informed it."""
    found: list[dict[str, str]] = []
    for kind in ("hardware", "runtimes"):
        for name in available(kind, search_dirs):
            _marked(load_yaml(find(kind, name, search_dirs)).data, name, found)
    return found


def _marked(data: Any, path: str, found: list[dict[str, str]]) -> None:
    if not isinstance(data, dict):
        return
    if data.get("kind") == "calibrated" and "value" in data:
        found.append({"name": path, "title": f"{data['value']}: {data.get('source', '')}"})
        return
    for key, value in data.items():
        _marked(value, f"{path}.{key}", found)


def describe(
    kind: str,
    name: str,
    search_dirs: Folders,
    *,
    as_yaml: bool = False,
    sources: bool = False,
    graph: bool = False,
    as_json: bool = False,
) -> str:
    """What is in the thing of that name, as text."""
    if kind == "hardware":
        return _hardware(name, search_dirs, as_yaml=as_yaml, as_json=as_json)
    if kind in ("models", "runtimes", "quants") and as_yaml:
        return find(kind, name, search_dirs).read_text(encoding="utf-8")
    if kind == "models":
        return _model(name, search_dirs, graph=graph)
    if kind == "runtimes":
        return _runtime(name, search_dirs, sources=sources)
    if kind == "quants":
        recipe = load_quant(name, search_dirs)
        lines = [f"{recipe.name}: {recipe.title}", f"  default  {recipe.default.name}"]
        return "\n".join([*lines, *(f"  {part:<12} {fmt.name}" for part, fmt in (*recipe.classes, *recipe.more_bits))])
    for entry in entries(kind, search_dirs):
        if entry["name"] == name:
            return f"{name}: {entry['title']}"
    raise InputError(
        Problem(f"nothing called {name!r} among {kind}", code="unknown_name", hint=f"`sparksim list {kind}`")
    )


def _hardware(name: str, search_dirs: Folders, *, as_yaml: bool, as_json: bool) -> str:
    hardware = load_hardware(name, spec_types(), (), search_dirs)
    if as_yaml:
        return hardware.to_yaml()
    fields = hardware.fields()
    if as_json:
        return json.dumps(
            [
                {
                    "path": f.path,
                    "value": f.value,
                    "unit": f.unit,
                    "kind": f.kind,
                    "source": f.source,
                    "status": f.status,
                }
                for f in fields
            ],
            indent=2,
        )
    lines = [f"{hardware.title} ({hardware.name}, {hardware.digest})"]
    for f in fields:
        value = (
            format_quantity(f.value, f.unit)
            if isinstance(f.value, int | float) and f.unit is not None
            else str(f.value)
        )
        lines.append(f"  {f.path:<36} {value:<16} {f.status:<10} {f.kind or '':<10} {f.source or ''}")
    return "\n".join(lines)


def _model(name: str, search_dirs: Folders, *, graph: bool) -> str:
    model = load_model(name, search_dirs=search_dirs)
    lines = [
        f"{model.title} ({model.name}, {model.architecture}, {model.digest})",
        f"  layers {len(model.layers)}, hidden {model.hidden_size}, vocabulary {model.vocab_size}",
        f"  parameters {model.parameter_count():,}, active per token {model.active_parameter_count():,}",
        f"  KV elements per token {model.kv_elements(1):,}",
    ]
    for runtime in ("llama.cpp", "vllm"):
        recipe = resolve_quant(model, None, runtime)
        lines.append(f"  weights on {runtime}: {weights_bytes(model, recipe) / 1e9:.2f} GB as {recipe.name}")
    if graph:
        lines.append("  " + " -> ".join(SITES))
    return "\n".join(lines)


def _runtime(name: str, search_dirs: Folders, *, sources: bool) -> str:
    spec = load_runtime(name, search_dirs=search_dirs).spec
    lines = [f"{spec.title} ({spec.name}@{spec.version}, {spec.date})", f"  source {spec.source}"]
    for kernel, rule in spec.kernels.items():
        tile = f"{rule.unit} tile {rule.tile_m[-1]}x{rule.tile_n}x{rule.tile_k}"
        lines.append(f"  kernel {kernel:<24} {', '.join(rule.ops)} [{', '.join(rule.dtypes) or 'any'}] {tile}")
    for site, cases in spec.sites.items():
        launches = [launch.name for case in cases for launch in case.launches]
        lines.append(f"  site {site:<18} {SITES.get(site, '')}: {', '.join(launches) or 'fused'}")
    if sources:
        lines += [
            f"  {entry['name']} = {entry['title']}"
            for entry in calibrated(search_dirs)
            if entry["name"].startswith(name)
        ]
    return "\n".join(lines)


def schema(kind: str) -> dict[str, Any]:
    """JSON Schema of a kind of file."""
    if kind == "hardware":
        return json_schema(spec_types())
    if kind == "runtimes":
        return RuntimeFile.model_json_schema()
    from sim.workload.quant import RecipeFile  # noqa: PLC0415 - shown only here

    return RecipeFile.model_json_schema()
