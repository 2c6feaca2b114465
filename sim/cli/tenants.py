"""`sparksim run FILE` of a scenario of kind tenants: each alone, all together, and what that costs whom."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sim.cli.progress import ProgressLine
from sim.cli.table import Look
from sim.errors import InputError, Problem
from sim.result.tenants import TenantRow, TenantsResult

OF_ONE_RUN = ("model", "runtime", "hardware", "quant", "kv_dtype", "batch", "prompt", "depth", "output", "full")
"""Flags of `run` that say nothing here: the file says it of each tenant."""
COLUMNS = ("tenant", "alone", "together", "slower", "memory", "GPU")


def execute(arguments: argparse.Namespace) -> int:
    """0, or 3 where the models do not lie in memory together."""
    from sim import api  # noqa: PLC0415 - loaded only for this verb
    from sim.result.export import check_target  # noqa: PLC0415

    given = [name for name in OF_ONE_RUN if getattr(arguments, name) not in (None, False)]
    if given:
        hint = "the file says it; --set changes the machine"
        raise InputError(
            [Problem("a scenario of kind tenants takes no such flag", "usage", path=name, hint=hint) for name in given]
        )
    if arguments.out:
        check_target(Path(arguments.out), force=arguments.force)
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        result = api.tenants(
            arguments.file,
            set=arguments.set,
            spec_dirs=tuple(arguments.spec_dir),
            cache=arguments.cache,
            progress=progress,
        )
        written = result.write(arguments.out, force=arguments.force) if arguments.out else []
    if not arguments.quiet:
        for note in result.warnings:
            print(f"note: {note}", file=sys.stderr)
    print(json.dumps(result.to_dict(), indent=2, allow_nan=False) if arguments.json else "\n".join(table(result)))
    if written and not arguments.quiet:
        print(f"wrote {len(written)} files into {arguments.out}; see plots/", file=sys.stderr)
    return 0 if result.fits else 3


def table(result: TenantsResult) -> list[str]:
    """The lines of the table."""
    look = Look(sys.stdout)
    rows = [COLUMNS, *(_cells(row) for row in result.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    title = f"{result.title or 'tenants'}: {len(result.rows)} on {result.hardware.name}, {result.seconds:g} s together"
    lines = [look.bold(title)]
    for row in rows:
        first, *rest = (
            cell.ljust(width) if not n else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(["", first, *rest]).rstrip())
    total, peak, sustained = (
        rate / 1e9 for rate in (result.total_bytes_per_s, result.peak_bytes_per_s, result.sustained_bytes_per_s)
    )
    lines += [
        "",
        f"memory moves {total:.0f} GB/s for all of them, of {peak:.0f} at its peak, {sustained:.0f} in long reads",
    ]
    needed, capacity = result.needed_bytes / 1e9, result.capacity_bytes / 1e9
    verdict = "fit" if result.fits else "do not fit"
    lines.append(f"the models {verdict}: {needed:.1f} of {capacity:.1f} GB, what the system keeps included")
    if result.power_w:
        gpu, package, wall = (result.power_w[rail] for rail in ("gpu", "package", "wall"))
        lines.append(f"draws {gpu:.0f} W on the GPU's rail, {package:.0f} W of the package, {wall:.0f} W at the wall")
    return lines


def _cells(row: TenantRow) -> tuple[str, ...]:
    slower = f"x{row.slowdown:.2f}" if row.together.rate else "-"
    gpu = f"{row.together.gpu_share:.0%}" if row.kind == "model" else ""
    memory = f"{row.together.bytes_per_s / 1e9:.1f} GB/s"
    return row.name, _rate(row, row.alone.rate), _rate(row, row.together.rate), slower, memory, gpu


def _rate(row: TenantRow, rate: float) -> str:
    return f"{rate:.1f} tok/s" if row.kind == "model" else f"{rate / 1e9:.1f} GB/s"
