"""Memory of a run: what is there, what it needs, what would fit instead, and who has how much when. All in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

MARGIN = 0.03
"""A verdict within this share of the capacity is marginal: published pairs do not tell it apart from its opposite."""
CLASSES = {
    "reserved": "system",
    "other": "other programs",
    "host": "runtime on the CPU",
    "runtime": "CUDA context, workspace",
    "weights": "weights",
    "kv_cache": "KV cache in use",
    "activation": "activations",
    "held": "held, not in use",
    "page_cache": "page cache",
}
"""Classes of memory, from the bottom of a stack up, and what they are called."""


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Fields as in `sparksim.result/1`; `needed_bytes` is the sum of weights, KV cache, activations and runtime.

    `more_sequences`: how many sequences of the same length would fit besides; `more_tokens`: how many tokens each
    sequence could be longer, at most to the model's longest context. Both 0 where the run itself does not fit.
    `peak_bytes`: the most in use at once, system, other programs and the runtime's part on the CPU included.
    `claimed_bytes`: what the machine shows as used once the runtime is up: a runtime with a share takes all of it.
    `at_once`: how many of the sequences fit together; `when_full` says what the runtime does about the others.
    """

    capacity_bytes: int
    available_bytes: int
    needed_bytes: int
    reserved_bytes: int
    peak_bytes: int
    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    runtime_bytes: int
    fits: bool
    short_bytes: int
    would_fit: str | None
    more_sequences: int = 0
    more_tokens: int = 0
    is_model_limit: bool = False
    """Whether the model's longest context ends `more_tokens`, not memory."""
    visible_bytes: int = 0
    other_bytes: int = 0
    host_bytes: int = 0
    claimed_bytes: int = 0
    at_once: int = 0
    when_full: str = "refuse"
    is_marginal: bool = False
    refusal: str | None = None
    """Why the runtime would not even start; None where it would."""

    @property
    def margin_bytes(self) -> int:
        """What is left; negative: what is missing."""
        return self.available_bytes - self.needed_bytes

    @property
    def verdict(self) -> str:
        """fits, does not fit, or either of them marginally."""
        return ("fits" if self.fits else "does not fit") + (", marginally" if self.is_marginal else "")


class MemoryRow(NamedTuple):
    """From `time_s` on, `what` (of `CLASSES`) has `bytes`; `phase`: what the run does then."""

    time_s: float
    phase: str
    what: str
    bytes: int


@dataclass(frozen=True, slots=True)
class MemoryTimeline:
    """Who has how much, over time.

    `high_water_bytes`: the most that was taken at once, page cache left out; `high_water_s`, `high_water`: when, whose.
    """

    rows: tuple[MemoryRow, ...]
    capacity_bytes: int
    end_s: float
    high_water_bytes: int
    high_water_s: float
    high_water: dict[str, int]

    def stacked(self) -> tuple[list[float], dict[str, list[int]]]:
        """Times at which something changes, and bytes of every class from each of them on."""
        held = dict.fromkeys(CLASSES, 0)
        times: list[float] = []
        series: dict[str, list[int]] = {what: [] for what in CLASSES}
        for row in self.rows:
            held[row.what] = row.bytes
            if times and times[-1] == row.time_s:
                series[row.what][-1] = row.bytes
                continue
            times.append(row.time_s)
            for what, values in series.items():
                values.append(held[what])
        return times, {what: values for what, values in series.items() if any(values)}
