"""Does the TLB hold what it reaches, walk for what it does not, and lose the page that was used least recently?

Expected values follow from the walk time and from least recently used replacement by hand.
"""

from __future__ import annotations

import pytest

from sim.api import load_hardware
from sim.component.tlb import Translations
from sim.system.machine import Machine
from sim.system.microbench import chase, stream
from sim.system.stream_request import StreamRequest

MIB, GIB = 1 << 20, 1 << 30


def machine(**changes: object) -> Machine:
    return Machine(load_hardware("dgx-spark", overrides={k.replace("__", "."): v for k, v in changes.items()}))


SPARK = machine()
TLB = SPARK.hardware.components["tlb"]
WALK: float = TLB.walk  # type: ignore[attr-defined]


def test_a_page_is_walked_once_and_then_known() -> None:
    held = Translations(2, 100)
    assert [held.wait_ps(7, 0), held.wait_ps(7, 40), held.wait_ps(7, 100)] == [100, 60, 0]


def test_the_least_recently_used_page_goes() -> None:
    held = Translations(2, 100)
    held.hold([1, 2])
    assert held.wait_ps(1, 0) == 0  # 2 is now the one that was not used for longest
    assert held.wait_ps(3, 0) == 100
    assert held.wait_ps(1, 0) == 0
    assert held.wait_ps(2, 0) == 100


def test_a_chase_walks_only_beyond_the_reach() -> None:
    reach = int(TLB.reach)  # type: ignore[attr-defined]
    near, far = chase(SPARK, reach, 2 * MIB), chase(SPARK, 2 * reach, 2 * MIB)
    assert far - near == pytest.approx(WALK, rel=0.01)


def test_half_of_random_loads_walk_when_half_of_the_memory_is_reached() -> None:
    near, far = chase(SPARK, GIB, 4096), chase(SPARK, 4 * GIB, 4096)
    assert far - near == pytest.approx(WALK / 2, rel=0.4)  # of 40 loads, give or take


def test_larger_pages_reach_no_further_but_are_walked_less_often() -> None:
    """Beyond the reach a walk waits once per page: 512 times as often with pages of 4 KiB as with 2 MiB."""
    small = machine(tlb__reach="64 MiB", tlb__page="4 KiB")
    large = machine(tlb__reach="64 MiB", tlb__page="2 MiB")
    request = StreamRequest(48, 2048, "flat", footprint=256 * MIB)
    slow, fast = stream(small, request), stream(large, request)
    assert slow.stream_bytes_per_s < 0.9 * fast.stream_bytes_per_s


def test_more_reach_makes_random_streams_faster() -> None:
    request = StreamRequest(48, 2048, "random", footprint=256 * MIB)
    short = stream(machine(tlb__reach="32 MiB"), request).stream_bytes_per_s
    assert short < 0.6 * stream(SPARK, request).stream_bytes_per_s
