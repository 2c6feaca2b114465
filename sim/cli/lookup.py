"""`sparksim list`, `show` and `schema`: what there is, what is in it, what a file may say."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from types import SimpleNamespace

from sim.cli.parser import add_plugin

KINDS = (
    "hardware",
    "models",
    "runtimes",
    "quants",
    "ops",
    "components",
    "scenarios",
    "laws",
    "calibrated",
    "errors",
    "result",
)


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--spec-dir", action="append", default=[])
    add_plugin(parser)
    parser.add_argument("--json", action="store_true")


def _list(arguments: argparse.Namespace) -> int:
    from sim.system.catalogue import entries  # noqa: PLC0415 - loaded only for this verb

    found = entries(arguments.kind, tuple(arguments.spec_dir))
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        width = max((len(entry["name"]) for entry in found), default=0)
        for entry in found:
            print(f"{entry['name']:<{width}}  {entry['title']}".rstrip())
    return 0


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("name")
    parser.add_argument("--sources", action="store_true", help="every number with its kind and source")
    parser.add_argument("--yaml", action="store_true", help="a file that loads as it is")
    parser.add_argument("--graph", action="store_true", help="models: the ops of one layer, in order")
    parser.add_argument("--spec-dir", action="append", default=[])
    add_plugin(parser)
    parser.add_argument("--json", action="store_true")


def _show(arguments: argparse.Namespace) -> int:
    from sim.system.catalogue import describe  # noqa: PLC0415 - loaded only for this verb

    text = describe(
        arguments.kind,
        arguments.name,
        tuple(arguments.spec_dir),
        as_yaml=arguments.yaml,
        sources=arguments.sources,
        graph=arguments.graph,
        as_json=arguments.json,
    )
    print(text.rstrip("\n"))
    return 0


def _schema_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("hardware", "runtimes", "quants"))
    add_plugin(parser)
    parser.add_argument("--json", action="store_true")


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
