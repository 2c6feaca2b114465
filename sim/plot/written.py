"""What can be drawn of a source: a result's JSON or its file, a table of points or its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sim.errors import InputError, MissingExtraError, Problem
from sim.hwspec import HardwareSpec
from sim.plot.table import Table
from sim.result.run_result import RunResult
from sim.result.trace_file import FILE
from sim.result.written_run import read_run
from sim.yamlfile import load_file

LoadMachine = Callable[[Path], HardwareSpec]
SUMMARY = "summary.json"


def source_of(given: Any, load_machine: LoadMachine) -> Mapping[str, Any] | Table | RunResult:
    """A path is read; a DataFrame is a table; an object with `to_dict` says what it is.

    `load_machine`: reads the machine of a run that was written whole.

    Raises:
        InputError: none of these, or the file is not there or no result.
    """
    if isinstance(given, str | Path):
        return read(Path(given), load_machine)
    if isinstance(given, Table | Mapping | RunResult):
        return given
    if hasattr(given, "columns") and hasattr(given, "attrs"):
        return Table.of_frame(given)
    for name in ("summary", "to_dict"):
        if callable(getattr(given, name, None)):
            found: Mapping[str, Any] = getattr(given, name)()
            return found
    message = f"{type(given).__name__} cannot be drawn"
    raise InputError(Problem(message, "usage", hint="give a path, a DataFrame of sim.sweep, or a result"))


def read(path: Path, load_machine: LoadMachine) -> dict[str, Any] | Table | RunResult:
    """What a result says: the JSON of its schema, or a table of points.

    Raises:
        InputError: it is not there, or none of these.
    """
    if (path / FILE).is_file():
        return read_run(path, load_machine)
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
