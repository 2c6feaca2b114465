"""`sparksim validate power` and `validate tenants`: watts, clocks, shared rates beside published ones."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from sim.cli.progress import ProgressLine
from sim.errors import InputError, Problem

Answer = tuple[dict[str, Any], str, list[str]]
"""Of a validation: its data, its tables, its broken targets."""


def execute(arguments: argparse.Namespace) -> int:
    """0, or 3 with --check when a target is broken."""
    given = [name for name in ("runtime", "family", "markdown") if getattr(arguments, name)]
    if given:
        raise InputError([Problem(f"validate {arguments.what} has no such flag", "usage", path=name) for name in given])
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        data, text, broken = _power(arguments, progress) if arguments.what == "power" else _tenants(progress)
    print(json.dumps(data, indent=2) if arguments.json else text)
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 3 if arguments.check and broken else 0


def _power(arguments: argparse.Namespace, progress: Callable[[str], None]) -> Answer:
    from sim import api  # noqa: PLC0415 - loaded only for this verb
    from sim.validation.power import validate_power  # noqa: PLC0415

    report = validate_power(api.run, progress)
    return report.to_dict(), report.to_text(rows=arguments.rows), report.broken_targets()


def _tenants(progress: Callable[[str], None]) -> Answer:
    from sim.validation.tenants import validate_tenants  # noqa: PLC0415

    report = validate_tenants(progress)
    return report.to_dict(), report.to_text(), report.broken_targets()
