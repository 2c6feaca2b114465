"""One point of a study whose base is a server: its requests, served."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from sim.study.ask_study import Folders
from sim.system.arguments import split_overrides
from sim.system.serve import Tables, serve
from sim.system.serve_file import split_load
from sim.system.serve_prepare import open_serve

MOST_SERVERS = 4
_SERVERS: OrderedDict[str, Tables] = OrderedDict()
"""Step times of the last few servers of this process: points that differ in their traffic alone share them."""
NOT_TOLD = ("steps_simulated", "is_interrupted")
"""What hangs on which points this process was asked before."""


def ask_server(
    file: str, changes: Mapping[str, Any], seed: int | None, search_dirs: Folders, cache: Any
) -> tuple[dict[str, Any], bool]:
    """What a server says of its requests (`sparksim.serve/1`), and whether its model fits.

    Raises:
        InputError: something is wrong with the scenario or an override; every problem.
    """
    prepared = open_serve(file, changes, search_dirs, cache)
    _, others = split_load(split_overrides(changes).given)
    key = repr((file, sorted(others.items()), prepared.hardware.digest, prepared.runtime, cache))
    tables = None
    if prepared.memory()[0].fits:
        tables = _SERVERS.pop(key, None) or Tables(prepared)
        _SERVERS[key] = tables
        if len(_SERVERS) > MOST_SERVERS:
            _SERVERS.popitem(last=False)
    result = serve(prepared, None, None if seed is None else (seed,), tables)
    if result.is_interrupted:
        raise KeyboardInterrupt
    summary = {name: value for name, value in result.summary().items() if name not in NOT_TOLD}
    return summary, result.fits
