"""`sparksim run` on a scenario of kind serve: serve its requests, and say what came of it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.progress import ProgressLine
from sim.errors import InputError, Problem

if TYPE_CHECKING:
    from sim.result.serve_result import ServeResult

REFUSED = ("model", "runtime", "hardware", "quant", "kv_dtype", "batch", "prompt", "depth", "output", "full")
"""Flags of `run` that say nothing about a server: the scenario does, and `--set`."""
WIDTH = 50
FAILURES = ("refused", "turned_away", "timed_out", "cancelled")
LATENCIES = (
    ("Time to First Token", "TTFT", "ttft_s"),
    ("Time per Output Token (excl. 1st token)", "TPOT", "tpot_s"),
    ("Inter-token Latency", "ITL", "itl_s"),
    ("End-to-end Latency", "E2EL", "e2e_s"),
)


def execute(arguments: argparse.Namespace) -> int:
    """Serve; 0 done, 3 does not fit or the SLO is not held, 130 interrupted (what was done is told)."""
    from sim import api  # noqa: PLC0415 - `sparksim --help` need not load the simulator

    _refuse(arguments)
    if arguments.out:
        from sim.result.export import check_target  # noqa: PLC0415 - as above

        check_target(Path(arguments.out), force=arguments.force)
    seeds = (arguments.seed,) if arguments.seed else None
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        result = api.serve(
            arguments.file,
            set=arguments.set,
            seeds=seeds,
            spec_dirs=tuple(arguments.spec_dir),
            cache=arguments.cache,
            progress=progress,
        )
        if arguments.out:
            progress.show("writing and drawing")
            written = result.write(arguments.out, force=arguments.force)
    if not arguments.quiet:
        for note in _notes(result):
            print(f"note: {note}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(result.summary(), indent=2, allow_nan=False))
    else:
        print("\n".join(lines(result)))
    if arguments.out and not arguments.quiet:
        print(f"wrote {len(written)} files into {arguments.out}", file=sys.stderr)
    if result.is_interrupted:
        return 130
    return 3 if not result.fits or result.is_held is False else 0


def _refuse(arguments: argparse.Namespace) -> None:
    """Raise where flags are given that a scenario of kind serve has no use for.

    Raises:
        InputError: each of them.
    """
    hint = "change the scenario, or --set a field of the machine, the model or the server"
    problems = [
        Problem("says nothing about a scenario of kind serve", "usage", path=name, hint=hint)
        for name in REFUSED
        if getattr(arguments, name, None) not in (None, False)
    ]
    if problems:
        raise InputError(problems)


def _notes(result: ServeResult) -> list[str]:
    """What a reader must know before trusting the numbers."""
    found = list(result.identity.warnings)
    if result.is_interrupted:
        found.append("interrupted: what follows is of the requests that were done by then")
    skipped = sum(run.skipped_lines for run in result.runs)
    if skipped:
        found.append(f"{skipped:,} bad lines of the trace were left out, as asked")
    changes = {path: value for path, value in result.identity.overrides.items() if not path.startswith("runtime.")}
    if changes:
        found.append(f"extrapolated: {', '.join(f'{k}={v}' for k, v in changes.items())} set by hand")
    return found


def lines(result: ServeResult) -> list[str]:
    """The summary, as `vllm bench serve` prints it, with what the simulator knows besides."""
    me, memory = result.identity, result.memory
    title = f"{me.model} ({me.quant}, KV {me.kv_dtype}) on {me.hardware}, {me.runtime}@{me.runtime_version}"
    if not memory.fits:
        return [title, f"does not fit: {memory.short_bytes / 1e9:.1f} GB are missing for one request"]
    found = result.summary()
    if found["duration_s"] is None:
        return [title, "no request was completed"]
    text = [title, _rule("Serving Result", "=")]
    text += [
        _row("Successful requests:", found["completed"]),
        _row("Failed requests:", found["failed"]),
        *[_row(f"  {name.replace('_', ' ')}:", found[name]) for name in FAILURES if found[name]],
        _row("Benchmark duration (s):", found["duration_s"]),
        _row("Total input tokens:", found["prompt_tokens"]),
        _row("Total generated tokens:", found["output_tokens"]),
        _row("Request throughput (req/s):", found["request_rate"]),
    ]
    if found["goodput"] is not None:
        text.append(_row("Request goodput (req/s):", found["goodput"]))
    text += [
        _row("Output token throughput (tok/s):", found["output_tok_s"]),
        _row("Total token throughput (tok/s):", found["total_tok_s"]),
        _row("Peak concurrent requests:", found["peak_running"]),
        _row("Peak waiting requests:", found["peak_waiting"]),
        _row("Preemptions:", found["preemptions"]),
        _row("Prompt tokens from cache:", found["cached_tokens"]),
        _row("Peak KV cache (GB):", found["kv_peak_bytes"] / 1e9),
        _row("KV cache capacity (GB):", found["kv_capacity_bytes"] / 1e9),
        _row("Busy (%):", found["utilization"] * 100),
        *_dear(found),
    ]
    for heading, short, key in LATENCIES:
        text += _latency(heading, short, found[key])
    text.append("=" * WIDTH)
    return [*text, *_verdicts(result), *_seeds(result)]


def _dear(found: dict[str, Any]) -> list[str]:
    """What it drew and cost."""
    rows = []
    if found["energy"] is not None:
        rows.append(_row("Mean power at the wall (W):", found["energy"]["power_w"]["wall"]))
        rows.append(_row("Energy per output token (J):", found["energy"]["joules_per_output_token"]["wall"]))
    cost = found["cost"]
    if cost is not None and cost["usd_per_million_output_tokens"] is not None:
        rows.append(_row("Cost per million output tokens (USD):", cost["usd_per_million_output_tokens"]))
    return rows


def _latency(heading: str, short: str, spread: dict[str, float] | None) -> list[str]:
    if spread is None:
        return []
    names = {"mean": "Mean", "p50": "Median", "p90": "P90", "p95": "P95", "p99": "P99"}
    rows = [_row(f"{names[key]} {short} (ms):", value * 1e3) for key, value in spread.items()]
    return [_rule(heading, "-"), *rows]


def _verdicts(result: ServeResult) -> list[str]:
    return [
        f"SLO {name} {'held' if one['is_held'] else 'NOT held'}: {one['value_s']:.3g} s, at most {one['limit_s']:.3g} s"
        for name, one in result.verdicts().items()
    ]


def _seeds(result: ServeResult) -> list[str]:
    count = len(result.runs)
    return [f"means over {count} seeds: {', '.join(str(run.seed) for run in result.runs)}"] if count > 1 else []


def _rule(text: str, fill: str) -> str:
    return f" {text} ".center(WIDTH, fill) if fill == "=" else text.center(WIDTH, fill)


def _row(name: str, value: Any) -> str:
    number = f"{value:.2f}" if isinstance(value, float) else f"{value}"
    return f"{name:<40} {number:<9}".rstrip()
