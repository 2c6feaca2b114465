"""`sparksim run`: predict a model, or replay an op trace."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli import load, serve, tenants
from sim.cli.parser import add_model, add_shared
from sim.cli.progress import ProgressLine

ARGUMENTS = (
    "file", "model", "runtime", "hardware", "quant", "kv_dtype", "batch", "prompt", "depth", "output", "seed",
)  # fmt: skip
"""Flags that go to `sim.run` as they are."""
OTHER_KINDS = {"load": load.execute, "serve": serve.execute, "tenants": tenants.execute}
"""Who takes scenarios of other kinds than run."""

if TYPE_CHECKING:
    from sim.result import RunResult

HELP = "predict a model on a machine, or replay an op trace"
EXAMPLE = """examples:
  sparksim run --model gpt-oss-120b --runtime llama.cpp
  sparksim run --model llama-3.1-8b --runtime vllm --quant fp8 --batch 8 --set memory.bandwidth=x2 --json
  sparksim run --model qwen3-32b --runtime llama.cpp@b7280 --quant q4_k_m --out out
  sparksim run gpt-oss-120b-chat --batch 4
  sparksim run two-models --set gpu.sms=96"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("file", nargs="?", help="a scenario (run, load, serve, tenants) or an op trace: path or name")
    add_run(parser)
    parser.add_argument("--out", metavar="DIR", help="write summary, ops, spans, timeline and plots into DIR")
    parser.add_argument("--force", action="store_true", help="replace DIR if it exists")


def add_run(parser: argparse.ArgumentParser, *, has_machines: bool = False) -> None:
    """The flags that say what is run, for every verb that runs it."""
    add_model(parser, has_machines=has_machines)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--full", action="store_true", help="simulate every CTA and K-step")
    mode.add_argument("--folded", action="store_true", help="advance steady states in closed form (default)")
    add_shared(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run; 0 done, 3 does not fit."""
    # `sparksim --help` need not load the simulator
    from sim import api  # noqa: PLC0415
    from sim.cli.table import print_result  # noqa: PLC0415

    if arguments.file:
        from sim.system.scenario import scenario_kind  # noqa: PLC0415 - most runs have no file

        kind = scenario_kind(arguments.file, arguments.spec_dir)
        if kind in OTHER_KINDS:
            return OTHER_KINDS[kind](arguments)

    if arguments.out:
        from sim.result.export import check_target  # noqa: PLC0415

        check_target(Path(arguments.out), force=arguments.force)
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        result = api.run(**given(arguments), progress=progress)
        if arguments.out:
            progress.show("writing and drawing")
            written = result.write(arguments.out, force=arguments.force)
    if not arguments.quiet:
        for note in notes(result):
            print(f"note: {note}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(result.summary(), indent=2, allow_nan=False))
    else:
        print_result(result)
    if arguments.out and not arguments.quiet:
        print(f"wrote {len(written)} files into {arguments.out}; see plots/, or open timeline.json at ui.perfetto.dev",
              file=sys.stderr)  # fmt: skip
    return 0 if result.memory is None or result.memory.fits else 3


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the flags say, under the keywords of `sim.run`."""
    return {
        **{name: getattr(arguments, name) for name in ARGUMENTS},
        "set": arguments.set,
        "spec_dirs": tuple(arguments.spec_dir),
        "cache": arguments.cache,
        "is_full": arguments.full,
    }


def notes(result: RunResult) -> list[str]:
    """What a reader must know before trusting the numbers: warnings, an assumed clock, what was changed by hand."""
    me = result.identity
    found = list(me.warnings)
    assumed = [f for f in result.hardware.fields() if f.path == "gpu.clock" and f.kind == "assumed"]
    if assumed and "gpu.clock" not in me.overrides:
        found.append(f"the GPU's clock of {me.clock_hz / 1e6:,.0f} MHz is assumed; --set gpu.clock=... says another")
    changes = {path: value for path, value in me.overrides.items() if "." in path}  # not a flag over a scenario
    if changes:
        changed = ", ".join(f"{path}={value}" for path, value in changes.items())
        found.append(f"extrapolated: {changed} set by hand; no measurement stands behind that")
    return found
