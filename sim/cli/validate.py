"""`sparksim validate`: predictions beside published measurements, with errors by class."""

from __future__ import annotations

import argparse
import json
import sys

from sim.cli import microbench, validate_kernels

HELP = "hold predictions against published measurements"
EXAMPLE = """examples:
  sparksim validate inference --check
  sparksim validate kernels --chip rtx-pro-6000-server
  sparksim validate microbench --check
  sparksim validate ablation"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("what", choices=("inference", "kernels", "microbench", "ablation"))
    parser.add_argument("--runtime", help="only this runtime")
    parser.add_argument("--family", help="only models whose name begins so")
    parser.add_argument("--check", action="store_true", help="exit 3 when a target is broken")
    parser.add_argument("--rows", action="store_true", help="every comparison")
    parser.add_argument("--markdown", action="store_true", help="the table of the README")
    parser.add_argument("--json", action="store_true")
    validate_kernels.add_arguments(parser)


def execute(arguments: argparse.Namespace) -> int:
    """0, or 3 with --check when a target is broken."""
    validate_kernels.check(arguments)
    if arguments.what == "kernels":
        return validate_kernels.execute(arguments)
    if arguments.what == "microbench":
        return microbench.check(arguments)
    if arguments.what == "ablation":
        return microbench.ablation(arguments)
    from sim import api  # noqa: PLC0415 - loaded only for this verb
    from sim.study.validate import validate_inference  # noqa: PLC0415

    report = validate_inference(api.run, runtime=arguments.runtime, family=arguments.family)
    if arguments.json:
        print(json.dumps(report.to_dict(), indent=2))
    elif arguments.markdown:
        print(report.to_markdown())
    else:
        print(report.to_text(rows=arguments.rows))
    broken = report.broken_targets()
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 3 if arguments.check and broken else 0
