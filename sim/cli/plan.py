"""`sparksim plan`: how many users, or which rate, one machine holds with a model on a runtime."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sim.cli.parser import add_plot, add_shared, plot_target
from sim.cli.progress import ProgressLine
from sim.errors import InputError, Problem

if TYPE_CHECKING:
    from sim.study.plan import Plan, Serve

HELP = "how many users, or which rate, a server holds within limits on its latencies"
EXAMPLE = """examples:
  sparksim plan --workload office-25 --slo 'ttft_p95<2s,tpot_p95<100ms'
  sparksim plan --workload office-25 --slo 'ttft_p95<2s' --users 40 --json
  sparksim plan --workload my-server.yaml --slo 'ttft_p95<3s' --set runtime.max_num_seqs=64"""
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
    load.add_argument("--max", action="store_true", help="the most that is held (default)")
    add_plot(parser, "latency against load")
    add_shared(parser)


def execute(arguments: argparse.Namespace) -> int:
    """0 yes, 3 no or too close to say."""
    from sim.study.plan import find_most, read_slo  # noqa: PLC0415 - loaded only for this verb

    limits = read_slo(arguments.slo)
    target = plot_target(arguments.plot, force=arguments.force) if arguments.plot else None
    kind = _kind(arguments)
    asked = arguments.users if arguments.users is not None else arguments.rate
    if asked is not None and asked <= 0:
        raise InputError(Problem(f"must be above 0, not {asked}", "bad_argument", path="users or rate"))
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        serve = _server(arguments, kind)
        plan = find_most(
            serve,
            limits,
            is_users=kind == "closed_loop",
            asked=None if asked is None else float(asked),
            progress=progress,
        )
    if target is not None:
        from sim.plot.serving import draw_load  # noqa: PLC0415 - matplotlib is slow to load

        draw_load(plan.to_dict(), {limit.name: limit.most_s for limit in limits}, arguments.workload, target)
    print(json.dumps(plan.to_dict(), indent=2) if arguments.json else "\n".join(_lines(plan, arguments.slo)))
    return EXIT[plan.verdict]


def _kind(arguments: argparse.Namespace) -> str:
    """How requests arrive in the scenario.

    Raises:
        InputError: as a trace says or all at once, or users are asked for where a rate is given, or the other way.
    """
    from sim.system.scenario import find_file  # noqa: PLC0415 - loaded only for this verb
    from sim.system.serve_file import read_serve  # noqa: PLC0415

    kind = read_serve(find_file(arguments.workload, arguments.spec_dir), arguments.spec_dir).traffic.arrivals.kind
    if kind in ("trace", "burst"):
        message, hint = f"arrivals of kind {kind} have no load to vary", "closed_loop has users, the others a rate"
        raise InputError(Problem(message, "bad_argument", arguments.workload, path="traffic.arrivals", hint=hint))
    wrong = "rate" if kind == "closed_loop" else "users"
    if getattr(arguments, wrong) is not None:
        message = f"arrivals of kind {kind} have {'users' if wrong == 'rate' else 'a rate'}"
        raise InputError(Problem(message, "bad_argument", path=wrong))
    return kind


def _server(arguments: argparse.Namespace, kind: str) -> Serve:
    """Serves the workload at a load; its step times are simulated once for all loads."""
    from sim.system.serve import Tables, serve  # noqa: PLC0415 - `sparksim --help` need not load the simulator
    from sim.system.serve_prepare import open_serve  # noqa: PLC0415

    field = "users" if kind == "closed_loop" else "rate"
    changes = [text for text in arguments.set if not text.startswith(f"traffic.arrivals.{field}=")]
    tables: Tables | None = None

    def serve_at(load: float) -> Sequence[Mapping[str, Any]]:
        nonlocal tables
        said = f"{int(load)}" if field == "users" else f"{load} /s"
        changed = [*changes, f"traffic.arrivals.{field}={said}"]
        prepared = open_serve(arguments.workload, changed, tuple(arguments.spec_dir), arguments.cache)
        tables = tables or Tables(prepared)
        summary = serve(prepared, None, (arguments.seed,) if arguments.seed else None, tables).summary()
        return [{**summary, **seed} for seed in summary.get("by_seed", [summary])]

    return serve_at


def _lines(plan: Plan, slo: str) -> list[str]:
    names = list(plan.points[0].verdicts)
    lines = [f"limits: {slo}", f"{plan.unit:>12}" + "".join(f"{name:>14}" for name in names) + f"{'tok/s':>10}  held"]
    for point in plan.points:
        values = "".join(f"{point.values[name]:>12.3g} s" if name in point.values else f"{'-':>14}" for name in names)
        lines.append(f"{point.load:>12g}{values}{point.output_tok_s:>10.0f}  {point.verdict}")
    if plan.asked is not None:
        return [*lines, f"{plan.asked:g} {plan.unit}: {plan.verdict}"]
    if plan.most is None:
        return [*lines, f"not even {plan.points[0].load:g} {plan.unit} are surely held"]
    lines.append(f"surely held: {plan.most:g} {plan.unit}")
    if plan.least_broken is not None:
        lines.append(f"surely not:  {plan.least_broken:g} {plan.unit}, by {plan.limited_by}")
    return lines
