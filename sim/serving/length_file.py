"""Reads a file of lengths: one whole number a line, or a column of a CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from sim.errors import InputError, Problem, WorkloadError

MOST_SHOWN = 20


def read_lengths(path: Path, column: str | None) -> list[int]:
    """Every length in the file.

    Raises:
        WorkloadError: unreadable, no such column, no length at all, or lines that are none; each with its line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return _lengths(path, csv.reader(lines), column)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(Problem(f"cannot be read: {reason}", "unreadable", str(path))) from None


def _lengths(path: Path, rows: Iterator[list[str]], column: str | None) -> list[int]:
    place = 0
    if column is not None:
        header = [name.strip() for name in next(rows, [])]
        if column not in header:
            hint = f"it has {', '.join(header[:MOST_SHOWN])}" if header else None
            raise WorkloadError(Problem(f"has no column {column!r}", "no_column", str(path), 1, hint=hint))
        place = header.index(column)
    found: list[int] = []
    problems: list[Problem] = []
    for number, row in enumerate(rows, 2 if column is not None else 1):
        text = row[place].strip() if place < len(row) else ""
        if not row:
            continue
        if text.isdecimal() and 0 < int(text) < 2**27:
            found.append(int(text))
        else:
            message = f"{text[:40]!r} is no number of tokens from 1 up"
            problems.append(Problem(message, "bad_length", str(path), number))
    if problems:
        raise WorkloadError(problems[:MOST_SHOWN])
    if not found:
        raise WorkloadError(Problem("has no lengths", "empty", str(path)))
    return found
