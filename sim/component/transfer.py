"""How bytes move between components: hops, and one requester's path across them.

A hop is what a component that carries traffic offers: fair servers (whose work is seconds, so that access kinds may
cost differently) and a latency. A transfer crosses all its hops at once (cut-through): it has arrived when the slowest
hop is through with it, plus the latencies. That is exact when one hop binds, which is the case that matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sim.engine import Engine, Event, FairServer, Flow

READS = ("read", "random", "strided")
"""Kinds of reading: long runs, scattered pieces of 512 B, and pieces of a few sectors at a stride (rows of a tile)."""
ACCESSES = (*READS, "write")
FILL = "fill"
"""Answers of L2 to fetches beyond a matrix: they have a rate of their own, and move nothing from memory."""


class Hop:
    """One component's part in a transfer: servers, latency, and the count of bytes that went through.

    `rates`: sustained bytes per second by access kind (`ACCESSES`), or one for all. `is_shared`: the kinds compete for
    one server (a DRAM bus); otherwise each kind has its own (the two directions of a link). `cause`: what a wait for
    this hop is called in results.
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
    ) -> None:
        rates = rates if isinstance(rates, dict) else dict.fromkeys(ACCESSES, rates)
        self.name = name
        self.is_shared = is_shared
        self.cause = cause
        self.latency_ps = latency_ps
        self.rates = rates
        self.moved = dict.fromkeys(rates, 0.0)
        if is_shared:
            common = FairServer(engine, name, 1.0)
            self._servers = dict.fromkeys(rates, common)
        else:
            self._servers = {access: FairServer(engine, f"{name}.{access}", 1.0) for access in rates}

    def split(self, engine: Engine, n: int) -> tuple[Hop, ...]:
        """This hop as `n` equal ones side by side, each with an `n`-th of its rates (the channels of a memory)."""
        rates = {access: rate / n for access, rate in self.rates.items()}
        names = [f"{self.name}.{number}" for number in range(n)]
        return tuple(Hop(engine, name, self.cause, rates, self.latency_ps, is_shared=self.is_shared) for name in names)

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


@dataclass(slots=True)
class Fetch:
    """Bytes under way to one requester (or to a cohort of equal ones)."""

    issued_at: int
    parts: int
    latency_ps: int
    arrived_at: int = -1
    cause: str = ""
    last: FairServer | None = None
    waiter: Event | None = None

    def part_done(self, engine: Engine, cause: str, server: FairServer) -> None:
        """One hop is through; when it was the last one, whoever waits goes on after the latency."""
        self.parts -= 1
        if self.parts == 0:
            self.arrived_at = engine.clock
            self.cause = cause
            self.last = server
            if self.waiter is not None:
                engine.succeed_after(self.waiter, self.latency_ps)

    def arrival(self, engine: Engine) -> Event | None:
        """What to wait for until the bytes are here, latency included; None if they are."""
        if self.arrived_at < 0:
            self.waiter = engine.event()
            return self.waiter
        left = self.arrived_at + self.latency_ps - engine.clock
        return engine.timeout(left) if left > 0 else None


class Requester:
    """One tile stream: at each hop its fetches queue behind each other, and share the hop with other requesters."""

    __slots__ = ("_bound", "_engine", "_flows", "_parts")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._flows: dict[int, Flow] = {}
        self._parts: Sequence[Part] = ()
        self._bound: list[tuple[Flow, float, str, FairServer]] = []

    def fetch(self, parts: Sequence[Part], weight: float, latency_ps: int) -> Fetch:
        """Send `parts` for `weight` equal requesters; their bytes are those of all of them.

        The same list of parts again (a K-step moves what the one before did) is worked out only once.
        """
        engine = self._engine
        if parts is not self._parts:
            self._bind(parts)
        for hop, n_bytes, access, _ in parts:
            hop.moved[access] += n_bytes
        fetch = Fetch(engine.clock, len(self._bound), latency_ps)
        for flow, work, cause, server in self._bound:
            flow.submit(work, weight, partial(fetch.part_done, engine, cause, server))
        return fetch

    def _bind(self, parts: Sequence[Part]) -> None:
        """Our queue, the seconds of work, the cause of a wait and the server, for each part that is served."""
        self._parts = parts
        self._bound = []
        for hop, n_bytes, access, is_hidden in parts:
            if not is_hidden:
                server = hop.server(access)
                flow = self._flows.setdefault(id(server), Flow(server))
                self._bound.append((flow, n_bytes / hop.rates[access], hop.cause, server))
