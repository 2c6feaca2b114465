"""Serves a plan's workload at any load, on any of the candidates that are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem
from sim.study.plan import Serve
from sim.system.scenario import find_file
from sim.system.serve import Tables, serve
from sim.system.serve_file import read_serve
from sim.system.serve_prepare import PreparedServe, open_serve

ROUNDS = 4
"""In a closed loop each user asks so often at least, besides a first question, not counted, that all ask at once."""
PARTS = {"model": "model", "quant": "quant", "kv_dtype": "kv_dtype", "hardware": "system.hardware"}
"""What candidates may differ in, besides runtime and fields as of --set, and where that stands in a scenario."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A scenario of kind serve, and what is changed in it for all candidates."""

    file: str | Path
    set: Sequence[str] = ()
    search_dirs: Sequence[str | Path] = ()
    cache: str | Path | None = None
    seeds: tuple[int, ...] | None = None

    def kind(self) -> str:
        """How requests arrive.

        Raises:
            InputError: as a trace says, or all at once: there is no load to vary.
        """
        dirs = tuple(self.search_dirs)
        kind = read_serve(find_file(self.file, dirs), dirs).traffic.arrivals.kind
        if kind in ("trace", "burst"):
            message, hint = f"arrivals of kind {kind} have no load to vary", "closed_loop has users, the others a rate"
            raise InputError(Problem(message, "bad_argument", str(self.file), path="traffic.arrivals", hint=hint))
        return kind

    def server(self, candidate: Mapping[str, str], kind: str) -> Serve:
        """Who serves it at a load; step times are simulated once for all loads."""
        field_name = "users" if kind == "closed_loop" else "rate"
        place = f"traffic.arrivals.{field_name}="
        own = [f"{name}={value}" for name, value in candidate.items() if name not in (*PARTS, "runtime")]
        changes = [text for text in (*self.set, *own) if not text.startswith(place)]
        parts = parts_of(candidate)
        tables: Tables | None = None

        def serve_at(load: float) -> Sequence[Mapping[str, Any]]:
            nonlocal tables
            said = f"{int(load)}" if field_name == "users" else f"{load} /s"
            prepared = open_serve(self.file, [*changes, place + said], tuple(self.search_dirs), self.cache, parts)
            if field_name == "users":
                prepared = with_rounds(prepared, int(load))
            tables = tables or Tables(prepared)
            summary = serve(prepared, None, self.seeds, tables).summary()
            return [{**summary, **seed} for seed in summary.get("by_seed", [summary])]

        return serve_at


def with_rounds(prepared: PreparedServe, users: int) -> PreparedServe:
    """The same with requests enough for so many users, where their number ends it."""
    until = prepared.scenario.until
    if until.requests is None:
        return prepared
    enough = {"requests": max(until.requests, ROUNDS * users), "after_warm_up": max(until.after_warm_up, users)}
    scenario = prepared.scenario.model_copy(update={"until": until.model_copy(update=enough)})
    return replace(prepared, scenario=scenario)


def parts_of(candidate: Mapping[str, str]) -> dict[str, str]:
    """What a candidate changes in the scenario itself, by path."""
    parts = {PARTS[name]: value for name, value in candidate.items() if name in PARTS}
    if "runtime" in candidate:
        name, _, version = candidate["runtime"].partition("@")
        parts |= {"runtime.name": name, "runtime.version": version or "null"}
    return parts


@dataclass(frozen=True, slots=True)
class Axes:
    """What candidates differ in: names and their values, as given."""

    values: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def candidates(self) -> list[dict[str, str]]:
        """Every combination, the last axis fastest; one without changes where there is no axis."""
        return [dict(zip(self.values, each, strict=True)) for each in product(*self.values.values())]


def read_axes(texts: Sequence[str]) -> Axes:
    """Axes from `model=a,b`, `runtime=vllm,sglang@0.5.14`, `runtime.max_num_seqs=16,64`.

    Raises:
        InputError: some that are not of this form, or given twice; every problem.
    """
    values: dict[str, tuple[str, ...]] = {}
    problems = []
    for text in texts:
        name, equals, rest = text.partition("=")
        chosen = tuple(part.strip() for part in rest.split(",") if part.strip())
        hint = "write e.g. model=gpt-oss-20b,qwen3-30b-a3b or runtime.max_num_seqs=16,64"
        if not equals or not chosen or not name.strip():
            problems.append(Problem(f"{text[:60]!r} is no axis", "bad_argument", path="vary", hint=hint))
        elif name.strip() in values:
            problems.append(Problem(f"{name.strip()} is given twice", "bad_argument", path="vary"))
        else:
            values[name.strip()] = chosen
    if problems:
        raise InputError(problems)
    return Axes(values)
