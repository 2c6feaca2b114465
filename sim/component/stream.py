"""The bandwidth microbenchmark on the device: CTAs that read and do nothing else, and one dependent chase beside them.

Each warp keeps a fixed number of pieces (what its 32 lanes ask for at once, at most 512 B) outstanding and takes them
in order. A piece crosses the same hops as a kernel's fetch; the memory controllers' hop is split into its channels,
and an address decides which of them serve it. Arbitration is round robin by requester, so that each warp has one piece
under service at a time (`WarpQueue`); the channels share their rate among the pieces that are there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sim.component.profile import Device
from sim.component.transfer import Hop, Part, across
from sim.engine import Engine

Arrived = Callable[[], None]


class Piece(NamedTuple):
    """What a warp asks for at once: (channel, bytes) of its blocks, and whether L2 has them."""

    blocks: tuple[tuple[int, float], ...]
    is_hit: bool


class WarpQueue:
    """One requester's pieces: in order, one under service at a time, whichever channels serve it.

    What round robin among requesters comes to while each has something to send; the same order as `transfer.Flow`, with
    several servers behind it.
    """

    __slots__ = ("_done", "_engine", "_left", "_queue")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: deque[tuple[Sequence[Part], int, Arrived]] = deque()
        self._left = 0

    def fetch(self, parts: Sequence[Part], latency_ps: int, arrived: Arrived) -> None:
        """Send a piece behind the earlier ones; call `arrived` the latency after its last byte is through."""
        self._queue.append((parts, latency_ps, arrived))
        if len(self._queue) == 1:
            self._start(parts)

    def _start(self, parts: Sequence[Part]) -> None:
        self._left = sum(not part.is_hidden for part in parts)
        for hop, n_bytes, access, is_hidden in parts:
            hop.moved[access] += n_bytes
            if not is_hidden:
                hop.server(access).submit(n_bytes / hop.rates[access], 1.0, self._part_done)

    def _part_done(self) -> None:
        self._left -= 1
        if self._left:
            return
        _, latency_ps, arrived = self._queue.popleft()
        self._engine.call_after(latency_ps, arrived)
        if self._queue:
            self._start(self._queue[0][0])


@dataclass(slots=True)
class Counted:
    """What arrived: pieces, bytes, and the sum of their latencies (ps)."""

    pieces: int = 0
    n_bytes: float = 0.0
    latency_ps: int = 0


@dataclass(slots=True)
class Stream:
    """One warp's program. `pieces`: what it asks for, one after the other, until they are used up.

    `accesses`: of its pieces in turn, ("read",) or ("read", "write") for a copy. `depth`: pieces outstanding. `start`:
    when it begins, as a share of an unloaded round trip (fractions only): warps do not run in lock step.
    `walk_share`: share of its pieces whose page is not in the TLB, evenly spread. `extra_ps`: before each leaves.
    """

    pieces: Iterator[Piece]
    accesses: tuple[str, ...]
    depth: int
    start: float
    to: Counted
    extra_ps: int = 0
    walk_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Observed:
    """What an interval showed. `busy`: share of it that each hop had work for; `stream_bytes` without the chase's."""

    window_ps: int
    stream_bytes: float
    chase: Counted
    busy: dict[str, float]
    events: int


class _Served(NamedTuple):
    """A server so far: seconds of work done (a piece counts as far as it is through) and asked, bytes asked."""

    served_s: float
    asked_s: float
    n_bytes: float


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was counted by a moment: chase, work by hop, and L2's hits and every channel in full."""

    clock: int
    chase: tuple[int, float, int]
    work: dict[str, float]
    servers: list[_Served]


class StreamRun:
    """Streams and a chase on one device. `make_queue`: a requester's queue (a test swaps another arbitration in)."""

    def __init__(
        self, device: Device, engine: Engine, n_channels: int, make_queue: Callable[[Engine], WarpQueue] = WarpQueue
    ) -> None:
        self.device = device
        self.engine = engine
        self.channels = device.memory_path[-1].split(engine, n_channels)
        self.streams = Counted()
        self.chase = Counted()
        self._live = 0
        self._make_queue = make_queue
        self._finished = engine.event()
        self._ways: dict[tuple[str, Piece], tuple[list[Part], int]] = {}

    @property
    def round_trip_ps(self) -> int:
        """An unloaded load of a whole warp from memory: issue, L2, the way to memory and back."""
        device = self.device
        return device.issue_ps + device.l2.latency_ps + sum(hop.latency_ps for hop in device.memory_path)

    def add_stream(self, stream: Stream) -> None:
        """Let a warp run its program."""
        self._live += 1
        warp = _Warp(self, stream, self._make_queue(self.engine), self._ended)
        self.engine.call_after(round(stream.start % 1.0 * self.round_trip_ps), warp.begin)

    def add_chase(self, pieces: Iterator[Piece], walk_share: float) -> None:
        """One load of one thread after the other, each address known only when the one before has arrived.

        It does not wait for the issue of a whole warp's lanes, and what L2's latency says of a lone load holds for it.
        """
        chase = Stream(pieces, ("random",), 1, 0.0, self.chase, walk_share=walk_share)
        _Warp(self, chase, self._make_queue(self.engine), lambda: None).begin()

    def send(self, queue: WarpQueue, piece: Piece, access: str, extra_ps: int, arrived: Arrived) -> float:
        """Send a piece on its way; its bytes."""
        known = self._ways.get((access, piece))
        if known is None:
            known = self._ways[access, piece] = self._way(piece, access)
        parts, latency_ps = known
        queue.fetch(parts, extra_ps + latency_ps, arrived)
        return parts[0].n_bytes

    def _way(self, piece: Piece, access: str) -> tuple[list[Part], int]:
        """What a piece moves, hop by hop, and its latency (ps)."""
        l2, path, n_bytes = self.device.l2, self.device.memory_path, float(sum(size for _, size in piece.blocks))
        if piece.is_hit:
            return [Part(l2, n_bytes, access)], l2.latency_ps
        on_the_way = across((l2, *path), n_bytes, access)[:-1]
        at_memory = [Part(self.channels[channel], size, access) for channel, size in piece.blocks]
        return [*on_the_way, *at_memory], l2.latency_ps + sum(hop.latency_ps for hop in path)

    def _ended(self) -> None:
        self._live -= 1
        if self._live == 0:
            self._finished.succeed()

    def observe(self, warm_ps: int, window_ps: int) -> Observed:
        """Run for `warm_ps`, then look for `window_ps`."""
        self.engine.run(self.engine.timeout(warm_ps))
        before = self._mark()
        self.engine.run(self.engine.timeout(window_ps))
        return self._observed(before, self._mark())

    def observe_all(self) -> Observed:
        """Run until every stream has used up its pieces (there is one, and they do end)."""
        before = self._mark()
        self.engine.run(self._finished)
        return self._observed(before, self._mark())

    def _observed(self, before: _Mark, after: _Mark) -> Observed:
        window_ps = after.clock - before.clock
        pieces, n_bytes, latency_ps = (z - a for a, z in zip(before.chase, after.chase, strict=True))
        chase = Counted(int(pieces), n_bytes, int(latency_ps))
        served = sum(
            (z.served_s - a.served_s) * (z.n_bytes - a.n_bytes) / (z.asked_s - a.asked_s)
            for a, z in zip(before.servers, after.servers, strict=True)
            if z.asked_s > a.asked_s
        )
        busy = {name: (work - before.work[name]) * 1e12 / window_ps for name, work in after.work.items()}
        return Observed(window_ps, served - chase.n_bytes, chase, busy, self.engine.events)

    def _mark(self) -> _Mark:
        l2, path = self.device.l2, self.device.memory_path
        hops: dict[str, tuple[Hop, ...]] = {hop.name: (hop,) for hop in (l2, *path[:-1])} | {
            path[-1].name: self.channels
        }
        work = {name: sum(hop.load(hop.moved) for hop in group) / len(group) for name, group in hops.items()}
        servers = [_Served(s.served - s.backlog(), s.served, s.served * l2.bandwidth_of(s)) for s in l2.servers()]
        for hop in self.channels:
            (server,) = hop.servers()
            servers.append(_Served(server.served - server.backlog(), server.served, sum(hop.moved.values())))
        return _Mark(self.engine.clock, (self.chase.pieces, self.chase.n_bytes, self.chase.latency_ps), work, servers)


class _Warp:
    """A stream at work: it sends the next piece when one arrives."""

    __slots__ = ("_ended", "_flying", "_owed", "_queue", "_run", "_stream", "_turn")

    def __init__(self, run: StreamRun, stream: Stream, queue: WarpQueue, ended: Arrived) -> None:
        self._run = run
        self._stream = stream
        self._queue = queue
        self._turn = 0
        self._flying = 0
        self._owed = 0.0
        self._ended: Arrived | None = ended

    def begin(self) -> None:
        for _ in range(self._stream.depth):
            self._send()

    def _send(self) -> None:
        run, stream = self._run, self._stream
        piece = next(stream.pieces, None)
        if piece is None:
            if not self._flying and self._ended is not None:
                self._ended()
                self._ended = None
            return
        access = stream.accesses[self._turn % len(stream.accesses)]
        self._turn += 1
        self._owed += stream.walk_share
        extra_ps = stream.extra_ps
        if self._owed >= 1.0:
            self._owed -= 1.0
            extra_ps += run.device.walk_ps
        begin = run.engine.clock
        self._flying += 1

        def arrive() -> None:
            self._flying -= 1
            stream.to.pieces += 1
            stream.to.n_bytes += n_bytes
            stream.to.latency_ps += run.engine.clock - begin
            self._send()

        n_bytes = run.send(self._queue, piece, access, extra_ps, arrive)
