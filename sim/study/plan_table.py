"""Which of several candidates (models, formats, runtimes, machines) holds the most, and which is the cheapest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.errors import SimError
from sim.study.plan import NO, YES, Plan, Point


@dataclass(frozen=True, slots=True)
class Entry:
    """A candidate and its plan; `refused` says why there is none."""

    candidate: dict[str, str]
    plan: Plan | None
    refused: str | None = None

    @property
    def name(self) -> str:
        """What it is, in words."""
        return ", ".join(self.candidate.values()) or "as the scenario says"

    @property
    def point(self) -> Point | None:
        """What was served at the most that is held, or at what was asked."""
        if self.plan is None:
            return None
        load = self.plan.most if self.plan.asked is None else self.plan.asked
        return next((point for point in self.plan.points if point.load == load), None)

    @property
    def held(self) -> float | None:
        """The most that is surely held."""
        point = self.point
        return point.load if point is not None and point.verdict == YES else None

    def to_dict(self) -> dict[str, Any]:
        """One row."""
        point = self.point
        return {
            "candidate": self.candidate,
            "refused": self.refused,
            "verdict": NO if self.plan is None else self.plan.verdict,
            "most": self.held,
            "limited_by": None if self.plan is None else self.plan.limited_by,
            "output_tok_s": None if point is None else point.output_tok_s,
            "wall_w": None if point is None else point.wall_w,
            "usd_per_million_output_tokens": None if point is None else point.usd_per_million_output_tokens,
            "machine_usd": None if point is None else point.machine_usd,
            "plan": None if self.plan is None else self.plan.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class PlanTable:
    """Candidates in the order in which they were given."""

    unit: str
    entries: tuple[Entry, ...]

    @property
    def most(self) -> Entry | None:
        """The one that holds the most; of several, the cheapest per token."""
        held = [entry for entry in self.entries if entry.held is not None]
        return min(held, key=lambda entry: (-(entry.held or 0.0), _dear(entry)), default=None)

    @property
    def cheapest(self) -> Entry | None:
        """The one whose million tokens cost the least, of those that hold anything and whose price is known."""
        known = [entry for entry in self.entries if entry.held is not None and _dear(entry) < float("inf")]
        return min(known, key=_dear, default=None)

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.plan_table/1`."""
        most, cheapest = self.most, self.cheapest
        return {
            "schema": "sparksim.plan_table/1",
            "verdict": YES if most is not None else NO,
            "unit": self.unit,
            "candidates": [entry.to_dict() for entry in self.entries],
            "recommended": None if most is None else most.candidate,
            "cheapest": None if cheapest is None else cheapest.candidate,
        }


def plan_each(
    candidates: Sequence[Mapping[str, str]],
    plan: Callable[[Mapping[str, str]], Plan],
    unit: str,
    progress: Callable[[str], None] | None = None,
) -> PlanTable:
    """A plan for each candidate; one that cannot be served (no kernel, no such model) stands there with the reason."""
    entries = []
    for number, candidate in enumerate(candidates, 1):
        if progress is not None:
            progress(f"candidate {number} of {len(candidates)}: {', '.join(candidate.values())}")
        try:
            entries.append(Entry(dict(candidate), plan(candidate)))
        except SimError as error:
            entries.append(Entry(dict(candidate), None, "; ".join(str(each) for each in error.problems)))
    return PlanTable(unit, tuple(entries))


def _dear(entry: Entry) -> float:
    point = entry.point
    found = None if point is None else point.usd_per_million_output_tokens
    return float("inf") if found is None else found
