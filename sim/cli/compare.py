"""`sparksim compare A B`: why B is faster than A; with several --hardware: one model on all of them, side by side."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from sim.cli.parser import add_plot, plot_target
from sim.cli.progress import ProgressLine
from sim.cli.run import add_run, given
from sim.errors import InputError, Problem

HELP = "say why B is faster than A, by cause and by op; or put machines side by side"
EXAMPLE = """A and B are each
  a machine            dgx-spark, path/to/machine.yaml
  changes to the run   KEY=VALUE[,KEY=VALUE...]: an argument of `run` (runtime=vllm, quant=fp8, kv_dtype=fp8, batch=8),
                       or an override as after --set (gpu.sms=96, memory.bandwidth=x2, runtime.ubatch_tokens=2048)
  an earlier result    the folder of `run --out`, or its summary.json
All other flags say what both run. Times are per token, so that runs of different sizes can be compared.
With two or more --hardware instead: a table of rates, memory, watts, price and price per token, a machine per row.

examples:
  sparksim compare dgx-spark rtx-pro-6000-server --model gpt-oss-20b --runtime llama.cpp
  sparksim compare runtime=llama.cpp runtime=vllm --model gpt-oss-20b --plot waterfall
  sparksim compare quant=q8_0 quant=q4_k_m --model qwen3-32b --runtime llama.cpp
  sparksim compare dgx-spark memory.bandwidth=x2,c2c.bandwidth=x2 --model gpt-oss-120b --runtime llama.cpp --json
  sparksim compare out-before out-after
  sparksim compare --hardware dgx-spark --hardware strix-halo --model gpt-oss-120b --runtime llama.cpp --plot boxes"""

COSTS = ("years", "electricity", "price")
"""Flags of machines side by side."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("a", nargs="?", metavar="A", help="a machine, KEY=VALUE[,KEY=VALUE...], or a result's folder")
    parser.add_argument("b", nargs="?", metavar="B", help="the same, to compare it with")
    parser.add_argument("file", nargs="?", metavar="FILE", help="a scenario of kind run, or an op trace, that both run")
    add_run(parser, has_machines=True)
    group = parser.add_argument_group("machines side by side")
    group.add_argument("--years", type=_number, help="how long a machine's price is spread over (default 3)")
    group.add_argument("--electricity", type=_number, metavar="USD", help="price of a kWh (default 0.15)")
    group.add_argument("--price", action="append", metavar="MACHINE=USD", help="what it costs, instead of its file's")
    add_plot(parser, "the waterfall, or the machines")


def _number(text: str) -> float | str:
    """A number; anything else is left as it is, and refused together with all other problems."""
    try:
        return float(text)
    except ValueError:
        return text


def execute(arguments: argparse.Namespace) -> int:
    """Compare; 0 done, 3 one of them does not fit (of machines side by side: none of them)."""
    target = plot_target(arguments.plot, force=arguments.force) if arguments.plot else None
    if arguments.force and target is None:
        raise InputError(Problem("goes with --plot", "usage", path="--force"))
    machines = arguments.hardware or []
    if arguments.a is None and len(machines) > 1:
        return _machines(arguments, machines, target)
    _check_sides(arguments, machines)
    arguments.hardware = machines[0] if machines else None
    return _sides(arguments, target)


def _check_sides(arguments: argparse.Namespace, machines: list[str]) -> None:
    """Two sides, one machine at most, and nothing that goes with machines side by side."""
    problems = [
        Problem("goes with two or more --hardware and no sides", "usage", path=f"--{name}")
        for name in COSTS
        if getattr(arguments, name) is not None
    ]
    if arguments.b is None:
        hint = "`sparksim compare A B`, or two or more --hardware"
        problems.append(
            Problem("wants two sides", "missing_argument", path="A" if arguments.a is None else "B", hint=hint)
        )
    if len(machines) > 1:
        problems.append(Problem("one machine for both sides, or several and no sides", "usage", path="--hardware"))
    if problems:
        raise InputError(problems)


def _sides(arguments: argparse.Namespace, target: Path | None) -> int:
    """Why B is faster than A."""
    from sim import questions  # noqa: PLC0415 - `sparksim --help` need not load the simulator

    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        found = questions.compare(arguments.a, arguments.b, **given(arguments), progress=progress)
    data = found.to_dict()
    _tell(arguments, [(side["label"], side["warnings"]) for side in (data["a"], data["b"])])
    print(json.dumps(data, indent=2, allow_nan=False) if arguments.json else found.to_text())
    if target is not None and found.waterfalls:
        from sim.plot import draw_waterfall  # noqa: PLC0415 - matplotlib is slow to load

        _wrote(arguments, draw_waterfall(data, target))
    return 0 if found.a.fits and found.b.fits else 3


def _machines(arguments: argparse.Namespace, machines: list[str], target: Path | None) -> int:
    """One model on several machines."""
    from sim import questions  # noqa: PLC0415 - `sparksim --help` need not load the simulator

    costs = _costs(arguments)
    asked: dict[str, Any] = {**given(arguments), **costs}
    del asked["hardware"]
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        found = questions.compare_machines(machines, **asked, progress=progress)
    data = found.to_dict()
    _tell(arguments, [(row["hardware"], row["warnings"]) for row in data["machines"]])
    print(json.dumps(data, indent=2, allow_nan=False) if arguments.json else found.to_text())
    if target is not None:
        from sim.plot import draw_machines  # noqa: PLC0415 - matplotlib is slow to load

        _wrote(arguments, draw_machines(data, target))
    return 0 if found.runs_anywhere else 3


def _costs(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the flags say of costs, under the keywords of `sim.compare_machines`."""
    costs = {
        name: getattr(arguments, name) for name in ("years", "electricity") if getattr(arguments, name) is not None
    }
    wrong = [(f"--{name}", value) for name, value in costs.items() if isinstance(value, str)]
    pairs = [text.rpartition("=") for text in arguments.price or ()]
    prices = {name: _number(usd) for name, _, usd in pairs}
    wrong += [(f"--price {name}".rstrip(), usd) for name, usd in prices.items() if isinstance(usd, str)]
    if wrong:
        raise InputError(
            [Problem(f"must be a number, not {value[:40]!r}", "bad_argument", path=at) for at, value in wrong]
        )
    return costs | ({"prices": prices} if prices else {})


def _tell(arguments: argparse.Namespace, warnings: list[tuple[str, list[str]]]) -> None:
    """Notes, each once."""
    if not arguments.quiet:
        for line in dict.fromkeys(f"note: {label}: {note}" for label, notes in warnings for note in notes):
            print(line, file=sys.stderr)


def _wrote(arguments: argparse.Namespace, paths: list[Path]) -> None:
    if not arguments.quiet:
        print(f"wrote {', '.join(map(str, paths))}", file=sys.stderr)
