"""How bytes move between components: hops, and one requester's path across them.

A hop is what a component that carries traffic offers: fair servers (whose work is seconds, so that access kinds may
cost differently) and a latency. A transfer crosses all its hops at once (cut-through): it has arrived when the slowest
hop is through with it, plus the latencies. That is exact when one hop binds, which is the case that matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sim.engine import Engine, Event, FairServer, Flow


class Hop:
    """One component's part in a transfer: servers, latency, and the count of bytes that went through.

    `rates`: sustained bytes per second by access kind (`read`, `write`, `random`). `is_shared`: the kinds compete for
    one server (a DRAM bus); otherwise each kind has its own (the two directions of a link). `cause`: what a wait for
    this hop is called in results.
    """

    def __init__(
        self, engine: Engine, name: str, cause: str, rates: dict[str, float], latency_ps: int, *, is_shared: bool
    ) -> None:
        self.name = name
        self.cause = cause
        self.latency_ps = latency_ps
        self.rates = rates
        self.moved = dict.fromkeys(rates, 0.0)
        if is_shared:
            common = FairServer(engine, name, 1.0)
            self._servers = dict.fromkeys(rates, common)
        else:
            self._servers = {access: FairServer(engine, f"{name}.{access}", 1.0) for access in rates}

    def server(self, access: str) -> FairServer:
        """The server that `access` occupies."""
        return self._servers[access]

    def servers(self) -> list[FairServer]:
        """Every distinct server, in a fixed order."""
        return list(dict.fromkeys(self._servers.values()))

    def load(self, n_bytes: dict[str, float]) -> float:
        """Seconds of work that so many bytes of each access kind are for the busiest of its servers."""
        work: dict[FairServer, float] = {}
        for access, amount in n_bytes.items():
            server = self._servers[access]
            work[server] = work.get(server, 0.0) + amount / self.rates[access]
        return max(work.values())

    def take(self, n_bytes: float, access: str) -> float:
        """Count `n_bytes` of `access`; returns the work they are, in seconds of the server."""
        self.moved[access] += n_bytes
        return n_bytes / self.rates[access]


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
        """One hop is through; when it was the last one, wake whoever waits."""
        self.parts -= 1
        if self.parts == 0:
            self.arrived_at = engine.clock
            self.cause = cause
            self.last = server
            if self.waiter is not None:
                self.waiter.succeed()


class Requester:
    """One tile stream: at each hop its fetches queue behind each other, and share the hop with other requesters."""

    __slots__ = ("_engine", "_flows")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._flows: dict[int, Flow] = {}

    def fetch(self, parts: Sequence[tuple[Hop, float, str]], weight: float, latency_ps: int) -> Fetch:
        """Send `(hop, bytes, access)` parts for `weight` equal requesters; the bytes are those of all of them."""
        engine = self._engine
        fetch = Fetch(engine.clock, len(parts), latency_ps)
        for hop, n_bytes, access in parts:
            server = hop.server(access)
            flow = self._flows.get(id(server))
            if flow is None:
                flow = self._flows[id(server)] = Flow(server)
            cause = hop.cause
            flow.submit(hop.take(n_bytes, access), weight, partial(fetch.part_done, engine, cause, server))
        return fetch
