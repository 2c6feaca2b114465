"""Other values for numbers of a runtime's file, set in memory where they are written: all that inherits one follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.errors import InputError, Problem
from sim.workload.runtime_versions import RuntimeFile
from sim.yamlfile import closest

Numbers = Mapping[str, float]
"""Value by name, as `sparksim list calibrated` prints it: the file's name and the number's place in it."""


def with_numbers(file: RuntimeFile, name: str, numbers: Numbers) -> RuntimeFile:
    """`file`, whose name is `name`, with those of `numbers` that are its; the others belong to other files.

    Raises:
        InputError: every number that the file does not have in the long form (`{value: ..., kind: ..., source: ...}`).
    """
    data: dict[str, Any] = {"base": file.base, "versions": file.versions}
    problems = []
    is_changed = False
    for path, value in numbers.items():
        place = path.removeprefix(f"{name}.")
        if place == path:
            continue
        try:
            data = _set(data, place, value)
            is_changed = True
        except KeyError as error:
            message = f"{name} has no number {place!r}"
            problems.append(Problem(message, "unknown_number", path=path, hint=str(error.args[0])))
    if problems:
        raise InputError(problems)
    return file.model_copy(update=data) if is_changed else file


def _set(data: Any, place: str, value: float) -> Any:
    """A copy of `data` in which the long form at `place` (keys may hold dots) has this value."""
    if not place:
        if not isinstance(data, dict) or "value" not in data:
            raise KeyError("a number in the long form, with its kind and source, is meant")
        is_whole = isinstance(data["value"], int) and value == round(value)
        return {**data, "value": round(value) if is_whole else value}
    keys = range(len(data)) if isinstance(data, list) else data if isinstance(data, dict) else ()
    known = {str(key): key for key in keys}
    fitting = [key for key in known if place == key or place.startswith(f"{key}.")]
    if not fitting:
        guess = closest(place.partition(".")[0], list(known))
        raise KeyError(f"did you mean {guess!r}?" if guess else f"there are: {', '.join(known) or 'no parts'}")
    text = max(fitting, key=len)
    changed = data.copy()
    changed[known[text]] = _set(data[known[text]], place[len(text) + 1 :], value)
    return changed
