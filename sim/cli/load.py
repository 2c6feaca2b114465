"""What `sparksim run` does with a scenario of kind load: start a runtime with a model, stage by stage."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sim.units import format_quantity

if TYPE_CHECKING:
    from sim.result.load_result import LoadResult

ARGUMENTS = ("model", "runtime", "hardware", "quant", "kv_dtype", "batch", "prompt", "depth", "output", "file")
NOT_USED = {"cache": "no kernel is simulated", "seed": "nothing is random"}
"""Flags of every simulating verb that say nothing here, and why."""


def execute(arguments: argparse.Namespace) -> int:
    """Load; 0 done, 3 there is not memory enough."""
    from sim import api  # noqa: PLC0415 - `sparksim --help` need not load the simulator

    if arguments.out:
        from sim.result.export import check_target  # noqa: PLC0415

        check_target(Path(arguments.out), force=arguments.force)
    given = {name: getattr(arguments, name) for name in ARGUMENTS}
    result = api.load(**given, set=arguments.set, spec_dirs=tuple(arguments.spec_dir), is_full=arguments.full)
    if not arguments.quiet:
        for note in (*result.warnings, *unused(arguments)):
            print(f"note: {note}", file=sys.stderr)
    print(json.dumps(result.to_dict(), indent=2, allow_nan=False) if arguments.json else text(result))
    if arguments.out:
        written = result.write(arguments.out, force=arguments.force)
        if not arguments.quiet:
            print(f"wrote {len(written)} files into {arguments.out}; see plots/", file=sys.stderr)
    return 0 if result.fits else 3


def unused(arguments: argparse.Namespace) -> list[str]:
    """Flags that were given and say nothing here."""
    return [f"--{name} changes nothing: {why}" for name, why in NOT_USED.items() if getattr(arguments, name)]


def text(result: LoadResult) -> str:
    """What a person reads: the stages, what the weights waited for, and the memory."""
    head = f"{result.model} ({result.quant}) on {result.runtime}@{result.runtime_version}, {result.hardware}"
    where = f"weights of {result.weights_bytes / 1e9:.1f} GB from {result.origin.replace('_', ' ')} by {result.how}"
    end = f"ready after {_time(result.time_s)}" if result.time_s is not None else _ended(result)
    lines = [f"{head}: {end}", f"  {where}", "", "  stage                 begins      takes   from"]
    lines += [
        f"  {stage.name:<18}{_time(stage.start_s):>10}{_time(stage.time_s):>11}   {stage.kind}: {stage.source}"
        for stage in result.stages
    ]
    weights = next((stage for stage in result.stages if stage.name == "weights"), None)
    if weights is not None and result.weights_time_s:
        rate = result.weights_bytes / result.weights_time_s
        waits = ", ".join(f"{word} {weights.shares[name]:.0%}" for name, word in WORDS.items())
        lines += ["", f"  weights arrive at {rate / 1e9:.2f} GB/s: {waits}"]
    memory = result.memory
    lines.append(
        f"  memory: {memory.high_water_bytes / 1e9:.1f} of {memory.capacity_bytes / 1e9:.1f} GB in use at most, "
        f"after {_time(memory.high_water_s)}"
    )
    return "\n".join(lines)


WORDS = {"source": "waiting for the file", "cpu": "a core with pages", "copy": "copies to CUDA memory"}


def _ended(result: LoadResult) -> str:
    return f"{result.short_bytes / 1e9:.1f} GB short in stage {result.failed_at}"


def _time(seconds: float) -> str:
    return format_quantity(seconds, "s", 3)
