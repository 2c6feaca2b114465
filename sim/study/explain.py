"""Why a run takes as long as it does: time by op and cause, what limits it, and the numbers that it hangs on most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from sim.errors import InputError, LawError
from sim.result.breakdown import by_place
from sim.result.run_result import RunResult
from sim.result.trace import CAUSES
from sim.result.words import WORDS, limits, words_of
from sim.system.prepared import Prepared
from sim.system.spec_fields import SpecField, changed_value, fields_read
from sim.units import format_quantity

SCHEMA = "sparksim.explain/1"
MOST_NAMED = 3
KINK = 0.25
MOST_PLACES = 10
SMALLEST = 0.01
"""An elasticity below this is not worth naming: folding and cohorts alone move a time by more."""
Progress = Callable[[str], None]
Times = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What a field does to the speed, by phase: d ln(rate) / d ln(field).

    `up`, `down`: over a change to more and to less of it; None where that was not asked.
    """

    field: SpecField
    up: Times | None
    down: Times | None = None

    @property
    def elasticity(self) -> Times:
        """The mean of both sides, or the one that there is."""
        sides = [side for side in (self.up, self.down) if side is not None]
        return {phase: sum(side[phase] for side in sides) / len(sides) for phase in (sides[0] if sides else ())}

    def has_kink(self, phase: str) -> bool:
        """Whether both sides differ by more than a quarter: the answer is at an edge here."""
        return self.up is not None and self.down is not None and abs(self.up[phase] - self.down[phase]) > KINK

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        field = self.field
        return {
            "path": field.path,
            "value": field.value,
            "unit": field.unit,
            "elasticity": self.elasticity,
            "up": self.up,
            "down": self.down,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """A run and why it takes so long. `sensitivities`: every field that was asked, as the machine lists them."""

    result: RunResult
    sensitivities: tuple[Sensitivity, ...] = ()
    skipped: tuple[str, ...] = ()
    """Fields that could not be changed by so much, and why."""

    @property
    def phases(self) -> list[str]:
        """The phases that were simulated."""
        return self.result.trace.phases() if self.result.trace else []

    def most_sensitive(self, phase: str, most: int = MOST_NAMED) -> list[Sensitivity]:
        """The fields that the speed of a phase hangs on most, the strongest first."""
        named = [each for each in self.sensitivities if abs(each.elasticity[phase]) >= SMALLEST]
        return sorted(named, key=lambda each: (-abs(each.elasticity[phase]), each.field.path))[:most]

    def sentence(self, phase: str) -> str:
        """What limits a phase."""
        me = self.result.identity
        found = limits(self.result.phases[phase], me.sustained_bytes_per_s, words_of(self.result.hardware))
        return f"{phase} {', '.join(found)}"

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.explain/1`: SI units, finite numbers, None where nothing applies."""
        summary = self.result.summary()
        phases = {name: self._phase(name, summary["phases"][name]) for name in self.phases}
        return {
            "schema": SCHEMA,
            "result": {key: value for key, value in summary.items() if key != "phases"},
            "phases": phases,
            "sensitivities": [each.to_dict() for each in self.sensitivities],
            "skipped": list(self.skipped),
        }

    def _phase(self, name: str, phase: dict[str, Any]) -> dict[str, Any]:
        assert self.result.trace is not None
        places = by_place(self.result.trace.of(name))
        return {
            **phase,
            "limited_by": self.sentence(name),
            "places": {
                place: {cause: ps / 1e12 for cause, ps in sorted(parts.items())} for place, parts in _longest(places)
            },
            "most_sensitive": [each.field.path for each in self.most_sensitive(name)],
        }

    def to_text(self) -> str:
        """What a person reads: a table per phase, then what it hangs on."""
        lines: list[str] = []
        for name in self.phases:
            lines += [*self._table(name), "", *self._by_cause(name), "", *self._hangs_on(name), ""]
        return "\n".join(lines[:-1])

    def _table(self, phase: str) -> list[str]:
        assert self.result.trace is not None
        ranked = _longest(by_place(self.result.trace.of(phase)))
        total = sum(sum(parts.values()) for _, parts in ranked) or 1.0
        time = format_quantity(total / 1e12, "s")
        lines = [
            f"{self.sentence(phase)}.",
            "",
            f"  {'where ' + phase + ' spends ' + time:<44}{'share':>6}   waits for",
        ]
        lines += [_row(place, parts, total) for place, parts in ranked[:MOST_PLACES]]
        rest = ranked[MOST_PLACES:]
        if rest:
            together: dict[str, float] = defaultdict(float)
            for _, parts in rest:
                for cause, ps in parts.items():
                    together[cause] += ps
            lines.append(_row(f"{len(rest)} others", together, total))
        return lines

    def _by_cause(self, phase: str) -> list[str]:
        """A line per cause that can be seen, longest first."""
        found = self.result.phases[phase]
        ranked = sorted(found["causes"].items(), key=lambda item: (-item[1], item[0]))
        return [
            f"  {WORDS[cause]:<30}{format_quantity(share * found['time_s'], 's'):>14}{share:>6.0%}   {CAUSES[cause]}"
            for cause, share in ranked
            if share >= SMALLEST / 2
        ]

    def _hangs_on(self, phase: str) -> list[str]:
        named = self.most_sensitive(phase)
        if not named:
            return [f"  {phase} hangs on no single number"]
        lines = [f"  {phase} hangs most on (1 % more of it makes the speed change by)"]
        for each in named:
            value = format_quantity(each.field.value, each.field.unit)
            edge = ""
            if each.has_kink(phase) and each.up and each.down:
                edge = f"   an edge: {each.up[phase]:+.2f} % for more, {each.down[phase]:+.2f} % for less"
            lines.append(f"    {each.field.path:<32}{value:>14}{each.elasticity[phase]:>+9.2f} %{edge}")
        return lines


def _longest(places: dict[str, dict[str, float]]) -> list[tuple[str, dict[str, float]]]:
    return sorted(places.items(), key=lambda item: (-sum(item[1].values()), item[0]))


def _row(place: str, parts: dict[str, float], total: float) -> str:
    ps = sum(parts.values())
    causes = sorted(parts.items(), key=lambda item: (-item[1], item[0]))[:2]
    waits = ", ".join(f"{WORDS[cause]} {part / ps:.0%}" for cause, part in causes if ps and part / ps >= SMALLEST)
    return f"  {place[:30]:<30}{format_quantity(ps / 1e12, 's'):>14}{ps / total:>6.0%}   {waits}"


def explain(prepared: Prepared, progress: Progress | None = None) -> Explanation:
    """Simulate a run, and again with each number changed that it reads, by some 10 % and one at a time.

    An elasticity e says: 1 % more of the field makes the phase e % faster. It is -ln(time' / time) / ln(value' /
    value), the mean of a step up and a step down; where the step up does nothing, there is no other. A model that does
    not fit has none.

    Raises:
        InputError: the run cannot be simulated.
    """
    result = prepared.run(progress)
    loaded = prepared.inputs.runtime
    if result.trace is None or loaded is None:
        return Explanation(result)
    asker = Asker(prepared, result, speed_times, sign=-1, progress=progress)
    found = asker.ask_all(fields_read(result, loaded.spec))
    return Explanation(result, found, tuple(asker.skipped))


class Asker:
    """Simulates a run with fields changed, and reads numbers of each result; `before`: those of the run as it is.

    `sign`: -1 where the numbers are times and their rates are asked about.
    """

    def __init__(
        self,
        prepared: Prepared,
        result: RunResult,
        read: Callable[[RunResult], Times],
        *,
        sign: int,
        progress: Progress | None,
    ) -> None:
        self.before = read(result)
        self.skipped: list[str] = []
        self._read = read
        self._sign = sign
        self._n_fields = 0
        self._prepared = prepared
        self._progress = progress
        self._asked = 0

    def ask_all(self, fields: Sequence[SpecField]) -> tuple[Sensitivity, ...]:
        """The elasticities of all fields, in their order; those of a group that changes nothing are asked at once."""
        self._n_fields = len(fields)
        found: dict[str, Sensitivity] = {}
        for group in dict.fromkeys(field.group for field in fields):
            members = [field for field in fields if field.group == group]
            if group and self.together(members):
                found |= {field.path: Sensitivity(field, dict.fromkeys(self.before, 0.0)) for field in members}
            else:
                found |= {field.path: each for field in members if (each := self.ask(field)) is not None}
        return tuple(found[field.path] for field in fields if field.path in found)

    def ask(self, field: SpecField) -> Sensitivity | None:
        """The elasticities of one field; None, and a line in `skipped`, where neither side can be simulated."""
        self._tell([field])
        sides: list[Times | None] = []
        for factor in (field.factor, 1.0 / field.factor):
            try:
                sides.append(self._elasticity(field, factor))
            except (
                InputError,
                LawError,
            ) as error:  # a broken law is not shown, and stands in the way of no other field
                reason = error.problems[0].message
                sides.append(None)
            first = sides[0]
            if first is not None and max(map(abs, first.values()), default=0.0) < SMALLEST:
                return Sensitivity(field, first)
        if sides == [None, None]:
            self.skipped.append(f"{field.path}: {reason}")
            return None
        return Sensitivity(field, *(sides if field.factor > 1.0 else reversed(sides)))

    def _elasticity(self, field: SpecField, factor: float) -> Times:
        changed, value = self._changed(self._prepared, field, factor)
        after = self._read(changed.run())
        if unknown := [name for name in self.before if after.get(name, 0.0) <= 0.0]:
            raise InputError(f"{unknown[0]} is not known with {field.path} = {value:.6g}")
        by = log(value / field.value)
        # A negative zero would be printed as one.
        return {name: self._sign * log(after[name] / was) / by + 0.0 for name, was in self.before.items()}

    def together(self, fields: Sequence[SpecField]) -> bool:
        """Whether nothing changes with all of `fields` at once: then none of them is asked on its own."""
        changed = self._prepared
        self._tell(fields)
        try:
            for field in fields:
                changed, _ = self._changed(changed, field, field.factor)
            is_idle = self._read(changed.run()) == self.before
        except (InputError, LawError):
            is_idle = False
        if not is_idle:
            self._asked -= len(fields)
        return is_idle

    def _changed(self, prepared: Prepared, field: SpecField, factor: float) -> tuple[Prepared, float]:
        """The run with the field changed, and the field's new value."""
        head, _, name = field.path.partition(".")
        if head == "runtime":
            return prepared.with_runtime(name, field.value * factor), field.value * factor
        changed = prepared.with_hardware(field.path, changed_value(field, factor))
        return changed, float(changed.hardware.provenance[field.path].value)

    def _tell(self, fields: Sequence[SpecField]) -> None:
        self._asked += len(fields)
        if self._progress is not None:
            more = f" and {len(fields) - 1} more" if len(fields) > 1 else ""
            self._progress(f"{self._asked} of {self._n_fields} numbers: {fields[0].path}{more}")


def speed_times(result: RunResult) -> Times:
    """Seconds of each phase."""
    phases = result.trace.phases() if result.trace else []
    return {phase: time for phase in phases if (time := result.phase_time_s(phase))}
