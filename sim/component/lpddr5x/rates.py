"""What a memory component sustains, derived: the one call that a tile level needs, and the tables that explain it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from sim.component.lpddr5x.clocks import Clocks, clocks_of
from sim.component.lpddr5x.controller import Access, Controller
from sim.component.lpddr5x.mapping import AddressMap
from sim.component.lpddr5x.order import parse_order
from sim.component.lpddr5x.spec import DramSpec
from sim.component.lpddr5x.traffic import KINDS, Traffic, accesses_of
from sim.units import PS_PER_S

SAMPLES = 4
"""Independent runs whose bytes are added up: what a refresh costs depends on what is queued when it comes."""
REFRESH_INTERVALS = 2
"""tREFI that a run measures after a quarter to warm up: whole ones, so that refreshes count as often as they come."""


class Memory(Protocol):
    """What is needed of a memory component's spec: its fields by their names."""

    @property
    def channels(self) -> int:
        """Independent channels."""

    @property
    def channel_width(self) -> int:
        """Bytes of a channel's data bus."""

    @property
    def data_rate(self) -> float:
        """Transfers per second."""

    @property
    def capacity(self) -> int:
        """Bytes of all channels."""

    @property
    def dram(self) -> DramSpec | None:
        """Organisation, timing, controller, mapping."""


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


def sustained(memory: Memory, kind: str, traffic: Traffic | None = None) -> Sustained:
    """Bytes per second of an endless stream of `kind` (one of `KINDS`), and the latency of a lone read, row closed.

    Remembered by the values of the spec. All channels are alike: channel 0 is simulated, with full queues.

    Raises:
        ValueError: no such kind, or the spec has no `dram`.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of access '{kind}'; there are {', '.join(KINDS)}")
    parts = parts_of(memory)
    rate = rate_of(parts, kind, traffic or Traffic(), None)
    return Sustained(rate, _latency(parts, "closed"))


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
    "rank gap": _without_rank_gap,
}
"""Each mechanism that can be switched off, by what it does to the timings."""


def unloaded_latency_ps(memory: Memory, row: str = "closed") -> int:
    """A lone read, from the controller's door to its last beat, in ps. `row`: closed, hit or conflict."""
    return _latency(parts_of(memory), row)


def parts_of(memory: Memory) -> Parts:
    """What a rate depends on.

    Raises:
        ValueError: the spec has no `dram`.
    """
    if memory.dram is None:
        raise ValueError("the memory component has no `dram`: its rates cannot be derived")
    text = memory.dram.model_dump_json()
    return Parts(memory.channels, memory.channel_width, memory.data_rate, memory.capacity, text)


def _map(parts: Parts, dram: DramSpec) -> AddressMap:
    own, access = dram.organisation, dram.organisation.burst_length * parts.channel_width
    order = parse_order(dram.mapping.order, own.ranks, own.bank_groups, own.banks_per_group)
    interleave = dram.mapping.channel_interleave
    return AddressMap(parts.channels, interleave, order, dram.mapping.is_hashed, access)


@cache
def rate_of(parts: Parts, kind: str, traffic: Traffic, without: str | None = None) -> float:
    """Bytes per second of all channels. `without`: a mechanism of `ABLATIONS` that is switched off."""
    dram = parts.dram
    clocks, mapping = clocks_of(dram, parts.data_rate), _map(parts, dram)
    measured = REFRESH_INTERVALS * clocks.n_refi
    changed = ABLATIONS[without](clocks) if without else clocks
    seeds = range(traffic.seed, traffic.seed + 2 * SAMPLES, 2)  # two apart: a copy's writes take the next one
    n_served = 0
    for seed in seeds:
        sample = replace(traffic, seed=seed)
        n_served += _served(parts, dram, mapping, changed, kind, sample, clocks.n_refi // 4, measured)
    return parts.channels * n_served * mapping.access / clocks.seconds(SAMPLES * measured)


def _served(
    parts: Parts,
    dram: DramSpec,
    mapping: AddressMap,
    clocks: Clocks,
    kind: str,
    traffic: Traffic,
    warm: int,
    measured: int,
) -> int:
    """Accesses that channel 0 serves in `measured` clocks after `warm` ones."""
    window = dram.controller.read_queue + dram.controller.write_queue
    n_enough = (warm + measured) // (clocks.ccd_l // 2) + window
    accesses = accesses_of(kind, traffic, mapping, dram.organisation, n_enough, parts.capacity)
    controller = Controller(clocks, dram.organisation, dram.controller, accesses, window=window)
    controller.run(warm + measured)
    return sum(each.clock >= warm for each in controller.channel.log if each.access >= 0)


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
