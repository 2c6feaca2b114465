"""`sparksim sensitivity`: what results hang on, and what other machines would do to them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.cli.parser import add_plot, count, plot_target
from sim.cli.progress import ProgressLine
from sim.cli.run import add_run, given
from sim.cli.sweep import split
from sim.units import EXAMPLES, format_quantity

if TYPE_CHECKING:
    from sim.study.sensitivity import Sensitivities, WhatIf

HELP = "what any result hangs on: elasticities, what-if factors, Sobol indices"
EXAMPLE = """examples:
  sparksim sensitivity --model gpt-oss-120b --runtime llama.cpp --y ttft_s,tpot_s
  sparksim sensitivity --model gpt-oss-120b --runtime llama.cpp --factor memory.bandwidth=x2 --factor gpu.sms=x2 \\
      --factor l2.capacity=x2 --factor gpu.graph_launch,gpu.kernel_boundary=x0.5
  sparksim sensitivity --model qwen3-32b --runtime vllm --y tpot_s --sobol 64 \\
      --vary memory.bandwidth=200..600GB/s --vary gpu.sms=24..96

An elasticity e says: 1 % more of the field makes the result e % larger. It takes one or two runs for each field."""
MOST_ROWS = 20
SMALLEST = 0.005


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("file", nargs="?", help="a scenario of kind run, or an op trace: path or name")
    add_run(parser)
    parser.add_argument("--y", action="append", default=[], metavar="A,B", help="results (default ttft_s, tpot_s)")
    parser.add_argument("--of", action="append", default=[], metavar="A,B", help="fields (default: all that are read)")
    parser.add_argument(
        "--factor",
        action="append",
        default=[],
        metavar="PATH=xN",
        help="what if? PATH,PATH=xN for several (repeatable)",
    )
    parser.add_argument("--sobol", type=count, metavar="N", help="Sobol indices from N x (ranges + 2) points")
    parser.add_argument("--vary", action="append", default=[], metavar="PATH=A..B", help="with --sobol: a range")
    parser.add_argument("--workers", type=count, metavar="N", help="with --sobol: processes")
    add_plot(parser, "what each result hangs on most")


def execute(arguments: argparse.Namespace) -> int:
    """Ask; 0 done."""
    from sim import questions  # noqa: PLC0415 - `sparksim --help` need not load the simulator

    target = plot_target(arguments.plot, force=arguments.force) if arguments.plot else None
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        found = questions.sensitivity(
            **{**given(arguments), "seed": arguments.seed or None},
            y=split(arguments.y),
            of=split(arguments.of),
            factors=arguments.factor,
            vary=arguments.vary,
            sobol=arguments.sobol,
            workers=arguments.workers,
            progress=progress,
        )
        written = []
        if target is not None:
            from sim.plot import draw_bars  # noqa: PLC0415 - matplotlib is slow to load

            written = draw_bars(f"{meaning(found)}\n{found.title}", {y: found.strongest(y) for y in found.y}, target)
    if not arguments.quiet:
        for each in found.skipped:
            print(f"note: not asked: {each}", file=sys.stderr)
        if written:
            print(f"wrote {', '.join(map(str, written))}", file=sys.stderr)
    print(json.dumps(found.to_dict(), indent=2, allow_nan=False) if arguments.json else "\n".join(_lines(found)))
    return 0


def meaning(found: Sensitivities) -> str:
    """What the numbers of a picture say."""
    if found.what_ifs:
        return "Change of each result, in %"
    return "Total Sobol index" if found.indices else "% more of the result for 1 % more of the field"


def _lines(found: Sensitivities) -> list[str]:
    if found.what_ifs:
        return _what_ifs(found)
    if found.indices:
        return _indices(found)
    lines = [found.title]
    for y in found.y:
        named = [(path, value) for path, value in found.strongest(y) if abs(value) >= SMALLEST][:MOST_ROWS]
        lines += ["", f"{y} is {_cell(y, found.before[y])}; 1 % more of a field changes it by"]
        lines += [f"  {path:<40}{value:>+8.2f} %" for path, value in named] or [
            "  nothing: it hangs on no single number"
        ]
    return lines


def _what_ifs(found: Sensitivities) -> list[str]:
    rows: list[Sequence[str]] = [("what if", *found.y)]
    rows.append(("as it is", *(_cell(y, found.before[y]) for y in found.y)))
    rows += [(each.name, *(_changed(each, y) for y in found.y)) for each in found.what_ifs]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = [
        f"{row[0]:<{widths[0]}}" + "".join(f"  {cell:>{size}}" for cell, size in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    return [found.title, "", *table]


def _changed(each: WhatIf, y: str) -> str:
    ratio = each.ratio[y]
    return f"{_cell(y, each.values[y])} {'' if ratio is None else f'(x{ratio:.3f})'}".strip()


def _indices(found: Sensitivities) -> list[str]:
    lines = [f"{found.title}: {found.points:,} points"]
    for y in found.y:
        lines += ["", f"{y}: share of its variance", f"  {'field':<36}{'from':>12}{'alone':>16}{'with others':>16}"]
        mine = sorted((each for each in found.indices if each.y == y), key=lambda each: -each.total)
        lines += [
            f"  {each.path:<30}{found.ranges[each.path]:>18}{each.first:>9.2f} ±{each.first_conf:>4.2f}"
            f"{each.total:>10.2f} ±{each.total_conf:>4.2f}"
            for each in mine
        ]
    return lines


def _cell(y: str, value: float | None) -> str:
    from sim.result.keys import RESULT_KEYS  # noqa: PLC0415 - loaded only for text

    unit = RESULT_KEYS.get(y, ("", ""))[0]
    if value is None:
        return "-"
    return format_quantity(value, unit) if unit in EXAMPLES and unit != "%" else f"{value:.5g}"
