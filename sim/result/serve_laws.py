"""The laws of serving (L11, L12 of `LAWS`), checked after every run of a server."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sim.errors import LawError, Problem
from sim.result.laws import LAWS


def check_serving(requests: Mapping[str, npt.NDArray[np.int64]], counts: Mapping[str, int]) -> None:
    """Raise when a law of serving is broken, after everything that came was answered.

    `requests`: columns of the counted and completed ones (ServedRun); `counts`: of all.

    Raises:
        LawError: every broken law.
    """
    problems = []
    if counts["arrived"] != counts["completed"] + counts["failed"]:
        text = f"{counts['arrived']} came, {counts['completed']} were served, {counts['failed']} refused"
        problems.append(Problem(f"L11 broken: {LAWS['L11']}; {text}", code="law"))
    numbers, arrival, first, end = (requests[name] for name in ("number", "arrival_ps", "first_ps", "end_ps"))
    if len(np.unique(numbers)) != len(numbers):
        problems.append(Problem(f"L11 broken: {LAWS['L11']}; a request was served twice", code="law"))
    early = np.flatnonzero((first <= arrival) | (end < first))
    if len(early):
        text = f"request {numbers[early[0]]} came at {arrival[early[0]]} ps, first token at {first[early[0]]} ps"
        problems.append(Problem(f"L11 broken: {LAWS['L11']}; {text}", code="law"))
    if counts["in_system_ps"] != counts["sojourn_ps"]:
        text = f"{counts['in_system_ps']} and {counts['sojourn_ps']} request-picoseconds"
        problems.append(Problem(f"L12 broken: {LAWS['L12']}; {text}", code="law"))
    if problems:
        raise LawError(problems)
