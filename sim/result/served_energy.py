"""What serving drew and cost: energy by rail, and money per million tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.result.energy import RAILS

SECONDS_PER_YEAR = 365.25 * 86400
_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class ServedEnergy:
    """Joules of each rail from the first event to the last, `seconds` apart; idle time and warm-up are in it."""

    joules: dict[str, float]
    seconds: float

    def watts(self, rail: str) -> float:
        """Mean power of a rail."""
        return self.joules[rail] / self.seconds if self.seconds else 0.0

    def to_dict(self, duration_s: float, requests: int, output_tokens: int) -> dict[str, Any]:
        """The `energy` of `sparksim.serve/1`: mean power over `duration_s`, while the counted requests were served."""
        joules = {rail: self.watts(rail) * duration_s for rail in RAILS}
        return {
            **{f"{rail}_j": joules[rail] for rail in RAILS},
            "power_w": {rail: self.watts(rail) for rail in RAILS},
            "joules_per_output_token": _each(joules, output_tokens),
            "joules_per_request": _each(joules, requests),
        }


@dataclass(frozen=True, slots=True)
class Prices:
    """What a machine and its electricity cost, dollars; `sources` says of each where it is from and of when."""

    machine_usd: float | None
    electricity_usd_per_kwh: float
    years: float
    sources: dict[str, str]

    def dollars_per_second(self, watts: float) -> float | None:
        """The machine's share of its years of use, and the electricity; None where the machine's price is not known."""
        if self.machine_usd is None:
            return None
        power = watts * self.electricity_usd_per_kwh / _JOULES_PER_KWH
        return self.machine_usd / (self.years * SECONDS_PER_YEAR) + power

    def cost(self, watts: float | None, output_tok_s: float | None, total_tok_s: float | None) -> dict[str, Any]:
        """The `cost` of `sparksim.serve/1`: dollars per million tokens while the load is as it was."""
        rate = None if watts is None else self.dollars_per_second(watts)
        electricity = None if watts is None else watts * self.electricity_usd_per_kwh / _JOULES_PER_KWH
        return {
            "usd_per_million_output_tokens": _per_million(rate, output_tok_s),
            "usd_per_million_tokens": _per_million(rate, total_tok_s),
            "electricity_usd_per_million_output_tokens": _per_million(electricity, output_tok_s),
            "machine_usd": self.machine_usd,
            "electricity_usd_per_kwh": self.electricity_usd_per_kwh,
            "years": self.years,
            "sources": dict(self.sources),
        }


def _per_million(dollars_per_s: float | None, rate: float | None) -> float | None:
    return dollars_per_s / rate * 1e6 if dollars_per_s is not None and rate else None


def _each(joules: dict[str, float], count: int) -> dict[str, float] | None:
    return {rail: joules[rail] / count for rail in RAILS} if count else None
