"""Power, energy and clocks beside published ones: error by class, what draws more than what, targets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.errors import Problem, SpecError
from sim.paths import find
from sim.result.run_result import RunResult
from sim.system.energy import idle_watts
from sim.system.plugins import load_hardware
from sim.yamlfile import Document, load_yaml, validate_model

Predict = Callable[..., RunResult]
IDLE = "idle_"
CAP = "power.clock_cap"


class PowerRecord(BaseModel):
    """One published number, and the arguments of the `sim.run` beside it. `fitted`: figures were moved with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    class_: str = Field(alias="class")
    quantity: Literal[
        "gpu_w", "wall_w", "gpu_j_per_output_token", "clock_mhz", "rate_at_cap", "idle_wall_w", "idle_package_w"
    ]
    value: float = Field(gt=0)
    source: str
    conditions: str
    run: dict[str, Any]
    phase: str | None = None
    fitted: bool = False


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["sparksim.power/1"] = Field(alias="schema")
    hardware: str
    sources: dict[str, str]
    orders: tuple[tuple[str, str], ...] = ()
    records: tuple[PowerRecord, ...]


class ClassTarget(BaseModel):
    """What a class is held to: mean absolute error, the worst one, and how many records it must have."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    error: float = Field(gt=0)
    worst: float = Field(gt=0)
    least_records: int = Field(1, gt=0)


class _TargetFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")  # the other validations check their own sections
    schema_: Literal["sparksim.targets/1"] = Field(alias="schema")
    power: dict[str, ClassTarget]


@dataclass(frozen=True, slots=True)
class PowerRow:
    """One comparison, in the unit of its record."""

    record: PowerRecord
    predicted: float

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.predicted / self.record.value - 1.0


def load_power() -> _File:
    """The published numbers that ship with the project.

    Raises:
        SpecError: the file is wrong: a source or an id that is not there.
    """
    document = load_yaml(find("measurements", "power"))
    file = validate_model(_File, document)
    if problems := list(_unknown(file, document)):
        raise SpecError(problems)
    return file


def _unknown(file: _File, document: Document) -> list[Problem]:
    ids = [record.id for record in file.records]
    found = [
        Problem(f"{one.id}: unknown source {one.source[:40]!r}", "unknown_name", document.file, path="records")
        for one in file.records
        if one.source not in file.sources
    ]
    found += [
        Problem(f"the id {name[:60]!r} is there twice", "duplicate_id", document.file, path="records")
        for name in sorted({name for name in ids if ids.count(name) > 1})
    ]
    named = {name for pair in file.orders for name in pair} - set(ids)
    return found + [Problem(f"no record {name[:60]!r}", "unknown_name", document.file, path="orders") for name in named]


def validate_power(predict: Predict, progress: Callable[[str], None] | None = None) -> PowerReport:
    """Every shipped record beside its prediction. `predict`: `sim.run`."""
    file = load_power()
    rows = []
    for number, record in enumerate(file.records, 1):
        if progress is not None:
            progress(f"record {number} of {len(file.records)}: {record.id}")
        rows.append(PowerRow(record, _predicted(record, predict)))
    return PowerReport(tuple(rows), file.orders)


def _predicted(record: PowerRecord, predict: Predict) -> float:
    if record.quantity.startswith(IDLE):
        return idle_watts(load_hardware(record.run["hardware"]))[record.quantity.removeprefix(IDLE)[:-2]]
    result = predict(**record.run)
    if record.quantity == "rate_at_cap":
        free = {**record.run, "set": {path: value for path, value in record.run["set"].items() if path != CAP}}
        rate = f"{record.phase}_tok_s"
        return float(result.rates()[rate] or 0.0) / float(predict(**free).rates()[rate] or 0.0)
    energy = result.energy
    assert energy is not None
    phase = record.phase or (energy.phases[0] if len(energy.phases) == 1 else None)
    if record.quantity == "clock_mhz":
        assert phase is not None
        return min(each.clock_hz for each in energy.samples if each.phase == phase) / 1e6
    if record.quantity == "gpu_j_per_output_token":
        me = result.identity
        return energy.joules("gpu") / ((me.batch or 1) * (me.output_tokens or 1))
    return energy.watts(record.quantity.removesuffix("_w"), phase)


@dataclass(frozen=True, slots=True)
class PowerReport:
    """All comparisons; `orders`: pairs of ids of which the first must draw more."""

    rows: tuple[PowerRow, ...]
    orders: tuple[tuple[str, str], ...]

    def classes(self) -> dict[str, list[PowerRow]]:
        """Rows by class."""
        found: dict[str, list[PowerRow]] = defaultdict(list)
        for row in self.rows:
            found[row.record.class_].append(row)
        return dict(found)

    def broken_targets(self) -> list[str]:
        """Every target that does not hold, in a sentence each."""
        targets = validate_model(_TargetFile, load_yaml(find("measurements", "targets"))).power
        classes, broken = self.classes(), []
        for name, target in targets.items():
            rows = classes.get(name, [])
            if len(rows) < target.least_records:
                broken.append(f"{name}: {len(rows)} records, target {target.least_records}")
                continue
            error, worst = mean(abs(row.error) for row in rows), max(rows, key=lambda row: abs(row.error))
            if error > target.error:
                broken.append(f"{name}: error {error:.1%}, target {target.error:.0%}")
            if abs(worst.error) > target.worst:
                broken.append(f"{name}: {worst.record.id} off by {worst.error:+.1%}, target {target.worst:.0%}")
        broken += [f"no target for class {name}" for name in classes if name not in targets]
        value = {row.record.id: row.predicted for row in self.rows}
        return broken + [
            f"{more} draws {value[more]:.1f}, not more than {less} with {value[less]:.1f}"
            for more, less in self.orders
            if value[more] <= value[less]
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json (`sparksim.power-validation/1`)."""
        return {
            "schema": "sparksim.power-validation/1",
            "classes": {name: figures(rows) for name, rows in self.classes().items()},
            "rows": [
                {
                    "id": row.record.id,
                    "class": row.record.class_,
                    "quantity": row.record.quantity,
                    "measured": row.record.value,
                    "predicted": row.predicted,
                    "error": row.error,
                    "fitted": row.record.fitted,
                }
                for row in self.rows
            ],
            "orders": [list(pair) for pair in self.orders],
            "broken": self.broken_targets(),
        }

    def to_text(self, *, rows: bool = False) -> str:
        """Tables for a person."""
        lines = [f"{'class':<18}{'records':>8}{'error':>8}{'bias':>8}{'worst':>8}{'not fitted':>12}{'error':>8}"]
        for name, members in self.classes().items():
            f, new = figures(members), figures([row for row in members if not row.record.fitted])
            other = f"{new['error']:>8.1%}" if new["count"] else f"{'':>8}"
            lines.append(
                f"{name:<18}{f['count']:>8}{f['error']:>8.1%}{f['bias']:>+8.1%}{f['worst']:>+8.1%}{new['count']:>12}{other}"
            )
        if rows:
            lines += ["", f"{'record':<42}{'quantity':<24}{'measured':>10}{'predicted':>11}{'off':>8}"]
            lines += [
                f"{row.record.id:<42}{row.record.quantity:<24}{row.record.value:>10.4g}{row.predicted:>11.4g}{row.error:>+8.1%}"
                for row in self.rows
            ]
        return "\n".join(lines)


def figures(rows: list[PowerRow]) -> Mapping[str, Any]:
    """Count, mean absolute error, mean error and the worst of `rows`; zeros for none."""
    errors = [row.error for row in rows]
    if not errors:
        return {"count": 0, "error": 0.0, "bias": 0.0, "worst": 0.0}
    return {"count": len(errors), "error": mean(map(abs, errors)), "bias": mean(errors), "worst": max(errors, key=abs)}
