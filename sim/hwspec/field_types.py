"""The types that a component's spec is made of: quantities with a unit, groups of fields, derived fields.

In a file a quantity is text with a unit ("273 GB/s"); in Python it is a plain SI number, and both make the same spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from sim.errors import InputError
from sim.units import format_quantity, parse_quantity


@dataclass(frozen=True, slots=True)
class Measure:
    """What a number measures: its unit (a key of `units.EXAMPLES`), whether it is whole, and sane bounds in SI."""

    unit: str
    is_whole: bool = False
    may_be_zero: bool = False
    most: float = 1e18

    def read(self, value: Any) -> float:
        """The number that a file's text stands for.

        Raises:
            InputError: not such a quantity, or outside the bounds.
        """
        return self._checked(parse_quantity(value, self.unit))

    def _checked(self, number: float) -> float:
        if number < 0 or (number == 0 and not self.may_be_zero) or isnan(number):
            least = "0 or more" if self.may_be_zero else "more than 0"
            raise InputError(f"must be {least}, not {format_quantity(number, self.unit)}")
        if number > self.most:
            raise InputError(f"must be at most {format_quantity(self.most, self.unit, None)}")
        if not self.is_whole:
            return number
        if number != int(number):
            noun = f"number of {self.unit}" if self.unit else "number"
            raise InputError(
                f"must be a whole {noun}, not {format_quantity(number, '' if not self.unit else self.unit)}"
            )
        return int(number)

    def _validate(self, value: Any, info: core_schema.ValidationInfo) -> float:
        try:
            is_plain = isinstance(value, (int, float)) and not isinstance(value, bool)
            if is_plain and not (info.context and info.context.get("from_file")):
                return self._checked(value)
            return self.read(value)
        except InputError as exc:
            problem = exc.problems[0]
            text = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
            raise PydanticCustomError("quantity", "{text}", {"text": text}) from None

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._validate)


Bytes = Annotated[int, Measure("B", is_whole=True)]
BytesPerSecond = Annotated[float, Measure("B/s")]
Celsius = Annotated[float, Measure("degC", may_be_zero=True, most=1e3)]
Count = Annotated[int, Measure("", is_whole=True, most=1e9)]
Dollars = Annotated[float, Measure("USD", most=1e9)]
FlopPerSecond = Annotated[float, Measure("FLOP/s", most=1e21)]
Fraction = Annotated[float, Measure("%", most=1)]
Hertz = Annotated[float, Measure("Hz", most=1e12)]
Joules = Annotated[float, Measure("J", may_be_zero=True, most=1e3)]
KelvinPerWatt = Annotated[float, Measure("K/W", most=1e3)]
Number = Annotated[float, Measure("")]
Seconds = Annotated[float, Measure("s", may_be_zero=True, most=1e6)]
TransfersPerSecond = Annotated[float, Measure("T/s", most=1e13)]
Watts = Annotated[float, Measure("W", may_be_zero=True, most=1e6)]


@dataclass(frozen=True, slots=True)
class Derived:
    """A field that is computed from others. Its value and description are those of the spec's property of that name.

    `moves`: the input that is scaled when somebody sets the derived field (which must be proportional to it); without
    one, setting is refused.
    """

    unit: str
    inputs: tuple[str, ...]
    moves: str | None = None


class SpecGroup(BaseModel):
    """Fields that belong together: the base of everything a hardware file describes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ComponentSpec(SpecGroup):
    """What a hardware file may say about one kind of component.

    `ports`: name and interface of each port; the name "*" stands for one port per client, under any name. `serves`:
    the ports that answer; the others ask. A link goes from one that asks to one that answers.
    """

    ports: ClassVar[Mapping[str, str]] = {}
    serves: ClassVar[frozenset[str]] = frozenset()
    derived_fields: ClassVar[Mapping[str, Derived]] = {}
