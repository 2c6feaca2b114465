"""How much load a server holds: the most users, or the highest rate, at which every limit is kept.

Bisection over the load; each load is served once for each seed. A limit is kept (yes) or broken (no) where that would
stay so if all times were off by the model's own error (`MODEL_ERROR`) or by what the seeds differ; else it is too close
to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import mean, stdev
from typing import Any

from sim.errors import InputError, Problem
from sim.units import parse_quantity

MODEL_ERROR = 0.15
"""How far times below the knee are off against 150 published runs (`sparksim validate serving`), in the mean: times per
token 10 to 12 %, times to first token 17 to 20 %, short rather than long."""
YES, NO, CLOSE = "yes", "no", "too close"
MOST_USERS = 4096
MOST_RATE = 1024.0
FINE = 0.03
"""Two rates as near to each other as this are one."""
_LIMIT = re.compile(r"\s*(ttft|tpot|itl|e2e)_(p50|p90|p95|p99|mean)\s*(?:<=|<)\s*(\S.*?)\s*")
Serve = Callable[[float], Sequence[Mapping[str, Any]]]
"""Load -> `sparksim.serve/1` of each seed."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A latency's percentile (or mean) and the most that it may be, seconds."""

    name: str
    most_s: float

    def of(self, summary: Mapping[str, Any]) -> float | None:
        """What a summary says of it, seconds; None where no request was completed."""
        what, _, which = self.name.partition("_")
        spread = summary.get(f"{what}_s")
        return spread[which] if isinstance(spread, Mapping) else None


@dataclass(frozen=True, slots=True)
class Point:
    """What a load gave. `values`: of each limit, seconds; `verdicts`: yes, no or too close."""

    load: float
    values: dict[str, float]
    verdicts: dict[str, str]
    output_tok_s: float
    wall_w: float | None = None
    """Mean power at the wall; None where the machine's rails are not described."""
    usd_per_million_output_tokens: float | None = None
    machine_usd: float | None = None

    @property
    def verdict(self) -> str:
        """Of all limits together: the worst of theirs."""
        found = set(self.verdicts.values())
        return NO if NO in found else CLOSE if CLOSE in found else YES


@dataclass(frozen=True, slots=True)
class Plan:
    """What a server holds. `most`: the largest load that is surely held; `least_broken`: the smallest surely broken.

    `limited_by`: the limit that breaks first; None where none did.
    """

    unit: str
    most: float | None
    least_broken: float | None
    limited_by: str | None
    points: tuple[Point, ...]
    asked: float | None = None

    @property
    def verdict(self) -> str:
        """Of what was asked; with no load asked for: whether there is any that is held."""
        if self.asked is not None:
            return next(point.verdict for point in self.points if point.load == self.asked)
        return YES if self.most is not None else NO

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.plan/1`."""
        points = [{**asdict(point), "verdict": point.verdict} for point in self.points]
        return {
            "schema": "sparksim.plan/1", "verdict": self.verdict, "unit": self.unit, "asked": self.asked,
            "most": self.most, "least_broken": self.least_broken, "limited_by": self.limited_by, "points": points,
            "model_error": MODEL_ERROR,
        }  # fmt: skip


def read_slo(text: str) -> tuple[Limit, ...]:
    """Limits from `ttft_p95<3s,tpot_p95<100ms`.

    Raises:
        InputError: none, or some that are not of this form; every problem.
    """
    limits: list[Limit] = []
    problems: list[Problem] = []
    for part in text.split(","):
        found = _LIMIT.fullmatch(part)
        if found is None:
            hint = "write e.g. ttft_p95<3s,tpot_p95<100ms; of ttft, tpot, itl, e2e and p50, p90, p95, p99, mean"
            problems.append(Problem(f"{part.strip()[:40]!r} is no limit", "bad_argument", path="slo", hint=hint))
            continue
        try:
            limits.append(Limit(f"{found[1]}_{found[2]}", parse_quantity(found[3], "s")))
        except InputError as error:
            problems += [Problem(each.message, "bad_argument", path="slo") for each in error.problems]
    if problems:
        raise InputError(problems)
    return tuple(limits)


def find_most(
    serve: Serve,
    limits: Sequence[Limit],
    *,
    is_users: bool,
    asked: float | None = None,
    ladder: Sequence[float] = (),
    progress: Callable[[str], None] | None = None,
) -> Plan:
    """The largest load that is held. `is_users`: users, else a rate.

    With `asked` only that load is looked at, with `ladder` only those, all of them.
    """
    points: dict[float, Point] = {}
    unit = "users" if is_users else "requests/s"

    def at(load: float) -> Point:
        if load not in points:
            if progress is not None:
                progress(f"serving {load:g} {unit}")
            points[load] = judge(load, serve(load), limits)
        return points[load]

    if asked is not None:
        at(asked)
    elif ladder:
        for load in ladder:
            at(load)
    else:
        _search(at, 1.0 if is_users else 0.05, MOST_USERS if is_users else MOST_RATE, is_users=is_users)
    tried = sorted(points.values(), key=lambda point: point.load)
    held = [point.load for point in tried if point.verdict == YES]
    broken = [point for point in tried if point.verdict == NO]
    first = min(broken, key=lambda point: point.load, default=None)
    most = max((load for load in held if first is None or load < first.load), default=None)
    limited = _worst(first, limits) if first is not None else None
    return Plan(unit, most, first.load if first else None, limited, tuple(tried), asked)


def judge(load: float, summaries: Sequence[Mapping[str, Any]], limits: Sequence[Limit]) -> Point:
    """What summaries of one load, one for each seed, say of the limits."""
    values: dict[str, float] = {}
    verdicts: dict[str, str] = {}
    for limit in limits:
        found = [value for summary in summaries if (value := limit.of(summary)) is not None]
        if len(found) < len(summaries) or not found:
            verdicts[limit.name] = NO
            continue
        value = mean(found)
        # Two standard errors of the mean over the seeds, beside the model's own error.
        spread = 2 * stdev(found) / sqrt(len(found)) / value if len(found) > 1 else 0.0
        slack = max(MODEL_ERROR, spread)
        values[limit.name] = value
        is_sure = YES if value * (1 + slack) <= limit.most_s else NO
        verdicts[limit.name] = is_sure if is_sure == YES or value * (1 - slack) > limit.most_s else CLOSE
    rates = [summary.get("output_tok_s") or 0.0 for summary in summaries]
    cost = [summary.get("cost") or {} for summary in summaries]
    return Point(
        load, values, verdicts, mean(rates) if rates else 0.0,
        _mean([((summary.get("energy") or {}).get("power_w") or {}).get("wall") for summary in summaries]),
        _mean([one.get("usd_per_million_output_tokens") for one in cost]),
        _mean([one.get("machine_usd") for one in cost]),
    )  # fmt: skip


def _mean(found: Sequence[float | None]) -> float | None:
    """Of the seeds; None where one does not say it."""
    said = [value for value in found if value is not None]
    return mean(said) if said and len(said) == len(found) else None


def _search(at: Callable[[float], Point], low: float, most: float, *, is_users: bool) -> None:
    """Double the load until it is not surely held, then halve the gap until nothing lies in it."""
    if at(low).verdict != YES:
        return
    high = low * 2
    while high <= most and at(high).verdict == YES:
        low, high = high, high * 2
    if high > most:
        return
    while (high - low > 1) if is_users else (high / low > 1 + FINE):
        middle = float((low + high) // 2) if is_users else round((low + high) / 2, 4)
        if at(middle).verdict == YES:
            low = middle
        else:
            high = middle
    while at(high).verdict == CLOSE and high < most:
        high = float(max(high + 1, high * 5 // 4)) if is_users else round(high * 1.1, 4)


def _worst(point: Point, limits: Sequence[Limit]) -> str:
    """The limit that a load breaks by the largest share."""
    most = {limit.name: limit.most_s for limit in limits}
    broken = [name for name, verdict in point.verdicts.items() if verdict == NO]
    return max(broken, key=lambda name: point.values.get(name, float("inf")) / most[name])
