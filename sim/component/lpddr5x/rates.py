"""What a memory component sustains, derived: the one call that a tile level needs, and the tables that explain it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from sim.component.lpddr5x.clocks import Clocks, clocks_of
from sim.component.lpddr5x.controller import Access, Controller
from sim.component.lpddr5x.mapping import AddressMap, parse_order
from sim.component.lpddr5x.spec import DramSpec
from sim.component.lpddr5x.traffic import KINDS, Traffic, accesses_of
from sim.units import PS_PER_S

REFRESH_INTERVALS = 4
"""tREFI that are measured, after one to warm up: whole ones, so that each refresh is counted as often as it comes."""


class _Memory(Protocol):
    """What is needed of a memory component's spec."""

    @property
    def channels(self) -> int: ...
    @property
    def channel_width(self) -> int: ...
    @property
    def data_rate(self) -> float: ...
    @property
    def capacity(self) -> int: ...
    @property
    def dram(self) -> DramSpec | None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """The plain numbers that a rate depends on, hashable by the spec they come from."""

    channels: int
    channel_width: int
    data_rate: float
    capacity: int
    dram_json: str

    @property
    def dram(self) -> DramSpec:
        """The spec again."""
        return DramSpec.model_validate_json(self.dram_json)


@dataclass(frozen=True, slots=True)
class Sustained:
    """What all channels together give to an endless stream of one kind, and one read on an idle channel."""

    bytes_per_s: float
    latency_ps: int


def sustained(memory: _Memory, kind: str, traffic: Traffic | None = None) -> Sustained:
    """Bytes per second of an endless stream of `kind` (one of `KINDS`), and the latency of a lone read, row closed.

    Remembered by the values of the spec. All channels are alike: channel 0 is simulated, with full queues.

    Raises:
        ValueError: no such kind, or the spec has no `dram`.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of access '{kind}'; there are {', '.join(KINDS)}")
    parts = _parts(memory)
    rate = _rate(parts, kind, traffic or Traffic(), None)
    return Sustained(rate, _latency(parts, "closed"))


def unloaded_latency_ps(memory: _Memory, row: str = "closed") -> int:
    """A lone read, from the controller's door to its last beat, in ps. `row`: closed, hit or conflict."""
    return _latency(_parts(memory), row)


def _without_refresh(clocks: Clocks) -> Clocks:
    return replace(clocks, n_refi=1 << 40, n_refi_pb=1 << 40)


def _without_turnaround(clocks: Clocks) -> Clocks:
    """Reads and writes follow each other on the bus at once, as if it had one direction."""
    return replace(clocks, n_wtr_s=-clocks.n_rl, n_wtr_l=-clocks.n_rl, read_to_write_gap=0)


def _without_rank_gap(clocks: Clocks) -> Clocks:
    return replace(clocks, rank_gap=0)


ABLATIONS: dict[str, Callable[[Clocks], Clocks]] = {
    "refresh": _without_refresh,
    "turnaround": _without_turnaround,
    "rank_gap": _without_rank_gap,
}
"""Each mechanism that can be switched off, by what it does to the timings."""


def ablation(memory: _Memory) -> dict[str, dict[str, float]]:
    """Bytes per second by kind: with everything ("all"), and without each mechanism."""
    parts = _parts(memory)
    table = {"all": {kind: _rate(parts, kind, Traffic(), None) for kind in KINDS}}
    for name in ABLATIONS:
        table[f"no {name}"] = {kind: _rate(parts, kind, Traffic(), name) for kind in KINDS}
    return table


ALTERNATIVES: dict[str, dict[str, object]] = {
    "1 rank": {"organisation.ranks": 1},
    "1 rank, all-bank refresh": {"organisation.ranks": 1, "controller.refresh": "all_bank"},
    "all-bank refresh": {"controller.refresh": "all_bank"},
    "per-bank refresh": {"controller.refresh": "per_bank"},
    "32 Gbit dies": {"organisation.die": "32Gb"},
    "32 Gbit dies, all-bank refresh": {"organisation.die": "32Gb", "controller.refresh": "all_bank"},
    "queues of 16": {"controller.read_queue": 16, "controller.write_queue": 16},
    "queues of 32": {"controller.read_queue": 32, "controller.write_queue": 32},
    "queues of 128": {"controller.read_queue": 128, "controller.write_queue": 128},
    "open rows": {"controller.page_policy": "open"},
    "512 B per channel": {"mapping.channel_interleave": 512},
    "1 KiB per channel": {"mapping.channel_interleave": 1024},
    "no hash": {"mapping.is_hashed": False},
}
"""Other worlds that the public facts allow, as changes to a `DramSpec`."""


def alternatives(memory: _Memory) -> dict[str, dict[str, float]]:
    """Bytes per second by kind as the spec stands ("as given") and in each of `ALTERNATIVES`."""
    parts = _parts(memory)
    worlds = {"as given": parts} | {name: _changed(parts, changes) for name, changes in ALTERNATIVES.items()}
    return {name: {kind: _rate(each, kind, Traffic(), None) for kind in KINDS} for name, each in worlds.items()}


def _changed(parts: Parts, changes: dict[str, object]) -> Parts:
    data = parts.dram.model_dump()
    for path, value in changes.items():
        group, _, field = path.partition(".")
        data[group][field] = value
    return replace(parts, dram_json=DramSpec.model_validate(data).model_dump_json())


def _parts(memory: _Memory) -> Parts:
    if memory.dram is None:
        raise ValueError("the memory component has no `dram`: its rates cannot be derived")
    text = memory.dram.model_dump_json()
    return Parts(memory.channels, memory.channel_width, memory.data_rate, memory.capacity, text)


def _map(parts: Parts, dram: DramSpec) -> AddressMap:
    own, access = dram.organisation, dram.organisation.burst_length * parts.channel_width
    order = parse_order(dram.mapping.order, own.ranks, own.bank_groups, own.banks_per_group)
    interleave = dram.mapping.channel_interleave
    return AddressMap(parts.channels, interleave, order, dram.mapping.is_hashed, access, own.page)


@cache
def _rate(parts: Parts, kind: str, traffic: Traffic, without: str | None) -> float:
    dram = parts.dram
    clocks = clocks_of(dram, parts.data_rate)
    mapping = _map(parts, dram)
    warm, until = clocks.n_refi, (1 + REFRESH_INTERVALS) * clocks.n_refi
    changed = ABLATIONS[without](clocks) if without else clocks
    n_most = until // (clocks.ccd_l // 2) + dram.controller.read_queue + dram.controller.write_queue
    accesses = accesses_of(kind, traffic, mapping, dram.organisation, n_most, parts.capacity)
    window = dram.controller.read_queue + dram.controller.write_queue
    controller = Controller(changed, dram.organisation, dram.controller, accesses, window=window)
    controller.run(until)
    n_served = sum(warm <= each.clock < until for each in controller.channel.log if each.access >= 0)
    return parts.channels * n_served * mapping.access / clocks.seconds(until - warm)


@cache
def _latency(parts: Parts, row: str) -> int:
    dram = parts.dram
    clocks = clocks_of(dram, parts.data_rate)
    first = {"closed": 0, "hit": 1, "conflict": 1}[row]
    accesses = [Access(number, 0, number if row == "conflict" else 0, is_write=False) for number in range(first + 1)]
    start = clocks.n_ras * 4
    accesses[-1].arrival = start if first else 0
    spec = dram.controller.model_copy(update={"page_policy": "open", "row_timeout": 1.0})
    Controller(replace(clocks, row_timeout=1 << 40), dram.organisation, spec, accesses, refresh="off").run()
    waited = accesses[-1].finished - accesses[-1].arrival
    return round((clocks.seconds(waited) + dram.controller.latency) * PS_PER_S)
