"""`microbench stream`: CTAs that only read, with bytes in flight as asked, and who runs beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from sim.component.cpu import CpuClusterSpec
from sim.component.profile import Device
from sim.component.sm import GOLDEN
from sim.component.stream import MakeQueue, Observed, StreamRun
from sim.component.stream_pattern import Cutter, Footprint, Rows, Walks, banks_of, mapping_of, scattered, slots
from sim.component.stream_warp import Gang, Stream, Touch, WarpQueue
from sim.component.tlb import Translations
from sim.engine import Engine
from sim.result.trace import CAUSES
from sim.system.machine import Machine
from sim.system.stream_request import ACCESSES, PIECE, SECTOR, Neighbour, StreamRequest, Tenant

LOAD = 64
"""Bytes that a lone load of a thread moves: one burst of a channel."""
BOUND_FROM = 0.9
"""A hop that is busier than this is what binds; below, latency does."""
WINDOW_PS = 6_000_000
WINDOW_PIECES = 4000
"""A window lasts at least so long that about so many pieces arrive in it if nothing but latency holds them up."""
CHASE_LOADS = 40
"""Loads of the chase that a window holds, about: their mean is then known to a few per cent."""
WARPS_PER_CHASE = 64
"""Of so many warps that stream, one chase more may run to stand for the one that was asked for: the same, sooner."""
MOST_CHASES = 16
FULL_WINDOW_PS = 3_000_000
"""Long enough where the slowest hop has work all the time."""
KNEE, KNEE_WINDOWS = 3, 2
"""Where bytes in flight are within this factor of what covers the latency, the state takes longer to settle."""
MIXED_WINDOWS = 4
"""So many times longer a window is where reads and writes take turns: their mix must be the whole run's."""
ROUNDS = 2
"""Rounds of a barrier kernel that a window holds, about."""
TENANT_S = 0.5e-6
"""A tenant besides the GPU moves, at a time, about what its own way carries in so long, over all channels."""
TENANT_WINDOW_PS = 24_000_000


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What the microbenchmark shows: rates in bytes per second, latencies in seconds (None where nothing was run).

    `neighbour_round_s`: between two loads of a warp of the neighbour. `beside_bytes_per_s`: of each component beside.
    """

    stream_bytes_per_s: float
    chase_latency_s: float | None
    chase_loads: int
    neighbour_round_s: float | None
    beside_bytes_per_s: dict[str, float]
    bound: str
    utilization: dict[str, float]
    window_s: float
    events: int


def stream(
    machine: Machine, request: StreamRequest, *, is_full: bool = False, seed: int = 0, make_queue: MakeQueue = WarpQueue
) -> StreamResult:
    """Run it. Folded: a window of the steady state stands for the whole footprint; full: every piece of it, once.

    Raises:
        InputError: the request cannot be run on this machine.
    """
    request.check(machine)
    run = _Setting(machine, request, seed, make_queue)
    run.add_streams(is_full=is_full)
    if request.has_chase:
        run.add_chases(1 if is_full else run.n_chases)
    if request.neighbour is not None:
        run.add_neighbours(request.neighbour)
    for each in request.beside:
        run.add_tenant(each)
    if is_full and request.ctas:
        return _result(run, run.run.observe_all())
    return _result(run, run.run.observe(*run.times_ps()))


class _Setting:
    """A run that is being made ready for a request."""

    def __init__(self, machine: Machine, request: StreamRequest, seed: int, make_queue: MakeQueue) -> None:
        engine = Engine()
        self.machine, self.request, self.seed = machine, request, seed
        self.device = machine.device(engine)
        self.hops = {name: machine.hop(name, engine) for each in request.beside for name in _names(machine, each)}
        translations = _translations(self.device, request.footprint, is_random=request.pattern == "random")
        self.run = StreamRun(
            self.device, engine, machine.memory.channels, make_queue, translations, has_tenants=bool(request.beside)
        )
        self.walk_ps = self.device.walk_ps if translations is not None else 0
        self.n_warps = request.ctas * request.warps
        self.n_chases = max(1, min(MOST_CHASES, self.n_warps // WARPS_PER_CHASE))
        self.accesses = tuple(
            "random" if request.pattern == "random" and each == "read" else each for each in ACCESSES[request.kind]
        )

    @cached_property
    def _spread_ps(self) -> int:
        return max(self.run.round_trip_ps, self.round_ps)

    def _cutter(self, piece: float, n_bytes: int | None = None) -> Cutter:
        return _cutter(self.machine, self.device, n_bytes or self.request.footprint, piece)

    def add_streams(self, *, is_full: bool) -> None:
        """The CTAs that were asked for; `is_full`: each piece of the footprint once, and then they end."""
        request, n_warps = self.request, self.n_warps
        cutter = self._cutter(request.piece if request.ctas else float(PIECE))
        n_pieces = cutter.footprint.n_pieces
        walks = Walks(cutter, request.pattern, n_warps)
        anywhere = islice(scattered(cutter, self.seed), n_pieces if is_full else None)
        for number in range(n_warps):
            pieces: Iterator[Touch] = anywhere
            if request.pattern != "random":
                pieces = walks.of(number)
                if is_full:
                    pieces = islice(pieces, n_pieces // n_warps + (number < n_pieces % n_warps))
            turn = number % len(self.accesses)  # half of a copy's warps begin with a write: reads and writes come mixed
            accesses = self.accesses[turn:] + self.accesses[:turn]
            gang = Gang() if request.is_batched else None
            first = 1 + int(number * GOLDEN % 1.0 * request.depth) if gang else 0
            counted = self.run.counted["streams"]
            issue_ps = self.device.issue_ps
            program = Stream(pieces, accesses, request.depth, self._start_ps(number), counted, issue_ps, gang, first)
            self.run.add_stream(program, self._sm_of(number // request.warps))

    def _start_ps(self, number: int) -> int:
        """When the `number`-th requester begins: they are spread over a round, for they do not run in lock step."""
        return round(number * GOLDEN % 1.0 * self._spread_ps)

    def add_chases(self, n: int) -> None:
        """The dependent chase behind the streams' CTAs, or `n` of them that stand for it."""
        for number in range(n):
            sm = self._sm_of(self.request.ctas + number)
            self.run.add_chase(scattered(self._cutter(PIECE), self.seed + 1 + number), sm)

    def _sm_of(self, cta: int) -> int:
        """CTAs are dealt out to SMs in turn, those of a second kernel behind those of the first."""
        return cta % self.machine.gpu.sms

    def add_neighbours(self, neighbour: Neighbour) -> None:
        """Each CTA of the kernel beside reads a part of its own of the memory, from its beginning to its end."""
        cutter = self._cutter(PIECE, self.machine.memory.capacity // 2)
        rows = Rows(cutter, neighbour.ctas, neighbour.warps)
        for cta in range(neighbour.ctas):
            warps = [rows.of(cta * neighbour.warps + warp) for warp in range(neighbour.warps)]
            start_ps, sm = self._start_ps(cta), self._sm_of(self.request.ctas + cta)
            self.run.add_neighbour(warps, round(neighbour.pause_ns * 1e3), start_ps, sm)

    def add_tenant(self, each: str) -> None:
        """A component that moves data beside, over all of its ways to memory; of a cluster each core is a requester."""
        tenant, spec = Tenant.of(each), self.machine.components[Tenant.of(each).name].spec
        least = self.machine.memory.channels * SECTOR
        for way in self.machine.ways_to_memory(tenant.name):
            hops = tuple(hop for each in way if (hop := self.hops[each]) is not None)
            rate = min(hop.rates[tenant.access] for hop in hops)
            if isinstance(spec, CpuClusterSpec):
                for most in spec.bytes_under_way(tenant.cores):
                    size = max(1, most // 4 // least) * least
                    self.run.add_tenant(tenant.name, hops, float(min(size, most)), tenant.access, float(most))
            else:
                size = max(1, round(rate * TENANT_S / least)) * least
                self.run.add_tenant(tenant.name, hops, float(size), tenant.access)

    @property
    def _rate(self) -> float:
        """Bytes per second of the slowest hop."""
        is_held = self.request.footprint <= self.device.l2_capacity_bytes
        slowest = self.device.l2 if is_held else self.device.memory_path[-1]
        return slowest.rates[self.accesses[0]]

    @property
    def round_ps(self) -> int:
        """How long what all requesters have inside at once takes at the slowest hop."""
        request = self.request
        n_bytes = 0.0
        if request.ctas:
            flying = request.depth * request.piece
            n_bytes += self.n_warps * max(request.piece, min(flying, self.device.requester_bytes))
        if request.neighbour is not None:
            n_bytes += request.neighbour.ctas * request.neighbour.warps * PIECE
        return round(n_bytes / self._rate * 1e12)

    @property
    def _stream_window_ps(self) -> int:
        """How long to look for the rate of the streams."""
        flying = self.n_warps * self.request.depth
        if not flying:
            return WINDOW_PS
        round_trip = self.run.round_trip_ps
        window = max(WINDOW_PS, WINDOW_PIECES * round_trip // flying)
        covered = flying * self.request.piece / self._rate * 1e12 / round_trip
        if covered >= KNEE:
            window = FULL_WINDOW_PS
        elif covered > 1 / KNEE:
            window *= KNEE_WINDOWS
        return window * (MIXED_WINDOWS if len(self.accesses) > 1 else 1)

    def times_ps(self) -> tuple[int, int]:
        """How long to wait until the state is steady, and how long to look."""
        round_trip, round_ps, request = self.run.round_trip_ps, self.round_ps, self.request
        window = self._stream_window_ps if not request.neighbour else ROUNDS * (round_trip + round_ps)
        if request.beside:
            window = max(window, TENANT_WINDOW_PS)
        if request.has_chase:
            window = max(window, CHASE_LOADS * (round_trip + round_ps) // self.n_chases)
        # Until then some hops are ahead of others with what everybody has inside.
        return 3 * (round_trip + round_ps) + self.walk_ps, window


def _names(machine: Machine, each: str) -> list[str]:
    return [name for way in machine.ways_to_memory(Tenant.of(each).name) for name in way]


def _cutter(machine: Machine, device: Device, n_bytes: int, piece: float) -> Cutter:
    footprint = Footprint(n_bytes, piece, device.l2_capacity_bytes, device.tlb_page_bytes or 1, device.side_cache_bytes)
    is_held = footprint.level == "l2"
    return Cutter(banks_of(device.l2_banks, device.l2_line_bytes) if is_held else mapping_of(machine.memory), footprint)


def _translations(device: Device, footprint: int, *, is_random: bool) -> Translations | None:
    """What the TLB holds of a footprint that is used over and over; None: all of it, or there is no TLB.

    Of more than it reaches, least recently used first out, a walk from end to end finds nothing again, and random
    accesses find what happens to be there.
    """
    if not device.walk_ps or footprint <= device.tlb_reach_bytes:
        return None
    page = device.tlb_page_bytes
    n_held = max(1, int(device.tlb_reach_bytes // page))
    held = Translations(n_held, device.walk_ps)
    if is_random:
        n_pages = -(-footprint // page)
        held.hold(number * n_pages // n_held for number in range(n_held))
    return held


def _result(setting: _Setting, seen: Observed) -> StreamResult:
    seconds, device, neighbour = seen.window_ps / 1e12, setting.device, setting.request.neighbour
    hop = max(seen.busy, key=lambda name: seen.busy[name])
    causes = {each.name: each.cause for each in (device.l2, *device.memory_path)}
    rounds = seen.neighbour.rounds
    return StreamResult(
        stream_bytes_per_s=seen.stream_bytes / seconds,
        chase_latency_s=seen.chase.latency_ps / seen.chase.pieces / 1e12 if seen.chase.pieces else None,
        chase_loads=seen.chase.pieces,
        neighbour_round_s=neighbour.ctas * seconds / rounds if neighbour is not None and rounds else None,
        beside_bytes_per_s={name: n_bytes / seconds for name, n_bytes in seen.tenant_bytes.items()},
        bound=CAUSES[causes[hop]] if seen.busy[hop] >= BOUND_FROM else "latency",
        utilization={name: min(1.0, share) for name, share in seen.busy.items()},
        window_s=seconds,
        events=seen.events,
    )


def chase(machine: Machine, footprint: int, granule: int) -> float:
    """Seconds per load of a dependent chase alone, over places `granule` bytes apart in `footprint`, at random."""
    engine = Engine()
    device = machine.device(engine)
    translations = _translations(device, footprint, is_random=granule < device.tlb_page_bytes)
    run = StreamRun(device, engine, machine.memory.channels, translations=translations)
    run.add_chase(slots(_cutter(machine, device, footprint, min(granule, LOAD)), granule, 0), 0)
    seen = run.observe(0, CHASE_LOADS * (run.round_trip_ps + device.walk_ps)).chase
    return seen.latency_ps / seen.pieces / 1e12
