"""The types that a runtime file's fields are made of: numbers in the short form or with their source, ranges."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from sim.yamlfile import KINDS, records_complaint, source_complaint

LONG_FORM = frozenset({"value", "kind", "source", "date", "range", "records"})


def plain(value: Any) -> Any:
    """The long form `{value, kind, source}` of a number, without where it comes from (which `show --sources` lists)."""
    if not isinstance(value, dict) or "value" not in value:
        return value
    complaint = source_complaint(value.get("source"), value.get("kind"))
    if extra := sorted(set(value) - LONG_FORM):
        complaint = f"unknown field '{extra[0][:60]}' beside 'value'; there may be {', '.join(sorted(LONG_FORM))}"
    if not complaint and (bounds := value.get("range")) is not None:
        numbers = [*bounds, value["value"]] if isinstance(bounds, list) and len(bounds) == 2 else [None]
        if not all(type(each) in (int, float) for each in numbers):
            complaint = "range must be [low, high], all of them and the value numbers"
        elif not bounds[0] <= value["value"] <= bounds[1]:
            complaint = f"lies outside its range {bounds}"
    complaint = complaint or records_complaint(value.get("records"), value.get("kind"), value.get("range"))
    if complaint:
        raise ValueError(complaint)
    return value["value"]


def _range(value: Any) -> Any:
    """`[low, high]`, either end null."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("must be [low, high], either of them null")
    low, high = 0 if value[0] is None else value[0], MOST if value[1] is None else value[1]
    if not all(type(end) is int for end in (low, high)) or not 0 <= low <= high:
        raise ValueError("must be two whole numbers from 0 up, the lower one first")
    return low, high


RECORDS = {"type": "object", "title": "Records"}
"""In the schema of a number, what `runtime_schema` defines once and refers to (pydantic knows only its own)."""


def long_form(kind: str) -> WithJsonSchema:
    """The JSON Schema of a number in either form."""
    text = {"type": "string"}
    fields = {"value": {"type": kind}, "kind": {"enum": list(KINDS)}, "source": text, "date": text, "range": {}}
    fields |= {"records": RECORDS}
    long = {"type": "object", "properties": fields, "required": ["value"], "additionalProperties": False}
    return WithJsonSchema({"anyOf": [{"type": kind}, long]})


MOST = 2**62
_END = {"type": ["integer", "null"]}
_RANGE = WithJsonSchema({"type": "array", "items": _END, "minItems": 2, "maxItems": 2})
Number = Annotated[float, Strict(), Field(le=1e18), BeforeValidator(plain), long_form("number")]
Seconds = Annotated[float, Strict(), Field(ge=0, le=10), BeforeValidator(plain), long_form("number")]
Whole = Annotated[int, Strict(), Field(le=2**50), BeforeValidator(plain), long_form("integer")]
Tile = Annotated[int, Strict(), Field(gt=0, le=65536), BeforeValidator(plain), long_form("integer")]
Range = Annotated[tuple[int, int], BeforeValidator(_range), _RANGE]
ANY: tuple[int, int] = (0, MOST)


class Frozen(BaseModel):
    """A part of a runtime file: every key known, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Variant(Frozen):
    """One tile that a library has compiled for a kernel; what it leaves out is as the rule says."""

    m: Tile = Field(description="rows of a tile")
    n: Tile = Field(description="columns of a tile")
    k: Tile | None = Field(None, description="depth of a K-step")
    stages: Whole | None = Field(None, gt=0, description="K-steps whose fetches may be outstanding")
    ctas_per_sm: Whole | None = Field(None, gt=0, description="CTAs that an SM holds at once")
    threads: Whole | None = Field(None, gt=0, le=1024, description="threads of a CTA")
    step_cycles: Whole | None = Field(None, ge=0, description="as of the rule")
    alu_flops_per_weight: Number | None = Field(None, ge=0, description="as of the rule")
    splits: tuple[Tile, ...] = Field((1,), description="K-splits that the library tries with this tile")
