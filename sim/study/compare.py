"""Why one run is faster than another: the difference in time, split by what the time was spent on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem
from sim.result.trace import BOUNDS, CAUSES
from sim.study.compare_text import to_text
from sim.study.sides import Change, Given, check_use, read_result, sides
from sim.system.prepared import Asked

SCHEMA = "sparksim.compare/1"
IDENTITY = (
    "hardware", "model", "runtime", "runtime_version", "quant", "kv_dtype", "batch", "prompt_tokens", "context_depth",
    "output_tokens", "overrides",
)  # fmt: skip
Progress = Callable[[str], None]
Parts = dict[str, float]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its label, and what `sparksim.result/1` says of it."""

    label: str
    summary: Mapping[str, Any]

    @property
    def fits(self) -> bool:
        """Whether it was simulated: an op trace always is."""
        memory = self.summary["memory"]
        return memory is None or bool(memory["fits"])

    def tokens(self, phase: str) -> int:
        """Tokens of all sequences in a phase; 1 in an op trace, which has none."""
        me = self.summary
        if me["model"] is None:
            return 1
        steps = me["output_tokens"] - (1 if me["prompt_tokens"] else 0)
        return int(me["batch"] * (me["prompt_tokens"] if phase == "prefill" else steps))

    def spent(self, phase: str) -> dict[tuple[str, str], float]:
        """Seconds per token (an op trace: of the phase) by op class and cause."""
        found = self.summary["phases"][phase]
        each = found["time_s"] / self.tokens(phase)
        return {(name, cause): share * each for name, parts in found["ops"].items() for cause, share in parts.items()}


@dataclass(frozen=True, slots=True)
class Waterfall:
    """From the time of A to that of B in a phase, s: `steps` by op class and cause sum to B less A."""

    phase: str
    per: str
    a_s: float
    b_s: float
    steps: dict[tuple[str, str], float]

    @property
    def speedup(self) -> float:
        """Rate of B over rate of A."""
        return self.a_s / self.b_s

    def by_bound(self) -> Parts:
        """Steps by bound: memory, link, compute, latency, host, storage."""
        return self._summed(lambda name, cause: CAUSES[cause], BOUNDS)

    def by_cause(self) -> Parts:
        """Steps by cause, in the order of the vocabulary."""
        found = self._summed(lambda name, cause: cause, tuple(CAUSES))
        return {cause: found[cause] for cause in CAUSES if any(key == cause for _, key in self.steps)}

    def by_op(self) -> Parts:
        """Steps by op class, the largest first."""
        found = self._summed(lambda name, cause: name, ())
        return dict(sorted(found.items(), key=lambda item: (-abs(item[1]), item[0])))

    def op_by_bound(self, name: str) -> Parts:
        """The steps of one op class by bound."""
        return self._summed(lambda op, cause: CAUSES[cause] if op == name else "", BOUNDS)

    def _summed(self, key: Callable[[str, str], str], names: tuple[str, ...]) -> Parts:
        found = dict.fromkeys(names, 0.0)
        for (name, cause), step in self.steps.items():
            if group := key(name, cause):
                found[group] = found.get(group, 0.0) + step
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "per": self.per,
            "a_s": self.a_s,
            "b_s": self.b_s,
            "difference_s": self.b_s - self.a_s,
            "speedup": self.speedup,
            "by_bound": self.by_bound(),
            "by_cause": self.by_cause(),
            "by_op": {name: {"all": step, **self.op_by_bound(name)} for name, step in self.by_op().items()},
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side; `waterfalls`: a phase each, none if one of them does not fit."""

    a: Side
    b: Side
    waterfalls: tuple[Waterfall, ...]

    @property
    def differs(self) -> dict[str, list[Any]]:
        """What the two are not alike in: key of the result -> [of A, of B]."""
        pairs = {key: [self.a.summary[key], self.b.summary[key]] for key in IDENTITY}
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.compare/1`: SI units, finite numbers, None where nothing applies."""
        return {
            "schema": SCHEMA,
            "a": {"label": self.a.label, **self._head(self.a)},
            "b": {"label": self.b.label, **self._head(self.b)},
            "differs": self.differs,
            "phases": {each.phase: each.to_dict() for each in self.waterfalls},
        }

    @staticmethod
    def _head(side: Side) -> dict[str, Any]:
        """A result without its breakdown, which the waterfalls hold."""
        return {key: value for key, value in side.summary.items() if key not in ("schema", "phases", "causes")}

    def to_text(self) -> str:
        """What a person reads."""
        return to_text(self.to_dict())


def compare(a: Given, b: Given, asked: Asked, progress: Progress | None = None) -> Comparison:
    """Simulate what has to be, and split the difference. `asked`: the run that both sides change.

    Raises:
        InputError: a side cannot be simulated (the machine lacks what the runtime's kernels need, say), or the two have
            no phase in common; names the side.
    """
    changes = _named(*sides((a, b), asked))
    check_use(changes, {**asked.arguments, "file": asked.file, "set": asked.set or None})
    found: list[Side] = []
    problems: list[list[Problem]] = [[], []]
    for number, change in enumerate(changes):
        try:
            found.append(_side(change, asked, progress))
        except InputError as error:
            problems[number] = list(error.problems)
    shared = [each for each in problems[0] if each in problems[1]]
    own = [
        replace(each, message=f"{change.label}: {each.message}")
        for change, those in zip(changes, problems, strict=True)
        for each in those
        if each not in shared
    ]
    if shared or own:
        raise InputError(shared + own)
    return Comparison(found[0], found[1], waterfalls(found[0], found[1]))


def _side(change: Change, asked: Asked, progress: Progress | None) -> Side:
    if isinstance(change.result, Path):
        return Side(change.label, read_result(change.result))
    if change.result is not None:
        return Side(change.label, change.result.summary())
    told = None if progress is None else lambda text: progress(f"{change.label}: {text}")
    return Side(change.label, asked.prepare(change.arguments, change.overrides).run(told).summary())


def _named(a: Change, b: Change) -> tuple[Change, Change]:
    if a.label != b.label:
        return a, b
    return replace(a, label=f"{a.label} (A)"), replace(b, label=f"{b.label} (B)")


def waterfalls(a: Side, b: Side) -> tuple[Waterfall, ...]:
    """A waterfall for each phase that both have.

    Raises:
        InputError: they have none in common, or one counts tokens and the other is an op trace.
    """
    if not (a.fits and b.fits):
        return ()
    if (a.summary["model"] is None) != (b.summary["model"] is None):
        raise InputError(Problem("an op trace and a model have no time per token in common", "not_comparable"))
    common = [phase for phase in a.summary["phases"] if phase in b.summary["phases"]]
    if not common:
        of = [" and ".join(side.summary["phases"]) or "nothing" for side in (a, b)]
        message = f"{a.label} has {of[0]}, {b.label} has {of[1]}: no phase in common"
        raise InputError(Problem(message, "not_comparable"))
    return tuple(_waterfall(phase, a, b) for phase in common)


def _waterfall(phase: str, a: Side, b: Side) -> Waterfall:
    before, after = a.spent(phase), b.spent(phase)
    names = dict.fromkeys((*before, *after))
    steps = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in names}
    per = "phase" if a.summary["model"] is None else "token"
    times = [side.summary["phases"][phase]["time_s"] / side.tokens(phase) for side in (a, b)]
    return Waterfall(phase, per, times[0], times[1], steps)
