"""A server that tenants share equally, and each tenant's requesters share what their tenant gets.

Round robin among tenants, then among the requesters of one, in its fluid limit: a tenant with many requesters gets no
more than one with few, and what a tenant has no use for goes to the others. Invariants (tested): those of a
`FairServer`, and no tenant with work waits while another has more than its equal part.
"""

from __future__ import annotations

from functools import partial

from sim.engine.clock import Engine
from sim.engine.server import Done, FairServer


class TenantPort(FairServer):
    """Where one tenant's requesters submit their work; its rate is the tenant's part of the server."""

    __slots__ = ("_owner",)

    def __init__(self, engine: Engine, name: str, owner: TenantServer) -> None:
        super().__init__(engine, name, owner.rate)
        self._owner = owner

    def submit(self, work: float, weight: float, done: Done) -> None:
        """Serve `work` units for `weight` equal requesters of this tenant; call `done` when all is through."""
        is_first = self.busy_since < 0
        super().submit(work, weight, partial(self._served, done))
        if is_first:
            self._owner.share()

    def _served(self, done: Done) -> None:
        if self.busy_since < 0:
            self._owner.share()
        done()


class TenantServer:
    """A server of `rate` units per second in all. Tenants that have no work leave their part to the others."""

    def __init__(self, engine: Engine, name: str, rate: float) -> None:
        self.name = name
        self.rate = rate
        self._engine = engine
        self._ports: dict[str, TenantPort] = {}

    def port(self, tenant: str) -> TenantPort:
        """The tenant's entrance, made when it is first asked for."""
        if tenant not in self._ports:
            self._ports[tenant] = TenantPort(self._engine, f"{self.name}/{tenant}", self)
        return self._ports[tenant]

    def share(self) -> None:
        """Give every tenant that has work an equal part: called when one begins or ends."""
        active = [port for port in self._ports.values() if port.busy_since >= 0]
        for port in active:
            port.set_rate(self.rate / len(active))
