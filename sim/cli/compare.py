"""`sparksim compare A B`: why B is faster than A."""

from __future__ import annotations

import argparse
import json
import sys

from sim.cli.parser import add_plot, plot_target
from sim.cli.progress import ProgressLine
from sim.cli.run import add_run, given
from sim.errors import InputError, Problem

HELP = "say why B is faster than A: the difference in time by cause and by op"
EXAMPLE = """A and B are each
  a machine            dgx-spark, path/to/machine.yaml
  changes to the run   KEY=VALUE[,KEY=VALUE...]: an argument of `run` (runtime=vllm, quant=fp8, kv_dtype=fp8, batch=8),
                       or an override as after --set (gpu.sms=96, memory.bandwidth=x2, runtime.ubatch_tokens=2048)
  an earlier result    the folder of `run --out`, or its summary.json
All other flags say what both run. Times are per token, so that runs of different sizes can be compared.

examples:
  sparksim compare dgx-spark rtx-pro-6000-server --model gpt-oss-20b --runtime llama.cpp
  sparksim compare runtime=llama.cpp runtime=vllm --model gpt-oss-20b --plot waterfall
  sparksim compare quant=q8_0 quant=q4_k_m --model qwen3-32b --runtime llama.cpp
  sparksim compare dgx-spark memory.bandwidth=x2,c2c.bandwidth=x2 --model gpt-oss-120b --runtime llama.cpp --json
  sparksim compare out-before out-after"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("a", metavar="A", help="a machine, KEY=VALUE[,KEY=VALUE...], or the folder of a result")
    parser.add_argument("b", metavar="B", help="the same, to compare it with")
    parser.add_argument("file", nargs="?", metavar="FILE", help="a scenario of kind run, or an op trace, that both run")
    add_run(parser)
    add_plot(parser, "the waterfall")


def execute(arguments: argparse.Namespace) -> int:
    """Compare; 0 done, 3 one of them does not fit."""
    from sim import api  # noqa: PLC0415 - `sparksim --help` need not load the simulator

    target = plot_target(arguments.plot, force=arguments.force) if arguments.plot else None
    if arguments.force and target is None:
        raise InputError(Problem("goes with --plot", "usage", path="--force"))
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        found = api.compare(arguments.a, arguments.b, **given(arguments), progress=progress)
    data = found.to_dict()
    if not arguments.quiet:
        for side in (data["a"], data["b"]):
            for note in side["warnings"]:
                print(f"note: {side['label']}: {note}", file=sys.stderr)
    print(json.dumps(data, indent=2, allow_nan=False) if arguments.json else found.to_text())
    if target is not None and found.waterfalls:
        from sim.plot import draw_waterfall  # noqa: PLC0415 - matplotlib is slow to load

        written = ", ".join(str(path) for path in draw_waterfall(data, target))
        if not arguments.quiet:
            print(f"wrote {written}", file=sys.stderr)
    return 0 if found.a.fits and found.b.fits else 3
