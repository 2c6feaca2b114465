"""Rows of a study as a table: derived columns, constraints, what is kept; and as a DataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sim.study.answer import FAILED, REFUSED, Row, is_wanted
from sim.system.study import Study
from sim.system.study_axis import quantity
from sim.system.study_file import ConstraintPart

if TYPE_CHECKING:
    import pandas as pd

LAST = ("status", "error")


def columns_asked(study: Study) -> tuple[str, ...] | None:
    """Columns of the result that a worker has to give: those kept, and what constraints and derived ones need."""
    if not study.keep:
        return None
    derived = {each.name for each in study.derive}
    more = [name for each in study.derive for name in each.ratio if name not in derived]
    more += [each.column for each in study.constraints if each.column not in derived]
    return tuple(dict.fromkeys([*study.keep, *more]))


def finished(study: Study, row: Row) -> Row | None:
    """A row with derived columns and without those not kept; None where it breaks a constraint.

    A point that was refused or failed has no columns to judge: it is never left out.
    """
    whole = dict(row)
    last = {name: whole.pop(name, None) for name in LAST}
    for each in study.derive:
        whole[each.name] = _ratio(*(whole.get(name) for name in each.ratio))
    is_answered = last["status"] not in (REFUSED, FAILED)
    if is_answered and not all(holds(each, {**whole, **last}) for each in study.constraints):
        return None
    axes = {axis.path for axis in study.axes}
    names = {each.name for each in study.derive} | axes
    kept = {name: value for name, value in whole.items() if name in names or is_wanted(name, study.keep or None)}
    return kept | last


def _ratio(a: Any, b: Any) -> float | None:
    numbers = [value for value in (a, b) if isinstance(value, int | float) and not isinstance(value, bool)]
    return numbers[0] / numbers[1] if len(numbers) == 2 and numbers[1] else None


def holds(constraint: ConstraintPart, row: Mapping[str, Any]) -> bool:
    """Whether a row holds a constraint; a number that is not known is neither more nor less than any."""
    value = row.get(constraint.column)
    if "is_" in constraint.model_fields_set and value != constraint.is_:
        return False
    for bound, sign in ((constraint.min, 1), (constraint.max, -1)):
        if bound is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        if sign * (value - _si(bound)) < 0:
            return False
    return True


def _si(bound: Any) -> float:
    """A bound in SI."""
    return quantity(bound)[0]


def breaks_before(study: Study, axes: Mapping[str, Any]) -> bool:
    """Whether a point breaks a constraint on its axes: it need not be simulated. What a factor comes to shows later."""
    known = {path for path, value in axes.items() if quantity(value)[1] != "x"}
    return any(each.column in known and not holds(each, axes) for each in study.constraints)


def columns_of(rows: Iterable[Mapping[str, Any]], study: Study) -> list[str]:
    """All columns: axes, results, derived ones, status and error."""
    names: dict[str, None] = dict.fromkeys(axis.path for axis in study.axes)
    for row in rows:
        if row.keys() - names.keys():
            names |= dict.fromkeys(row)
    derived = [each.name for each in study.derive]
    return [name for name in names if name not in (*LAST, *derived)] + derived + list(LAST)


def to_frame(rows: Mapping[int, Row], study: Study, attributes: Mapping[str, Any]) -> pd.DataFrame:
    """A row per point, its number as the index; `attrs` say which study."""
    import pandas as pd

    names = columns_of(rows.values(), study)
    # Text keeps its None: a column of objects. Numbers that are not known are NaN.
    columns = {name: [row.get(name) for row in rows.values()] for name in names}
    data = {name: pd.Series(values, dtype=_dtype(values)) for name, values in columns.items()}
    frame = pd.DataFrame(data, columns=names)
    frame.index = pd.Index(list(rows), name="point", dtype="int64")
    frame.attrs = dict(attributes)
    return frame


def _dtype(values: Sequence[Any]) -> str | None:
    """Objects for text, for flags that are not known everywhere, and where nothing is known."""
    is_text = any(not isinstance(value, int | float | None) for value in values)
    flags = sum(isinstance(value, bool) for value in values)
    return "object" if is_text or 0 < flags < len(values) or all(value is None for value in values) else None
