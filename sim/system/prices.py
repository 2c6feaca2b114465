"""What a machine and its electricity cost: as a scenario says, else as the machine's file or `prices.yaml` does."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.hwspec import Dollars, HardwareSpec
from sim.paths import find
from sim.result.served_energy import Prices
from sim.serving.scenario import PricePart
from sim.yamlfile import load_yaml, validate_model

_GIVEN = "as the scenario says"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Price(_Part):
    value: Dollars
    date: str = Field(min_length=4)
    source: str = Field(min_length=1)
    per: Literal["kWh"] | None = None


class _Years(_Part):
    value: float = Field(gt=0)
    date: str = Field(min_length=4)
    source: str = Field(min_length=1)


class _PriceFile(_Part):
    schema_: Literal["sparksim.prices/1"] = Field(alias="schema")
    electricity: _Price
    years: _Years


def prices_of(hardware: HardwareSpec, given: PricePart) -> Prices:
    """The prices that hold, each with its source and date.

    Raises:
        SpecError: the file of prices is wrong.
    """
    file = validate_model(_PriceFile, load_yaml(find("measurements", "prices")))
    machine, source = (given.machine, _GIVEN) if given.machine is not None else _machine(hardware)
    sources = {
        "machine": source,
        "electricity": _GIVEN if given.electricity is not None else _said(file.electricity),
        "years": _GIVEN if given.years is not None else f"{file.years.source} ({file.years.date})",
    }
    electricity = file.electricity.value if given.electricity is None else given.electricity
    return Prices(machine, electricity, given.years or file.years.value, sources)


def _machine(hardware: HardwareSpec) -> tuple[float | None, str]:
    """Of one simulated GPU: its share of the box."""
    for name, spec in hardware.components.items():
        price = getattr(spec, "price", None)
        if price is not None:
            found = hardware.provenance[f"{name}.price"]
            source = (found.source or hardware.name) + (f" ({found.date})" if found.date else "")
            return price / getattr(spec, "gpus", 1), source
    return None, "not known"


def _said(price: _Price) -> str:
    return f"{price.source} ({price.date})"
