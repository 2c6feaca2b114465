"""Predictions beside published measurements: error and bias by class, model and batch, the worst rows, targets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.errors import InputError, Problem
from sim.paths import find, normalize
from sim.result.ranges import shipped
from sim.system.measurements import family_of
from sim.validation.baseline import Ran, ran_of
from sim.validation.residuals import HELD, coverage, stale
from sim.validation.text import SMALL_CLASS, to_markdown, to_text
from sim.yamlfile import load_yaml, validate_model

UNSTATED_PROMPT_TOKENS = 16
"""Prompts of records that say only "short"."""
STALE = 0.02
"""How far a shipped range may be from that of the rows: about what folding moves a time by."""


class Record(BaseModel):
    """One published measurement and its conditions."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    source: str
    source_url: str
    date: str
    runtime: str
    model: str
    quant: str
    kv_dtype: str | None
    batch: int = Field(gt=0)
    prompt: int | None
    depth: int
    output: int
    prefill_tok_s: float | None
    decode_tok_s: float | None
    decode_is: Literal["per_stream", "aggregate"] | None
    decode_basis: Literal["pure_decode", "e2e", "window", "unknown"] | None
    bench: Literal["llama-bench", "llama-batched-bench", "server"]
    set: dict[str, str | int] = {}
    ttft_s: float | None = Field(None, gt=0, description="time to first token; not compared, a number may rest on it")

    @property
    def where(self) -> dict[str, str]:
        """The machine, as an argument of a run; nothing where it is the one that is asked by default."""
        return {}

    @property
    def changes(self) -> dict[str, str]:
        """What of the machine is not as its file says."""
        return {}


class _RecordFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["sparksim.measurements/1"] = Field(alias="schema")
    sources: dict[str, str]
    excluded: dict[str, tuple[str, ...]] = Field({}, description="rule -> measurements that it leaves out, by id")
    records: tuple[Record, ...]


class _Target(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    error: float = Field(gt=0)
    bias: float = Field(gt=0)


class _Targets(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    decode: _Target
    prefill: _Target
    group: float = Field(gt=0)
    least_records: int = Field(gt=0)


class _TargetFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")  # the other validations check their own sections
    schema_: Literal["sparksim.targets/1"] = Field(alias="schema")
    inference: _Targets


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison; rates in tokens per second of all sequences together. `ran`: the prediction it rests on."""

    record: Record
    phase: str
    measured: float
    predicted: float
    ran: Ran | None = None

    @property
    def source(self) -> str:
        """Who measured it."""
        return self.record.source

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.predicted / self.measured - 1.0

    @property
    def roofline_error(self) -> float | None:
        """The same of a plain roofline."""
        return self.ran.roofline_tok_s / self.measured - 1.0 if self.ran else None

    @property
    def label(self) -> str:
        """The class it counts in: runtime, model, quantisation, phase."""
        return f"{self.record.runtime} {self.record.model} {self.record.quant} {self.phase}"


@dataclass(frozen=True, slots=True)
class Figures:
    """Errors of a set of rows; `roofline`, `roofline_bias`: what a plain roofline would be off by."""

    count: int
    error: float
    bias: float
    worst: float
    roofline: float | None = None
    roofline_bias: float | None = None


Predict = Callable[..., Any]


def load_records() -> tuple[Record, ...]:
    """The measurements that ship with the project."""
    return validate_model(_RecordFile, load_yaml(find("measurements", "inference"))).records


def load_excluded() -> dict[str, int]:
    """How many measurements that were looked at are not compared, by the rule that leaves them out."""
    listed = validate_model(_RecordFile, load_yaml(find("measurements", "inference"))).excluded
    return {rule: len(ids) for rule, ids in listed.items()}


def validate_inference(
    predict: Predict,
    *,
    runtime: str | None = None,
    family: str | None = None,
    records: tuple[Record, ...] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Compare every record in the quantity it measured. `predict`: `sim.run`. `family`: how names of models begin.

    Raises:
        InputError: no record is of this runtime and family.
    """
    listed = load_records() if records is None else records
    chosen = [
        r
        for r in listed
        if (runtime is None or r.runtime.startswith(runtime))
        and (family is None or normalize(r.model).startswith(normalize(family)))
    ]
    if not chosen and listed:
        families = ", ".join(sorted({family_of(r.model) for r in listed}))
        runtimes = ", ".join(sorted({r.runtime for r in listed}))
        hint = f"runtimes: {runtimes}; families: {families}"
        raise InputError(Problem("no record is of this runtime and family", "no_records", hint=hint))
    rows: list[Row] = []
    for number, record in enumerate(chosen, 1):
        if progress is not None:
            progress(f"record {number:,} of {len(chosen):,}: {record.id}")
        rows += compare(record, predict)
    return Report(tuple(rows), len(chosen), is_whole=runtime is None and family is None)


def compare(record: Record, predict: Predict) -> list[Row]:
    """At most two comparisons: prefill, and decode in the quantity measured."""
    shared = {
        **record.where,
        "model": record.model,
        "runtime": record.runtime,
        "quant": record.quant,
        "kv_dtype": record.kv_dtype,
        "batch": record.batch,
        "set": record.changes
        | {f"runtime.{name}": str(value) for name, value in record.set.items()}
        | ({"workload.content": "random_tokens"} if record.bench != "server" else {}),
    }
    rows = []
    if record.prefill_tok_s and record.prompt:
        result = predict(**shared, prompt=record.prompt, depth=record.depth, output=0)
        rate = result.rates()["prefill_tok_s"]
        rows.append(Row(record, "prefill", record.prefill_tok_s, rate, ran_of(result, "prefill")))
    if record.decode_tok_s and record.decode_basis in ("pure_decode", "e2e"):
        measured = record.decode_tok_s * (record.batch if record.decode_is == "per_stream" else 1)
        rows.append(Row(record, "decode", measured, *_decode(record, shared, predict)))
    return rows


def _decode(record: Record, shared: Mapping[str, Any], predict: Predict) -> tuple[float, Ran | None]:
    """The rate as it was measured, and the run it comes from."""
    if record.decode_basis == "e2e":
        prompt = record.prompt or UNSTATED_PROMPT_TOKENS
        result = predict(**shared, prompt=prompt, depth=record.depth, output=record.output)
        return float(record.batch * record.output / result.rates()["e2e_s"]), ran_of(result, "e2e")
    depth = record.depth if record.bench == "llama-bench" else record.depth + (record.prompt or 0)
    result = predict(**shared, prompt=0, depth=depth, output=max(2, record.output))
    return float(result.rates()["decode_tok_s"]), ran_of(result, "decode")


def _bin(value: int, unit: str) -> str:
    """Powers of four, so that a table stays short."""
    low = 1
    while low * 4 <= value:
        low *= 4
    return f"{unit} {low if value >= low else 0:>6,} to {low * 4 - 1:,}"


def figures(rows: list[Row]) -> Figures:
    """Mean absolute error, mean error and the worst of `rows`."""
    errors = [row.error for row in rows]
    plain = [row.roofline_error for row in rows if row.roofline_error is not None]
    beside = (mean(map(abs, plain)), mean(plain)) if plain else (None, None)
    return Figures(len(errors), mean(map(abs, errors)), mean(errors), max(errors, key=abs), *beside)


@dataclass(frozen=True, slots=True)
class Report:
    """All comparisons. `is_whole`: no record was left out by a filter, so counts must reach their target."""

    rows: tuple[Row, ...]
    records: int
    is_whole: bool = True

    def classes(self) -> dict[str, Figures]:
        """By runtime, model, quantisation and phase."""
        return self._grouped(lambda row: row.label)

    def groups(self) -> dict[str, Figures]:
        """By model, batch and phase."""
        return self._grouped(lambda row: f"{row.record.model} batch {row.record.batch} {row.phase}")

    def _grouped(self, key: Callable[[Row], str]) -> dict[str, Figures]:
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            found[key(row)].append(row)
        return {name: figures(rows) for name, rows in sorted(found.items())}

    def breakdowns(self) -> dict[str, dict[str, Figures]]:
        """Figures by runtime, family, quantisation, batch and depth, each with its phase."""
        keys: dict[str, Callable[[Record], str]] = {
            "runtime": lambda r: r.runtime.partition("@")[0],
            "family": lambda r: family_of(r.model),
            "quantisation": lambda r: r.quant,
            "batch": lambda r: _bin(r.batch, "batch"),
            "depth": lambda r: _bin(r.depth + (0 if r.bench == "llama-bench" else r.prompt or 0), "tokens"),
        }
        return {
            title: self._grouped(lambda row, key=key: f"{key(row.record)} {row.phase}")  # type: ignore[misc]
            for title, key in keys.items()
        }

    def headline(self, phase: str) -> Figures | None:
        """Means over the classes of a phase that have enough rows."""
        counted = [f for name, f in self.classes().items() if name.endswith(phase) and f.count >= SMALL_CLASS]
        if not counted:
            return None
        worst = max((f.worst for f in counted), key=abs)
        plain = [
            (f.roofline, f.roofline_bias) for f in counted if f.roofline is not None and f.roofline_bias is not None
        ]
        beside = (mean(each for each, _ in plain), mean(each for _, each in plain)) if plain else (None, None)
        error, bias = mean(f.error for f in counted), mean(f.bias for f in counted)
        return Figures(sum(f.count for f in counted), error, bias, worst, *beside)

    def broken_targets(self) -> list[str]:
        """Every target that does not hold, in a sentence each."""
        targets = validate_model(_TargetFile, load_yaml(find("measurements", "targets"))).inference
        broken = [] if self.rows else ["no record was compared"]
        if self.is_whole and self.records < targets.least_records:
            broken.append(f"{self.records} records, target {targets.least_records}")
        for phase, target in (("decode", targets.decode), ("prefill", targets.prefill)):
            found = self.headline(phase)
            if found is None:
                continue
            if found.error > target.error:
                broken.append(f"{phase} error {found.error:.1%}, target {target.error:.0%}")
            if abs(found.bias) > target.bias:
                broken.append(f"{phase} bias {found.bias:+.1%}, target {target.bias:.0%}")
        for name, group in self.groups().items():
            if group.count >= SMALL_CLASS and abs(group.bias) > targets.group:
                broken.append(f"{name}: {group.count} rows off by {group.bias:+.1%}, target {targets.group:.0%}")
        return broken + (self._broken_ranges() if self.is_whole else [])

    def _broken_ranges(self) -> list[str]:
        """Whether the ranges that ship are those of these rows, and hold what is left out."""
        low, high = HELD
        broken = []
        for what, found in self.coverage().items():
            inside, n = found.get("all", (0, 0))
            if n and not low <= inside / n <= high:
                broken.append(
                    f"{inside / n:.1%} of {n} left out by {what} lie in range, target {low:.0%} to {high:.0%}"
                )
        return broken + stale(self.rows, shipped().classes, STALE)

    def coverage(self) -> dict[str, dict[str, tuple[int, int]]]:
        """How many rows lie in the range that the rest gives, where a record, a source or a model is left out."""
        keys: dict[str, Callable[[Row], str]] = {
            "record": lambda row: row.record.id,
            "source": lambda row: row.record.source,
            "model": lambda row: row.record.model,
        }
        return {name: coverage(self.rows, key) for name, key in keys.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""

        def plain(f: Figures) -> dict[str, float | None]:
            beside = {"roofline_error": f.roofline, "roofline_bias": f.roofline_bias}
            return {"count": f.count, "error": f.error, "bias": f.bias, "worst": f.worst, **beside}

        heads = {phase: plain(f) for phase in ("decode", "prefill") if (f := self.headline(phase))}
        return {
            "schema": "sparksim.validation/1",
            "records": self.records,
            "is_whole": self.is_whole,
            "comparisons": len(self.rows),
            "headline": heads,
            "classes": {name: plain(f) for name, f in self.classes().items()},
            "groups": {name: plain(f) for name, f in self.groups().items()},
            "rows": [
                {
                    "id": r.record.id,
                    "runtime": r.record.runtime,
                    "phase": r.phase,
                    "measured": r.measured,
                    "predicted": r.predicted,
                    "error": r.error,
                    "roofline": r.ran.roofline_tok_s if r.ran else None,
                    "causes": r.ran.causes if r.ran else None,
                }
                for r in self.rows
            ],
            "breakdowns": {
                title: {name: plain(f) for name, f in table.items()} for title, table in self.breakdowns().items()
            },
            "excluded": load_excluded(),
            "left_out": {
                what: {name: {"inside": inside, "count": n} for name, (inside, n) in found.items()}
                for what, found in self.coverage().items()
            },
            "broken": self.broken_targets(),
        }

    def to_text(self, *, rows: bool = False) -> str:
        """Tables for a person."""
        return to_text(self.to_dict(), rows=rows)

    def to_markdown(self) -> str:
        """The table of the README."""
        return to_markdown(self.to_dict())
