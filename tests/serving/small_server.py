"""A server over made-up step times, for tests that are about scheduling and not about a machine."""

from __future__ import annotations

from pathlib import Path

from sim.engine import Engine
from sim.serving.clients import Clients
from sim.serving.options import FAMILIES, STATIC
from sim.serving.record import Record
from sim.serving.scheduler import Limits, Scheduler
from sim.serving.server import Server
from sim.serving.step_table import Group, Host, StepCost, StepTable
from sim.serving.traffic import Traffic, Until

MS = 10**9
SCHEDULERS: dict[str, type[Scheduler]] = {name: family.scheduler for name, family in FAMILIES.items()} | {
    "static": STATIC.scheduler
}


def curved(groups: tuple[Group, ...], outputs: int) -> StepCost:
    """Costs that are no straight lines: roots and squares of everything that a step's time depends on."""
    tokens = sum(number * query for number, query, _ in groups)
    parts = tuple(round(1e5 * number * query * context**1.1) for number, query, context in groups)
    return StepCost(round(3e9 + 2e8 * tokens**0.9), 10**8 * tokens, round(5e7 * outputs**1.05), parts)


def flat(step_ps: int) -> StepTable:
    """Every step takes the same time."""
    return StepTable(lambda groups, _: StepCost(step_ps, 0, 0, (0,) * len(groups)), Host(0, 0, is_hidden=False))


def serve(
    scheduler: str,
    traffic: dict[str, object],
    requests: int,
    *,
    limits: Limits,
    table: StepTable | None = None,
    seed: int = 0,
    plans_ahead: bool = False,
    is_stepping: bool = False,
    request_ps: int = 0,
    warm_up: int = 0,
) -> tuple[Record, Server]:
    """Serve `requests` requests of `traffic` (as a scenario says it) to the end."""
    engine, record = Engine(), Record()
    server = Server(
        engine,
        SCHEDULERS[scheduler](limits),
        table or StepTable(curved, Host(10**8, 10**7, is_hidden=plans_ahead)),
        record,
        request_ps=request_ps,
        plans_ahead=plans_ahead,
        is_stepping=is_stepping,
    )
    until = Until(requests=requests, after_warm_up=warm_up)
    clients = Clients(engine, server, Traffic.model_validate(traffic), until, seed, Path())
    engine.run(clients.done)
    return record, server


def rows(record: Record) -> list[tuple[int, ...]]:
    """A row per completed request, by its number."""
    return sorted(zip(*(column.tolist() for column in record.rows.values()), strict=True))


def token_times(record: Record) -> list[int]:
    """Every time between two tokens, sorted."""
    found = record.intervals
    times = []
    for first, more, count, tokens in zip(found.first_ps, found.more_ps, found.count, found.tokens, strict=True):
        times += [first + more * step for step in range(count)] * tokens
    return sorted(times)
