"""`sparksim validate serving`: servers under load beside published runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.progress import ProgressLine
from sim.errors import InputError, Problem

if TYPE_CHECKING:
    from sim.validation.serving import Serve


def execute(arguments: argparse.Namespace) -> int:
    """0, or 3 with --check when a target is broken."""
    from sim.validation.serving import validate_serving  # noqa: PLC0415 - loaded only for this verb

    given = [name for name in ("runtime", "markdown") if getattr(arguments, name)]
    if given:
        raise InputError([Problem("validate serving has no such flag", "usage", path=name) for name in given])
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        report = validate_serving(server_of, family=arguments.family, progress=progress)
    print(json.dumps(report.to_dict(), indent=2) if arguments.json else report.to_text(rows=arguments.rows))
    broken = report.broken_targets()
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 3 if arguments.check and broken else 0


def server_of(first: Mapping[str, Any]) -> Serve:
    """Who serves scenarios on the server of `first`: its step times are simulated once for all of them."""
    from sim.system.serve import Tables, serve  # noqa: PLC0415
    from sim.system.serve_file import ServeFile  # noqa: PLC0415
    from sim.system.serve_prepare import PreparedServe, prepare_serve  # noqa: PLC0415

    def prepared(scenario: Mapping[str, Any]) -> PreparedServe:
        file = ServeFile.model_validate(scenario)
        return prepare_serve(file, Path(), (), (), None)

    tables = Tables(prepared(first))

    def run(scenario: Mapping[str, Any], seeds: Sequence[int]) -> Mapping[str, Any]:
        return serve(prepared(scenario), None, seeds, tables).summary()

    return run
