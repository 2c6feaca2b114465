"""Servers under load, simulated beside published runs of `vllm bench serve`: latencies, rates, and where it tips over.

Each run is simulated with as many requests of the same lengths, with five seeds, and the means over the seeds are held
against what was measured. Only runs below 0.8 of the measured knee count: beyond it a run's length decides what is
measured. The knee of a server is the lowest rate at which the 95th percentile of the time to first token is more than
three times what it is at the lowest rate; the same rule on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict

from sim.errors import InputError, Problem
from sim.paths import find
from sim.yamlfile import load_yaml, validate_model

QUANTITIES = (
    "request_rate", "output_tok_s", "ttft_p50_s", "ttft_p95_s", "tpot_p50_s", "tpot_p95_s", "itl_p50_s", "e2e_p50_s",
    "gpu_w",
)  # fmt: skip
SEEDS = (1, 2, 3, 4, 5)
KNEE_TIMES, BELOW_KNEE = 3.0, 0.8
BELOW, ABOVE, LIMITED = "below 0.8 of the knee", "at the knee and above", "concurrency limited"
LONG = "long answers to random tokens"
"""Runs in which a model that was fed random tokens is made to go on for thousands of tokens, past its own end: it
repeats itself, so that its sequences choose the same experts. They are simulated as texts that are alike, and judged
apart."""
LONG_TOKENS = 2000
HOPED = {
    BELOW: dict.fromkeys(("ttft_p50_s", "ttft_p95_s", "tpot_p50_s", "output_tok_s", "request_rate"), 0.15),
    LIMITED: {"output_tok_s": 0.12},
}
"""What a server's runs were hoped to be within; those that are not are listed."""
Serve = Callable[[Mapping[str, Any], Sequence[int]], Mapping[str, Any]]
"""(scenario of kind serve, seeds) -> `sparksim.serve/1`."""
Whole = Annotated[int, Strict(), Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServingRecord(_Strict):
    """A published run, its lengths uniform between two ends."""

    id: str
    source: str
    source_url: str
    date: str
    trust: Literal["high", "medium"]
    runtime: str
    model: str
    quant: str
    kv_dtype: str | None
    set: dict[str, Any]
    rate: float
    burstiness: float
    max_concurrency: Whole | None = None
    requests: Whole
    prompt: tuple[Whole, Whole]
    output: tuple[Whole, Whole]
    measured: dict[str, float | None]

    @property
    def server(self) -> str:
        """What was started: runs of one server share it."""
        options = ", ".join(f"{name} {value}" for name, value in self.set.items())
        return f"{self.model} {self.quant} {self.kv_dtype or ''} {self.runtime} ({options})"

    @property
    def is_long(self) -> bool:
        """Whether its answers are of `LONG_TOKENS` tokens or more in the mean."""
        return sum(self.output) / 2 >= LONG_TOKENS

    @property
    def steps(self) -> str:
        """What the times of its steps depend on: servers that differ in their share of memory have them in common."""
        options = {name: value for name, value in self.set.items() if name != "gpu_memory_utilization"}
        return f"{self.model} {self.quant} {self.kv_dtype} {self.runtime} {options} {self.is_long}"

    @property
    def is_sweep(self) -> bool:
        """Whether it is one of the rates of a sweep, whose lengths and burstiness are the same."""
        return self.id.rpartition("-")[2].startswith("r") and "sweep" in self.id

    def scenario(self) -> dict[str, Any]:
        """The run as a scenario of kind serve."""
        name, _, version = self.runtime.partition("@")
        arrivals = {"kind": "gamma", "rate": f"{self.rate} /s", "burstiness": self.burstiness, "exact_rate": True}
        if self.max_concurrency is not None:
            arrivals["max_concurrency"] = self.max_concurrency
        return {
            "schema": "sparksim.scenario/1",
            "kind": "serve",
            "system": {"set": {"workload.content": "text"}} if self.is_long else {},
            "model": self.model,
            "quant": self.quant,
            "kv_dtype": self.kv_dtype,
            "runtime": {"name": name, "version": version or None, "set": self.set},
            "traffic": {"arrivals": arrivals, "prompt": {"uniform": self.prompt}, "output": {"uniform": self.output}},
            "until": {"requests": self.requests},
        }


class ServingFile(_Strict):
    """Published runs of servers."""

    schema_: Literal["sparksim.serving/1"] = Field(alias="schema")
    sources: dict[str, str]
    excluded: dict[str, tuple[str, ...]]
    records: tuple[ServingRecord, ...] = Field(min_length=1)


class Within(_Strict):
    """At least `servers` servers are off by `error` at most, in the mean of their runs."""

    error: float
    servers: int


class ServingTargets(_Strict):
    """What `validate serving --check` holds: mean errors by regime and quantity, the knees, how many records.

    `within`: below the knee, of quantities that are not held for every server.
    """

    below: dict[str, float]
    limited: dict[str, float]
    long: dict[str, float] = {}
    within: dict[str, Within] = {}
    knee: float
    least_records: int


class _TargetFile(BaseModel):
    serving: ServingTargets | None = None


@dataclass(frozen=True, slots=True)
class ServingRow:
    """A quantity of a run, beside what was measured."""

    id: str
    server: str
    regime: str
    quantity: str
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True)
class Knee:
    """The rate at which a server tips over; None: at no rate that was tried."""

    server: str
    rates: int
    measured: float | None
    predicted: float | None


@dataclass(frozen=True, slots=True)
class ServingReport:
    """What came of it."""

    rows: Sequence[ServingRow]
    knees: Sequence[Knee]
    is_whole: bool

    def figures(self, regime: str) -> dict[str, dict[str, float]]:
        """By quantity: count, mean and median error without sign, bias."""
        found = {}
        for quantity in QUANTITIES:
            errors = [row.error for row in self.rows if row.regime == regime and row.quantity == quantity]
            if errors:
                sizes = [abs(error) for error in errors]
                found[quantity] = {
                    "count": len(errors), "error": mean(sizes), "median": median(sizes), "bias": mean(errors),
                }  # fmt: skip
        return found

    def knee_error(self) -> float | None:
        """Mean error of the knees that both sides have."""
        errors = [abs(one.predicted / one.measured - 1) for one in self.knees if one.measured and one.predicted]
        return mean(errors) if errors else None

    def broken_targets(self) -> list[str]:
        """Every target that is broken; none where only some records were looked at."""
        if not self.is_whole:
            return []
        targets = validate_model(_TargetFile, load_yaml(find("measurements", "targets"))).serving
        if targets is None:
            return ["targets.yaml has no targets for servers: nothing is held"]
        broken = self._broken_means(targets)
        for name, held in targets.within.items():
            servers = [error for (_, quantity), error in self.by_server(BELOW).items() if quantity == name]
            good = sum(error <= held.error for error in servers)
            if good < held.servers:
                broken.append(f"{name} within {held.error:.0%} on {good} servers, target {held.servers}")
        records = len({row.id for row in self.rows})
        if records < targets.least_records:
            broken.append(f"{records} records, target {targets.least_records}")
        knee = self.knee_error()
        if knee is None or knee > targets.knee:
            broken.append(f"knees off by {knee if knee is None else f'{knee:.1%}'}, target {targets.knee:.0%}")
        return broken

    def _broken_means(self, targets: ServingTargets) -> list[str]:
        """Of each regime and quantity that has a target: its mean error, where that is too large."""
        broken = []
        for regime, held in ((BELOW, targets.below), (LIMITED, targets.limited), (LONG, targets.long)):
            figures = self.figures(regime)
            for name, most in held.items():
                if name not in figures:
                    broken.append(f"{regime}: {name} was not compared")
                elif figures[name]["error"] > most:
                    broken.append(f"{regime}: {name} off by {figures[name]['error']:.1%}, target {most:.0%}")
        return broken

    def by_server(self, regime: str) -> dict[tuple[str, str], float]:
        """Mean error without sign of each server's runs in a regime, by (server, quantity)."""
        errors: dict[tuple[str, str], list[float]] = {}
        for row in self.rows:
            if row.regime == regime:
                errors.setdefault((row.server, row.quantity), []).append(abs(row.error))
        return {key: mean(sizes) for key, sizes in errors.items()}

    def not_held(self) -> list[tuple[str, str, str, float]]:
        """(regime, server, quantity, mean error) of what is off by more than was hoped for (`HOPED`), worst first."""
        found = [
            (regime, server, quantity, error)
            for regime, hoped in HOPED.items()
            for (server, quantity), error in self.by_server(regime).items()
            if error > hoped.get(quantity, 1.0)
        ]
        return sorted(found, key=lambda one: -one[3])

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.serving_validation/1`."""
        return {
            "schema": "sparksim.serving_validation/1",
            "records": len({row.id for row in self.rows}),
            "regimes": {regime: self.figures(regime) for regime in (BELOW, ABOVE, LIMITED, LONG)},
            "knees": [asdict(one) for one in self.knees],
            "knee_error": self.knee_error(),
            "not_held": [
                dict(zip(("regime", "server", "quantity", "error"), one, strict=True)) for one in self.not_held()
            ],
            "rows": [{**asdict(row), "error": row.error} for row in self.rows],
            "broken": self.broken_targets(),
        }

    def to_text(self, *, rows: bool = False) -> str:
        """The lines that a person reads; `rows`: every comparison."""
        lines = [
            f"{len({row.id for row in self.rows})} runs, {len(SEEDS)} seeds each; error = predicted / measured - 1"
        ]
        for regime in (BELOW, ABOVE, LIMITED, LONG):
            figures = self.figures(regime)
            lines += ["", f"{regime:<28}{'n':>5}{'error':>9}{'median':>9}{'bias':>9}"]
            lines += [
                f"  {name:<26}{one['count']:>5}{one['error']:>9.1%}{one['median']:>9.1%}{one['bias']:>+9.1%}"
                for name, one in figures.items()
            ]
        lines += ["", f"{'knee, requests per second':<74}{'measured':>10}{'predicted':>10}"]
        lines += [f"  {one.server[:70]:<72}{_rate(one.measured):>10}{_rate(one.predicted):>10}" for one in self.knees]
        lines += ["", "off by more than was hoped for, mean over the runs of a server"]
        lines += [f"  {server[:58]:<60}{quantity:<14}{error:>8.0%}" for _, server, quantity, error in self.not_held()]
        if rows:
            lines += ["", "every comparison"]
            lines += [
                f"  {row.id[:52]:<54}{row.quantity:<14}{row.measured:>10.4g}{row.predicted:>10.4g}{row.error:>+8.1%}"
                for row in self.rows
            ]
        return "\n".join(lines)


def read_records() -> ServingFile:
    """The published runs that ship.

    Raises:
        SpecError: the file is wrong.
    """
    return validate_model(ServingFile, load_yaml(find("measurements", "serving")))


def validate_serving(
    server_of: Callable[[Mapping[str, Any]], Serve],
    *,
    family: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> ServingReport:
    """Simulate every published run; `family`: only of models whose name begins so.

    `server_of`: from a scenario, who serves it and others whose steps take as long.

    Raises:
        InputError: no run is of such a model.
    """
    records = read_records().records
    chosen = [one for one in records if family is None or one.model.startswith(family)]
    if not chosen:
        hint = f"there are: {', '.join(sorted({one.model for one in records}))}"
        raise InputError(Problem("no run is of this family", "no_records", path="family", hint=hint))
    rows: list[ServingRow] = []
    knees: list[Knee] = []
    done = 0
    tables: dict[str, Serve] = {}
    for server in dict.fromkeys(one.server for one in chosen):
        mine = [one for one in chosen if one.server == server]
        found: dict[str, Mapping[str, Any]] = {}
        for one in mine:
            done += 1
            if progress is not None:
                progress(f"run {done} of {len(chosen)}: {one.id}")
            if one.steps not in tables:
                tables[one.steps] = server_of(one.scenario())
            found[one.id] = tables[one.steps](one.scenario(), SEEDS)
        predicted = {id_: quantities(summary) for id_, summary in found.items()}
        sweep = sorted((one for one in mine if one.is_sweep), key=lambda one: one.rate)
        at = knee((one.rate, one.measured["ttft_p95_s"]) for one in sweep)
        if len(sweep) > 1:
            said = knee((one.rate, predicted[one.id]["ttft_p95_s"]) for one in sweep)
            knees.append(Knee(server, len(sweep), at, said))
        for one in mine:
            rows += _rows(one, at, predicted[one.id])
    return ServingReport(rows, knees, family is None)


def knee(points: Iterable[tuple[float, float | None]]) -> float | None:
    """The lowest rate whose value is above three times that of the first one; (rate, value) from the lowest rate up."""
    least: float | None = None
    for rate, value in points:
        if value is None:
            continue
        if least is None:
            least = value
        elif value > KNEE_TIMES * least:
            return rate
    return None


def quantities(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """What a summary says of each of `QUANTITIES`."""
    found: dict[str, float | None] = {}
    for name in QUANTITIES:
        what, _, rest = name.partition("_p")
        spread = summary.get(f"{what}_s")
        found[name] = spread[f"p{rest.partition('_')[0]}"] if isinstance(spread, Mapping) else summary.get(name)
    if summary.get("energy"):
        found["gpu_w"] = summary["energy"]["power_w"]["gpu"]
    return found


def _rows(one: ServingRecord, at: float | None, predicted: Mapping[str, float | None]) -> list[ServingRow]:
    if one.is_long:
        regime = LONG
    elif one.max_concurrency is not None:
        regime = LIMITED
    else:
        regime = BELOW if at is None or one.rate <= BELOW_KNEE * at else ABOVE
    rows = []
    for name in QUANTITIES:
        measured, value = one.measured.get(name), predicted[name]
        if measured and value:
            rows.append(ServingRow(one.id, one.server, regime, name, measured, value))
    return rows


def _rate(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:g}"
