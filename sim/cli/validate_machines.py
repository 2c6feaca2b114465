"""`sparksim validate machines`: predictions beside measurements on many machines, and the order of machines."""

from __future__ import annotations

import argparse
import json
import sys

from sim.cli.progress import ProgressLine
from sim.errors import InputError, Problem


def execute(arguments: argparse.Namespace) -> int:
    """0, or 3 with --check when a target is broken."""
    from sim import api  # noqa: PLC0415 - loaded only for this verb
    from sim.validation.machines import validate_machines  # noqa: PLC0415

    given = [name for name in ("runtime", "family", "markdown") if getattr(arguments, name)]
    if given:
        raise InputError([Problem("validate machines has no such flag", "usage", path=name) for name in given])
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        report = validate_machines(api.run, progress=progress)
    print(json.dumps(report.to_dict(), indent=2) if arguments.json else report.to_text(rows=arguments.rows))
    broken = report.broken_targets()
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 3 if arguments.check and broken else 0
