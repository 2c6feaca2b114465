"""A scenario of kind serve: a model on a runtime, and the requests that come to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sim.serving.scenario import ServePart
from sim.system.scenario import OnARuntime, check_names, placed
from sim.yamlfile import load_file, resolve_scalar, validate_model


class ServeFile(OnARuntime, ServePart):
    """A scenario of kind serve: requests come to a server."""

    kind: Literal["serve"] = Field(description="what is simulated: serve")


OF_THE_LOAD = ("traffic", "until", "slo", "prices")
"""Parts of the scenario that overrides may change; all others are of the machine, the model or the server."""


def read_serve(
    path: Path, search_dirs: Sequence[str | Path] = (), changes: Mapping[str, str] | None = None
) -> ServeFile:
    """The scenario in `path`; names that begin with ./ are made relative to it.

    `changes`: fields of `OF_THE_LOAD` that are other than in the file (`traffic.arrivals.users`: "50").

    Raises:
        SpecError: the file is wrong, or names what is not there; every problem with its line.
    """
    document = load_file(path)
    data = _changed(document.data, changes) if changes else None
    file = placed(validate_model(ServeFile, document, data=data), path)
    check_names(file, document, search_dirs, ())
    return file


def split_load(overrides: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Overrides of the load, and all others."""
    of_load = {path: value for path, value in overrides.items() if path.partition(".")[0] in OF_THE_LOAD}
    return of_load, {path: value for path, value in overrides.items() if path not in of_load}


def _changed(data: Any, changes: Mapping[str, str]) -> Any:
    """The file's data with fields set; mappings on the way are made where there are none."""
    made = deepcopy(data)
    for path, text in changes.items():
        *way, last = path.split(".")
        place = made
        for step in way:
            inner = place.get(step) if isinstance(place, dict) else None
            if not isinstance(inner, dict):
                inner = {}
                if isinstance(place, dict):
                    place[step] = inner
            place = inner
        place[last] = resolve_scalar(text)
    return made
