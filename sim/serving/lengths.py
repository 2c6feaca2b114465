"""How long prompts and answers are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from zlib import crc32

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, Strict, model_validator
from pydantic_core import CoreSchema  # noqa: TC002 - pydantic reads it

MOST_TOKENS = 2**27
_BLOCK = 1024


class Part(BaseModel):
    """A piece of a scenario: every field known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Tokens = Annotated[int, Strict(), Field(ge=1, le=MOST_TOKENS)]
Positive = Annotated[float, Field(gt=0, le=1e9)]


class Lognormal(Part):
    """Most are near the median, some much longer."""

    median: Tokens
    sigma: Positive = Field(description="standard deviation of the logarithm")
    max: Tokens = Field(MOST_TOKENS, description="longer ones are drawn again as this long")


class Empirical(Part):
    """Lengths as a file lists them, drawn with replacement."""

    file: str = Field(description="./FILE with one whole number a line, or a CSV whose column is named")
    column: str | None = Field(None, description="of a CSV with a header")


class Length(Part):
    """One distribution of a number of tokens."""

    constant: Tokens | None = None
    uniform: tuple[Tokens, Tokens] | None = Field(None, description="[least, most], both of them drawn too")
    lognormal: Lognormal | None = None
    empirical: Empirical | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Length:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("names one of constant, uniform, lognormal, empirical")
        if self.uniform is not None and self.uniform[0] > self.uniform[1]:
            raise ValueError("uniform must be [least, most], the smaller one first")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A bare number is a constant length too."""
        return {"anyOf": [{"type": "integer", "minimum": 1}, handler(core)]}

    def draw(self, random: np.random.Generator, folder: Path) -> Iterator[int]:
        """Lengths without end; files are looked for in `folder`.

        Raises:
            InputError: the file of an empirical one cannot be read.
        """
        if self.constant is not None:
            while True:
                yield self.constant
        values = _values(self.empirical, folder) if self.empirical is not None else None
        while True:
            yield from self._block(random, values)

    def mean(self, folder: Path) -> float:
        """Its mean; of a lognormal one as if none were cut off at `max`, but no more than that.

        Raises:
            InputError: the file of an empirical one cannot be read.
        """
        if self.constant is not None:
            return self.constant
        if self.uniform is not None:
            return sum(self.uniform) / 2
        if self.lognormal is not None:
            return min(self.lognormal.max, self.lognormal.median * float(np.exp(self.lognormal.sigma**2 / 2)))
        assert self.empirical is not None
        return float(_values(self.empirical, folder).mean())

    def _block(self, random: np.random.Generator, values: np.ndarray | None) -> list[int]:
        if self.uniform is not None:
            return [int(x) for x in random.integers(self.uniform[0], self.uniform[1] + 1, _BLOCK)]
        if self.lognormal is not None:
            drawn = self.lognormal.median * np.exp(self.lognormal.sigma * random.standard_normal(_BLOCK))
            return [int(x) for x in np.clip(np.rint(drawn), 1, self.lognormal.max)]
        assert values is not None
        return [int(x) for x in random.choice(values, _BLOCK)]


def _short_form(value: Any) -> Any:
    """A bare number is a constant length."""
    return {"constant": value} if isinstance(value, int) and not isinstance(value, bool) else value


AnyLength = Annotated[Length, BeforeValidator(_short_form)]


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one purpose: the same for a seed and a name, independent of every other name's."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, crc32(name.encode())])))


def _values(empirical: Empirical, folder: Path) -> np.ndarray:
    from sim.serving.length_file import read_lengths  # noqa: PLC0415 - most scenarios name no file

    path = Path(empirical.file)
    return np.asarray(read_lengths(path if path.is_absolute() else folder / path, empirical.column))
