"""The bandwidth microbenchmark on the device: CTAs that read and do nothing else, and who runs beside them.

Each warp keeps a number of pieces (what its 32 lanes ask for at once, at most 512 B) outstanding and takes them in
order. A piece crosses the same hops as a kernel's fetch; the memory controllers' hop is split into its channels, and an
address decides which of them serve it and which page it needs. Arbitration is by SM on the GPU (`Port`, `WarpQueue`)
and by tenant at the channels: the GPU is one of them, a cluster of CPU cores, the NIC or a drive others.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from sim.component.profile import Device
from sim.component.sm import GOLDEN
from sim.component.stream_warp import Arrived, Counted, Gang, Piece, Ports, Stream, Touch, Warp, WarpQueue
from sim.component.tlb import Translations
from sim.component.transfer import Hop, Part, across
from sim.engine import Engine, TenantServer

GPU = "gpu"
"""The GPU's name among the tenants of the memory."""
STRIDE = 7
"""Channels from one load of another component to its next: no multiple of a number of channels."""
MakeQueue = Callable[[Engine, float, Ports], WarpQueue]


@dataclass(frozen=True, slots=True)
class Observed:
    """What an interval showed. `busy`: share of it that each hop had work for; `stream_bytes` without who runs beside.

    `neighbour`: the rounds of a barrier kernel beside. `tenant_bytes`: what arrived for each tenant besides the GPU.
    """

    window_ps: int
    stream_bytes: float
    chase: Counted
    neighbour: Counted
    tenant_bytes: dict[str, float]
    busy: dict[str, float]
    events: int


class _Served(NamedTuple):
    """A server so far: seconds of work done (a piece counts as far as it is through) and asked, bytes asked."""

    served_s: float
    asked_s: float
    n_bytes: float


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was counted by a moment: who is counted, work by hop, and L2's banks and every channel in full."""

    clock: int
    counted: dict[str, Counted]
    work: dict[str, float]
    channels_s: float
    servers: list[_Served]
    tenants: dict[str, list[_Served]]


class StreamRun:
    """Streams, and who runs beside them, on one device.

    `make_queue`: a warp's queue from its room in bytes and its SM's ports (a test swaps another arbitration in).
    `translations`: the pages that are known; None: all are. `has_tenants`: others than the GPU use the channels too
    (`add_tenant`).
    """

    def __init__(
        self,
        device: Device,
        engine: Engine,
        n_channels: int,
        make_queue: MakeQueue = WarpQueue,
        translations: Translations | None = None,
        *,
        has_tenants: bool = False,
    ) -> None:
        self.device = device
        self.engine = engine
        self.round_trip_ps = device.issue_ps + device.l2.latency_ps + sum(hop.latency_ps for hop in device.memory_path)
        """An unloaded load of a whole warp from memory: issue, L2, the way to memory and back."""
        self._translations = translations
        self._memory = device.memory_path[-1]
        self._shared = [
            TenantServer(engine, f"channel.{each}", 1.0) for each in range(n_channels if has_tenants else 0)
        ]
        self._n_channels = n_channels
        self._channels_of = {GPU: self._channels(GPU)}
        n_banks = device.l2_banks
        self._banks = [device.l2.channel(engine, each, n_banks) for each in range(n_banks)]
        self._to_link = (device.l2, *device.memory_path[:-1])
        self._ends_at_link = False
        """Whether something comes from a cache behind the link: its bytes are counted there."""
        self.counted = {name: Counted() for name in ("streams", "chase", "neighbour")}
        self._live = 0
        self._ports: defaultdict[int, Ports] = defaultdict(dict)
        self._make_queue = make_queue
        self._finished = engine.event()
        self._ways: dict[tuple[str, Piece], tuple[list[Part], float, int]] = {}

    def _channels(self, tenant: str) -> tuple[Hop, ...]:
        """The memory's channels as a tenant sees them."""
        n, engine = self._n_channels, self.engine
        if not self._shared:
            return tuple(self._memory.channel(engine, each, n) for each in range(n))
        ports = enumerate(shared.port(tenant) for shared in self._shared)
        return tuple(self._memory.channel(engine, each, n, port) for each, port in ports)

    def add_stream(self, stream: Stream, sm: int) -> None:
        """Let a warp of an SM run its program."""
        self._live += 1
        warp = Warp(self, stream, self._queue(sm), self._ended)
        self.engine.call_after(stream.start_ps, warp.begin)

    def add_chase(self, touches: Iterator[Touch], sm: int) -> None:
        """One load of one thread of an SM after the other, each address known only when the one before has arrived.

        It does not wait for the issue of a whole warp's lanes, and what L2's latency says of a lone load holds for it.
        """
        chase = Stream(touches, ("random",), 1, 0, self.counted["chase"])
        Warp(self, chase, self._queue(sm), lambda: None).begin()

    def add_neighbour(self, warps: list[Iterator[Touch]], pause_ps: int, start_ps: int, sm: int) -> None:
        """A CTA of an SM whose warps load a piece each, wait for each other, compute for `pause_ps`, and load again."""
        gang = Gang(pause_ps, self.counted["neighbour"])
        members = [
            Warp(
                self,
                Stream(touches, ("read",), 1, start_ps, gang.counted, self.device.issue_ps, gang),
                self._queue(sm),
                _end,
            )
            for touches in warps
        ]
        for member in members:
            self.engine.call_after(start_ps, member.begin)

    def add_tenant(
        self, name: str, way: tuple[Hop, ...], n_bytes: float, access: str, most_bytes: float | None = None
    ) -> None:
        """A requester of another component moves data to or from memory as fast as it can.

        `way`: its own hops, memory not among them. It moves `n_bytes` at a time, over all channels, and has at most
        `most_bytes` under way (None: as much as its own way needs to be full).
        """
        channels = self._channels_of.get(name) or self._channels_of.setdefault(name, self._channels(name))
        parts = [Part(hop, n_bytes, access) for hop in way]  # none is hidden: its ways may have a hop in common
        parts += [Part(channel, n_bytes / len(channels), access) for channel in channels]
        latency_ps = sum(hop.latency_ps for hop in way)
        fastest_s = max(n_bytes / hop.rates[access] for hop in way)
        depth = 4 + int(latency_ps / 1e12 / fastest_s) if most_bytes is None else max(1, int(most_bytes / n_bytes))
        queue = WarpQueue(self.engine, 2 * n_bytes, {})

        def arrived() -> None:
            queue.fetch(parts, n_bytes, latency_ps, arrived)

        for number in range(depth):  # not all at once: what came together would leave together for ever
            begin_ps = round(number * GOLDEN % 1.0 * (latency_ps + fastest_s * 1e12))
            self.engine.call_after(begin_ps, partial(queue.fetch, parts, n_bytes, latency_ps, arrived))

    def add_load(self, tenant: str, n_bytes: float, latency_ps: int) -> None:
        """One dependent load after the other of another component, each on the next channel; counted as the chase.

        `latency_ps`: of one that waits for nobody, its own service at the channel not taken off.
        """
        channels = self._channels_of.get(tenant) or self._channels_of.setdefault(tenant, self._channels(tenant))
        parts = [[Part(channel, n_bytes, "random")] for channel in channels]
        service_ps = round(n_bytes / channels[0].rates["random"] * 1e12)
        queue, counted = WarpQueue(self.engine, n_bytes, {}), self.counted["chase"]
        began = self.engine.clock

        def load() -> None:
            nonlocal began
            began = self.engine.clock
            channel = parts[counted.pieces * STRIDE % len(parts)]
            queue.fetch(channel, n_bytes, max(0, latency_ps - service_ps), arrived)

        def arrived() -> None:
            counted.pieces += 1
            counted.n_bytes += n_bytes
            counted.latency_ps += self.engine.clock - began
            load()

        load()

    def _queue(self, sm: int) -> WarpQueue:
        return self._make_queue(self.engine, self.device.requester_bytes, self._ports[sm])

    def send(self, queue: WarpQueue, touch: Touch, access: str, extra_ps: int, arrived: Arrived) -> float:
        """Send a piece on its way; its bytes."""
        piece, page = touch
        known = self._ways.get((access, piece))
        if known is None:
            known = self._ways[access, piece] = self._way(piece, access)
        parts, n_bytes, latency_ps = known
        if self._translations is not None:
            extra_ps += self._translations.wait_ps(page, self.engine.clock)
        queue.fetch(parts, n_bytes, extra_ps + latency_ps, arrived)
        return n_bytes

    def _way(self, piece: Piece, access: str) -> tuple[list[Part], float, int]:
        """What a piece moves hop by hop, its bytes, and its latency (ps)."""
        device, n_bytes = self.device, piece.n_bytes
        l2, path = device.l2, device.memory_path
        if piece.level == "l2":
            return [Part(self._banks[bank], size, access) for bank, size in piece.blocks], n_bytes, l2.latency_ps
        link_ps = l2.latency_ps + sum(hop.latency_ps for hop in path[:-1])
        if piece.level == "side_cache":
            self._ends_at_link = True
            return across(self._to_link, n_bytes, access), n_bytes, link_ps + device.side_cache_ps
        on_the_way = across((l2, *path), n_bytes, access)[:-1]
        at_memory = [Part(self._channels_of[GPU][channel], size, access) for channel, size in piece.blocks]
        return [*on_the_way, *at_memory], n_bytes, link_ps + path[-1].latency_ps

    def _ended(self) -> None:
        self._live -= 1
        if self._live == 0:
            self._finished.succeed()

    def observe(self, warm_ps: int, window_ps: int) -> Observed:
        """Run for `warm_ps`, then look for `window_ps`."""
        with _no_collection():
            self.engine.run(self.engine.timeout(warm_ps))
            before = self._mark()
            self.engine.run(self.engine.timeout(window_ps))
            return self._observed(before, self._mark())

    def observe_all(self) -> Observed:
        """Run until every stream has used up its pieces (there is one, and they do end)."""
        with _no_collection():
            before = self._mark()
            self.engine.run(self._finished)
            return self._observed(before, self._mark())

    def _observed(self, before: _Mark, after: _Mark) -> Observed:
        window_ps = after.clock - before.clock
        found = {name: counted.since(before.counted[name]) for name, counted in after.counted.items()}
        both = list(zip(before.servers, after.servers, strict=True))
        served = _served_bytes(before.servers, after.servers)
        asked_s = sum(z.asked_s - a.asked_s for a, z in both)
        through = sum(z.served_s - a.served_s for a, z in both) / asked_s if asked_s else 0.0
        beside = found["chase"].n_bytes + found["neighbour"].n_bytes
        busy = {name: through * (work - before.work[name]) * 1e12 / window_ps for name, work in after.work.items()}
        busy[self._memory.name] = (after.channels_s - before.channels_s) / self._n_channels * 1e12 / window_ps
        tenants = {name: _served_bytes(before.tenants[name], each) for name, each in after.tenants.items()}
        return Observed(
            window_ps, served - beside, found["chase"], found["neighbour"], tenants, busy, self.engine.events
        )

    def _mark(self) -> _Mark:
        l2, path = self.device.l2, self.device.memory_path
        work = {hop.name: hop.load(hop.moved) for hop in (l2, *path[:-1])}
        work[l2.name] += sum(bank.load(bank.moved) for bank in self._banks) / len(self._banks)
        servers = [
            _Served(s.served - s.backlog(), s.served, s.served * hop.bandwidth_of(s))
            for hop in (*self._banks, self._to_link[-1])
            for s in hop.servers()
        ]
        if not self._ends_at_link:  # then what crosses it is counted at the channels
            servers[-len(self._to_link[-1].servers()) :] = [_Served(0.0, 0.0, 0.0)] * len(self._to_link[-1].servers())
        at_memory = {name: [_served(hop) for hop in hops] for name, hops in self._channels_of.items()}
        channels_s = sum(each.served_s for channels in at_memory.values() for each in channels)
        servers += at_memory.pop(GPU)
        counted = {name: replace(each) for name, each in self.counted.items()}
        return _Mark(self.engine.clock, counted, work, channels_s, servers, at_memory)


def _served(hop: Hop) -> _Served:
    """How far a channel is with the work of one tenant."""
    (server,) = hop.servers()
    return _Served(server.served - server.backlog(), server.served, sum(hop.moved.values()))


def _served_bytes(before: list[_Served], after: list[_Served]) -> float:
    """Bytes that went through between two marks; a piece counts as far as it is through."""
    return sum(
        (z.served_s - a.served_s) * (z.n_bytes - a.n_bytes) / (z.asked_s - a.asked_s)
        for a, z in zip(before, after, strict=True)
        if z.asked_s > a.asked_s
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector, which takes half of the time and finds nothing: what goes is not in cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _end() -> None:
    """A neighbour has no end."""
