"""One point of a study, simulated: what a worker does. A point that cannot be answered says why; it stops no other."""

from __future__ import annotations

import json
import math
import signal
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import current_process
from pathlib import Path
from threading import Lock
from typing import Any

from sim.component import COMPONENTS
from sim.errors import InputError, SimError
from sim.study.ask_server import ask_server
from sim.study.points import Values
from sim.system.code_version import code_version
from sim.system.plugins import load_plugin
from sim.system.prepared import Prepared, prepare
from sim.system.profiles import flush_profiles
from sim.system.study import Study
from sim.system.study_axis import quantity

OK, DOES_NOT_FIT, REFUSED, FAILED = "ok", "does_not_fit", "refused", "failed"
_ALONE = Lock()
"""A cluster's process may have several threads; what it remembers is made for one."""
STATUSES = (OK, DOES_NOT_FIT, REFUSED, FAILED)
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asking:
    """What every worker is told: the study, and where its inputs are. `columns`: those wanted; None for all."""

    study: Study
    search_dirs: tuple[str | Path, ...]
    cache: str | Path | None
    columns: tuple[str, ...] | None = None
    plugins: tuple[str, ...] = ()
    components: Mapping[str, Any] = field(default_factory=dict)
    """Component classes that were registered in this process, by name."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows of a batch, each as JSON by the number of its point; kernels that were simulated for them; and by whom."""

    rows: dict[int, str]
    kernels_stepped: int
    time_s: float
    code: str


def answer_batch(asking: Asking, batch: Sequence[tuple[int, Values]]) -> Answers:
    """Simulate some points, one after the other."""
    if current_process().name.startswith("Loky"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells everybody; who asked stops us
    with _ALONE:
        begin = time.monotonic()
        for name, component in asking.components.items():
            COMPONENTS.setdefault(name, component)
        rows, stepped = {}, 0
        for number, values in batch:
            row, kernels = answer(asking, values)
            rows[number] = json.dumps(row, allow_nan=False)
            stepped += kernels
        flush_profiles()
        return Answers(rows, stepped, time.monotonic() - begin, code_version())


def answer(asking: Asking, values: Values) -> tuple[Row, int]:
    """The row of one point (axes, flattened result, status, error), and how many kernels were simulated for it."""
    study = asking.study
    axes = {axis.path: axis_value(value) for axis, value in zip(study.axes, values, strict=True)}
    found: Row = {}
    status, error, stepped = OK, None, 0
    try:
        for plugin in asking.plugins:
            load_plugin(plugin)
        summary, fits, stepped = _asked(asking, values, axes)
        found = flattened(summary)
        status = DOES_NOT_FIT if fits is False else OK
    except InputError as problem:
        status, error = REFUSED, str(problem)
    except SimError as problem:
        status, error = FAILED, str(problem)
    except Exception as problem:
        status, error = FAILED, _bug(problem)
    kept = {name: value for name, value in found.items() if name not in axes and is_wanted(name, asking.columns)}
    return {**axes, **kept, "status": status, "error": error}, stepped


def _asked(asking: Asking, values: Values, axes: Row) -> tuple[dict[str, Any], bool | None, int]:
    """What a result says, whether it fits, and how many kernels were simulated; factors among `axes` are worked out."""
    study = asking.study
    given, changes = study.point(values)
    if study.base.kind == "serve":
        return *ask_server(study.base.file or "", changes, given.get("seed"), asking.search_dirs, asking.cache), 0
    prepared = prepare(given, changes, study.base.file, asking.search_dirs, asking.cache)
    axes |= _in_si(study, values, prepared)
    result = prepared.run()
    return result.summary(), result.fits, result.trace.kernels_stepped if result.trace else 0


def lost_row(asking: Asking, values: Values, why: str) -> Row:
    """The row of a point whose process is gone."""
    axes = {axis.path: axis_value(value) for axis, value in zip(asking.study.axes, values, strict=True)}
    return {**axes, "status": FAILED, "error": why}


def axis_value(value: Any) -> Any:
    """A value of an axis as a column holds it: numbers in SI, names as they are, loaded objects by their name."""
    number, unit = quantity(value)
    if isinstance(value, str):
        return number if unit not in (None, "x") else value
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value) if isinstance(value, Path) else getattr(getattr(value, "spec", value), "name", str(value))


def _in_si(study: Study, values: Values, prepared: Prepared) -> Row:
    """What factors ("x2") of a machine's fields came to, in SI."""
    fields = [axis.path for axis, value in zip(study.axes, values, strict=True) if quantity(value)[1] == "x"]
    known = prepared.hardware.provenance if fields else {}
    return {path: known[path].value for path in fields if path in known}


def flattened(data: Mapping[str, Any], before: str = "") -> Row:
    """Nested data as one row, keys joined with dots; lists as text."""
    row: Row = {}
    for key, value in data.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            row |= flattened(value, f"{name}.")
        elif isinstance(value, list | tuple):
            row[name] = "; ".join(map(str, value))
        else:
            row[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return row


def is_wanted(name: str, columns: Iterable[str] | None) -> bool:
    """Whether a column is among those wanted, or in a group of them."""
    return columns is None or any(name == each or name.startswith(f"{each}.") for each in columns)


def _bug(problem: Exception) -> str:
    frame = traceback.extract_tb(problem.__traceback__)[-1]
    text = " ".join(str(problem).split())[:200]
    return f"a bug of sparksim: {type(problem).__name__}: {text} ({Path(frame.filename).name}:{frame.lineno})"
