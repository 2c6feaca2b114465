"""Which published measurements inform a number: the `records:` beside `value` and `range`, and what it picks.

    records: {kernels: {chip: rtx-pro-6000-server, op: gemm, dtype: [fp8, nvfp4], m: [128, null]}}

One entry per file of measurements; in it fields that must all fit, or a list of such mappings, of which one must. A
word is given as it is or as a list of alternatives; a number as it is or as [low, high], either end null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORDS: Mapping[str, tuple[str, ...]] = {
    "kernels": ("chip", "runtime", "version", "table", "op", "dtype"),
    "inference": ("id", "source", "runtime", "version", "model", "family", "quant", "kv_dtype", "bench", "phase"),
    "machines": (
        "id", "source", "runtime", "version", "model", "family", "quant", "kv_dtype", "bench", "phase", "hardware",
        "use",
    ),
    "microbench": ("id", "group", "source", "unit", "kind", "pattern", "access"),
}  # fmt: skip
"""Fields of a record that are words, by file of `workloads/measurements/`."""
NUMBERS: Mapping[str, tuple[str, ...]] = {
    "kernels": (
        "copies", "m", "n", "k", "batch", "heads", "kv_heads", "gqa", "head_dim", "query", "context", "window",
        "tokens", "hidden", "intermediate", "experts", "top_k", "power", "gated", "key_heads", "value_heads",
        "key_dim", "value_dim", "groups", "state", "rows", "width",
    ),
    "inference": ("batch", "prompt", "depth", "output"),
    "machines": ("batch", "prompt", "depth", "output"),
    "microbench": ("clock_mhz", "warps", "ctas", "inflight", "footprint", "granule", "nodes"),
}  # fmt: skip
"""Fields that are numbers; 0 in a record that has no such field."""
LEAST_RECORDS = 5
"""Records that a calibrated number needs to be one."""

RECORDS_REF = {"$ref": "#/$defs/Records"}
"""What stands for `records_schema()` at every number of a schema, which defines it once."""

Selector = Mapping[str, Any]
Fields = Mapping[str, Any]


def records_complaint(records: Any, kind: Any, bounds: Any) -> str | None:
    """What is wrong with `records:` beside a number of this `kind` and range, or None. No records: nothing."""
    if records is None:
        return None
    if kind != "calibrated" or bounds is None:
        return "records inform what is calibrated within a range: it needs kind: calibrated and range: [low, high]"
    if not isinstance(records, dict) or not records or not set(records) <= set(WORDS):
        return f"records must be a mapping of {', '.join(WORDS)}, e.g. {{kernels: {{op: gemm, m: [1, 16]}}}}"
    for file, listed in records.items():
        choices = listed if isinstance(listed, list) else [listed]
        if not choices or not all(isinstance(fields, dict) and fields for fields in choices):
            return f"records of {file} must be fields with what they are, or a list of such mappings"
        wrong = (_field_complaint(file, name, wanted) for fields in choices for name, wanted in fields.items())
        if complaint := next(filter(None, wrong), None):
            return f"records of {file}: {complaint}"
    return None


def _field_complaint(file: str, name: Any, wanted: Any) -> str | None:
    if name in WORDS[file]:
        words = wanted if isinstance(wanted, list) else [wanted]
        if not words or not all(isinstance(word, str) and word for word in words):
            return f"{name} must be a word or a list of words (a version in quotes), not {str(wanted)[:40]!r}"
        return None
    if name in NUMBERS[file]:
        if _is_number(wanted):
            return None
        if not isinstance(wanted, list) or len(wanted) != 2 or not all(e is None or _is_number(e) for e in wanted):
            return f"{name} must be a number or [low, high], either end null, not {str(wanted)[:40]!r}"
        low, high = wanted
        return f"{name}: {low} is above {high}" if None not in wanted and low > high else None
    return f"no field {str(name)[:40]!r}; there are {', '.join((*WORDS[file], *NUMBERS[file]))}"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def fits(fields: Fields, file: str, records: Selector) -> bool:
    """Whether a record of `file` with these fields is among those that `records` picks."""
    listed = records.get(file, [])
    return any(
        all(_field_fits(file, name, fields.get(name), wanted) for name, wanted in choice.items())
        for choice in (listed if isinstance(listed, list) else [listed])
    )


def _field_fits(file: str, name: str, value: Any, wanted: Any) -> bool:
    if name in WORDS[file]:
        return value in wanted if isinstance(wanted, list) else bool(value == wanted)
    number = value or 0
    if not isinstance(wanted, list):
        return bool(number == wanted)
    low, high = wanted
    return (low is None or number >= low) and (high is None or number <= high)


def records_schema() -> dict[str, Any]:
    """JSON Schema of the value of `records:`, for editors."""
    word = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    end = {"type": ["number", "null"]}
    number = {"anyOf": [{"type": "number"}, {"type": "array", "items": end, "minItems": 2, "maxItems": 2}]}
    files = {}
    for file in WORDS:
        fields = {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": dict.fromkeys(WORDS[file], word) | dict.fromkeys(NUMBERS[file], number),
        }
        files[file] = {"anyOf": [fields, {"type": "array", "items": fields, "minItems": 1}]}
    text = "the measurements that inform a calibrated number, by file of workloads/measurements/"
    return {
        "type": "object",
        "description": text,
        "minProperties": 1,
        "additionalProperties": False,
        "properties": files,
    }
