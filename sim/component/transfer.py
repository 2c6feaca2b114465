"""How bytes move between components: hops, and one requester's path across them.

A hop is what a component that carries traffic offers: fair servers (whose work is seconds, so that access kinds may
cost differently) and a latency. A transfer crosses all its hops at once (cut-through): it has arrived when the slowest
hop is through with it, plus the latencies. That is exact when one hop binds, which is the case that matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sim.engine import Engine, Event, FairServer, Flow, Pause

READS = ("read", "random", "strided")
"""Kinds of reading: long runs, scattered pieces of 512 B, and pieces of a few sectors at a stride (rows of a tile)."""
ACCESSES = (*READS, "write")
FILL = "fill"
"""Answers of L2 to fetches beyond a matrix: they have a rate of their own, and move nothing from memory."""


class Hop:
    """One component's part in a transfer: servers, latency, and the count of bytes that went through.

    `rates`: sustained bytes per second by access kind (`ACCESSES`), or one for all. `is_shared`: the kinds compete for
    one server (a DRAM bus; `server` where it is given); otherwise each kind has its own (the two directions of a link).
    `cause`: what a wait for this hop is called in results.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        cause: str,
        rates: dict[str, float] | float,
        latency_ps: int,
        *,
        is_shared: bool,
        server: FairServer | None = None,
    ) -> None:
        rates = rates if isinstance(rates, dict) else dict.fromkeys(ACCESSES, rates)
        self.name = name
        self.is_shared = is_shared
        self.cause = cause
        self.latency_ps = latency_ps
        self.rates = rates
        self.moved = dict.fromkeys(rates, 0.0)
        if is_shared:
            common = server or FairServer(engine, name, 1.0, cause)
            self._servers = dict.fromkeys(rates, common)
        else:
            self._servers = {access: FairServer(engine, f"{name}.{access}", 1.0, cause) for access in rates}

    def channel(self, engine: Engine, number: int, n: int, server: FairServer | None = None) -> Hop:
        """One of `n` equal ones that this hop is made of, with an `n`-th of its rates (the channels of a memory)."""
        rates = {access: rate / n for access, rate in self.rates.items()}
        name = f"{self.name}.{number}"
        return Hop(engine, name, self.cause, rates, self.latency_ps, is_shared=self.is_shared, server=server)

    def server(self, access: str) -> FairServer:
        """The server that `access` occupies."""
        return self._servers[access]

    def servers(self) -> list[FairServer]:
        """Every distinct server, in a fixed order."""
        return list(dict.fromkeys(self._servers.values()))

    def bandwidth_of(self, server: FairServer) -> float:
        """Bytes per second of one of its servers: that of its access kind (the fastest, where kinds share it)."""
        return max(rate for access, rate in self.rates.items() if self._servers[access] is server)

    def load(self, n_bytes: dict[str, float]) -> float:
        """Seconds of work that so many bytes of each access kind are for the busiest of its servers."""
        work: dict[FairServer, float] = {}
        for access, amount in n_bytes.items():
            server = self._servers[access]
            work[server] = work.get(server, 0.0) + amount / self.rates[access]
        return max(work.values())

    def is_behind(self, other: Hop, access: str) -> bool:
        """Whether `other` holds up every `access` transfer that crosses both at least as long as this hop does."""
        alone = sum(1 for server in self._servers.values() if server is self._servers[access]) == 1
        return alone and other.rates[access] < self.rates[access]


class Part(NamedTuple):
    """What a transfer moves across one hop. `is_hidden`: only counted, for a slower hop always holds it up longer."""

    hop: Hop
    n_bytes: float
    access: str
    is_hidden: bool = False


def across(hops: Sequence[Hop], n_bytes: float, access: str) -> list[Part]:
    """The parts of a transfer that crosses `hops`."""
    hidden = [any(hop.is_behind(other, access) for other in hops if other is not hop) for hop in hops]
    return [Part(hop, n_bytes, access, is_hidden) for hop, is_hidden in zip(hops, hidden, strict=True)]


class Fetch:
    """Bytes under way to one requester (or to a cohort of equal ones), in `parts` that have yet to come through.

    `arrived_at`: when the last one did, less the latency (-1: not yet); `last`: the server that it came from.
    """

    __slots__ = ("_engine", "_parts", "arrived_at", "issued_at", "last", "latency_ps", "waiter")

    def __init__(self, engine: Engine, parts: int, latency_ps: int) -> None:
        self._engine = engine
        self._parts = parts
        self.latency_ps = latency_ps
        self.issued_at = engine.clock
        self.arrived_at = -1
        self.last: FairServer | None = None
        self.waiter: Event | None = None

    @property
    def cause(self) -> str:
        """What a wait for it is called: that of the server which held it up longest."""
        return self.last.cause if self.last is not None else ""

    def part_done(self, server: FairServer) -> None:
        """One hop is through; when it was the last one, whoever waits goes on after the latency."""
        self._parts -= 1
        if self._parts == 0:
            self.arrived_at = self._engine.clock
            self.last = server
            if self.waiter is not None:
                self._engine.succeed_after(self.waiter, self.latency_ps)

    def arrival(self, pause: Pause) -> Event | None:
        """`pause`, to wait until the bytes are here, latency included; None if they are."""
        if self.arrived_at < 0:
            self.waiter = pause.open_ended()
            return self.waiter
        left = self.arrived_at + self.latency_ps - self._engine.clock
        return pause.of(left) if left > 0 else None


class _Lane(NamedTuple):
    """A part as one requester sends it. `flow`: our queue for its server (None: only counted); `work`: its seconds."""

    moved: dict[str, float]
    access: str
    n_bytes: float
    flow: Flow | None
    work: float


class Requester:
    """One tile stream: at each hop its fetches queue behind each other, and share the hop with other requesters."""

    __slots__ = ("_engine", "_flows", "_ways")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._flows: dict[FairServer, Flow] = {}
        self._ways: dict[int, tuple[Sequence[Part], int, list[_Lane]]] = {}

    def fetch(self, parts: Sequence[Part], weight: float, latency_ps: int) -> Fetch:
        """Send `parts` for `weight` equal requesters; their bytes are those of all of them.

        The same list of parts again (a K-step moves what the one before did) is worked out only once.
        """
        way = self._ways.get(id(parts))
        if way is None:
            way = self._ways[id(parts)] = self._way(parts)
        _, served, lanes = way
        fetch = Fetch(self._engine, served, latency_ps)
        for moved, access, n_bytes, flow, work in lanes:
            moved[access] += n_bytes
            if flow is not None:
                flow.submit(work, weight, fetch.part_done)
        return fetch

    def _way(self, parts: Sequence[Part]) -> tuple[Sequence[Part], int, list[_Lane]]:
        """The parts (kept, so that their identity stays theirs), how many are served, and how each is sent."""
        lanes = []
        for hop, n_bytes, access, is_hidden in parts:
            server = hop.server(access)
            if not is_hidden and server not in self._flows:
                self._flows[server] = Flow(server)
            flow = None if is_hidden else self._flows[server]
            lanes.append(_Lane(hop.moved, access, n_bytes, flow, n_bytes / hop.rates[access]))
        return parts, sum(lane.flow is not None for lane in lanes), lanes
