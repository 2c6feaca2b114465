"""Do streams, a chase beside them and two tenants share the memory as round robin by SM says, and do channels?

Expected values are closed forms: Little's law for what is in flight, the queue of its own SM for a load beside N warps
(what the memory takes in of each, at the SM's part of its rate), the smaller of memory and link for bandwidth.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

import sim
from sim.api import load_hardware
from sim.component.sm import GOLDEN
from sim.component.stream import MakeQueue, StreamRun
from sim.component.stream_pattern import Cutter, Footprint, Walks, mapping_of
from sim.component.stream_warp import Counted, Stream, WarpQueue
from sim.component.transfer import Part, Requester
from sim.engine import Engine, Event, FairServer
from sim.errors import InputError
from sim.system.cpu_chase import cpu_chase
from sim.system.machine import Machine
from sim.system.microbench import StreamResult, chase, stream
from sim.system.stream_request import StreamRequest
from sim.validation.ablation import one_queue

KIB = 1024


def machine(**changes: object) -> Machine:
    return Machine(load_hardware("dgx-spark", overrides={k.replace("__", "."): v for k, v in changes.items()}))


SPARK = machine()
SUSTAINED = SPARK.memory.bandwidth * SPARK.memory.sustained.read
LINK = SPARK.hardware.components["c2c"].bandwidth  # type: ignore[attr-defined]


def beside(depth: int, ctas: int = 48, make_queue: MakeQueue = WarpQueue) -> float:
    """Latency of the chase beside CTAs of four warps with `depth` pieces each."""
    request = StreamRequest(ctas, depth * 4 * 512, has_chase=True)
    found = stream(SPARK, request, make_queue=make_queue).chase_latency_s
    assert found is not None
    return found


def saturates(latency_of: Callable[[int], float]) -> bool:
    """Whether four times the depth, deep in saturation, leaves a neighbour's latency as it is (10 %)."""
    return latency_of(16) < 1.1 * latency_of(4)


def test_latency_saturates_with_depth() -> None:
    assert saturates(beside)


def test_one_queue_for_all_breaks_that_law() -> None:
    assert not saturates(lambda depth: beside(depth, make_queue=one_queue()))


@pytest.mark.parametrize("ctas", [48, 96, 192])
def test_a_load_waits_for_what_its_sm_has_sent_before(ctas: int) -> None:
    """Unloaded latency, and what the SM's warps have inside (and its own piece) at the SM's part of the sustained rate.

    A quarter is left for chance: at which channels the SM's pieces stand; a piece waits for the slower of its halves.
    """
    unloaded = chase(SPARK, 256 << 20, 64)
    inside = 4 * ctas / SPARK.gpu.sms * SPARK.l2.requester_queue + 512
    assert beside(8, ctas) == pytest.approx(unloaded + inside / (SUSTAINED / SPARK.gpu.sms), rel=0.25)


def test_little_law_below_the_knee() -> None:
    """One warp with one piece: its bytes over an unloaded round trip, and the piece's own time on its channels."""
    one = stream(SPARK, StreamRequest(1, 512, warps=1))
    engine = Engine()
    run = StreamRun(SPARK.device(engine), engine, 16)
    service = 256 / (SUSTAINED / 16)  # half a piece on each of two channels
    assert one.stream_bytes_per_s == pytest.approx(512 / (run.round_trip_ps / 1e12 + service), rel=0.02)
    assert one.bound == "latency"


def tenants(groups: Sequence[int]) -> list[float]:
    """Bytes per second of groups of so many CTAs (four warps, four pieces each), each CTA on an SM of its own."""
    engine = Engine()
    run = StreamRun(SPARK.device(engine), engine, SPARK.memory.channels)
    cutter = Cutter(mapping_of(SPARK.memory), Footprint(256 << 20, 512.0, 24 << 20))
    walks = Walks(cutter, "tile", 4 * sum(groups))
    counts = [Counted() for _ in groups]
    number = 0
    for group, count in zip(groups, counts, strict=True):
        for _ in range(4 * group):
            start_ps = round(number * GOLDEN % 1 * run.round_trip_ps)
            run.add_stream(Stream(walks.of(number), ("read",), 4, start_ps, count, run.device.issue_ps), number // 4)
            number += 1
    engine.run(engine.timeout(20_000_000))
    before = [count.n_bytes for count in counts]
    engine.run(engine.timeout(40_000_000))
    return [(count.n_bytes - old) / 40e-6 for count, old in zip(counts, before, strict=True)]


def test_one_tenant_alone_gets_all_two_share_it() -> None:
    (alone,) = tenants([48])
    first, second = tenants([48, 48])
    small, large = tenants([16, 48])
    assert alone == pytest.approx(SUSTAINED, rel=0.03)
    assert first + second <= SUSTAINED * 1.01  # arrivals are counted: a piece may have begun before the window
    assert first + second == pytest.approx(SUSTAINED, rel=0.03)
    assert first == pytest.approx(second, rel=0.05)
    assert small + large <= SUSTAINED * 1.01
    assert large / small == pytest.approx(48 / 16, rel=0.1)  # by SM, as many as each tenant has


def wide(channels: int) -> StreamResult:
    return stream(machine(memory__channels=channels), StreamRequest(192, 8 * KIB))


def test_channels_double_bandwidth_until_the_link_binds() -> None:
    half, full, double = wide(8), wide(16), wide(32)
    assert half.stream_bytes_per_s == pytest.approx(SUSTAINED / 2, rel=0.02)
    assert full.stream_bytes_per_s == pytest.approx(SUSTAINED, rel=0.02)
    assert double.stream_bytes_per_s == pytest.approx(LINK, rel=0.03)
    assert [each.bound for each in (half, full, double)] == ["memory", "memory", "link"]


@pytest.mark.parametrize("pattern", ["tile", "flat", "random"])
def test_never_more_than_the_sustained_rate(pattern: str) -> None:
    for inflight in (2 * KIB, 32 * KIB):
        assert stream(SPARK, StreamRequest(96, inflight, pattern)).stream_bytes_per_s <= SUSTAINED * 1.001


def test_what_fits_into_l2_does_not_touch_memory() -> None:
    found = stream(SPARK, StreamRequest(8, 16 * KIB, footprint=16 << 20))
    assert found.stream_bytes_per_s > 1.5 * SUSTAINED
    assert found.utilization["memory"] == 0.0


def test_a_memory_side_cache_serves_the_gpu_only_where_it_says_so_and_fits() -> None:
    """40 MiB do not fit L2's 24; a cache of 64 MB behind the link has them, and then the link binds, not memory."""
    request = StreamRequest(192, 8 * KIB, footprint=40 << 20)
    large = {"system_cache__capacity": "64 MB"}
    without, beside = (stream(machine(**large, system_cache__serves_gpu_reads=each), request) for each in (False, True))
    small = stream(machine(system_cache__serves_gpu_reads=True), request)  # 16 MB: the walk evicts all of it
    assert without.bound == small.bound == "memory"
    assert beside.utilization["memory"] == 0.0
    assert beside.bound == "link"
    assert beside.stream_bytes_per_s == pytest.approx(LINK, rel=0.02)
    full = stream(machine(**large, system_cache__serves_gpu_reads=True), request, is_full=True)
    assert full.stream_bytes_per_s == pytest.approx(LINK, rel=0.03)


@pytest.mark.parametrize("pattern", ["tile", "random"])
def test_folded_is_full_within_a_per_cent(pattern: str) -> None:
    """The rate of all pieces, without the beginning and the end, which two runs of different lengths have in common."""
    requests = [StreamRequest(48, 4 * KIB, pattern, footprint=size << 20) for size in (32, 64)]
    folded, *whole = stream(SPARK, requests[0]), *(stream(SPARK, each, is_full=True) for each in requests)
    moved = [full.window_s * full.stream_bytes_per_s for full in whole]
    assert moved == pytest.approx([32 << 20, 64 << 20], rel=1e-9)
    steady = (moved[1] - moved[0]) / (whole[1].window_s - whole[0].window_s)
    assert folded.stream_bytes_per_s == pytest.approx(steady, rel=0.01)
    assert folded.events < whole[0].events


def test_every_problem_of_a_request_at_once() -> None:
    with pytest.raises(InputError) as caught:
        stream(SPARK, StreamRequest(10_000, 64, "spiral", footprint=100))
    assert {problem.path for problem in caught.value.problems} == {"ctas", "inflight", "pattern", "footprint"}


@pytest.mark.parametrize("request_", [
    StreamRequest(48, 10 << 20),  # more than an SM's registers and shared memory hold
    StreamRequest(48, 4096, footprint=4096),  # less than what is in flight
    StreamRequest(48, 4096, footprint=1 << 40),  # more than the memory
])  # fmt: skip
def test_what_no_gpu_could_run(request_: StreamRequest) -> None:
    with pytest.raises(InputError):
        stream(SPARK, request_)


def test_a_prediction_is_bound_by_memory_and_then_by_the_link() -> None:
    short = {"model": "llama-3.1-8b", "runtime": "vllm", "quant": "fp8", "prompt": 0, "output": 2}
    plain, double, more = (sim.run(**short, set={"memory.channels": n}) for n in (16, 32, 64))
    assert [one.phases["decode"]["bound"] for one in (plain, double, more)] == ["memory", "link", "link"]
    assert double.decode_tok_s / plain.decode_tok_s == pytest.approx(LINK / SUSTAINED, rel=0.1)
    assert more.decode_tok_s == pytest.approx(double.decode_tok_s, rel=0.01)


def endless(requester: Requester, parts: Sequence[Part], engine: Engine) -> Iterator[Event]:
    """A tenant that always has two transfers under way, as a DMA engine or a cluster of cores has."""
    pause = engine.pause()
    under_way = deque(requester.fetch(parts, 1, 0) for _ in range(2))
    while True:
        if (arrival := under_way.popleft().arrival(pause)) is not None:
            yield arrival
        under_way.append(requester.fetch(parts, 1, 0))


def side_by_side(ways: Mapping[str, Sequence[str]], seconds: float = 1e-3) -> dict[str, float]:
    """Bytes per second that each tenant reads on its way to one memory, all at once."""
    engine = Engine()
    names = {name for way in ways.values() for name in way}
    hops = {name: hop for name in names if (hop := SPARK.components[name].carry(engine)) is not None}
    moved: Counter[str] = Counter()
    for tenant, way in ways.items():
        parts = [Part(hops[name], 64.0 * KIB, "read") for name in way if name in hops]

        def run(tenant: str = tenant, parts: Sequence[Part] = parts) -> Iterator[Event]:
            for event in endless(Requester(engine), parts, engine):
                yield event
                moved[tenant] += 64 * KIB

        engine.spawn(run(), tenant)  # type: ignore[arg-type]
    engine.run(engine.timeout(round(seconds * 1e12)))
    return {tenant: moved[tenant] / seconds for tenant in ways}


GPU, CPU, SSD = ("c2c", "memory"), ("cpu0", "system_cache", "memory"), ("nvme", "memory")


def test_cpu_and_ssd_share_the_memory_with_the_gpu_max_min_fairly() -> None:
    """Who wants less than an equal share gets it (the SSD, a CPU cluster at its own limit), the GPU the rest."""
    cpu = SPARK.components["cpu0"].spec.bandwidth
    ssd = SPARK.components["nvme"].spec.read_bandwidth
    found = side_by_side({"gpu": GPU, "cpu": CPU, "ssd": SSD}, seconds=5e-3)
    assert found["ssd"] == pytest.approx(ssd, rel=0.03)
    assert found["cpu"] == pytest.approx(cpu, rel=0.03)
    assert sum(found.values()) <= SUSTAINED * 1.001
    assert found["gpu"] == pytest.approx(SUSTAINED - cpu - ssd, rel=0.05)


def test_each_tenant_alone_gets_what_its_own_way_allows() -> None:
    alone = {name: side_by_side({name: way}, 5e-3)[name] for name, way in {"g": GPU, "c": CPU, "s": SSD}.items()}
    assert alone["g"] == pytest.approx(SUSTAINED, rel=0.01)
    assert alone["c"] == pytest.approx(SPARK.components["cpu0"].spec.bandwidth, rel=0.01)
    assert alone["s"] == pytest.approx(SPARK.components["nvme"].spec.read_bandwidth, rel=0.03)


def beside_streams(*names: str, ctas: int = 96, **changes: object) -> StreamResult:
    return stream(machine(**changes), StreamRequest(ctas, 8 * KIB, beside=names))


def alone(name: str) -> float:
    """What a component's own links and limits let it read."""
    spec = SPARK.hardware.components[name]
    return {
        "cpu0": lambda: spec.bandwidth, "cpu1": lambda: spec.bandwidth, "nvme": lambda: spec.read_bandwidth,
        "nic": lambda: spec.bandwidth * spec.sustained,
    }[name]()  # type: ignore[attr-defined]  # fmt: skip


@pytest.mark.parametrize("name", ["cpu0", "nic", "nvme"])
def test_a_component_gets_what_it_wants_beside_streams_of_many_warps(name: str) -> None:
    """One requester beside 384 warps: by tenant it gets up to half, and none of these wants that much."""
    found = beside_streams(name)
    assert found.beside_bytes_per_s[name] == pytest.approx(alone(name), rel=0.03)
    assert found.stream_bytes_per_s == pytest.approx(SUSTAINED - alone(name), rel=0.03)


def test_three_tenants_that_want_more_share_equally_and_never_exceed_the_ceiling() -> None:
    found = beside_streams("cpu0", "cpu1")
    total = found.stream_bytes_per_s + sum(found.beside_bytes_per_s.values())
    assert total <= SUSTAINED * 1.001
    assert total == pytest.approx(SUSTAINED, rel=0.02)
    for rate in (found.stream_bytes_per_s, *found.beside_bytes_per_s.values()):
        assert rate == pytest.approx(SUSTAINED / 3, rel=0.03)
    assert found.utilization["memory"] == pytest.approx(1.0, abs=0.02)


def test_tenants_without_streams_get_all_that_their_ways_carry() -> None:
    found = beside_streams("cpu0", "nic", ctas=1)
    assert found.beside_bytes_per_s["cpu0"] == pytest.approx(alone("cpu0"), rel=0.02)
    assert found.beside_bytes_per_s["nic"] == pytest.approx(alone("nic"), rel=0.02)


@pytest.mark.parametrize(("cores", "lines"), [(1, 64), (2, 128), (5, 320)])
def test_cores_move_what_they_have_under_way(cores: int, lines: int) -> None:
    """Little's law for lines of 64 B and 113 ns, up to what the cluster moves."""
    found = beside_streams(f"cpu0:{cores}", ctas=1).beside_bytes_per_s["cpu0"]
    assert found <= lines * 64 / 113e-9
    assert found == pytest.approx(min(lines * 64 / 113e-9, 100e9), rel=0.16)  # less a piece's own time at its hops


def test_half_of_the_links_of_the_adapter_carry_half() -> None:
    """The NIC sits behind two PCI Express links: with the lanes of one nearly gone the other still carries its part."""
    slow = beside_streams("nic", ctas=1, pcie1__lanes=1).beside_bytes_per_s["nic"]
    lane = 32e9 * 0.9846 / 8 * 0.86
    assert slow == pytest.approx(5 * lane, rel=0.03)


@pytest.mark.parametrize(("footprint", "expected"), [(4 << 20, 14e-9), (20_000_000, 40e-9), (1 << 30, 113e-9)])
def test_a_core_loads_from_the_first_cache_that_holds_it(footprint: int, expected: float) -> None:
    """L3 of 8 MB, behind it the memory-side cache of 16 MB (latencies of the hardware file), then memory."""
    assert cpu_chase(SPARK, "cpu0", footprint) == pytest.approx(expected, rel=0.01)


def test_a_server_knows_what_is_left() -> None:
    """Two equal jobs of one second's work each: after half a second half a second's work is done, 1.5 are left."""
    engine = Engine()
    server = FairServer(engine, "bus", 1.0)
    for _ in range(2):
        server.submit(1.0, 1.0, lambda: None)
    engine.run(engine.timeout(500_000_000_000))
    assert server.backlog() == pytest.approx(1.5)
    engine.run(engine.timeout(1_500_000_000_000))
    assert server.backlog() == pytest.approx(0.0)
