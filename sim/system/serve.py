"""Serving: a scenario's requests on a server, whose step times are simulated as they are needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sim.component import COMPONENTS
from sim.engine import Engine
from sim.errors import DeadlockError, LawError
from sim.result.order_statistics import Runs
from sim.result.serve_laws import check_serving
from sim.result.serve_result import ServeResult
from sim.result.served_run import ServedRun
from sim.serving.clients import Clients
from sim.serving.record import Intervals, Record
from sim.serving.scheduler import Limits
from sim.serving.server import Server
from sim.serving.trace_file import RequestTrace, open_trace
from sim.serving.traffic import Slo, Trace
from sim.system.arguments import RunArguments
from sim.system.prediction import identify
from sim.system.prices import prices_of
from sim.system.serve_energy import server_power
from sim.system.serve_prepare import Pool, PreparedServe
from sim.system.step_cost import StepSimulator, step_table
from sim.units import ps_from_seconds

Progress = Callable[[str], None]


def serve(
    prepared: PreparedServe,
    progress: Progress | None = None,
    seeds: Sequence[int] | None = None,
    tables: Tables | None = None,
) -> ServeResult:
    """Serve a scenario, once for each seed (`seeds`: these instead of its own).

    `tables`: step times of the same server, where other traffic has filled some of them already. Interrupted, it gives
    what was done by then.

    Raises:
        InputError: no kernel for an op, or a bad trace.
        LawError: a request was lost or served before it came, or Little's law does not hold.
    """
    memory, pool = prepared.memory()
    scenario = prepared.scenario
    nothing = RunArguments(None, None, None, None, 0, 0, 0, 0)
    identity = identify(
        nothing, prepared.hardware, prepared.changes, prepared.loaded, prepared.model, prepared.quant,
        prepared.kv_dtype, prepared.cache, guess=prepared.guess,
    )  # fmt: skip
    result = ServeResult(
        identity, memory, prepared.hardware, (), pool.block_bytes, pool.blocks, _percentiles(scenario.slo),
        scenario.slo.per_request(), scenario.traffic.model_dump(exclude_none=True),
        prices_of(prepared.hardware, scenario.prices), prepared.content,
    )  # fmt: skip
    if scenario.traffic.priorities and prepared.options.policy != "priority":
        note = "requests have priorities that this server does not look at: vLLM does, with scheduling_policy: priority"
        result = replace(result, identity=replace(identity, warnings=(*identity.warnings, note)))
    if not memory.fits:
        return result
    tables = tables or Tables(prepared, progress)
    runs: list[ServedRun] = []
    is_interrupted = False
    for seed in scenario.seeds if seeds is None else seeds:
        run, is_interrupted = _one(prepared, pool, tables, seed, progress)
        runs.append(run)
        if is_interrupted:
            break
    tables.flush()
    return replace(
        result, runs=tuple(runs), steps_simulated=tables.table.steps_simulated(), is_interrupted=is_interrupted
    )


class Tables:
    """The step times of a prepared server, and the profiles behind them."""

    def __init__(self, prepared: PreparedServe, progress: Progress | None = None) -> None:
        runtime = prepared.runtime
        self._simulator = StepSimulator(
            prepared.hardware, prepared.model, prepared.quant, runtime, prepared.kv_dtype, prepared.cache, COMPONENTS,
            progress, prompt_skew=prepared.prompt_skew, guess=prepared.guess,
        )  # fmt: skip
        is_unified = prepared.options.has_unified_cache
        self.table = step_table(self._simulator, prepared.model, runtime, is_unified=is_unified)
        self.power = server_power(self._simulator, prepared.hardware, is_unified=is_unified)

    def flush(self) -> None:
        """Keep the kernels' profiles for the next time."""
        self._simulator.flush()


def _one(
    prepared: PreparedServe, pool: Pool, tables: Tables, seed: int, progress: Progress | None
) -> tuple[ServedRun, bool]:
    """One run; what was done, and whether it was interrupted."""
    runtime, scenario = prepared.runtime, prepared.scenario
    limits = prepared.options.limits(pool.blocks * prepared.options.block_tokens, prepared.model.max_context)
    engine, record = Engine(), Record(_teller(progress, seed, scenario.until.requests))
    scheduler = prepared.options.scheduler(limits)
    server = Server(
        engine,
        scheduler,
        tables.table,
        record,
        request_ps=ps_from_seconds(runtime.request_s),
        plans_ahead=runtime.is_async,
    )
    trace = _trace(prepared)
    clients = Clients(engine, server, scenario.traffic, scenario.until, seed, prepared.folder, trace)
    is_interrupted = False
    try:
        engine.run(clients.done)
    except KeyboardInterrupt:
        is_interrupted = True
    except DeadlockError as error:
        raise LawError([*error.problems]) from None
    energy = tables.power.energy(record.activity, engine.now) if tables.power is not None else None
    run = served_run(seed, record, limits, server, engine.now, trace.skipped if trace is not None else 0)
    run = replace(run, energy=energy)
    if not is_interrupted:
        check_serving(run.requests, run.counts)
    return run, is_interrupted


def served_run(seed: int, record: Record, limits: Limits, server: Server, end_ps: int, skipped: int) -> ServedRun:
    """What a record says, as arrays."""
    scheduler = server.scheduler
    counts = {
        name: getattr(record, name)
        for name in (
            "arrived", "completed", "failed", "counted_failed", "wasted_tokens", "busy_ps", "peak_running",
            "peak_waiting", "in_system_ps", "sojourn_ps",
        )
    }  # fmt: skip
    counts |= record.failures | {
        "steps": record.steps(limits.accepted),
        "preemptions": scheduler.preemptions,
        "cached_tokens": scheduler.cached_tokens,
        "kv_peak_blocks": scheduler.pool.peak,
        "kv_blocks": limits.pool_tokens // limits.block_tokens,
        "end_ps": end_ps,
    }
    return ServedRun(
        seed,
        {name: column.numbers() for name, column in record.rows.items()},
        _runs(record.intervals),
        {name: np.array(column, dtype=np.int64) for name, column in record.series.items()},
        counts,
        skipped,
    )


def _runs(intervals: Intervals) -> Runs:
    columns = (intervals.first_ps, intervals.more_ps, intervals.count, intervals.tokens)
    return Runs(*(column.numbers() for column in columns))


def _teller(
    progress: Progress | None, seed: int, total: int | None, clock: Callable[[], float] = time.monotonic
) -> Callable[[tuple[int, ...]], None] | None:
    """Tells how many requests are done and, of `total`, how long the rest will take if it goes on like that."""
    if progress is None:
        return None
    done, begun = 0, clock()

    def tell(row: tuple[int, ...]) -> None:
        nonlocal done
        done += 1
        if done % 64 == 0:
            of, left = "", ""
            if total is not None and done < total:
                of = f" of {total:,}"
                left = f", {(clock() - begun) / done * (total - done):,.0f} s left"
            progress(f"seed {seed}: {done:,}{of} requests done, {row[3] / 1e12:,.0f} s simulated{left}")

    return tell


def _trace(prepared: PreparedServe) -> RequestTrace | None:
    arrivals = prepared.scenario.traffic.arrivals
    if not isinstance(arrivals, Trace):
        return None
    return open_trace(prepared.folder / arrivals.file, arrivals.format, is_lenient=arrivals.skip_bad_lines)


def _percentiles(slo: Slo) -> dict[str, float]:
    """The percentiles that must be kept: those given for all requests."""
    said: dict[str, Any] = slo.model_dump(exclude_none=True)
    return {name: float(value) for name, value in said.items() if "_p" in name}
