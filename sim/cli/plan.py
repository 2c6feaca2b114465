"""`sparksim plan`: how many users, or which rate, one machine holds; and which of several candidates holds the most."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sim.cli.parser import add_plot, add_shared, plot_target
from sim.cli.progress import ProgressLine
from sim.errors import InputError, Problem

if TYPE_CHECKING:
    from sim.study.plan import Limit, Plan
    from sim.study.plan_server import Workload
    from sim.study.plan_table import PlanTable

HELP = "how many users, or which rate, a server holds within limits on its latencies"
EXAMPLE = """examples:
  sparksim plan --workload office-25 --slo 'ttft_p95<2s,tpot_p95<100ms'
  sparksim plan --workload office-25 --slo 'ttft_p95<2s' --users 40 --json
  sparksim plan --workload my-server.yaml --slo 'ttft_p95<3s' --set runtime.max_num_seqs=64
  sparksim plan --workload office-25 --slo 'ttft_p95<2s' --ladder 1,2,4,8,16,32,64
  sparksim plan --workload office-25 --slo 'ttft_p95<2s' --vary model=gpt-oss-20b,qwen3-30b-a3b --plot candidates.svg

a closed loop is served until each user has asked four times, besides a first question that is not counted

what it prints (each row is a load; held: yes, no, or too close for the model's own error), here of Qwen3 0.6B:
  limits: ttft_p95<1s,tpot_p95<50ms
         users      ttft_p95      tpot_p95     tok/s     watts  USD/Mtok  held
             8      0.0472 s     0.00881 s       137        60      0.39  yes
            32       0.104 s      0.0159 s       421        74      0.13  yes
           128        1.61 s      0.0203 s       651        93      0.08  no
  surely held: 32 users
  surely not:  128 users, by ttft_p95"""
EXIT = {"yes": 0, "no": 3, "too close": 3}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("--workload", required=True, metavar="FILE", help="a scenario of kind serve: path or name")
    parser.add_argument(
        "--slo", required=True, metavar="LIMITS", help="what must be kept, e.g. 'ttft_p95<3s,tpot_p95<100ms'"
    )
    load = parser.add_mutually_exclusive_group()
    load.add_argument("--users", type=int, metavar="N", help="is this many held? (closed loop)")
    load.add_argument("--rate", type=float, metavar="R", help="is this rate held, requests per second? (open loop)")
    load.add_argument("--ladder", metavar="A,B,C", help="look at these loads, users or rates, and at no others")
    load.add_argument("--max", action="store_true", help="the most that is held (default)")
    parser.add_argument(
        "--vary", action="append", default=[], metavar="WHAT=A,B,C",
        help="compare: model, quant, kv_dtype, runtime, hardware, or a field as of --set (repeat it: all combinations)",
    )  # fmt: skip
    add_plot(parser, "latency against load; with --vary what each candidate holds")
    add_shared(parser)


def execute(arguments: argparse.Namespace) -> int:
    """0 yes, 3 no or too close to say."""
    from sim.study.plan import read_slo  # noqa: PLC0415 - loaded only for this verb
    from sim.study.plan_server import Workload  # noqa: PLC0415

    limits = read_slo(arguments.slo)
    target = plot_target(arguments.plot, force=arguments.force) if arguments.plot else None
    seeds = (arguments.seed,) if arguments.seed else None
    dirs = tuple(arguments.spec_dir)
    workload = Workload(arguments.workload, tuple(arguments.set), dirs, arguments.cache, seeds)
    kind = workload.kind()
    loads = _loads(arguments, kind)
    if arguments.vary:
        return _compare(arguments, workload, limits, kind, loads, target)
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        plan = _plan(workload, {}, limits, kind, loads, progress)
    if target is not None:
        from sim.plot.serving import draw_load  # noqa: PLC0415 - matplotlib is slow to load

        draw_load(plan.to_dict(), {limit.name: limit.most_s for limit in limits}, arguments.workload, target)
    print(json.dumps(plan.to_dict(), indent=2) if arguments.json else "\n".join(_lines(plan, arguments.slo)))
    return EXIT[plan.verdict]


def _compare(
    arguments: argparse.Namespace,
    workload: Workload,
    limits: Sequence[Limit],
    kind: str,
    loads: Sequence[float],
    target: Path | None,
) -> int:
    """A plan for each candidate, as a table."""
    from sim.study.plan_server import read_axes  # noqa: PLC0415 - loaded only for this verb
    from sim.study.plan_table import plan_each  # noqa: PLC0415

    candidates = read_axes(arguments.vary).candidates()
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        table = plan_each(
            candidates,
            lambda candidate: _plan(workload, candidate, limits, kind, loads, None),
            "users" if kind == "closed_loop" else "requests/s",
            progress,
        )
    if target is not None:
        from sim.plot.plan_chart import draw_candidates  # noqa: PLC0415 - matplotlib is slow to load

        draw_candidates(table.to_dict(), f"{arguments.workload}: {arguments.slo}", target)
    print(json.dumps(table.to_dict(), indent=2) if arguments.json else "\n".join(_table(table, arguments.slo)))
    return 0 if table.most is not None else 3


def _plan(
    workload: Workload,
    candidate: Mapping[str, str],
    limits: Sequence[Limit],
    kind: str,
    loads: Sequence[float],
    progress: ProgressLine | None,
) -> Plan:
    from sim.study.plan import find_most  # noqa: PLC0415 - loaded only for this verb

    return find_most(
        workload.server(candidate, kind),
        limits,
        is_users=kind == "closed_loop",
        asked=loads[0] if len(loads) == 1 else None,
        ladder=loads if len(loads) > 1 else (),
        progress=progress,
    )


def _loads(arguments: argparse.Namespace, kind: str) -> tuple[float, ...]:
    """The loads that are asked for; none: the most is searched for.

    Raises:
        InputError: users are asked for where a rate is given, or the other way; no number, or one not above 0.
    """
    wrong = "rate" if kind == "closed_loop" else "users"
    if getattr(arguments, wrong) is not None:
        message = f"arrivals of kind {kind} have {'users' if wrong == 'rate' else 'a rate'}"
        raise InputError(Problem(message, "bad_argument", path=wrong))
    asked = arguments.users if arguments.users is not None else arguments.rate
    if asked is not None:
        if asked <= 0:
            raise InputError(Problem(f"must be above 0, not {asked}", "bad_argument", path="users or rate"))
        return (float(asked),)
    if not arguments.ladder:
        return ()
    read = int if kind == "closed_loop" else float
    problems, loads = [], []
    for text in arguments.ladder.split(","):
        try:
            load = float(read(text))
        except ValueError:
            load = 0.0
        if not 0 < load < float("inf"):
            what = "whole number of users" if read is int else "rate"
            problems.append(Problem(f"{text.strip()[:40]!r} is no {what} above 0", "bad_argument", path="ladder"))
        loads.append(load)
    if problems:
        raise InputError(problems)
    return tuple(dict.fromkeys(loads))


def _lines(plan: Plan, slo: str) -> list[str]:
    names = list(plan.points[0].verdicts)
    head = f"{'tok/s':>10}{'watts':>10}{'USD/Mtok':>10}"
    lines = [f"limits: {slo}", f"{plan.unit:>12}" + "".join(f"{name:>14}" for name in names) + f"{head}  held"]
    for point in plan.points:
        values = "".join(f"{point.values[name]:>12.3g} s" if name in point.values else f"{'-':>14}" for name in names)
        dear = _number(point.wall_w, ".0f") + _number(point.usd_per_million_output_tokens, ".2f")
        lines.append(f"{point.load:>12g}{values}{point.output_tok_s:>10.0f}{dear}  {point.verdict}")
    if plan.asked is not None:
        return [*lines, f"{plan.asked:g} {plan.unit}: {plan.verdict}"]
    if plan.most is None:
        return [*lines, f"not even {plan.points[0].load:g} {plan.unit} are surely held"]
    lines.append(f"surely held: {plan.most:g} {plan.unit}")
    if plan.least_broken is not None:
        lines.append(f"surely not:  {plan.least_broken:g} {plan.unit}, by {plan.limited_by}")
    return lines


def _table(table: PlanTable, slo: str) -> list[str]:
    """A row for each candidate, and what is recommended."""
    width = max(9, *(len(entry.name) for entry in table.entries)) + 2
    head = f"{table.unit:>12}{'tok/s':>10}{'watts':>10}{'USD/Mtok':>10}{'machine':>10}"
    lines = [f"limits: {slo}", f"{'candidate':<{width}}{head}  limited by"]
    for entry in table.entries:
        point = entry.point
        if entry.plan is None:
            lines.append(f"{entry.name:<{width}}refused: {(entry.refused or '')[:120]}")
            continue
        if point is None:
            least = entry.plan.points[0]
            lines.append(f"{entry.name:<{width}}{'-':>12}  at {least.load:g} {table.unit}: {least.verdict}")
            continue
        cells = _number(entry.held, "g", 12) + _number(point.output_tok_s, ".0f") + _number(point.wall_w, ".0f")
        cells += _number(point.usd_per_million_output_tokens, ".2f") + _number(point.machine_usd, ",.0f")
        lines.append(f"{entry.name:<{width}}{cells}  {entry.plan.limited_by or '-'}")
    most, cheapest = table.most, table.cheapest
    if most is None:
        return [*lines, "none of them surely holds any load that was tried"]
    lines.append(f"recommended: {most.name}, which holds the most: {most.held:g} {table.unit}")
    if cheapest is not None and cheapest is not most:
        lines.append(f"cheapest per token: {cheapest.name}")
    return lines


def _number(value: float | None, form: str, width: int = 10) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}{form}}"
