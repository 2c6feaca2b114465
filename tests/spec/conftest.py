"""Mutations of valid files: what an editor, a script or a broken disk makes of them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

HOSTILE: tuple[Any, ...] = (
    True, False, None, -1, 0, 1, 3, 7, 10**6, 10**9, 10**18, 2**63 - 1, 1.5, 1e300, -0.5, "", "abc", "1", "x2", "1 GB",
    "5 ns", [], {}, [1], {"value": 1}, "gemm", "fp8", "nvfp4", "q4_k", [None], ["full_attention"],
)  # fmt: skip


def _paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from _paths(part, (*path, key))


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


@pytest.fixture(scope="session")
def mutate() -> Callable[[Any, random.Random], Any]:
    """(data, random) -> a copy with one to three parts replaced, removed, renamed or swapped in from elsewhere."""

    def mutated(data: Any, rng: random.Random) -> Any:
        data = copy.deepcopy(data)
        for _ in range(rng.choice((1, 1, 2, 3))):
            paths = list(_paths(data))
            if not paths:
                return data
            path = rng.choice(paths)
            around, key, kind = _at(data, path[:-1]), path[-1], rng.random()
            if kind < 0.1:
                del around[key]
            elif kind < 0.2 and isinstance(around, dict):
                around[f"{key}x"] = around.pop(key)
            elif kind < 0.3:
                around[key] = copy.deepcopy(_at(data, rng.choice(paths)))
            else:
                around[key] = copy.deepcopy(rng.choice(HOSTILE))
        return data

    return mutated
