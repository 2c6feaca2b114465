"""A JSON Schema of hardware files, for editors: fields with their descriptions, units and examples."""

from __future__ import annotations

import re
from types import NoneType
from typing import Any, get_args, get_origin

from sim.hwspec.check import SpecTypes
from sim.hwspec.describe import SCHEMA
from sim.hwspec.field_types import Measure, SpecGroup
from sim.hwspec.walk import measure_of
from sim.units import EXAMPLES
from sim.yamlfile import KINDS, RECORDS_REF, records_schema

_SOURCE = {"source": {"$ref": "#/$defs/Source"}, "kind": {"$ref": "#/$defs/Kind"}}
_DEFINED: dict[str, Any] = {
    "Source": {"type": "string", "description": "where the values come from: an address, a document, or why assumed"},
    "Kind": {"enum": list(KINDS), "description": "what kind of source it is"},
}
_NOTHING = {"$ref": "#/$defs/Nothing"}
"""What a field may have that may be nothing: null, or null with the reason why."""
_PLAIN: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def json_schema(spec_types: SpecTypes) -> dict[str, Any]:
    """The schema of a hardware file whose components have these types."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        "type": "object",
        "additionalProperties": False,
        "required": ["schema"],
        "properties": {
            "schema": {"const": SCHEMA},
            "name": {"type": "string", "description": "what it is called; the file's name if not given"},
            "title": {"type": "string", "description": "one line for people"},
            "aliases": {"type": "array", "items": {"type": "string"}, "description": "other names"},
            "extends": {
                "description": "a name, or ./FILE, or several: what this file changes",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            },
            **_SOURCE,
            "components": {
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_]*$"},
                "additionalProperties": {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in spec_types]},
            },
            "links": {
                "type": "array",
                "items": {"type": "string", "pattern": r"^\s*\w+\.\w+\s*->\s*\w+\.\w+\s*$"},
                "description": "who asks whom: 'l2.memory -> c2c.gpu'",
            },
        },
        "$defs": {"Records": records_schema(), "Nothing": _leaf({"type": "null"}), **_DEFINED}
        | {name: _component(name, kind) for name, kind in spec_types.items()},
    }


def _component(name: str, kind: type[SpecGroup]) -> dict[str, Any]:
    """One type of component. Nothing is required: what is missing may be in the file that is extended."""
    schema = _group(kind)
    schema["properties"] = {"type": {"const": name}} | schema["properties"]
    return schema


def _group(kind: type[SpecGroup]) -> dict[str, Any]:
    properties = {
        name: _field(info.annotation, info.metadata) | ({"description": _described(info)} if info.description else {})
        for name, info in kind.model_fields.items()
    }
    text = " ".join((kind.__doc__ or "").split())
    return {"type": "object", "description": text, "additionalProperties": False, "properties": _SOURCE | properties}


def _described(info: Any) -> str:
    measure = measure_of(info.annotation, info.metadata)
    unit = f" ({measure.unit}, e.g. {EXAMPLES[measure.unit]})" if measure and measure.unit else ""
    return f"{info.description}{unit}"


def _field(kind: Any, metadata: Any = ()) -> dict[str, Any]:
    own = next((item for item in metadata if isinstance(item, Measure)), None)
    if own is not None:
        return _leaf(_quantity(own))
    if isinstance(kind, type) and issubclass(kind, SpecGroup):
        return _group(kind)
    origin, parts = get_origin(kind), get_args(kind)
    if hasattr(kind, "__metadata__"):
        schema = _field(parts[0], kind.__metadata__)
    elif origin is dict:
        schema = {"type": "object", "properties": _SOURCE, "additionalProperties": _field(parts[1])}
    elif origin in (tuple, list):
        schema = {"type": "array", "items": _field(parts[0])}
    elif NoneType in parts:
        schema = {"anyOf": [_field(next(part for part in parts if part is not NoneType)), _NOTHING]}
    else:
        schema = _leaf({"enum": list(parts)} if parts else {"type": _PLAIN[kind]})
    return schema


def _quantity(measure: Measure) -> dict[str, Any]:
    if not measure.unit:
        return {"type": "integer" if measure.is_whole else "number", "minimum": 0}
    pattern = r"^\s*[0-9.]+([eE][-+]?[0-9]+)?\s*([PTGMkKmunpµ]|[KMGT]i)?" + re.escape(measure.unit) + "$"
    if measure.unit in ("B", "B/s", "s"):
        pattern = r"^\s*[0-9.]"
    return {"type": "string", "pattern": pattern, "examples": [EXAMPLES[measure.unit]]}


def _leaf(short: dict[str, Any]) -> dict[str, Any]:
    """The short form, or the long one with a source."""
    long = {
        "type": "object",
        "required": ["value"],
        "additionalProperties": False,
        "properties": {
            "value": short,
            **_SOURCE,
            "range": {"type": "array", "items": short, "minItems": 2, "maxItems": 2},
            "date": {"type": "string"},
            "records": RECORDS_REF,
        },
    }
    return {"anyOf": [short, long]}
