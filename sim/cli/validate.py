"""`sparksim validate`: predictions beside published measurements, with errors by class."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile

from sim.cli import microbench, validate_kernels, validate_machines, validate_memory, validate_power, validate_serving
from sim.cli.parser import plot_target
from sim.cli.progress import ProgressLine
from sim.errors import InputError, Problem

HELP = "hold predictions against published measurements"
EXAMPLE = """examples:
  sparksim validate inference --check
  sparksim validate inference --runtime llama.cpp --family gpt-oss --parity parity
  sparksim validate inference --leave-out family
  sparksim validate kernels --chip rtx-pro-6000-server
  sparksim validate machines --check --rows
  sparksim validate memory --check
  sparksim validate microbench --check
  sparksim validate power --check --rows
  sparksim validate tenants --check
  sparksim validate ablation"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    kinds = ("inference", "kernels", "machines", "memory", "microbench", "power", "serving", "tenants", "ablation")
    parser.add_argument("what", choices=kinds)
    parser.add_argument("--runtime", help="only this runtime")
    parser.add_argument("--family", help="only models whose name begins so")
    parser.add_argument("--check", action="store_true", help="exit 3 when a target is broken")
    parser.add_argument("--rows", action="store_true", help="every comparison")
    parser.add_argument("--markdown", action="store_true", help="the table of the README")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    group = parser.add_argument_group("inference")
    group.add_argument(
        "--leave-out",
        choices=("family", "source", "runtime"),
        help="leave out each of them in turn: numbers refitted without it, its error, and what ranges then hold",
    )
    group.add_argument("--parity", metavar="FILE", help="draw predicted against measured, as SVG and PNG")
    group.add_argument("--force", action="store_true", help="replace the files of --parity if they exist")
    group.add_argument(
        "--write-residuals", action="store_true", help="write how far predictions were off, which ranges come from"
    )
    validate_kernels.add_arguments(parser)


def execute(arguments: argparse.Namespace) -> int:
    """0, or 3 with --check when a target is broken."""
    validate_kernels.check(arguments)
    if arguments.what != "inference":
        _refuse(arguments)
    others = {
        "kernels": validate_kernels.execute, "memory": validate_memory.execute, "serving": validate_serving.execute,
        "microbench": microbench.check, "power": validate_power.execute, "tenants": validate_power.execute,
        "ablation": microbench.ablation, "machines": validate_machines.execute,
    }  # fmt: skip
    if arguments.what in others:
        return others[arguments.what](arguments)
    return _inference(arguments)


def _refuse(arguments: argparse.Namespace) -> None:
    """Flags that only `inference` has."""
    given = [name for name in ("leave_out", "parity", "force", "write_residuals") if getattr(arguments, name)]
    if given:
        message = f"validate {arguments.what} has no such flag"
        raise InputError([Problem(message, "usage", path=name) for name in given])


def _check_leave_out(arguments: argparse.Namespace) -> None:
    """All records are looked at, and nothing is drawn or written."""
    names = ("runtime", "family", "rows", "markdown", "parity", "force", "write_residuals")
    wrong = [Problem("goes not with --leave-out", "usage", path=name) for name in names if getattr(arguments, name)]
    if wrong:
        raise InputError(wrong)


def _leave_out(arguments: argparse.Namespace) -> int:
    """Print the table of every family, source or runtime left out."""
    from sim import api  # noqa: PLC0415 - loaded only for this verb
    from sim.system.calibrated import calibrated  # noqa: PLC0415
    from sim.validation.inference import validate_inference  # noqa: PLC0415
    from sim.validation.informing import Informing, Predictor  # noqa: PLC0415
    from sim.validation.leave_out import leave_out, to_text  # noqa: PLC0415

    _check_leave_out(arguments)
    said = calibrated()
    with tempfile.TemporaryDirectory() as cache, ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        predictor = Predictor(api.run, said, cache)
        report = validate_inference(api.run, progress=progress)
        found = leave_out(arguments.leave_out, report, Informing().numbers(said), predictor, progress)
    print(json.dumps(found.to_dict(), indent=2) if arguments.json else to_text(found))
    return _judge(found.broken_targets(), arguments)


def _judge(broken: list[str], arguments: argparse.Namespace) -> int:
    """Say what is broken; the exit code."""
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 3 if arguments.check and broken else 0


def _check_residuals(arguments: argparse.Namespace) -> None:
    """Residuals are of all records, in the checkout."""
    given = [f"--{name}" for name in ("runtime", "family") if getattr(arguments, name)]
    if given:
        message = f"goes with all records, not with {' and '.join(given)}"
        raise InputError(Problem(message, "usage", path="--write-residuals"))


def _inference(arguments: argparse.Namespace) -> int:
    if arguments.leave_out:
        return _leave_out(arguments)
    from sim import api  # noqa: PLC0415 - loaded only for this verb
    from sim.paths import shipped_data  # noqa: PLC0415
    from sim.result.ranges import shipped  # noqa: PLC0415
    from sim.validation import residuals  # noqa: PLC0415
    from sim.validation.inference import validate_inference  # noqa: PLC0415

    target = plot_target(arguments.parity, force=arguments.force, flag="parity") if arguments.parity else None
    if arguments.write_residuals:
        _check_residuals(arguments)
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        report = validate_inference(api.run, runtime=arguments.runtime, family=arguments.family, progress=progress)
    if arguments.write_residuals:
        written = residuals.write(report.rows, shipped_data())
        shipped.cache_clear()
        print(f"wrote {written}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(report.to_dict(), indent=2))
    elif arguments.markdown:
        print(report.to_markdown())
    else:
        print(report.to_text(rows=arguments.rows))
    if target is not None:
        from sim.plot import draw_parity  # noqa: PLC0415 - matplotlib is slow to load

        draw_parity(report.to_dict()["rows"], target)
    return _judge(report.broken_targets(), arguments)
