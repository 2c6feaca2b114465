"""Rates of tenants that share a machine beside published ones: alone, together, and how much is kept of the former."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.errors import Problem, SpecError
from sim.paths import find
from sim.system.tenant_file import TenantFile, read_tenants
from sim.system.tenants import run_tenants
from sim.yamlfile import load_yaml, validate_model

QUANTITIES = ("alone", "together", "kept")


class TenantRecord(BaseModel):
    """One published pair of rates, of `tenant` in `scenario`; `set`: TENANT.FIELD of the scenario -> value."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    source: str
    tenant: str
    alone_tok_s: float = Field(gt=0)
    together_tok_s: float = Field(gt=0)
    conditions: str
    scenario: str
    set: dict[str, Any] = {}


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["sparksim.co-residency/1"] = Field(alias="schema")
    hardware: str
    sources: dict[str, str]
    records: tuple[TenantRecord, ...]


class TenantTargets(BaseModel):
    """Most that a rate together, and what is kept of the rate alone, may be off; and how many records there must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    together: float = Field(gt=0)
    kept: float = Field(gt=0)
    least_records: int = Field(gt=0)


class _TargetFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")  # the other validations check their own sections
    schema_: Literal["sparksim.targets/1"] = Field(alias="schema")
    tenants: TenantTargets


@dataclass(frozen=True, slots=True)
class TenantComparison:
    """One record: tokens per second alone and together, measured and predicted."""

    record: TenantRecord
    alone: float
    together: float

    def error(self, quantity: str) -> float:
        """Predicted / measured - 1 of `alone`, `together`, or `kept` (together / alone)."""
        measured = {"alone": self.record.alone_tok_s, "together": self.record.together_tok_s}
        predicted = {"alone": self.alone, "together": self.together}
        if quantity == "kept":
            return (self.together / self.alone) / (measured["together"] / measured["alone"]) - 1.0
        return predicted[quantity] / measured[quantity] - 1.0


def load_tenants() -> tuple[TenantRecord, ...]:
    """The records that ship with the project.

    Raises:
        SpecError: a source that is not listed.
    """
    document = load_yaml(find("measurements", "tenants"))
    file = validate_model(_File, document)
    problems = [
        Problem(f"{one.id}: unknown source {one.source[:40]!r}", "unknown_name", document.file, path="records")
        for one in file.records
        if one.source not in file.sources
    ]
    if problems:
        raise SpecError(problems)
    return file.records


def scenario_of(record: TenantRecord) -> TenantFile:
    """The record's scenario with its changes."""
    data = read_tenants(find("scenarios", record.scenario)).model_dump(by_alias=True, mode="json")
    data["duration"] = f"{data['duration']!r} s"
    for tenant in data["tenants"].values():
        for name, unit in (("pause", "s"), ("rate", "B/s"), ("footprint", "B")):
            if tenant.get(name) is not None:
                tenant[name] = f"{tenant[name]!r} {unit}"
    for path, value in record.set.items():
        tenant, _, name = path.partition(".")
        data["tenants"][tenant][name] = value
    return TenantFile.model_validate(data)


def validate_tenants(progress: Callable[[str], None] | None = None) -> TenantReport:
    """Every record beside its scenario."""
    rows = []
    for record in load_tenants():
        if progress is not None:
            progress(record.id)
        row = run_tenants(scenario_of(record)).row(record.tenant)
        rows.append(TenantComparison(record, row.alone.rate, row.together.rate))
    return TenantReport(tuple(rows))


@dataclass(frozen=True, slots=True)
class TenantReport:
    """All comparisons."""

    rows: tuple[TenantComparison, ...]

    def broken_targets(self) -> list[str]:
        """Every target that does not hold, in a sentence each."""
        targets = validate_model(_TargetFile, load_yaml(find("measurements", "targets"))).tenants
        broken = []
        if len(self.rows) < targets.least_records:
            broken.append(f"{len(self.rows)} records, target {targets.least_records}")
        for row in self.rows:
            for quantity, most in (("together", targets.together), ("kept", targets.kept)):
                if abs(row.error(quantity)) > most:
                    broken.append(f"{row.record.id}: {quantity} off by {row.error(quantity):+.1%}, target {most:.0%}")
        return broken

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json (`sparksim.tenant-validation/1`)."""
        return {
            "schema": "sparksim.tenant-validation/1",
            "rows": [
                {
                    "id": row.record.id,
                    "measured": {"alone": row.record.alone_tok_s, "together": row.record.together_tok_s},
                    "predicted": {"alone": row.alone, "together": row.together},
                    "error": {quantity: row.error(quantity) for quantity in QUANTITIES},
                }
                for row in self.rows
            ],
            "broken": self.broken_targets(),
        }

    def to_text(self) -> str:
        """A table for a person: tokens per second measured and predicted, errors of rates and of what is kept."""
        lines = [f"{'record':<16}{'alone':>16}{'together':>18}{'alone':>8}{'together':>10}{'kept':>8}"]
        for row in self.rows:
            one = row.record
            rates = f"{one.alone_tok_s:>8.1f} {row.alone:>7.1f}{one.together_tok_s:>10.1f} {row.together:>7.1f}"
            errors = "".join(f"{row.error(q):>+{width}.1%}" for q, width in zip(QUANTITIES, (8, 10, 8), strict=True))
            lines.append(f"{one.id:<16}{rates}{errors}")
        return "\n".join(lines)
