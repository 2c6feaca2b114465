"""How weights get from where they lie to where kernels read them: windows of a file, fetched, handled, copied.

A window is what one request fetches. By `mmap` a fault waits for its window, and nothing overlaps: one request of
`os.readahead` at a time (Little: its size over its latency is the rate). By `read` the kernel fetches the next window,
of up to `os.io_request`, while a core handles this one. `direct` keeps many under way and no core handles pages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from sim.component.cpu import CpuClusterSpec
from sim.component.os import OsSpec
from sim.component.transfer import Fetch, Hop, Part, Requester
from sim.engine import Behaviour, Engine, FifoServer
from sim.errors import InputError, Problem
from sim.system.machine import Machine
from sim.units import ps_from_seconds
from sim.workload.runtime_memory import LoadRules

NEEDED = ("readahead", "io_request", "page_time", "unmapped_page_time", "pageable_copy", "pinned_copy")
"""What a machine must say of its system before files can be read on it."""
DIRECT_DEPTH = 8
"""Requests of `os.io_request` that a direct reader keeps under way."""
BUFFERS = 4
"""Pinned buffers that are filled and copied by turns (llama.cpp's n_buffers)."""
STEADY = 24
"""Windows after which a rate has settled; half of them are measured, and the rest takes as long."""
CHUNKS = 64
"""Points of the memory's timeline while weights are read."""


@dataclass(frozen=True, slots=True)
class Link:
    """A network: bytes per second, seconds there and back; None: the machine's adapter."""

    bandwidth: float | None = None
    latency: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What every window costs. `depth`: windows under way at once. `copies_later`: once a whole file is read."""

    window: int
    depth: int
    core_ps: int
    copy_ps: int
    hops: tuple[Hop, ...]
    latency_ps: int
    is_overlapped: bool
    is_cached: bool
    copies_later: bool = False


@dataclass(slots=True)
class Spent:
    """Time that the reader waited for the source, worked on a core, and waited for the copy, ps."""

    source: int = 0
    cpu: int = 0
    copy: int = 0
    marks: list[tuple[int, int, int, int]] = field(default_factory=list)
    """After each window: when it was done, and the three times so far."""


def system_of(machine: Machine) -> OsSpec:
    """The machine's system, with all that reading files needs.

    Raises:
        InputError: the machine says nothing of it, or not all.
    """
    system = next((spec for spec in machine.hardware.components.values() if isinstance(spec, OsSpec)), None)
    missing = [name for name in NEEDED if system is None or getattr(system, name) is None]
    if missing or system is None:
        message = f"{machine.hardware.name} does not say how its system reads files"
        hint = f"its component of type os has to say {', '.join(missing)}; dgx-spark does"
        raise InputError(Problem(message, "missing_field", path="hardware", hint=hint))
    return system


def plan_of(engine: Engine, machine: Machine, rules: LoadRules, how: str, origin: str, link: Link | None) -> Plan:
    """What a window costs on this machine, for a runtime that reads it so.

    Raises:
        InputError: the machine does not say what this takes, or has no drive or adapter.
    """
    system = system_of(machine)
    window = system.readahead if how == "mmap" else system.io_request
    assert window is not None
    pages = window / system.page
    hops, latency_ps = _source(engine, machine, origin, link or Link())
    page_time = 0.0 if origin == "page_cache" else system.page_time or 0.0
    if how == "direct":
        return Plan(window, DIRECT_DEPTH, 0, _pinned(system, window), hops, latency_ps, True, is_cached=False)
    if how == "mmap":
        mapped = window / (system.pageable_copy or 1)
        copy = mapped if rules.populates else pages * (system.unmapped_page_time or 0.0)
        core = ps_from_seconds(pages * page_time)
        return Plan(window, 1, core, ps_from_seconds(copy), hops, latency_ps, is_overlapped=False, is_cached=True)
    read = pages * page_time + window / _core_copy_rate(machine)
    if rules.staging == "pinned":
        pinned = _pinned(system, window)
        return Plan(window, 2, ps_from_seconds(read), pinned, hops, latency_ps, is_overlapped=True, is_cached=True)
    core = ps_from_seconds(read + pages * (system.page_time or 0.0))  # its heap's pages are new too
    later = ps_from_seconds(window / (system.pageable_copy or 1))
    return Plan(window, 2, core, later, hops, latency_ps, is_overlapped=False, is_cached=True, copies_later=True)


def _pinned(system: OsSpec, window: int) -> int:
    return ps_from_seconds(window / (system.pinned_copy or 1))


def _core_copy_rate(machine: Machine) -> float:
    """Bytes per second that one core copies: its lines under way over memory's latency, half of them read."""
    clusters = [spec for spec in machine.hardware.components.values() if isinstance(spec, CpuClusterSpec)]
    if not clusters:
        message = f"{machine.hardware.name} has no CPU that could read files"
        raise InputError(
            Problem(message, "missing_component", path="hardware", hint="add a component of type cpu_cluster")
        )
    rates = [min(each.bandwidth, each.bytes_under_way(1)[0] / each.memory_latency) for each in clusters]
    return max(rates) / 2


def _source(engine: Engine, machine: Machine, origin: str, link: Link) -> tuple[tuple[Hop, ...], int]:
    """The hops from where the file lies to memory, and the latency of a request."""
    if origin == "page_cache":
        return (), 0
    if origin == "network" and link.bandwidth is not None:
        rates = dict.fromkeys(("read", "write"), link.bandwidth)
        network = Hop(engine, "network", "nic", rates, ps_from_seconds(link.latency or 0.0), is_shared=False)
        return (network,), network.latency_ps
    kind = "nvme" if origin == "nvme" else "nic"
    name = next((name for name, type_ in machine.hardware.types.items() if type_ == kind), None)
    if name is None:
        what = "drive" if kind == "nvme" else "network adapter"
        message = f"{machine.hardware.name} has no {what} to read from"
        raise InputError(
            Problem(message, "missing_component", path="load.from", hint=f"add a component of type {kind}")
        )
    ways = machine.ways_to_memory(name)
    hops = [hop for each in dict.fromkeys(ways[0]) if (hop := machine.hop(each, engine)) is not None]
    if len(ways) > 1:  # spread over equal links: the slowest hop of a way counts once per way
        hops = [hops[0], *(_widened(engine, hop, len(ways)) for hop in hops[1:])]
    latency = sum(hop.latency_ps for hop in hops) + (ps_from_seconds(link.latency) if link.latency else 0)
    return tuple(hops), latency


def _widened(engine: Engine, hop: Hop, n: int) -> Hop:
    rates = {access: rate * n for access, rate in hop.rates.items()}
    return Hop(engine, hop.name, hop.cause, rates, hop.latency_ps, is_shared=hop.is_shared)


class Reader:
    """Reads `total` bytes by a plan; `progress` is told of bytes that have arrived, some `CHUNKS` times."""

    def __init__(
        self, engine: Engine, plan: Plan, total: int, progress: Callable[[int], bool], *, is_full: bool
    ) -> None:
        self._engine = engine
        self._plan = plan
        self._total = total
        self._progress = progress
        self._is_full = is_full
        self._requester = Requester(engine)
        self._parts = [Part(hop, float(plan.window), "read") for hop in plan.hops]
        self._copies = FifoServer(engine, "copies")
        self._done: deque[int] = deque()
        self.spent = Spent()

    def read(self) -> Behaviour:
        """To the last byte; false from `progress` ends it early."""
        plan, engine = self._plan, self._engine
        windows = ceil(self._total / plan.window)
        under_way: deque[Fetch] = deque()
        chunk = max(1, windows // CHUNKS)
        for number in range(windows):
            while len(under_way) < min(plan.depth, windows - number) and self._parts:
                under_way.append(self._requester.fetch(self._parts, 1, plan.latency_ps))
            yield from self._window(under_way.popleft() if under_way else None)
            spent = self.spent
            spent.marks.append((engine.now, spent.source, spent.cpu, spent.copy))
            if (number + 1) % chunk == 0 and not self._progress(min(self._total, (number + 1) * plan.window)):
                return
            if number + 1 == STEADY and not self._is_full:
                self._fold(number + 1, windows, chunk)
                break
        yield from self._finish()

    def _window(self, fetch: Fetch | None) -> Behaviour:
        """One window: wait for it, handle its pages, copy it."""
        plan, engine, spent = self._plan, self._engine, self.spent
        begin = engine.now
        if fetch is not None:
            waiting = fetch.arrival(engine.pause())
            if waiting is not None:
                yield waiting
        spent.source += engine.now - begin
        if plan.core_ps:
            yield engine.timeout(plan.core_ps)
            spent.cpu += plan.core_ps
        begin = engine.now
        if plan.is_overlapped:
            left = self._copies.reserve(plan.copy_ps)
            self._done.append(engine.now + left)
            if len(self._done) > BUFFERS and (wait := self._done.popleft() - engine.now) > 0:
                yield engine.timeout(wait)
        elif not plan.copies_later:
            yield engine.timeout(plan.copy_ps)
        spent.copy += engine.now - begin

    def _fold(self, done: int, windows: int, chunk: int) -> None:
        """The rest takes as long per window as the later half of those that were stepped."""
        half, left = STEADY // 2, windows - done
        later, sooner = self.spent.marks[-1], self.spent.marks[-1 - half]
        period, *each = ((end - begin) / half for end, begin in zip(later, sooner, strict=True))
        for name, ps in zip(("source", "cpu", "copy"), each, strict=True):
            setattr(self.spent, name, getattr(self.spent, name) + round(ps * left))
        while left > 0:
            step = min(left, chunk)
            self._engine.warp(round(period * step))
            self._done = deque(each + round(period * step) for each in self._done)
            left -= step
            if not self._progress(min(self._total, (windows - left) * self._plan.window)):
                return

    def _finish(self) -> Behaviour:
        """Copies that are still under way, or that had to wait for the whole file."""
        engine, begin = self._engine, self._engine.now
        left = max(self._done, default=engine.now) - engine.now
        if self._plan.copies_later:
            left = round(self._plan.copy_ps * self._total / self._plan.window)
        if left > 0:
            yield engine.timeout(left)
        self.spent.copy += engine.now - begin
