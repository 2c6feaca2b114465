"""Predictions beside measurements on many machines: decode rates, and which machine of a pair is the faster one.

Records that numbers rest on (`use: fitted`) and those that nothing may rest on (`held_out`) are told apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from statistics import mean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.errors import InputError, Problem
from sim.paths import find, normalize
from sim.validation.inference import Predict, Record, Row, compare
from sim.yamlfile import load_yaml, validate_model

CLEAR = 1.25
"""Rates that differ by more than this factor must come out in the measured order."""


class MachineRecord(Record):
    """One published measurement on a machine that it names."""

    hardware: str
    machine: dict[str, str] = Field({}, description="fields of the machine's file that were otherwise")
    use: Literal["fitted", "held_out"] = Field(description="whether a number of the machine's kernels may rest on it")
    group: str | None = Field(None, description="measured alike on several machines: their order must come out")

    @property
    def where(self) -> dict[str, str]:
        """The machine, as an argument of a run."""
        return {"hardware": self.hardware}

    @property
    def changes(self) -> dict[str, str]:
        """What of the machine is not as its file says."""
        return self.machine


class _RecordFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["sparksim.measurements/1"] = Field(alias="schema")
    sources: dict[str, str]
    records: tuple[MachineRecord, ...]


class _Targets(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    held: dict[str, float] = Field(description="source -> largest error of a decode rate")
    decode: float = Field(gt=0, description="mean decode error of the records that are held out")
    prefill: float = Field(gt=0, description="mean prefill error of the records that are held out")
    out_of_order: int = Field(ge=0, description="pairs that differ clearly and come out the other way round")
    least_records: int = Field(gt=0)


class _TargetFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")  # the other validations check their own sections
    schema_: Literal["sparksim.targets/1"] = Field(alias="schema")
    machines: _Targets


@dataclass(frozen=True, slots=True)
class Pair:
    """Two measurements of a group in one phase that differ clearly, the slower one first."""

    slow: Row
    fast: Row

    @property
    def is_in_order(self) -> bool:
        """Whether the faster one is predicted to be faster."""
        return self.fast.predicted > self.slow.predicted

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "group": record_of(self.fast).group,
            "phase": self.fast.phase,
            "slow": place(self.slow),
            "fast": place(self.fast),
            "measured": self.fast.measured / self.slow.measured,
            "predicted": self.fast.predicted / self.slow.predicted,
            "is_in_order": self.is_in_order,
        }


def record_of(row: Row) -> MachineRecord:
    """The row's record, which names its machine."""
    assert isinstance(row.record, MachineRecord)
    return row.record


def place(row: Row) -> str:
    """Machine and runtime of a row."""
    record = record_of(row)
    return f"{record.hardware} {record.runtime.partition('@')[0]}"


def load_machine_records() -> tuple[MachineRecord, ...]:
    """The measurements that ship with the project."""
    return validate_model(_RecordFile, load_yaml(find("measurements", "machines"))).records


def validate_machines(
    predict: Predict,
    *,
    hardware: str | None = None,
    records: tuple[MachineRecord, ...] | None = None,
    progress: Callable[[str], None] | None = None,
) -> MachineReport:
    """Compare every record in the quantity it measured. `predict`: `sim.run`. `hardware`: only this machine.

    Raises:
        InputError: no record is of this machine.
    """
    listed = load_machine_records() if records is None else records
    chosen = [r for r in listed if hardware is None or normalize(r.hardware) == normalize(hardware)]
    if not chosen:
        hint = f"there are: {', '.join(sorted({r.hardware for r in listed}))}"
        raise InputError(Problem(f"no record is of machine {str(hardware)[:60]!r}", "no_records", hint=hint))
    rows: list[Row] = []
    for number, record in enumerate(chosen, 1):
        if progress is not None:
            progress(f"record {number} of {len(chosen)}: {record.id}")
        rows += compare(record, predict)
    return MachineReport(tuple(rows), len(chosen), is_whole=hardware is None)


@dataclass(frozen=True, slots=True)
class MachineReport:
    """All comparisons. `is_whole`: no record was left out by a filter."""

    rows: tuple[Row, ...]
    records: int
    is_whole: bool = True

    def pairs(self) -> list[Pair]:
        """Pairs of a group in which one rate is clearly above the other."""
        groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.rows:
            if (group := record_of(row).group) is not None:
                groups[group, row.phase].append(row)
        ordered = (sorted(rows, key=lambda row: row.measured) for rows in groups.values())
        found = (Pair(slow, fast) for rows in ordered for slow, fast in combinations(rows, 2))
        return [pair for pair in found if pair.fast.measured > CLEAR * pair.slow.measured]

    def mean_errors(self) -> dict[str, tuple[int, float, float]]:
        """By machine, runtime, use and phase: how many, mean absolute error, bias."""
        groups: dict[str, list[float]] = defaultdict(list)
        for row in self.rows:
            groups[f"{place(row)} {record_of(row).use} {row.phase}"].append(row.error)
        return {name: (len(e), mean(map(abs, e)), mean(e)) for name, e in sorted(groups.items())}

    def held_out(self, phase: str) -> float | None:
        """Mean absolute error in a phase of the records that nothing rests on."""
        errors = [abs(row.error) for row in self.rows if record_of(row).use == "held_out" and row.phase == phase]
        return mean(errors) if errors else None

    def broken_targets(self) -> list[str]:
        """Every target that does not hold, in a sentence each."""
        targets = validate_model(_TargetFile, load_yaml(find("measurements", "targets"))).machines
        broken = [] if self.rows else ["no record was compared"]
        if self.is_whole and self.records < targets.least_records:
            broken.append(f"{self.records} records, target {targets.least_records}")
        for row in self.rows:
            most = targets.held.get(row.record.source) if row.phase == "decode" else None
            if most is not None and abs(row.error) > most:
                broken.append(f"{row.record.id}: decode {row.error:+.1%}, target {most:.0%}")
        if self.is_whole:
            for phase, most in (("decode", targets.decode), ("prefill", targets.prefill)):
                found = self.held_out(phase)
                if found is None or found > most:
                    broken.append(f"held out: {phase} {'none' if found is None else f'{found:.1%}'}, target {most:.0%}")
        wrong = [pair.to_dict() for pair in self.pairs() if pair.fast.phase == "decode" and not pair.is_in_order]
        if len(wrong) > targets.out_of_order:
            broken += [f"{each['group']}: {each['slow']} comes out above {each['fast']}" for each in wrong]
        return broken

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "schema": "sparksim.machine-validation/1",
            "records": self.records,
            "is_whole": self.is_whole,
            "rows": [
                {
                    "id": row.record.id,
                    "hardware": record_of(row).hardware,
                    "runtime": row.record.runtime,
                    "model": row.record.model,
                    "use": record_of(row).use,
                    "phase": row.phase,
                    "measured": row.measured,
                    "predicted": row.predicted,
                    "error": row.error,
                    "causes": row.ran.causes if row.ran else None,
                }
                for row in self.rows
            ],
            "machines": {n: {"count": c, "error": e, "bias": b} for n, (c, e, b) in self.mean_errors().items()},
            "pairs": [pair.to_dict() for pair in self.pairs()],
            "broken": self.broken_targets(),
        }

    def to_text(self, *, rows: bool = False) -> str:
        """Tables for a person."""
        lines = [f"{self.records} records, {len(self.rows)} comparisons", ""]
        lines.append(f"{'machine, runtime, use':<58}{'n':>4}{'error':>9}{'bias':>9}")
        for name, (count, error, bias) in self.mean_errors().items():
            lines.append(f"{name:<58}{count:>4}{error:>9.1%}{bias:>+9.1%}")
        pairs = self.pairs()
        for phase in ("decode", "prefill"):
            mine = [pair for pair in pairs if pair.fast.phase == phase]
            right = sum(pair.is_in_order for pair in mine)
            lines += ["", f"{phase}: {right} of {len(mine)} pairs of machines that differ by more than 25 % in order"]
            for pair in mine:
                if rows or not pair.is_in_order:
                    told = pair.to_dict()
                    lines.append(
                        f"  {told['group']}: {told['fast']} over {told['slow']}: measured {told['measured']:.2f}, "
                        f"predicted {told['predicted']:.2f}"
                    )
        if rows:
            lines += ["", f"{'record':<60}{'phase':>9}{'measured':>11}{'ours':>10}{'error':>9}"]
            for row in self.rows:
                lines.append(
                    f"{row.record.id:<60}{row.phase:>9}{row.measured:>11.1f}{row.predicted:>10.1f}{row.error:>+9.1%}"
                )
        return "\n".join(lines)
