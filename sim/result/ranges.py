"""How far a rate may be off: from how far predictions like it were off, by class, as the validation found them.

The file `workloads/measurements/residuals.json` is made by `sparksim validate inference --write-residuals`. A range is
the prediction times what `spread.py` makes of measured / predicted in its class and the wider ones: where 80 % of the
measurements of a source not seen yet would lie. It holds the prediction itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from math import floor, log10
from typing import Any

from sim.paths import shipped_data
from sim.result.identity import Identity
from sim.result.spread import LEVEL, Spread, factors

FILE = "workloads/measurements/residuals.json"
PHASES = ("prefill", "decode")
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Residuals:
    """What ships: the machine that was measured, a spread by class, and digests of the runs that were measured."""

    hardware: str
    classes: dict[str, Spread]
    cases: frozenset[str]


def levels(runtime: str, architecture: str, quant: str, phase: str) -> list[Key]:
    """The classes that a rate belongs to, the narrowest first; from the fourth on nothing but the runtime is alike."""
    return [
        (runtime, architecture, quant, phase),
        (runtime, architecture, phase),
        (runtime, quant, phase),
        (runtime, phase),
        (phase,),
    ]


OF_A_CLASS = 3
"""The first three levels share the runtime and the family or the quantisation: those are a class."""
LEAST = 9
"""Records from which on a class bears a range's name: fewer only add to the wider class's."""


def case_of(me: Identity, phase: str) -> str:
    """Digest of what was run in a phase: two runs with the same one are the same measurement.

    Decoding is known by where it starts and how many steps it takes, so that tokens may be cached or read just before.
    Which experts the tokens pick is no part of it: records do not say.
    """
    prompt, depth, output = me.prompt_tokens or 0, me.context_depth or 0, me.output_tokens or 0
    steps = output - (1 if prompt else 0)
    sizes = {"prefill": (prompt, depth), "decode": (prompt + depth, steps), "e2e": (prompt, depth, output)}[phase]
    changed = sorted(item for item in me.overrides.items() if item[0].startswith("runtime.")) + _others(me)
    parts = (me.hardware, me.model, me.runtime, me.runtime_version, me.quant, me.kv_dtype, me.batch)
    return sha256(repr((phase, *parts, sizes, changed)).encode()).hexdigest()[:10]


@cache
def shipped() -> Residuals:
    """The residuals that ship."""
    data = json.loads((shipped_data() / FILE).read_text(encoding="utf-8"))
    classes = {name: Spread(*values) for name, values in data["classes"].items()}
    return Residuals(data["hardware"], classes, frozenset(data["cases"]))


@dataclass(frozen=True, slots=True)
class RateRange:
    """A rate's range, and the class it comes from: its name, how many records it has, whether it is like the run."""

    low: float
    high: float
    class_name: str
    records: int
    is_of_class: bool


def range_of(me: Identity, phase: str, rate: float) -> RateRange:
    """The range of a rate of a phase, named after the narrowest class that has enough records."""
    classes = shipped().classes
    names = list(map(" ".join, levels(me.runtime, me.architecture or "", me.quant or "", phase)))
    known = [classes[name] for name in reversed(names) if name in classes]
    level, named = next(
        ((level, name) for level, name in enumerate(names) if name in classes and classes[name].records >= LEAST),
        (len(names), "none"),
    )
    if named == "none":
        return RateRange(rate, rate, named, 0, is_of_class=False)
    low, high = factors(known)
    is_of_class = level < OF_A_CLASS and is_as_measured(me)
    return RateRange(rate * low, rate * high, named, classes[named].records, is_of_class)


def is_as_measured(me: Identity) -> bool:
    """Whether it is the machine that was measured, and models and decoding as they were: nothing set by hand."""
    return me.is_shipped_machine and me.hardware == shipped().hardware and not _others(me)


def _others(me: Identity) -> list[tuple[str, str]]:
    """What was set of the model and the workload; which experts its tokens pick left out."""
    changed = [item for item in me.overrides.items() if item[0].startswith(("model.", "workload."))]
    return sorted(item for item in changed if item[0] != "workload.content")


def validated(me: Identity, ranges: dict[str, RateRange]) -> str | None:
    """What stands behind the rates: this very run, records of its class, or less; None where there are no rates."""
    if not ranges:
        return None
    cases = shipped().cases
    is_known = case_of(me, "e2e") in cases or all(case_of(me, phase) in cases for phase in ranges)
    if is_known and me.is_shipped_model and is_as_measured(me):
        return "measured"
    return "class" if all(each.is_of_class for each in ranges.values()) else "extrapolated"


def as_dict(ranges: dict[str, RateRange]) -> dict[str, Any]:
    """The key `range` of `sparksim.result/1`."""
    rates = {f"{phase}_tok_s": ranges.get(phase) for phase in PHASES}
    return {
        **{key: [each.low, each.high] if each else None for key, each in rates.items()},
        "level": LEVEL,
        "classes": {key: {"name": each.class_name, "records": each.records} if each else None
                    for key, each in rates.items()},
    }  # fmt: skip


def digits_of(value: float, low: float, high: float) -> int:
    """How many digits of a value mean something: down to the first digit of half its range's width, 1 to 4."""
    half = (high - low) / 2
    if half <= 0 or value <= 0:
        return 4
    return min(4, max(1, floor(log10(value)) - floor(log10(half)) + 1))


def rounded(value: float, low: float, high: float) -> list[str]:
    """The value and both ends of its range as they are printed: to the same place, that of `digits_of`."""
    place = floor(log10(value)) - digits_of(value, low, high) + 1
    return [f"{round(each, -place):,.{max(0, -place)}f}" for each in (value, low, high)]
