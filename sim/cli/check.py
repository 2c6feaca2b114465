"""`sparksim check FILE...`: is a file of ours right? All problems of all files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sim.cli.parser import add_plugin
from sim.errors import InputError, Problem

HELP = "check hardware files, runtimes, models, recipes, scenarios, op traces and measurements"
EXAMPLE = "example:\n  sparksim check my-machine.yaml my-trace.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_plugin(parser)


def execute(arguments: argparse.Namespace) -> int:
    """0 when every file is right; raises with every problem otherwise."""
    problems: list[Problem] = []
    kinds = {}
    for name in arguments.files:
        try:
            kinds[name] = check_file(Path(name))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    if arguments.json:
        print(json.dumps({"schema": "sparksim.check/1", "files": kinds}))
    else:
        for name, kind in kinds.items():
            print(f"{name}: {kind}, ok")
    return 0


def check_file(path: Path) -> str:
    """Load a file by what it says it is, and everything that it names; the kind.

    Raises:
        InputError: every problem with its line.
    """
    from sim.system.file_kinds import kind_of  # noqa: PLC0415 - loaded only for this verb

    return kind_of(path)
