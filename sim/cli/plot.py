"""`sparksim plot`: a picture of a result that was written down."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sim.cli.parser import plot_target

HELP = "draw a result that was written down: a sweep's points, a run, explain, compare, validate"
EXAMPLE = """RESULT is a folder of --out, a JSON file (what --json printed), or a table of points (points.csv, Parquet).
Pictures of points: lines (y over x, a line for each other axis), heat (y over x and --by), pareto (y against x).

examples:
  sparksim sweep --model gpt-oss-20b --runtime llama.cpp --vary batch=1,4,16 --vary depth=0,8192,32768 --out points
  sparksim plot points --y decode_tok_s -o rates
  sparksim plot points --kind heat --y ttft_s -o first-token
  sparksim plot points --kind pareto --x tpot_s --y decode_tok_s -o front
  sparksim explain --model gpt-oss-20b --runtime llama.cpp --json > why.json; sparksim plot why.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("result", metavar="RESULT", help="folder, JSON, CSV or Parquet file")
    parser.add_argument("--kind", metavar="PICTURE", help="which picture (default: the first that the result has)")
    parser.add_argument("--x", metavar="COLUMN", help="of a table: along the x axis")
    parser.add_argument("--y", action="append", default=[], metavar="A,B", help="of a table: what to draw (repeatable)")
    parser.add_argument("--by", metavar="COLUMN", help="of a table: y axis of a heat map, colour of a Pareto chart")
    parser.add_argument("-o", "--output", metavar="FILE", help="SVG and PNG of that name (default: beside RESULT)")
    parser.add_argument("--force", action="store_true", help="replace the files if they exist")
    parser.add_argument("--quiet", action="store_true", help="no notes")


def execute(arguments: argparse.Namespace) -> int:
    """Draw; 0."""
    target = plot_target(arguments.output or _beside(arguments), force=arguments.force, flag="output")
    from sim import questions  # noqa: PLC0415 - matplotlib is slow to load

    y = [part.strip() for text in arguments.y for part in text.split(",") if part.strip()]
    written = questions.draw(arguments.result, target, kind=arguments.kind, x=arguments.x, y=y, by=arguments.by)
    if not arguments.quiet:
        print(f"wrote {', '.join(map(str, written))}", file=sys.stderr)
    return 0


def _beside(arguments: argparse.Namespace) -> str:
    """Where the picture goes if nothing is said: into the folder, or beside the file."""
    path, kind = Path(arguments.result), arguments.kind or "plot"
    return str(path / kind if path.is_dir() else path.with_name(f"{path.stem}-{kind}"))
