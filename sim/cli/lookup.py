"""`sparksim list`, `show` and `schema`: what there is, what is in it, what a file may say."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from types import SimpleNamespace

from sim.cli.parser import add_plugin
from sim.errors import InputError, Problem

KINDS = (
    "hardware", "models", "runtimes", "quants", "ops", "components", "scenarios", "studies", "laws", "calibrated",
    "errors", "result",
)  # fmt: skip
SCHEMAS = ("hardware", "runtimes", "quants", "scenarios", "studies")
FLAGS = {
    "sources": ("hardware", "models", "runtimes"),
    "yaml": ("hardware", "models", "runtimes", "quants", "scenarios", "studies"),
    "graph": ("models",),
}
"""Which flag of `show` is for which kinds."""
PIPE_WIDTH = 120


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--spec-dir", action="append", default=[], metavar="DIR", help="look for names here first")
    add_plugin(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def _list(arguments: argparse.Namespace) -> int:
    from sim.system.catalogue import entries  # noqa: PLC0415 - loaded only for this verb
    from sim.system.text_table import text_table  # noqa: PLC0415

    found = entries(arguments.kind, tuple(arguments.spec_dir))
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(text_table([(entry["name"], entry["title"]) for entry in found], _width(), "")))
    return 0


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("name", nargs="?", help="which one; of ops, components, laws, errors, result: all if left out")
    parser.add_argument("--sources", action="store_true", help="every number with its kind and source")
    parser.add_argument("--yaml", action="store_true", help="a file that loads as it is")
    parser.add_argument("--graph", action="store_true", help="models: the ops of prefill and decode, with shapes")
    parser.add_argument("--runtime", metavar="R[@VERSION]", help="with --graph: whose launches (default llama.cpp)")
    parser.add_argument("--quant", metavar="Q", help="with --graph: recipe (default: what the checkpoint says)")
    parser.add_argument("--spec-dir", action="append", default=[], metavar="DIR", help="look for names here first")
    add_plugin(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _show(arguments: argparse.Namespace) -> int:
    from sim.system.describe import Wanted, describe, file_text  # noqa: PLC0415 - loaded only for this verb

    _check_flags(arguments)
    wanted = Wanted(
        arguments.kind,
        arguments.name,
        tuple(arguments.spec_dir),
        arguments.sources,
        arguments.graph,
        arguments.runtime,
        arguments.quant,
        _width(),
    )
    shown = describe(wanted)
    if arguments.yaml:
        print(file_text(wanted).rstrip("\n"))
    elif arguments.json:
        print(json.dumps(shown.data, indent=2))
    else:
        print("\n".join(shown.lines))
    return 0


def _check_flags(arguments: argparse.Namespace) -> None:
    """Refuse what would change nothing."""
    wrong = [
        Problem(f"says nothing about {arguments.kind}; it is for {', '.join(kinds)}", "usage", path=f"--{flag}")
        for flag, kinds in FLAGS.items()
        if getattr(arguments, flag) and arguments.kind not in kinds
    ]
    if not arguments.graph:
        given = [flag for flag in ("runtime", "quant") if getattr(arguments, flag) is not None]
        wrong += [Problem("goes with --graph", "usage", path=f"--{flag}") for flag in given]
    if arguments.yaml and (arguments.json or arguments.sources or arguments.graph):
        wrong.append(Problem("prints the whole file, and nothing beside it", "usage", path="--yaml"))
    if wrong:
        raise InputError(wrong)


def _width() -> int:
    """Columns of the terminal; fixed where the output goes elsewhere, so that its bytes are always the same."""
    return shutil.get_terminal_size((PIPE_WIDTH, 24)).columns if sys.stdout.isatty() else PIPE_WIDTH


def _schema_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=SCHEMAS)
    add_plugin(parser)
    parser.add_argument("--json", action="store_true", help="it is JSON anyway")


def _schema(arguments: argparse.Namespace) -> int:
    from sim.system.catalogue import schema  # noqa: PLC0415 - loaded only for this verb

    print(json.dumps(schema(arguments.kind), indent=2))
    return 0


def _verb(
    add: Callable[[argparse.ArgumentParser], None],
    execute: Callable[[argparse.Namespace], int],
    help_text: str,
    example: str,
) -> SimpleNamespace:
    return SimpleNamespace(
        add_arguments=add, execute=execute, HELP=help_text, EXAMPLE=f"example:\n  sparksim {example}"
    )


LIST = _verb(_list_arguments, _list, "names of everything of a kind", "list models")
SHOW = _verb(_show_arguments, _show, "what is in a file or table", "show hardware dgx-spark --sources")
SCHEMA = _verb(
    _schema_arguments, _schema, "JSON Schema of a kind of file, for editors", "schema hardware > hardware.schema.json"
)
