"""What there is to look up: names, titles and schemas of everything of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from sim.component import spec_types
from sim.errors import InputError, Problem
from sim.hwspec import json_schema
from sim.paths import FOLDERS, aliases_of, available, find
from sim.system.calibrated import calibrated, long_forms
from sim.system.load_file import LoadFile
from sim.system.plugins import load_entry_points
from sim.system.scenario import ScenarioFile
from sim.system.serve_file import ServeFile
from sim.system.study_file import StudyFile
from sim.system.tables import TABLES
from sim.system.tenant_file import TenantFile
from sim.workload.quant import RecipeFile
from sim.workload.runtime_schema import runtime_schema
from sim.yamlfile import closest, load_file

Folders = Sequence[str | Path]
FILES = ("hardware", "models", "runtimes", "quants", "scenarios", "studies")
"""Kinds that are files."""


def names(kind: str, search_dirs: Folders = ()) -> list[str]:
    """Names of a kind."""
    return [entry["name"] for entry in entries(kind, search_dirs)]


def entries(kind: str, search_dirs: Folders = ()) -> list[dict[str, Any]]:
    """Name and title of everything of a kind; of files also the aliases."""
    if kind == "calibrated":
        return [number.to_dict() for number in calibrated(search_dirs)]
    if kind == "components":
        load_entry_points()
    if kind in TABLES:
        return [{"name": name, "title": entry["title"]} for name, entry in TABLES[kind]().items()]
    if kind not in FOLDERS:
        known = sorted({*FOLDERS, *TABLES, "calibrated"})
        guess = closest(kind, known)
        hint = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(known)}"
        raise InputError(Problem(f"unknown kind {kind[:60]!r}", code="unknown_kind", hint=hint))
    found = []
    for name in available(kind, search_dirs):
        path = find(kind, name, search_dirs)
        found.append({"name": name, "title": _title(path), "aliases": aliases_of(path)})
    return found


def _title(path: Path) -> str:
    data = load_file(path).data
    if not isinstance(data, dict):
        return ""
    extra = data.get("sparksim")
    return str(data.get("title") or (extra.get("title") if isinstance(extra, dict) else "") or "")


def sourced(data: Any) -> Iterator[dict[str, Any]]:
    """Every number in the long form below `data`: name, value, kind, source, range."""
    for place, said in long_forms(data):
        yield {
            "name": ".".join(map(str, place)),
            **{key: said.get(key) for key in ("value", "kind", "source", "range")},
        }


def schema(kind: str) -> dict[str, Any]:
    """JSON Schema of a kind of file: hardware, runtimes, quants, scenarios or studies."""
    if kind == "hardware":
        load_entry_points()
        return json_schema(spec_types())
    if kind == "runtimes":
        return runtime_schema()
    if kind == "quants":
        return RecipeFile.model_json_schema()
    if kind == "studies":
        return StudyFile.model_json_schema()
    kinds = ScenarioFile | LoadFile | ServeFile | TenantFile
    made: dict[str, Any] = TypeAdapter(Annotated[kinds, Field(discriminator="kind")]).json_schema()
    return made
