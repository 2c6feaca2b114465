"""Do tenants share a server equally however many requesters they have, and does one alone get all of it?

Expected values are max-min shares in closed form.
"""

from __future__ import annotations

from collections import Counter

import pytest

from sim.engine import Engine, TenantServer

SECOND = 10**12


def served(requesters: dict[str, int], seconds: float = 1.0, pause_s: dict[str, float] | None = None) -> Counter[str]:
    """Units that each tenant got of a server of 100 per second; each of its requesters asks for 1 unit after the other.

    `pause_s`: of a tenant's requesters, between one piece of work and the next.
    """
    engine = Engine()
    server = TenantServer(engine, "bus", 100.0)
    got: Counter[str] = Counter()

    def ask(tenant: str) -> None:
        server.port(tenant).submit(1.0, 1.0, lambda: done(tenant))

    def done(tenant: str) -> None:
        got[tenant] += 1
        pause = (pause_s or {}).get(tenant, 0.0)
        if pause:
            engine.call_after(round(pause * SECOND), lambda: ask(tenant))
        else:
            ask(tenant)

    for tenant, count in requesters.items():
        for _ in range(count):
            ask(tenant)
    engine.run(engine.timeout(round(seconds * SECOND)))
    return got


@pytest.mark.parametrize("count", [1, 2, 7])
def test_one_tenant_alone_gets_all(count: int) -> None:
    assert served({"a": count}, 10)["a"] == pytest.approx(1000, abs=count)


def test_tenants_get_the_same_whatever_the_number_of_their_requesters() -> None:
    got = served({"a": 1, "b": 12}, 10)
    assert got["a"] == pytest.approx(500, abs=2)
    assert got["b"] == pytest.approx(500, abs=13)


def test_what_one_has_no_use_for_goes_to_the_other() -> None:
    """A piece each 0.1 s takes a fiftieth at half of the rate: 8.3 a second, and the other has the rest."""
    got = served({"a": 1, "b": 3}, 60, {"a": 0.1})
    assert got["a"] == pytest.approx(60 / 0.12, rel=0.01)
    assert got["a"] + got["b"] == pytest.approx(6000, rel=0.01)


def test_three_together_never_get_more_than_there_is() -> None:
    got = served({"a": 1, "b": 2, "c": 3}, 10)
    assert sum(got.values()) <= 1000
    assert min(got.values()) >= 330
