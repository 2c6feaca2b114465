"""The memory account and the loading beside published measurements: verdicts, memory in use, sizes, load times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import mean
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sim.paths import find
from sim.study.fit import account_of, kv_bytes_per_token
from sim.system.memory_account import budget_of
from sim.system.prepared import Prepared
from sim.units import parse_quantity
from sim.validation.inference import Record, load_records
from sim.workload.quant import formats
from sim.yamlfile import load_yaml, validate_model

Bytes = Annotated[float, BeforeValidator(lambda text: parse_quantity(text, "B"))]
TABLES = ("used", "weights", "kv", "load")
WORDS = {
    "used": "memory in use, a runtime up",
    "weights": "size of the weights",
    "kv": "size of a KV cache",
    "load": "time to load",
}
Prepare = Callable[..., Prepared]
Load = Callable[..., Any]


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    source_url: str
    date: str = ""


class _Verdict(_Fact):
    what: str
    model: str | None = None
    quant: str | None = None
    weights: Bytes | None = None
    runtime: str
    kv_dtype: str | None = None
    set: dict[str, str | int | float] = {}
    prompt: int = 2048
    output: int = 128
    fits: bool


class _Used(_Fact):
    model: str
    quant: str | None = None
    runtime: str
    kv_dtype: str | None = None
    set: dict[str, str | int | float] = {}
    used: Bytes
    peak: Bytes | None = None


class _Weights(_Fact):
    model: str
    quant: str
    runtime: str
    size: Bytes


class _Cache(_Fact):
    model: str
    kv_dtype: str
    tokens: int = Field(gt=0)
    size: Bytes
    parts: int = Field(1, gt=0)


class _Load(_Fact):
    model: str
    quant: str
    runtime: str
    hardware: str
    how: Literal["mmap", "read", "direct"]
    of: Literal["start", "weights"]
    time_s: float = Field(gt=0)


class MemoryFacts(BaseModel):
    """The file of measurements."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["sparksim.memory/1"] = Field(alias="schema")
    verdicts: tuple[_Verdict, ...]
    used: tuple[_Used, ...]
    weights: tuple[_Weights, ...]
    kv: tuple[_Cache, ...]
    load: tuple[_Load, ...]
    excluded: dict[str, tuple[str, ...]] = Field({}, description="rule -> measurements that it leaves out, by id")


class _Targets(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    wrong: int = Field(ge=0, description="verdicts that may be wrong and not marginal")
    verdicts: int = Field(gt=0, description="fewest pairs")
    worst: dict[Literal["used", "weights", "kv", "load"], float]
    peak: float = Field(gt=0, description="memory in use against the most that was seen, mean error")


class _TargetFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")  # the other validations check their own sections
    schema_: Literal["sparksim.targets/1"] = Field(alias="schema")
    memory: _Targets


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """A published pair and ours; `margin_bytes`: what is left, or missing."""

    id: str
    what: str
    measured: bool
    predicted: bool
    is_marginal: bool
    margin_bytes: int

    @property
    def is_wrong(self) -> bool:
        """Whether the verdicts differ."""
        return self.measured != self.predicted


@dataclass(frozen=True, slots=True)
class SizeRow:
    """A number that was measured and ours, bytes or seconds."""

    table: str
    id: str
    what: str
    measured: float
    predicted: float
    peak: float | None = None

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.predicted / self.measured - 1.0


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """All comparisons."""

    verdicts: tuple[VerdictRow, ...]
    sizes: tuple[SizeRow, ...]

    def confusion(self) -> dict[str, int]:
        """Pairs by what was measured and what we say; those that are wrong, and those of them beyond the margin."""
        pairs = self.verdicts
        return {
            "fits, fits": sum(row.measured and row.predicted for row in pairs),
            "fits, does not": sum(row.measured and not row.predicted for row in pairs),
            "does not, fits": sum(not row.measured and row.predicted for row in pairs),
            "does not, does not": sum(not row.measured and not row.predicted for row in pairs),
            "marginal": sum(row.is_marginal for row in pairs),
            "wrong": sum(row.is_wrong for row in pairs),
            "wrong beyond the margin": sum(row.is_wrong and not row.is_marginal for row in pairs),
        }

    def errors(self, table: str) -> list[float]:
        """Errors of a table."""
        return [row.error for row in self.sizes if row.table == table]

    def peak_error(self) -> float:
        """Mean error against the most that was seen of each server."""
        found = [abs(row.predicted / row.peak - 1.0) for row in self.sizes if row.peak]
        return mean(found) if found else 0.0

    def broken_targets(self) -> list[str]:
        """Every target that does not hold, in a sentence each."""
        targets = validate_model(_TargetFile, load_yaml(find("measurements", "targets"))).memory
        found = self.confusion()["wrong beyond the margin"]
        broken = [f"{found} verdicts wrong beyond the margin, target {targets.wrong}"] if found > targets.wrong else []
        if len(self.verdicts) < targets.verdicts:
            broken.append(f"{len(self.verdicts)} verdicts, target {targets.verdicts}")
        for table, most in targets.worst.items():
            errors = self.errors(table)
            if not errors or max(map(abs, errors)) > most:
                worst = f"off by {max(errors, key=abs):+.1%}" if errors else "nothing compared"
                broken.append(f"{WORDS[table]}: {worst}, target {most:.0%}")
        if self.peak_error() > targets.peak:
            broken.append(f"most memory in use off by {self.peak_error():.1%} in the mean, target {targets.peak:.0%}")
        return broken

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "schema": "sparksim.memory_validation/1",
            "confusion": self.confusion(),
            "verdicts": [
                {"id": r.id, "what": r.what, "measured": r.measured, "predicted": r.predicted,
                 "is_marginal": r.is_marginal, "margin_bytes": r.margin_bytes}
                for r in self.verdicts
            ],
            "sizes": [
                {"table": r.table, "id": r.id, "what": r.what, "measured": r.measured, "predicted": r.predicted,
                 "error": r.error, "peak": r.peak}
                for r in self.sizes
            ],
            "peak_error": self.peak_error(),
            "excluded": {rule: list(ids) for rule, ids in load_facts().excluded.items()},
            "broken": self.broken_targets(),
        }  # fmt: skip

    def to_text(self, *, rows: bool = False) -> str:
        """The confusion table, what is marginal or wrong, and every size; `rows`: every verdict."""
        lines = list(_confusion_lines(self.confusion()))
        shown = [row for row in self.verdicts if rows or row.is_wrong or row.is_marginal]
        lines += ["", f"{'marginal or wrong' if not rows else 'every verdict':<46}measured  ours      left"]
        lines += [_verdict_line(row) for row in shown]
        for table in TABLES:
            lines += ["", f"{WORDS[table]:<58}{'measured':>10}{'ours':>11}{'error':>9}"]
            lines += [_size_line(row) for row in self.sizes if row.table == table]
        lines += ["", f"against the most that each server showed: off by {self.peak_error():.1%} in the mean"]
        excluded = load_facts().excluded
        lines += ["", "not compared, by the rule that leaves them out"]
        lines += [f"{len(ids):>5}  {rule}" for rule, ids in excluded.items()]
        return "\n".join(lines)


def _confusion_lines(found: dict[str, int]) -> Iterator[str]:
    yield f"{'':<24}{'ours: fits':>12}{'ours: does not':>16}"
    for measured in ("fits", "does not"):
        yield f"measured: {measured:<14}{found[f'{measured}, fits']:>12}{found[f'{measured}, does not']:>16}"
    yield (
        f"{found['wrong']} wrong, {found['wrong beyond the margin']} of them beyond 3 % of the capacity; "
        f"{found['marginal']} marginal"
    )


def _verdict_line(row: VerdictRow) -> str:
    words = {True: "fits", False: "no"}
    mark = (" marginal" if row.is_marginal else "") + (" WRONG" if row.is_wrong else "")
    left = f"{row.margin_bytes / 1e9:>8.1f} GB"
    return f"{row.what[:44]:<46}{words[row.measured]:<10}{words[row.predicted]:<6}{left}{mark}"


def _size_line(row: SizeRow) -> str:
    scale, unit = (1.0, "s ") if row.table == "load" else (1e9, "GB")
    values = f"{row.measured / scale:>8.2f} {unit}{row.predicted / scale:>8.2f} {unit}"
    return f"  {row.what[:54]:<56}{values}{row.error:>+9.1%}"


def load_facts() -> MemoryFacts:
    """The measurements of memory that ship with the project."""
    return validate_model(MemoryFacts, load_yaml(find("measurements", "memory")))


def validate_memory(
    prepare: Prepare, load: Load, progress: Callable[[str], None] | None = None, facts: MemoryFacts | None = None
) -> MemoryReport:
    """Compare everything. `prepare`: arguments of a run -> `Prepared`; `load`: `sim.load`."""
    said = load_facts() if facts is None else facts
    verdicts = [_verdict(each, prepare) for each in said.verdicts]
    if progress is not None:
        progress("what ran must fit")
    verdicts += _that_ran(prepare)
    sizes: list[SizeRow] = []
    for table, compare in (("used", _used), ("weights", _weights), ("kv", _kv)):
        sizes += [compare(each, prepare) for each in getattr(said, table)]
    for each in said.load:
        if progress is not None:
            progress(f"load: {each.id}")
        sizes.append(_load(each, load))
    return MemoryReport(tuple(verdicts), tuple(sizes))


def _prepared(prepare: Prepare, each: Any, **more: Any) -> Prepared:
    settings = {f"runtime.{name}": value for name, value in each.set.items()} if hasattr(each, "set") else {}
    return prepare(model=each.model, quant=each.quant, runtime=each.runtime, settings=settings, **more)


def _verdict(each: _Verdict, prepare: Prepare) -> VerdictRow:
    if each.weights is not None:
        return _verdict_of_size(each, prepare, round(each.weights))
    prepared = _prepared(prepare, each, kv_dtype=each.kv_dtype, prompt=each.prompt, output=each.output)
    account, request, _ = account_of(prepared, prepared.hardware)
    margin = account.margin(request)
    return VerdictRow(each.id, each.what, each.fits, account.fits(request), account.is_marginal(request), margin)


def _verdict_of_size(each: _Verdict, prepare: Prepare, weights: int) -> VerdictRow:
    """Of weights of which only the size is told: they and the runtime's own, without any cache."""
    settings = {f"runtime.{name}": value for name, value in each.set.items()}
    prepared = prepare(model="qwen3-0.6b", runtime=each.runtime, settings=settings)
    assert prepared.inputs.runtime is not None
    rules = prepared.inputs.runtime.spec.memory
    budget = budget_of(prepared.hardware, rules)
    rest = weights + round(rules.context_bytes + rules.workspace_bytes)
    margin = budget.room(rest, 0)
    fits = budget.refusal is None and margin >= 0
    is_marginal = budget.is_marginal(margin, budget.claimed(rest, 0, 0))
    return VerdictRow(each.id, each.what, each.fits, fits, is_marginal, margin)


def _that_ran(prepare: Prepare) -> Iterator[VerdictRow]:
    """Every record of a rate that was measured on one machine: it ran."""
    known: set[tuple[Any, ...]] = set()
    for record in load_records():
        key = _shape(record)
        if key in known:
            continue
        known.add(key)
        settings = {f"runtime.{name}": value for name, value in record.set.items()}
        prepared = prepare(
            model=record.model, quant=record.quant, runtime=record.runtime, kv_dtype=record.kv_dtype,
            batch=record.batch, prompt=record.prompt or 0, depth=record.depth, output=max(1, record.output),
            settings=settings,
        )  # fmt: skip
        account, request, _ = account_of(prepared, prepared.hardware)
        what = f"{record.model} {record.quant} {record.runtime} x{record.batch}"
        fits, margin = account.fits(request), account.margin(request)
        yield VerdictRow(record.id, what, True, fits, account.is_marginal(request), margin)


def _shape(record: Record) -> tuple[Any, ...]:
    sizes = (record.batch, record.prompt, record.depth, record.output)
    return (record.model, record.quant, record.runtime, record.kv_dtype, *sizes, *sorted(record.set.items()))


def _used(each: _Used, prepare: Prepare) -> SizeRow:
    prepared = _prepared(prepare, each, kv_dtype=each.kv_dtype)
    account, request, _ = account_of(prepared, prepared.hardware)
    share = account.budget.rules.fraction
    what = f"{each.model} {account.quant.name}, share {share:g}"
    return SizeRow("used", each.id, what, each.used, account.claimed(request), each.peak)


def _weights(each: _Weights, prepare: Prepare) -> SizeRow:
    account, _, _ = account_of(*_with_machine(_prepared(prepare, each)))
    return SizeRow("weights", each.id, f"{each.model} {each.quant}", each.size, account.weights)


def _with_machine(prepared: Prepared) -> tuple[Prepared, Any]:
    return prepared, prepared.hardware


def _kv(each: _Cache, prepare: Prepare) -> SizeRow:
    prepared = prepare(model=each.model, runtime="vllm")
    assert prepared.inputs.model is not None
    size = each.tokens * kv_bytes_per_token(prepared.inputs.model, formats()[each.kv_dtype]) / each.parts
    what = f"{each.model}, {each.tokens:,} tokens in {each.kv_dtype}, a {each.parts}th" if each.parts > 1 else (
        f"{each.model}, {each.tokens:,} tokens in {each.kv_dtype}"
    )  # fmt: skip
    return SizeRow("kv", each.id, what, each.size, size)


def _load(each: _Load, load: Load) -> SizeRow:
    found = load(model=each.model, quant=each.quant, runtime=each.runtime, hardware=each.hardware, how=each.how)
    seconds = found.time_s if each.of == "start" else found.weights_time_s
    what = f"{each.model} by {each.how}, {each.runtime}, {each.hardware}, {each.of}"
    return SizeRow("load", each.id, what, each.time_s, float(seconds))
