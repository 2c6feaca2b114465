"""`sparksim validate kernels`: predicted kernels beside the measured ones of `aiconfigurator-core`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sim.errors import InputError, Problem

if TYPE_CHECKING:
    from sim.plot.kernel_parity import Pair
    from sim.validation.kernels import KernelReport
    from sim.validation.published_kernels import PublishedReport

KERNELS_ONLY = ("chip", "op", "dtype", "sample", "seed", "plot", "write_records")
INFERENCE_ONLY = ("family", "rows", "markdown")
DEFAULT_SAMPLE = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only `kernels` has."""
    group = parser.add_argument_group("kernels")
    group.add_argument("--chip", help="only this machine (dgx-spark: what was published of it, which ships)")
    group.add_argument("--op", help="only this op")
    group.add_argument("--dtype", help="only this format")
    group.add_argument("--sample", type=int, help=f"rows of each table, drawn (default {DEFAULT_SAMPLE}; 0 = all)")
    group.add_argument("--seed", type=int, help="of the draw (default 0)")
    group.add_argument(
        "--write-records", action="store_true", help="draw anew the rows that numbers rest on, which ship"
    )
    group.add_argument(
        "--plot", metavar="FOLDER", help="draw parity.svg and stairs.svg (GEMMs: latency against M) there"
    )


def check(arguments: argparse.Namespace) -> None:
    """Raise where a flag belongs to the other kind of validation.

    Raises:
        InputError: every such flag.
    """
    others = INFERENCE_ONLY if arguments.what == "kernels" else KERNELS_ONLY
    message = f"validate {arguments.what} has no such flag"
    wrong = [
        Problem(message, code="usage", path=name) for name in others if getattr(arguments, name) not in (None, False)
    ]
    if wrong:
        raise InputError(wrong)


def execute(arguments: argparse.Namespace) -> int:
    """0, or 3 with --check when a target is broken."""
    from sim.validation.kernel_data import Wanted, has_tables, read_rows  # noqa: PLC0415 - loaded only for this verb
    from sim.validation.kernels import validate_kernels  # noqa: PLC0415

    if arguments.write_records:
        return _write_records(arguments)

    published = _published(arguments)
    if published is not None and (arguments.chip is not None or not has_tables()):
        return _only_published(arguments, published)
    sample = DEFAULT_SAMPLE if arguments.sample is None else arguments.sample or None
    filters = (arguments.chip, arguments.op, arguments.dtype, arguments.runtime)
    everything = read_rows(Wanted(*filters))
    rows = read_rows(Wanted(*filters, sample, arguments.seed or 0))
    report = validate_kernels(rows, everything)
    if arguments.json:
        plain = report.to_dict() | ({"published": published.to_dict()} if published else {})
        print(json.dumps(plain, indent=2))
    else:
        print("\n\n".join(each.to_text() for each in (published, report) if each is not None))
    if arguments.plot is not None:
        from sim.plot.kernel_parity import draw_parity, draw_stairs  # noqa: PLC0415 - matplotlib is slow to load

        shown = pairs(report)
        draw_parity(shown, Path(arguments.plot) / "parity.svg")
        draw_stairs(shown, Path(arguments.plot) / "stairs.svg")
        print(f"wrote {arguments.plot}/parity.svg, {arguments.plot}/stairs.svg", file=sys.stderr)
    broken = [line for each in (published, report) if each is not None for line in each.broken_targets()]
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 3 if arguments.check and broken else 0


def _published(arguments: argparse.Namespace) -> PublishedReport | None:
    """The kernels that were published of GB10, where they are not filtered away."""
    from sim.validation.published_kernels import MACHINE, compare_published  # noqa: PLC0415 - loaded only for this verb

    filters = [f"--{name}" for name in ("op", "dtype", "runtime", "sample", "seed", "plot") if getattr(arguments, name)]
    if arguments.chip == MACHINE and filters:
        message = f"its kernels are few and go all together, not with {' and '.join(filters)}"
        raise InputError(Problem(message, code="usage", path="--chip"))
    is_wanted = arguments.chip == MACHINE or (arguments.chip is None and not filters)
    return compare_published() if is_wanted else None


def _only_published(arguments: argparse.Namespace, published: PublishedReport) -> int:
    schema = {"schema": "sparksim.kernel_validation/1", "published": published.to_dict()}
    print(json.dumps(schema, indent=2) if arguments.json else published.to_text())
    if arguments.chip is None:
        print("the tables of other chips come with pip install 'sparksim[validate]'", file=sys.stderr)
    broken = published.broken_targets()
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 3 if arguments.check and broken else 0


def _write_records(arguments: argparse.Namespace) -> int:
    from sim.paths import shipped_data  # noqa: PLC0415
    from sim.validation import kernel_records  # noqa: PLC0415
    from sim.validation.kernel_data import Wanted, read_rows  # noqa: PLC0415

    filters = ("chip", "op", "dtype", "runtime", "sample", "seed", "plot")
    given = [f"--{name}" for name in filters if getattr(arguments, name) is not None]
    if given:
        message = f"draws from all rows, not with {' and '.join(given)}"
        raise InputError(Problem(message, "usage", path="--write-records"))
    rows = [row for chip in kernel_records.DRAWN for row in read_rows(Wanted(chip))]
    print(f"wrote {kernel_records.write(rows, shipped_data())}", file=sys.stderr)
    return 0


def pairs(report: KernelReport) -> list[Pair]:
    """The comparisons as pictures want them."""
    from sim.plot.kernel_parity import Pair  # noqa: PLC0415

    held_out = set(map(id, report.held_out()))
    found = []
    for one in report.compared:
        row, sizes = one.row, one.row.sizes
        is_gemm = row.op == "gemm"
        stair = f"{row.runtime} {row.dtype}, N {sizes['n']:,}, K {sizes['k']:,}" if is_gemm else ""
        panel = f"{row.table}, {row.runtime}\n{row.chip}"
        rows = sizes["m"] if is_gemm else 0
        found.append(Pair(panel, row.dtype, stair, rows, row.latency_s, one.predicted_s, id(one) in held_out))
    return found
