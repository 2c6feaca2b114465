"""What can be drawn of a source: a result's JSON or its file, a table of points or its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.errors import InputError, MissingExtraError, Problem
from sim.plot.table import Table
from sim.yamlfile import load_file

SUMMARY = "summary.json"


def source_of(given: Any) -> Mapping[str, Any] | Table:
    """A path is read; a DataFrame is a table; an object with `to_dict` or `summary` says what it is.

    Raises:
        InputError: none of these, or the file is not there or no result.
    """
    if isinstance(given, str | Path):
        return read(Path(given))
    if isinstance(given, Table | Mapping):
        return given
    if hasattr(given, "columns") and hasattr(given, "attrs"):
        return Table.of_frame(given)
    for name in ("summary", "to_dict"):
        if callable(getattr(given, name, None)):
            found: Mapping[str, Any] = getattr(given, name)()
            return found
    message = f"{type(given).__name__} cannot be drawn"
    raise InputError(Problem(message, "usage", hint="give a path, a DataFrame of sim.sweep, or a result"))


def read(path: Path) -> dict[str, Any] | Table:
    """What a result says: the JSON of its schema, or a table of points.

    Raises:
        InputError: it is not there, or none of these.
    """
    file = path / SUMMARY if path.is_dir() else path
    if not file.is_file():
        hint = "a folder of --out has summary.json" if path.is_dir() else None
        raise InputError(Problem("no such file", "no_such_file", file=str(file), hint=hint))
    if file.suffix in (".csv", ".parquet"):
        return _table(file)
    data = load_file(file).data
    if not isinstance(data, dict) or "schema" not in data:
        hint = "a result of sparksim has one"
        raise InputError(Problem("does not say its schema", "unknown_schema", file=str(file), hint=hint))
    return data


def _table(file: Path) -> Table:
    import pandas as pd

    try:
        frame = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    except ImportError as error:
        hint = "pip install 'sparksim[parquet]'"
        raise MissingExtraError(
            Problem("reading Parquet needs pyarrow", "missing_extra", str(file), hint=hint)
        ) from error
    except (ValueError, OSError) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(Problem(f"is no table: {text}", "bad_input", file=str(file))) from error
    return Table.of_frame(frame)
