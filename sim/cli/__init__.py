"""The command `sparksim`: one file per verb. stdout is the result, stderr is talk; nothing else prints or exits."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.cli import (
    calibrate,
    check,
    compare,
    explain,
    fit,
    kernel,
    lookup,
    microbench,
    plan,
    plot,
    run,
    sensitivity,
    sweep,
    validate,
)
from sim.cli.parser import Parser, error_object, load_plugins
from sim.errors import SimError

VERBS: dict[str, Any] = {
    "run": run,
    "kernel": kernel,
    "explain": explain,
    "fit": fit,
    "compare": compare,
    "plan": plan,
    "sweep": sweep,
    "sensitivity": sensitivity,
    "plot": plot,
    "list": lookup.LIST,
    "show": lookup.SHOW,
    "schema": lookup.SCHEMA,
    "check": check,
    "microbench": microbench,
    "validate": validate,
    "calibrate": calibrate,
}
"""Every verb: something with `add_arguments(parser)` and `execute(arguments) -> exit code`."""


def main(argv: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - one return per exit code
    """Run the command; the exit code (0 done, 2 bad input, 3 the answer is no, 4 a law broken, 1 a bug of ours)."""
    words = list(sys.argv[1:] if argv is None else argv)
    wants_json = "--json" in words
    try:
        parser = Parser(
            prog="sparksim", description="Simulates models on a DGX Spark: how fast, how full, what limits it."
        )
        parser.add_argument("--version", action="store_true", help="print the version and stop")
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
        for name, verb in VERBS.items():
            verb.add_arguments(verbs.add_parser(name, help=verb.HELP, description=verb.HELP, epilog=verb.EXAMPLE))
        arguments = parser.parse_args(words)
        if arguments.version:
            print(_version())
            return 0
        if arguments.verb is None:
            parser.print_help()
            return 2
        load_plugins(arguments)
        return int(VERBS[arguments.verb].execute(arguments))
    except SimError as error:
        for problem in error.problems:
            print(_printable(str(problem)), file=sys.stderr)
        if wants_json:
            print(error_object(error.exit_code, [problem.to_dict() for problem in error.problems]))
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        message = _bug(error)
        print(message, file=sys.stderr)
        if wants_json:
            print(error_object(1, [{"message": message, "code": "bug"}]))
        return 1


def _printable(text: str) -> str:
    """`text` without control characters: a file's content must not drive the terminal."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def _bug(error: Exception) -> str:
    """A short request for a report that says where it happened; SPARKSIM_TRACEBACK=1 prints the rest before it."""
    if os.environ.get("SPARKSIM_TRACEBACK"):
        traceback.print_exception(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"
    text = " ".join(str(error).split())[:200]
    return (
        f"this is a bug of sparksim {_version()}: {type(error).__name__}: {text} ({where}); "
        "please report it with the command and this line; SPARKSIM_TRACEBACK=1 shows more"
    )


def _version() -> str:
    from sim import __version__  # noqa: PLC0415 - only for --version

    return __version__


def entry() -> None:
    """What `python -m sim` calls: `main`, and out with its code."""
    sys.exit(main())
