"""A scenario of kind serve: a model on a runtime, and the requests that come to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from sim.serving.scenario import ServePart
from sim.system.scenario import OnARuntime, check_names, placed
from sim.yamlfile import load_file, validate_model


class ServeFile(OnARuntime, ServePart):
    """A scenario of kind serve: requests come to a server."""

    kind: Literal["serve"] = Field(description="what is simulated: serve")


def read_serve(path: Path, search_dirs: Sequence[str | Path] = ()) -> ServeFile:
    """The scenario in `path`; names that begin with ./ are made relative to it.

    Raises:
        SpecError: the file is wrong, or names what is not there; every problem with its line.
    """
    document = load_file(path)
    file = placed(validate_model(ServeFile, document), path)
    check_names(file, document, search_dirs, ())
    return file
