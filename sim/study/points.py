"""The points of a study, in its order: every combination, paired values, or drawn ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from sim.errors import InputError, MissingExtraError, Problem
from sim.system.study import Study, problem_of
from sim.system.study_axis import Axis
from sim.system.study_file import MOST_POINTS

Values = tuple[Any, ...]
SWITCHES = ("model", "runtime", "quant", "kv_dtype")
CHEAP = ("memory.capacity", "os.visible_memory", "os.reserve", "os.others", "os.freeze_above")
"""Fields that only the memory account reads: points that differ by nothing else share what was simulated."""


def points_of(study: Study) -> list[Values]:
    """The values of the axes at each point; the last axis changes fastest.

    Raises:
        InputError: more than a million points.
        MissingExtraError: Sobol points without scipy.
    """
    groups = _groups(study)
    paths = [axis.path for group in groups for axis in group]
    order = [paths.index(axis.path) for axis in study.axes]
    if study.sample.kind in ("random", "sobol"):
        rows: Iterable[list[Values]] = (
            [tuple(axis.pick(share) for axis in group) for group, share in zip(groups, shares, strict=True)]
            for shares in _drawn(study, len(groups))
        )
    else:
        lengths = [max(len(axis.values) for axis in group) for group in groups]
        if prod(lengths) > MOST_POINTS:
            message = f"has {prod(lengths):,} points, more than {MOST_POINTS:,}"
            hint = "draw some of them, e.g. sample: random 10000"
            raise InputError(replace(problem_of(study, "sample", message), hint=hint))
        combined = product(*(list(zip(*(axis.values for axis in group), strict=True)) for group in groups))
        rows = map(list, combined)
    flat = ([value for part in row for value in part] for row in rows)
    return [tuple(values[i] for i in order) for values in flat]


def _groups(study: Study) -> list[list[Axis]]:
    """Axes that move together, in the order of their first."""
    if study.sample.kind == "zip":
        return [list(study.axes)]
    found: list[list[Axis]] = []
    for axis in study.axes:
        paths = next((group for group in study.groups if axis.path in group), (axis.path,))
        if axis.path == next(each.path for each in study.axes if each.path in paths):
            found.append([each for each in study.axes if each.path in paths])
    return found


def _drawn(study: Study, n_groups: int) -> list[list[float]]:
    """Shares from 0 up to 1 for each point and group."""
    n = study.sample.n or 0
    if study.sample.kind == "random":
        rows: list[list[float]] = np.random.default_rng(study.seed).random((n, n_groups)).tolist()
        return rows
    return sobol(n, n_groups, study.seed)


def sobol(n: int, dimensions: int, seed: int) -> list[list[float]]:
    """Scrambled Sobol points in the unit cube; `n` a power of two.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy.stats import qmc
    except ImportError:
        raise missing_extra("scipy", "sensitivity") from None
    rows: list[list[float]] = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed)).random(n).tolist()
    return rows


def missing_extra(package: str, extra: str) -> MissingExtraError:
    """The error that says how to get a package."""
    return MissingExtraError(
        Problem(f"{package} is not installed", code="missing_extra", hint=f"pip install 'sparksim[{extra}]'")
    )


def asking_order(study: Study, points: Sequence[Values]) -> list[int]:
    """Numbers of the points in the order in which they are best asked: neighbours share what was simulated.

    Machines change slowest, then what runs on them, then its sizes; what only the memory account reads fastest.
    """
    seen: list[dict[Any, int]] = [{} for _ in study.axes]
    for values in points:
        for known, value in zip(seen, values, strict=True):
            known.setdefault(_key(value), len(known))
    ranked = sorted(range(len(study.axes)), key=lambda i: _rank(study.axes[i]))
    keys = [tuple(seen[i][_key(values[i])] for i in ranked) for values in points]
    return sorted(range(len(points)), key=lambda number: (keys[number], number))


def _key(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else id(value)


def _rank(axis: Axis) -> int:
    head = axis.path.partition(".")[0]
    if axis.path in CHEAP:
        return 4
    if axis.path == "hardware" or (not axis.is_argument and head not in ("runtime", "model", "workload")):
        return 0
    if axis.path in SWITCHES or head == "model":
        return 1
    return 2 if head in ("runtime", "workload") else 3
