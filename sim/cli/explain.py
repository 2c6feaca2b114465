"""`sparksim explain`: why a run takes as long as it does, and which numbers it hangs on most."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.parser import plot_target
from sim.cli.progress import ProgressLine
from sim.cli.run import add_run, given, notes

if TYPE_CHECKING:
    from sim.study.explain import Explanation

HELP = "say why a run takes so long: time by op and cause, and the three numbers it hangs on most"
EXAMPLE = """examples:
  sparksim explain --model gpt-oss-120b --runtime llama.cpp
  sparksim explain --model qwen3-32b --runtime vllm --quant fp8 --prompt 0 --batch 8 --plot sensitivity
  sparksim explain examples/net-by-hand.yaml --runtime vllm --json

The run is simulated as it is, then once more for each number that it reads, changed by some 10 %: some thirty runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("file", nargs="?", help="a scenario of kind run, or an op trace (sparksim.ops/1): path or name")
    add_run(parser)
    parser.add_argument("--plot", metavar="FILE", help="draw what the speed hangs on, as SVG and PNG")
    parser.add_argument("--out", metavar="DIR", help="write what `run --out` writes into DIR, and explain.json")
    parser.add_argument("--force", action="store_true", help="replace DIR, and the files of --plot, if they exist")


def execute(arguments: argparse.Namespace) -> int:
    """Explain; 0 done, 3 does not fit."""
    from sim import questions  # noqa: PLC0415 - `sparksim --help` need not load the simulator
    from sim.result.export import check_target, write  # noqa: PLC0415

    target = plot_target(arguments.plot, force=arguments.force) if arguments.plot else None
    if arguments.out:
        check_target(Path(arguments.out), force=arguments.force)
    written: list[Path] = []
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        why = questions.explain(**given(arguments), progress=progress)
        if arguments.out:
            progress.show("writing and drawing")
            more = _writer(why.to_dict())
            written += write(why.result, Path(arguments.out), force=arguments.force, more=more)
        if target is not None:
            progress.show("drawing")
            written += draw(why.to_dict(), target)
    if not arguments.quiet:
        for note in [*notes(why.result), *(f"not asked: {each}" for each in why.skipped)]:
            print(f"note: {note}", file=sys.stderr)
    print(json.dumps(why.to_dict(), indent=2, allow_nan=False) if arguments.json else text(why))
    if written and not arguments.quiet:
        names = ", ".join(map(str, written)) if target and not arguments.out else f"{len(written)} files"
        print(f"wrote {names}", file=sys.stderr)
    return 3 if why.result.fits is False else 0


def _writer(data: dict[str, Any]) -> Any:
    """Writes `explain.json` and its picture beside the files of a run."""

    def more(folder: Path) -> None:
        (folder / "explain.json").write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        draw(data, folder / "plots" / "sensitivity")

    return more


def draw(data: dict[str, Any], target: Path) -> list[Path]:
    """The picture, as SVG and PNG."""
    from sim.plot import draw_sensitivity  # noqa: PLC0415 - matplotlib is slow to load

    return draw_sensitivity(data, target)


def text(why: Explanation) -> str:
    """What a person reads."""
    from sim.cli.table import Look, table  # noqa: PLC0415 - loaded only for text

    if why.result.trace is None:
        return "\n".join(table(why.result, Look(sys.stdout)))
    return why.to_text()
