"""JSON Schema of runtime files, for editors: the fields of a resolved version, none of them needed at one place."""

from __future__ import annotations

from typing import Any

from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_fields import RECORDS
from sim.workload.runtime_versions import RuntimeFile
from sim.yamlfile import RECORDS_REF, records_schema

_OF_THE_FILE = ("name", "version", "title", "source", "family")


def runtime_schema() -> dict[str, Any]:
    """The schema of a runtime file. A version holds changes, so nothing in it is required."""
    whole = RuntimeFile.model_json_schema()
    spec = RuntimeSpec.model_json_schema()
    parts = spec.pop("$defs")
    spec["properties"] = {name: part for name, part in spec["properties"].items() if name not in _OF_THE_FILE}
    spec["properties"]["sites"]["additionalProperties"] = {"anyOf": [_site(), {"type": "null"}]}  # a file without
    rule = parts["KernelRule"]["properties"]  # null puts back to its default what another rule says
    rule |= {name: {"anyOf": [field, {"type": "null"}]} for name, field in rule.items()}
    text = "all that the named rule of this file, or RUNTIME/NAME of another, says and this one does not"
    rule["like"] = {"type": "string", "description": text}
    text = "names of libraries, whose numbers it takes where nothing before says them"
    rule["library"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "description": text,
    }
    kernels = spec["properties"]["kernels"]
    kernels["additionalProperties"] = {
        "anyOf": [kernels["additionalProperties"], {"type": "null"}]
    }  # a version without
    for part in (spec, *parts.values()):
        part.pop("required", None)
    shared = {"type": "object", "additionalProperties": {"$ref": "#/$defs/KernelRule"}}
    spec["properties"]["libraries"] = {
        **shared,
        "description": "numbers that all kernels of a library share, by its name",
    }
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    whole["$defs"] = {**parts, "Records": records_schema(), "Changes": {**spec, "title": "Changes"}}
    changes = {"$ref": "#/$defs/Changes"}
    whole["properties"]["base"] = changes
    whole["properties"]["versions"]["additionalProperties"] = {"anyOf": [changes, {"type": "null"}]}
    return dict(_with_records(whole))


def _with_records(part: Any) -> Any:
    """The schema with what stands for `records:` referring to its definition."""
    if part == RECORDS:
        return RECORDS_REF
    if isinstance(part, dict):
        return {key: _with_records(value) for key, value in part.items()}
    return [_with_records(value) for value in part] if isinstance(part, list) else part


def _site() -> dict[str, Any]:
    """A list of launches, or of cases by token count."""
    kinds = [{"$ref": "#/$defs/Launch"}, {"$ref": "#/$defs/Case"}]
    return {"type": "array", "items": {"anyOf": kinds}}
