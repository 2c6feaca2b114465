"""`sparksim sweep`: ask many runs at once, a table or a picture of what comes out."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.parser import add_plot, count, plot_target
from sim.cli.progress import ProgressLine
from sim.cli.run import ARGUMENTS, add_run
from sim.errors import InputError, Problem

if TYPE_CHECKING:
    from sim.study.ask_study import Wanted
    from sim.study.sweep import Sweep

HELP = "ask many runs at once: any field of machine, model, runtime or workload as an axis"
EXAMPLE = """examples:
  sparksim sweep --model gpt-oss-120b --runtime llama.cpp --prompt 0 --vary memory.bandwidth=200..600:25GB/s --plot bw
  sparksim sweep --model qwen3-32b --runtime vllm --vary batch=1,2,4,8 --vary quant=fp8,nvfp4 --store points.sqlite
  sparksim sweep my-study.yaml --workers 8 --out results
  sparksim sweep my-study.yaml --backend dask:tcp://10.0.0.1:8786 --store points.sqlite"""
DEFAULT_Y = ("ttft_s", "prefill_tok_s", "decode_tok_s", "bound")
MOST_ROWS = 200
_CONSTRAINT = re.compile(r"\s*([^<>=]+?)\s*(<=|>=|=)\s*(.+?)\s*")
_RATIO = re.compile(r"\s*([^=/]+?)\s*=\s*([^=/]+?)\s*/\s*([^=/]+?)\s*")
_WORDS = {"true": True, "false": False, "null": None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("file", nargs="?", help="a study, or a scenario of kind run or serve: path or name")
    add_run(parser)
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="PATH=VALUES",
        help="an axis: 200..600:25GB/s, or 1,2,4 (repeatable)",
    )
    parser.add_argument(
        "--zip", action="append", default=[], metavar="A,B", help="axes that move together (repeatable)"
    )
    parser.add_argument("--sample", metavar="HOW", help="grid (default), zip, 'random 100' or 'sobol 64'")
    parser.add_argument("--keep", metavar="A,B", help="columns that are kept, or groups of them (memory); default all")
    parser.add_argument(
        "--constraint",
        action="append",
        default=[],
        metavar="COLUMN<=VALUE",
        help="rows that are kept; also >=, = (repeatable)",
    )
    parser.add_argument(
        "--derive", action="append", default=[], metavar="NAME=A/B", help="a column of our own (repeatable)"
    )
    parser.add_argument("--y", action="append", default=[], metavar="A,B", help="columns to show and draw (repeatable)")
    parser.add_argument("--store", metavar="FILE", help="keep each point as soon as it is there; started again, go on")
    parser.add_argument("--workers", type=count, metavar="N", help="processes (default: as many as cores, if worth it)")
    parser.add_argument("--backend", metavar="B", help="loky (default), dask, ray; dask:tcp://HOST:PORT, ray:HOST:PORT")
    parser.add_argument("--out", metavar="DIR", help="write points.csv, summary.json and plots into DIR")
    add_plot(parser, "the first of --y against the first axis")


def execute(arguments: argparse.Namespace) -> int:
    """Sweep; 0 done, 3 nothing fits, 5 some points were refused or failed, 130 interrupted (what was done is told)."""
    # `sparksim --help` need not load the simulator
    from sim.result.export import check_target  # noqa: PLC0415
    from sim.study.sweep import sweep  # noqa: PLC0415
    from sim.system.prepared import Asked  # noqa: PLC0415

    target = plot_target(arguments.plot, force=arguments.force) if arguments.plot else None
    if arguments.out:
        check_target(Path(arguments.out), force=arguments.force)
    y = split(arguments.y)
    with ProgressLine(sys.stderr, is_wanted=not arguments.quiet) as progress:
        done = sweep(
            arguments.file,
            _wanted(arguments, y),
            Asked(_arguments(arguments), arguments.set, None, tuple(arguments.spec_dir), arguments.cache),
            store=arguments.store,
            workers=arguments.workers,
            backend=arguments.backend,
            progress=progress,
        )
        y = y or _usual(done)
        written = _write(done, arguments, y, target)
    print(json.dumps(done.to_dict(), indent=2, allow_nan=False) if arguments.json else "\n".join(_lines(done, y)))
    if not arguments.quiet:
        for note in _notes(done):
            print(f"note: {note}", file=sys.stderr)
        if written:
            print(f"wrote {', '.join(map(str, written))}", file=sys.stderr)
    return exit_code(done)


def exit_code(done: Sweep) -> int:
    """130 interrupted, 5 some points have no answer, 3 none fits, else 0."""
    if done.is_interrupted:
        return 130
    if done.counts["refused"] or done.counts["failed"]:
        return 5
    return 3 if done.counts["does_not_fit"] and not done.counts["ok"] else 0


def split(given: Sequence[str]) -> list[str]:
    """The names of a repeatable flag whose value may hold several: "A,B"."""
    return [part.strip() for text in given for part in text.split(",") if part.strip()]


def _arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """What all points share, under the keywords of `sim.run`; the seed only where one is given."""
    said = {name: getattr(arguments, name) for name in ARGUMENTS if name not in ("file", "seed")}
    return {**said, "seed": arguments.seed or None, "is_full": arguments.full or None}


def _wanted(arguments: argparse.Namespace, y: Sequence[str]) -> Wanted:
    """What the flags say, under the keywords of `sim.sweep`.

    Raises:
        InputError: a constraint or a ratio that is none; every one.
    """
    problems: list[Problem] = []
    constraints = [_constraint(text, problems) for text in arguments.constraint]
    derive = []
    for text in arguments.derive:
        found = _RATIO.fullmatch(text)
        if found is None:
            problems.append(Problem(f"{text[:60]!r} is not NAME=A/B", "bad_argument", path="derive"))
        else:
            derive.append({"name": found[1], "ratio": [found[2], found[3]]})
    if problems:
        raise InputError(problems)
    from sim.study.ask_study import Wanted  # noqa: PLC0415 - as above

    keep = split([arguments.keep]) if arguments.keep else ()
    zips = [split([text]) for text in arguments.zip]
    return Wanted(arguments.vary, zips, arguments.sample, keep, constraints, derive, y)


def _constraint(text: str, problems: list[Problem]) -> dict[str, Any]:
    found = _CONSTRAINT.fullmatch(text)
    if found is None:
        hint = "e.g. 'ttft_s<=2 s', 'decode_tok_s>=20' or 'memory.fits=true'"
        problems.append(Problem(f"{text[:60]!r} is no constraint", "bad_argument", path="constraint", hint=hint))
        return {}
    value: Any = found[3]
    if found[2] != "=":
        return {"column": found[1], {"<=": "max", ">=": "min"}[found[2]]: value}
    with suppress(ValueError):  # a word
        value = _WORDS[value] if value in _WORDS else json.loads(value)
    return {"column": found[1], "is": value}


def _usual(done: Sweep) -> list[str]:
    """What is shown if nothing is asked for: the usual columns that some point has."""
    return [name for name in DEFAULT_Y if any(row.get(name) is not None for row in done.rows.values())]


def _write(done: Sweep, arguments: argparse.Namespace, y: Sequence[str], target: Path | None) -> list[Path]:
    from sim.result.export import write_aside, write_json, write_manifest  # noqa: PLC0415 - only where asked for

    written: list[Path] = []
    data = done.to_dict() if target or arguments.out else {}
    drawn = [name for name in y if any(isinstance(row.get(name), int | float) for row in done.rows.values())]

    def fill(folder: Path) -> None:
        write_json(folder / "summary.json", data)
        done.frame.to_csv(folder / "points.csv")
        told = {"simulated": done.simulated, "kernels_stepped": done.kernels_stepped, "time_s": done.time_s}
        write_manifest(folder, {"study": done.digest}, **told)
        (folder / "plots").mkdir()
        if drawn:
            _draw(data, drawn, folder / "plots" / "sweep")

    if arguments.out:
        written += write_aside(Path(arguments.out), fill, force=arguments.force)
    if target is not None:
        written += _draw(data, drawn[:1] if not arguments.y else drawn, target)
    return written


def _draw(data: Mapping[str, Any], y: Sequence[str], target: Path) -> list[Path]:
    from sim.plot import draw_sweep  # noqa: PLC0415 - matplotlib is slow to load

    return draw_sweep(data, y, target)


def _lines(done: Sweep, y: Sequence[str]) -> list[str]:
    """A row per point: axes, what is asked for, and what went wrong."""
    study = done.study
    names = list(dict.fromkeys([*(axis.path for axis in study.axes), *y, *(each.name for each in study.derive)]))
    has_status = done.counts["ok"] < len(done.rows)
    units = {axis.path: axis.unit for axis in study.axes}
    shown = list(done.rows.values())[:MOST_ROWS]
    table = [[*names, *(["status"] if has_status else [])]]
    table += [
        [*(_cell(name, row.get(name), units) for name in names), *([row["status"]] if has_status else [])]
        for row in shown
    ]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in table]
    more = len(done.rows) - len(shown)
    return [*lines, *([f"... and {more:,} more; --out DIR or --json gives all"] if more else [])]


def _cell(name: str, value: Any, units: Mapping[str, str | None]) -> str:
    from sim.result.keys import RESULT_KEYS  # noqa: PLC0415 - loaded only for text
    from sim.units import EXAMPLES, format_quantity  # noqa: PLC0415

    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) and not units.get(name):
        return str(value)
    unit = units.get(name) or RESULT_KEYS.get(name, ("", ""))[0]
    return format_quantity(value, unit) if unit in EXAMPLES and unit != "%" else f"{value:.5g}"


def _notes(done: Sweep) -> list[str]:
    """What a reader must know: how many, what failed, what was left out, and how it was come by."""
    rate = f", {done.simulated / done.time_s:.3g} a second" if done.simulated and done.time_s else ""
    found = [f"{done.simulated:,} points simulated{rate}; {done.kernels_stepped:,} kernels simulated for them"]
    kept = len(done.rows) + done.left_out - done.simulated
    if done.store is not None and kept > 0 and not done.is_interrupted:
        found.append(f"{kept:,} points were in {done.store} already")
    if done.left_out:
        found.append(f"{done.left_out:,} of {done.n_points:,} points break a constraint and are left out")
    errors: dict[str, int] = {}
    for row in done.rows.values():
        if row["error"]:
            errors[row["error"]] = errors.get(row["error"], 0) + 1
    found += [f"{n:,} points: {text}" for text, n in list(errors.items())[:5]]
    if len(errors) > 5:
        found.append(f"and {len(errors) - 5:,} other errors; the column error has all")
    if done.is_interrupted:
        where = f"they are in {done.store}: start again to go on" if done.store else "--store FILE would keep them"
        found.append(f"interrupted: {len(done.rows):,} of {done.n_points:,} points are done; {where}")
    return found
