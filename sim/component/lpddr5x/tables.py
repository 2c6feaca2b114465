"""Derived rates side by side: with mechanisms off, in other worlds that the facts allow, and beside the given ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

from sim.component.lpddr5x.rates import ABLATIONS, Memory, Parts, parts_of, rate_of
from sim.component.lpddr5x.spec import DramSpec
from sim.component.lpddr5x.traffic import KINDS, Traffic

Table = dict[str, dict[str, float]]
"""Bytes per second by row and kind of access."""

ALTERNATIVES: dict[str, dict[str, object]] = {
    "1 rank": {"organisation.ranks": 1},
    "1 rank, 32 Gbit dies": {"organisation.ranks": 1, "organisation.die": "32Gb"},
    "1 rank, 32 Gbit dies, 128 writes queued": {
        "organisation.ranks": 1,
        "organisation.die": "32Gb",
        "controller.write_queue": 128,
    },
    "1 rank, per-bank refresh": {"organisation.ranks": 1, "controller.refresh": "per_bank"},
    "per-bank refresh": {"controller.refresh": "per_bank"},
    "per-bank refresh, 32 Gbit dies": {"controller.refresh": "per_bank", "organisation.die": "32Gb"},
    "per-bank refresh, 64 reads queued (set 1)": {"controller.refresh": "per_bank", "controller.read_queue": 64},
    "32 Gbit dies": {"organisation.die": "32Gb"},
    "32 Gbit dies, 48 reads queued": {"organisation.die": "32Gb", "controller.read_queue": 48},
    "16 reads queued": {"controller.read_queue": 16},
    "64 reads queued": {"controller.read_queue": 64},
    "128 reads and writes queued": {"controller.read_queue": 128, "controller.write_queue": 128},
    "8 clocks between ranks, 64 reads, 128 writes": {
        "timing.rank_gap": 8,
        "controller.read_queue": 64,
        "controller.write_queue": 128,
    },
    "open rows": {"controller.page_policy": "open"},
    "1 KiB to each channel": {"mapping.channel_interleave": 1024},
    "no hash": {"mapping.is_hashed": False},
}
"""Other worlds that the public facts allow, as changes to a `DramSpec`."""


class Bounds(NamedTuple):
    """What was measured, as bounds on what a world may give: bytes per second, and random reads as a share of read."""

    least_read: float
    most_read: float
    least_copy: float
    most_copy: float
    least_random_share: float

    def hold(self, row: Mapping[str, float]) -> bool:
        """Whether a row of a table lies within all of them at once."""
        is_read = self.least_read <= row["read"] <= self.most_read
        is_copy = self.least_copy <= row["copy"] <= self.most_copy
        return is_read and is_copy and row["random"] >= self.least_random_share * row["read"]


MEASURED = Bounds(227e9, 241e9, 211e9, 238e9, 0.95)
"""GB10: reads of 231-237 GB/s from four sources, random 512 B at 0.97 of it, copies of 218-232, each with some room."""


def verdict(table: Table, bounds: Bounds = MEASURED) -> str:
    """Which worlds the measurements cannot tell apart, and which they rule out, in two sentences."""
    fitting = [name for name, row in table.items() if bounds.hold(row)]
    others = [name for name in table if name not in fitting]
    same = f"The measurements cannot tell apart: {'; '.join(fitting)}." if fitting else "No world fits."
    return f"{same} They rule out, unless something else than the DRAM binds: {'; '.join(others) or 'none'}."


class _Shares(Protocol):
    """The shares of the peak that a spec gives."""

    @property
    def read(self) -> float:
        """Of long reads."""

    @property
    def write(self) -> float:
        """Of long writes."""

    @property
    def random(self) -> float:
        """Of scattered reads."""


class _Given(Memory, Protocol):
    """A memory component's spec with the rates that were measured."""

    @property
    def bandwidth(self) -> float:
        """Peak, bytes per second."""

    @property
    def sustained(self) -> _Shares:
        """Shares of the peak."""


def ablation(memory: Memory) -> Table:
    """With every mechanism ("all"), and without each of `ABLATIONS`."""
    parts = parts_of(memory)
    table = {"all": _row(parts, None)}
    return table | {f"no {name}": _row(parts, name) for name in ABLATIONS}


def alternatives(memory: Memory) -> Table:
    """As the spec stands ("as given"), and in each of `ALTERNATIVES`."""
    parts = parts_of(memory)
    worlds = {"as given": parts} | {name: changed(parts, changes) for name, changes in ALTERNATIVES.items()}
    return {name: _row(each, None) for name, each in worlds.items()}


def beside_given(memory: _Given) -> Table:
    """What the spec says is sustained ("given"), and what its `dram` derives ("derived").

    The given rate of a copy is that of reads and writes in equal parts, one after the other.
    """
    peak, shares = memory.bandwidth, memory.sustained
    given = {"read": shares.read, "write": shares.write, "random": shares.random}
    given["copy"] = 2 / (1 / shares.read + 1 / shares.write)
    return {"given": {kind: peak * share for kind, share in given.items()}, "derived": _row(parts_of(memory), None)}


def as_text(table: Table, bounds: Bounds | None = None) -> str:
    """A table in GB/s, one row a line; with a mark behind what lies within `bounds`."""
    width = max(map(len, table))
    head = f"{'GB/s':{width}}" + "".join(f"{kind:>8}" for kind in KINDS)
    rows = [
        f"{name:{width}}"
        + "".join(f"{_giga(row, kind):8.1f}" for kind in KINDS)
        + ("   fits" if bounds is not None and bounds.hold(row) else "")
        for name, row in table.items()
    ]
    return "\n".join([head, *rows])


def _giga(row: Mapping[str, float], kind: str) -> float:
    return row[kind] / 1e9


def _row(parts: Parts, without: str | None) -> dict[str, float]:
    return {kind: rate_of(parts, kind, Traffic(), without) for kind in KINDS}


def changed(parts: Parts, changes: Mapping[str, object]) -> Parts:
    """The same with fields of the DRAM, "group.field", set to other values."""
    data = parts.dram.model_dump()
    for path, value in changes.items():
        group, _, field = path.partition(".")
        data[group][field] = value
    return replace(parts, dram_json=DramSpec.model_validate(data).model_dump_json())
