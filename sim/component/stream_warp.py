"""Who asks in the bandwidth microbenchmark: warps with their queues, and gangs in which they wait for each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sim.component.transfer import Part
from sim.engine import Engine, FairServer

Arrived = Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """What a warp asks for at once: (channel, bytes) of its blocks, and who has them: "l2", "side_cache", "memory".

    Where L2 has them, its banks stand for the channels.
    """

    blocks: tuple[tuple[int, float], ...]
    level: str = "memory"

    @property
    def n_bytes(self) -> float:
        """Bytes of it."""
        return float(sum(size for _, size in self.blocks))


Touch = tuple[Piece, int]
"""A piece, and the page that it lies in."""


class Port:
    """The way of one SM into a server: its pieces go in order; one at a time is served beside those of other SMs."""

    __slots__ = ("_queue", "_served", "_server")

    def __init__(self, server: FairServer) -> None:
        self._server = server
        self._queue: deque[tuple[Part, Arrived]] = deque()
        self._served: Arrived | None = None

    def submit(self, part: Part, done: Arrived) -> None:
        """Queue a part behind those that came before; call `done` when it is through."""
        if self._served is None:
            self._begin(part, done)
        else:
            self._queue.append((part, done))

    def _begin(self, part: Part, done: Arrived) -> None:
        hop, n_bytes, access, _ = part
        self._served = done
        hop.moved[access] += n_bytes
        self._server.submit(n_bytes / hop.rates[access], 1.0, self._finish)

    def _finish(self) -> None:
        done, self._served = self._served, None
        if self._queue:
            self._begin(*self._queue.popleft())
        if done is not None:
            done()


Ports = dict[FairServer, Port]
"""The ports of one SM, by the server that they lead into."""


class WarpQueue:
    """One warp's pieces, in order: the ports of its SM take in `room` bytes of them at a time, the rest waits.

    Servers go round the SMs (in the fluid limit of small pieces), and an SM's own pieces stand in line: who asks for
    little waits for what its own SM has sent before, and not for what all others would like to have.
    """

    __slots__ = ("_engine", "_held", "_ports", "_room", "_waiting")

    def __init__(self, engine: Engine, room: float, ports: Ports) -> None:
        self._engine = engine
        self._room = room
        self._ports = ports
        self._held = 0.0
        self._waiting: deque[tuple[Sequence[Part], float, int, Arrived]] = deque()

    def fetch(self, parts: Sequence[Part], n_bytes: float, latency_ps: int, arrived: Arrived) -> None:
        """Send a piece behind the earlier ones; call `arrived` the latency after its last byte is through."""
        if not self._waiting and (not self._held or self._held + n_bytes <= self._room):
            self._start(parts, n_bytes, latency_ps, arrived)
        else:
            self._waiting.append((parts, n_bytes, latency_ps, arrived))

    def _start(self, parts: Sequence[Part], n_bytes: float, latency_ps: int, arrived: Arrived) -> None:
        self._held += n_bytes
        served = [part for part in parts if not part.is_hidden]
        left = len(served)
        for part in parts:
            if part.is_hidden:
                part.hop.moved[part.access] += part.n_bytes

        def part_done() -> None:
            nonlocal left
            left -= 1
            if not left:
                self._held -= n_bytes
                self._engine.call_after(latency_ps, arrived)
                while self._waiting and (not self._held or self._held + self._waiting[0][1] <= self._room):
                    self._start(*self._waiting.popleft())

        for part in served:
            server = part.hop.server(part.access)
            port = self._ports.get(server)
            if port is None:
                port = self._ports[server] = Port(server)
            port.submit(part, part_done)


@dataclass(slots=True)
class Counted:
    """What arrived: pieces, bytes, the sum of their latencies (ps), and rounds of a gang."""

    pieces: int = 0
    n_bytes: float = 0.0
    latency_ps: int = 0
    rounds: int = 0

    def since(self, before: Counted) -> Counted:
        """What was counted since then."""
        return Counted(
            self.pieces - before.pieces,
            self.n_bytes - before.n_bytes,
            self.latency_ps - before.latency_ps,
            self.rounds - before.rounds,
        )


@dataclass(slots=True)
class Gang:
    """Warps that send together and wait for each other (a barrier), `pause_ps` before they go on.

    A warp that issues all its loads and then uses them is a gang of its own.
    """

    pause_ps: int = 0
    counted: Counted = field(default_factory=Counted)
    flying: int = 0
    members: list[Callable[[], None]] = field(default_factory=list)

    def arrived(self, engine: Engine) -> None:
        """One piece of the gang is there; when it was the last, all send again."""
        self.flying -= 1
        if self.flying:
            return
        self.counted.rounds += 1
        if self.pause_ps:
            engine.call_after(self.pause_ps, self._go_on)
        else:
            self._go_on()

    def _go_on(self) -> None:
        for send in self.members:
            send()


@dataclass(slots=True)
class Stream:
    """One warp's program. `pieces`: what it asks for, one after the other, until they are used up.

    `accesses`: of its pieces in turn, ("read",) or ("read", "write") for a copy. `depth`: pieces outstanding.
    `start_ps`: when it begins. `extra_ps`: before each piece leaves. `gang`: it sends `depth` pieces at once and then
    waits for all of its gang's; None: it sends the next one when one arrives.
    """

    pieces: Iterator[Touch]
    accesses: tuple[str, ...]
    depth: int
    start_ps: int
    to: Counted
    extra_ps: int = 0
    gang: Gang | None = None
    first: int = 0
    """Pieces of its first batch, if not `depth`: warps are not all at the beginning of a batch."""


class Sender(Protocol):
    """What a warp needs of the run."""

    engine: Engine

    def send(self, queue: WarpQueue, touch: Touch, access: str, extra_ps: int, arrived: Arrived) -> float:
        """Send a piece on its way; its bytes."""


class Warp:
    """A stream at work."""

    __slots__ = ("_ended", "_flying", "_queue", "_run", "_stream", "_turn")

    def __init__(self, run: Sender, stream: Stream, queue: WarpQueue, ended: Arrived) -> None:
        self._run = run
        self._stream = stream
        self._queue = queue
        self._turn = 0
        self._flying = 0
        self._ended: Arrived | None = ended
        if stream.gang is not None:
            stream.gang.members.append(self.go_on)

    def begin(self) -> None:
        """Send the first pieces."""
        for _ in range(self._stream.first or self._stream.depth):
            self._send()

    def go_on(self) -> None:
        """Send the next batch."""
        for _ in range(self._stream.depth):
            self._send()

    def _send(self) -> None:
        run, stream = self._run, self._stream
        touch = next(stream.pieces, None)
        if touch is None:
            if not self._flying and self._ended is not None:
                self._ended()
                self._ended = None
            return
        access = stream.accesses[self._turn % len(stream.accesses)]
        self._turn += 1
        begin = run.engine.clock
        self._flying += 1
        if stream.gang is not None:
            stream.gang.flying += 1

        def arrive() -> None:
            self._flying -= 1
            stream.to.pieces += 1
            stream.to.n_bytes += n_bytes
            stream.to.latency_ps += run.engine.clock - begin
            if stream.gang is None:
                self._send()
            else:
                stream.gang.arrived(run.engine)

        n_bytes = run.send(self._queue, touch, access, stream.extra_ps, arrive)
