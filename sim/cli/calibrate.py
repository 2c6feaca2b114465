"""`sparksim calibrate`: calibrated numbers refitted from the measurements that ship."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from typing import TYPE_CHECKING

from sim.cli.progress import ProgressLine

if TYPE_CHECKING:
    from sim.validation.calibrate import Calibration

HELP = "refit calibrated numbers from the measurements that ship, and say whether they come out as shipped"
EXAMPLE = """examples:
  sparksim calibrate
  sparksim calibrate mmq_q8.efficiency rtx-pro-6000-server
  sparksim calibrate --without-family gpt-oss --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="numbers as `list calibrated` prints them, or how their names begin or end",
    )
    parser.add_argument("--without-family", metavar="F", help="look at no model whose name begins so")
    parser.add_argument("--without-source", metavar="S", help="look at no measurement of this source")
    parser.add_argument("--without-runtime", metavar="R", help="look at no measurement of this runtime")
    parser.add_argument("--check", action="store_true", help="exit 3 when a shipped value is not reproduced")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def execute(arguments: argparse.Namespace) -> int:
    """0, or 3 with --check when a shipped value is not reproduced."""
    from sim import api  # noqa: PLC0415 - loaded only for this verb
    from sim.system.calibrated import calibrated  # noqa: PLC0415
    from sim.validation.calibrate import LeftOut, calibrate, chosen  # noqa: PLC0415
    from sim.validation.informing import Informing, Predictor  # noqa: PLC0415

    said = calibrated()
    numbers = Informing().numbers(said)
    left_out = LeftOut(arguments.without_family, arguments.without_source, arguments.without_runtime)
    left_out.check(numbers)
    with tempfile.TemporaryDirectory() as cache, ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        predictor = Predictor(api.run, said, cache)
        found = calibrate(chosen(numbers, arguments.names), predictor.log_error, left_out, progress)
    print(json.dumps(found.to_dict(), indent=2) if arguments.json else to_text(found))
    broken = [refit.number.name for refit in found.refits if not refit.is_reproduced and not refit.is_scatter]
    for name in broken if arguments.check else ():
        print(f"broken: {name} is not reproduced", file=sys.stderr)
    return 3 if arguments.check and broken else 0


def to_text(found: Calibration) -> str:
    """A table for a person."""
    from sim.system.text_table import text_table  # noqa: PLC0415 - loaded only for this verb

    head = ("number", "shipped", "refitted", "error", "refitted", "records", "moved", "")
    rows = [
        (
            one["name"],
            f"{one['shipped']}",
            f"{one['refitted']}",
            f"{one['error_shipped']:.1%}",
            f"{one['error_refitted']:.1%}",
            one["records"],
            one["records_moved"],
            one["verdict"],
        )
        for one in found.to_dict()["numbers"]
    ]
    still = "nothing moved in the last" if found.is_still else "numbers still moved in the last"
    good, scatter = (sum(getattr(one, name) for one in found.refits) for name in ("is_reproduced", "is_scatter"))
    return "\n".join(
        [
            *text_table([head, *rows], 200, ""),
            "",
            f"error: mean over classes of |ln(predicted / measured)|; {found.passes} passes, {still}",
            f"{len(found.refits)} numbers: {good} reproduced, {scatter} within scatter",
        ]
    )
