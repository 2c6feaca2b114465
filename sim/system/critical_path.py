"""Which op the end of a step really waited for: elapsed time by cause, where components overlap.

Walking back from the op that ended last, each op on the path was made ready by the one before it: its predecessor on
the same component, or an op that it reads from. Their own times, end to end, are the elapsed time; what ran beside them
did not lengthen it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """How an op went: `causes` tile [ready_ps, end_ps]; `freed_by`: the op whose end made it ready, None: the start."""

    ready_ps: int
    end_ps: int
    causes: dict[str, int]
    freed_by: int | None


def critical_path(turns: Mapping[int, Turn]) -> list[int]:
    """The ops (by position) whose own times, end to end, fill the time from the start to the last end; first one first.

    >>> gpu = Turn(0, 5, {"dram": 5}, None)
    >>> npu = Turn(5, 9, {"tensor": 4}, 0)  # reads what the GPU wrote
    >>> beside = Turn(5, 7, {"cuda": 2}, 0)
    >>> critical_path({0: gpu, 1: npu, 2: beside})
    [0, 1]
    """
    path: list[int] = []
    at = max(turns, key=lambda position: turns[position].end_ps, default=None)
    while at is not None:
        path.append(at)
        at = turns[at].freed_by
    return path[::-1]
