"""A study (`sparksim.study/1`): one question asked of many points, as a file says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Strict,
    StrictBool,
    Tag,
    WithJsonSchema,
    model_validator,
)

from sim.system.arguments import MOST_SEQUENCES
from sim.system.scenario import Tokens
from sim.system.study_axis import MOST_VALUES

SCHEMA = "sparksim.study/1"
MOST_POINTS = 1_000_000
_SAMPLE = re.compile(r"\s*([a-z]+)\s*(?:[:= ]\s*([0-9]{1,9}))?\s*", re.ASCII)


def _scalar(value: Any) -> Any:
    if isinstance(value, Mapping | list | tuple):
        raise ValueError("must be one value, not a list or a mapping")  # noqa: TRY004 - pydantic tells ValueErrors
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('must be a number, or a quantity such as "25 GB/s"')  # noqa: TRY004 - as above
    return value


Scalar = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["number", "string", "boolean", "null"]})]
Number = Annotated[Any, BeforeValidator(_number), WithJsonSchema({"type": ["number", "string"]})]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class BasePart(_Part):
    """What all points share: arguments of a run, by themselves or on top of a scenario."""

    scenario: str | None = Field(None, description="name or ./FILE of a scenario, or of an op trace")
    model: str | None = Field(None, description="card name, Hugging Face id, or ./FILE")
    runtime: str | None = Field(None, description="NAME[@VERSION] or ./FILE")
    hardware: str | None = Field(None, description="name or ./FILE of the machine")
    quant: str | None = Field(None, description="recipe; what the checkpoint says if not given")
    kv_dtype: str | None = Field(None, description="format of the KV cache; the runtime's if not given")
    batch: Annotated[int, Strict()] | None = Field(None, ge=1, le=MOST_SEQUENCES, description="sequences")
    prompt: Tokens | None = Field(None, description="new tokens per sequence")
    depth: Tokens | None = Field(None, description="tokens already cached per sequence")
    output: Tokens | None = Field(None, description="tokens to generate per sequence")
    set: dict[str, Any] = Field({}, description="overrides as after --set: PATH: VALUE")


class RangePart(_Part):
    """The values of an axis from one end to the other."""

    range: tuple[Number, Number] = Field(description="both ends, e.g. [200 GB/s, 600 GB/s]; both of them are values")
    step: Number | None = Field(None, description="how far from one value to the next")
    n: Annotated[int, Strict(), Field(ge=2, le=MOST_VALUES)] | None = Field(None, description="how many values")
    log: StrictBool = Field(False, description="with n, or drawn: equal factors apart, not equal steps")


def _kind_of(given: Any) -> str:
    return "text" if isinstance(given, str) else "mapping" if isinstance(given, Mapping | BaseModel) else "values"


Values = Annotated[
    Annotated[list[Scalar], Tag("values")] | Annotated[RangePart, Tag("mapping")] | Annotated[str, Tag("text")],
    Discriminator(_kind_of),
]
"""What an axis may be."""


class SamplePart(_Part):
    """Which points of the axes are asked."""

    kind: Literal["grid", "zip", "random", "sobol"] = Field(
        description="grid: every combination; zip: first values, second values...; random, sobol: n drawn points"
    )
    n: Annotated[int, Strict(), Field(ge=1, le=MOST_POINTS)] | None = Field(None, description="of drawn points")

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        """`grid`, `random 100`, `{random: 100}`, `{random: {n: 100}}` and `{kind: random, n: 100}` are all read."""
        if isinstance(given, str):
            shape = _SAMPLE.fullmatch(given)
            return {"kind": shape[1], **({"n": int(shape[2])} if shape[2] else {})} if shape else {"kind": given}
        if isinstance(given, Mapping) and len(given) == 1 and "kind" not in given:
            ((kind, value),) = given.items()
            return {"kind": kind, **(value if isinstance(value, Mapping) else {"n": value})}
        return given

    @model_validator(mode="after")
    def _has_a_number(self) -> SamplePart:
        is_drawn = self.kind in ("random", "sobol")
        if is_drawn and self.n is None:
            raise ValueError(f"{self.kind} needs a number of points, e.g. {self.kind} 64")
        if not is_drawn and self.n is not None:
            raise ValueError(f"{self.kind} takes all points of the axes, and no number")
        if self.kind == "sobol" and self.n is not None and self.n & (self.n - 1):
            less = 1 << (self.n.bit_length() - 1)
            raise ValueError(f"sobol needs a power of two, such as {less} or {2 * less}: other numbers are unbalanced")
        return self


class ConstraintPart(_Part):
    """Which points are kept, by one of their columns."""

    column: str = Field(description="an axis, a key of the result with dots, or a derived column")
    is_: Scalar = Field(None, alias="is", description="it must be this")
    min: Number | None = Field(None, description="it must be this or more; SI, or with a unit")
    max: Number | None = Field(None, description="it must be this or less; SI, or with a unit")

    @model_validator(mode="after")
    def _says_something(self) -> ConstraintPart:
        if not {"is_", "min", "max"} & self.model_fields_set:
            raise ValueError("needs is, min or max")
        return self


class DerivedPart(_Part):
    """A column of our own: a ratio of two others."""

    name: str = Field(min_length=1)
    ratio: tuple[str, str] = Field(description="[a, b]: a / b; null where either is not known or b is 0")


def _kind_of_base(given: Any) -> str:
    is_whole = isinstance(given, Mapping) and (
        {"schema", "kind", "system"} & set(given) or isinstance(given.get("runtime"), Mapping)
    )
    return "whole" if is_whole else _kind_of(given) if isinstance(given, str) else "mapping"


_OF_A_WHOLE = [{"required": [name]} for name in ("schema", "kind", "system")]
_OF_A_WHOLE += [{"required": ["runtime"], "properties": {"runtime": {"type": "object"}}}]  # type: ignore[dict-item]
WholeScenario = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "anyOf": _OF_A_WHOLE})]
"""A scenario of kind run, written out as the base."""


class StudyFile(_Part):
    """A study: a base, axes along which it is changed, and what is wanted of each point."""

    schema_: Literal["sparksim.study/1"] = Field("sparksim.study/1", alias="schema")
    kind: Literal["study"] = "study"
    title: str = Field("", description="one line for people")
    source: str = Field("", description="where the question comes from")
    aliases: tuple[str, ...] = ()
    base: Annotated[
        Annotated[str, Tag("text")] | Annotated[BasePart, Tag("mapping")] | Annotated[WholeScenario, Tag("whole")],
        Discriminator(_kind_of_base),
    ] = Field(BasePart(), description="arguments of a run, or the name or ./FILE of a scenario")
    axes: dict[str, Values] = Field(
        min_length=1, description='PATH: [values], {range: [a, b], step|n, log}, or "200..600:25GB/s"'
    )
    sample: SamplePart = Field(SamplePart(kind="grid"), description="grid if not given")
    zip: list[str] | list[list[str]] = Field([], description="axes that move together, one group or several")
    keep: list[str] = Field([], description="columns that are kept, or groups of them (memory); all if not given")
    constraints: list[ConstraintPart] = Field([], description="rows that do not hold them are left out")
    derive: list[DerivedPart] = []
    seed: Annotated[int, Strict()] = Field(0, ge=0, le=2**63 - 1, description="of drawn points")
