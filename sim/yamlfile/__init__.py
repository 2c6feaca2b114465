"""Strict YAML and JSON with a line number for every part, and pydantic models made from them.

    document = load_yaml("card.yaml")
    card = validate_model(Card, document)

Everything here raises `SpecError` (or the error given) and nothing else, whatever bytes it is fed.
"""

from __future__ import annotations

from pathlib import Path

from sim.yamlfile.document import MAX_NODES, Document, Key, read_bytes
from sim.yamlfile.json_text import load_json, load_json_text
from sim.yamlfile.records import LEAST_RECORDS, NUMBERS, RECORDS_REF, WORDS, fits, records_complaint, records_schema
from sim.yamlfile.source import KINDS, source_complaint
from sim.yamlfile.validate import closest, problems_of, unknown_field, validate_model
from sim.yamlfile.write import dump_yaml
from sim.yamlfile.yaml_text import load_yaml, load_yaml_text, resolve_scalar

__all__ = [
    "KINDS",
    "LEAST_RECORDS",
    "MAX_NODES",
    "NUMBERS",
    "RECORDS_REF",
    "WORDS",
    "Document",
    "Key",
    "closest",
    "dump_yaml",
    "fits",
    "load_file",
    "load_json",
    "load_json_text",
    "load_yaml",
    "load_yaml_text",
    "problems_of",
    "read_bytes",
    "records_complaint",
    "records_schema",
    "resolve_scalar",
    "source_complaint",
    "unknown_field",
    "validate_model",
]


def load_file(path: str | Path, *, has_words: bool = False) -> Document:
    """Read a file by its suffix: `.json` as JSON, everything else as YAML. `has_words`: see `load_json_text`."""
    return load_json(path, has_words=has_words) if Path(path).suffix.lower() == ".json" else load_yaml(path)
