"""`microbench stream`: CTAs that only read, with bytes in flight as asked, and a dependent chase beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice

from sim.component.sm import GOLDEN
from sim.component.stream import Observed, Piece, Stream, StreamRun, WarpQueue
from sim.component.stream_pattern import PATTERNS, Footprint, mapping_of, scattered, walk
from sim.engine import Engine
from sim.errors import InputError, Problem
from sim.result.trace import CAUSES
from sim.system.machine import Machine

FOOTPRINT = 256 << 20
"""Default: what the published measurements read per point (240-280 MB)."""
PIECE = 512
"""Most bytes that a warp asks for at once: 32 lanes of 16 B."""
LOAD = 64
"""Bytes that a lone load of a thread moves: one burst of a channel."""
SECTOR = 32
"""Least bytes that memory gives: a sector of a line."""
BOUND_FROM = 0.9
"""A hop that is busier than this is what binds; below, latency does."""
WINDOW_PS = 12_000_000
WINDOW_PIECES = 5000
"""A window lasts at least so long that about so many pieces arrive in it if nothing but latency holds them up."""
CHASE_LOADS = 40
"""Loads of the chase that a window holds, about: their mean is then known to a few per cent."""
ACCESSES = {"read": ("read",), "write": ("write",), "copy": ("read", "write")}


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What to run: CTAs round robin over SMs, each with `inflight` bytes outstanding, shared by its warps.

    `footprint`: bytes that are read over and over. `has_chase`: a dependent chase over the same footprint runs beside.
    `kind`: read, write or copy (half of the pieces each).
    """

    ctas: int
    inflight: int
    pattern: str = "tile"
    warps: int = 4
    footprint: int = FOOTPRINT
    has_chase: bool = False
    kind: str = "read"

    @property
    def depth(self) -> int:
        """Pieces that a warp keeps outstanding."""
        return max(1, -(-self.inflight // (self.warps * PIECE)))

    @property
    def piece(self) -> float:
        """Bytes of a piece."""
        return self.inflight / self.warps / self.depth

    def to_dict(self) -> dict[str, object]:
        """What was asked, for a result."""
        names = {"inflight": "inflight_bytes", "footprint": "footprint_bytes"}
        return {names.get(name, name): value for name, value in asdict(self).items()}

    def check(self, machine: Machine) -> None:
        """Whether it can be run.

        Raises:
            InputError: everything that is wrong with it.
        """
        problems = [
            Problem(f"must be {least} or more, not {value}", code="bad_argument", path=name)
            for name, value, least in (("ctas", self.ctas, 0 if self.has_chase else 1), ("warps", self.warps, 1))
            if value < least
        ]
        if self.pattern not in PATTERNS:
            hint = f"there are: {', '.join(PATTERNS)}"
            problems.append(Problem(f"no pattern {self.pattern[:40]!r}", "bad_argument", path="pattern", hint=hint))
        capacity = machine.memory.capacity
        if not PIECE <= self.footprint <= capacity:
            message = f"{self.footprint} B are not between {PIECE} B and the {capacity} B of memory"
            problems.append(Problem(message, code="bad_argument", path="footprint"))
        if self.warps >= 1 and self.ctas >= 1:
            problems += self._check_sizes(machine)
        if problems:
            raise InputError(problems)

    def _check_sizes(self, machine: Machine) -> Iterator[Problem]:
        gpu = machine.gpu
        most = min(gpu.max_ctas_per_sm, gpu.max_threads_per_sm // (self.warps * gpu.threads_per_warp))
        if self.ctas > most * gpu.sms:
            message = f"{self.ctas} CTAs of {self.warps} warps are more than the {most * gpu.sms} that run at once"
            yield Problem(message, code="bad_argument", path="ctas", hint="give fewer CTAs or fewer warps")
        if self.inflight < self.warps * SECTOR:
            message = f"{self.inflight} B in flight are less than a sector of {SECTOR} B for each of {self.warps} warps"
            yield Problem(message, code="bad_argument", path="inflight", hint="give more bytes, or fewer warps")
        room = gpu.registers_per_sm * 4 + gpu.shared_memory_per_sm
        if self.inflight * -(-self.ctas // gpu.sms) > room:
            message = f"what the CTAs of an SM have in flight must fit into its registers and shared memory, {room} B"
            yield Problem(message, code="bad_argument", path="inflight", hint="give fewer bytes, or fewer CTAs")
        elif self.footprint < self.inflight * self.ctas:
            message = f"{self.footprint} B are less than the {self.inflight * self.ctas} B in flight at once"
            yield Problem(message, code="bad_argument", path="footprint", hint="give a larger footprint")


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What the microbenchmark shows: rates in bytes per second, latencies in seconds (None where nothing was run)."""

    stream_bytes_per_s: float
    chase_latency_s: float | None
    chase_loads: int
    bound: str
    utilization: dict[str, float]
    window_s: float
    events: int


def stream(
    machine: Machine,
    request: StreamRequest,
    *,
    is_full: bool = False,
    seed: int = 0,
    make_queue: Callable[[Engine], WarpQueue] = WarpQueue,
) -> StreamResult:
    """Run it. Folded: a window of the steady state stands for the whole footprint; full: every piece of it, once.

    Raises:
        InputError: the request cannot be run on this machine.
    """
    request.check(machine)
    run, depth_ps = _set_up(machine, request, is_full=is_full, seed=seed, make_queue=make_queue)
    if is_full and request.ctas:
        seen = run.observe_all()
    else:
        round_ps = run.round_trip_ps + depth_ps
        flying = request.ctas * request.warps * request.depth
        window_ps = max(
            WINDOW_PS,
            CHASE_LOADS * round_ps if request.has_chase else 0,
            WINDOW_PIECES * run.round_trip_ps // flying if flying else 0,
        )
        seen = run.observe(3 * run.round_trip_ps + round_ps, window_ps)
    return _result(run, seen)


def _set_up(
    machine: Machine, request: StreamRequest, *, is_full: bool, seed: int, make_queue: Callable[[Engine], WarpQueue]
) -> tuple[StreamRun, int]:
    """The run, ready to begin, and how long a round of all requesters takes at its slowest hop (ps)."""
    engine = Engine()
    device = machine.device(engine)
    run = StreamRun(device, engine, machine.memory.channels, make_queue)
    mapping = mapping_of(machine.memory)
    piece = request.piece if request.ctas else float(PIECE)
    footprint = Footprint(request.footprint, piece, device.l2_capacity_bytes)
    walks = max(0.0, 1.0 - device.tlb_reach_bytes / request.footprint) if device.walk_ps else 0.0
    n_warps = request.ctas * request.warps
    anywhere: Iterator[Piece] = scattered(mapping, footprint, seed)
    is_random = request.pattern == "random"
    if is_full:
        anywhere = islice(anywhere, footprint.n_pieces)
    accesses = tuple("random" if is_random and each == "read" else each for each in ACCESSES[request.kind])
    for number in range(n_warps):
        cta, warp = divmod(number, request.warps)
        pieces: Iterator[Piece] = (
            anywhere if is_random else walk(mapping, footprint, request.pattern, request.ctas, request.warps, cta, warp)
        )
        if is_full and not is_random:
            pieces = islice(pieces, footprint.n_pieces // n_warps + (number < footprint.n_pieces % n_warps))
        walk_share = walks if is_random else 0.0
        turn = number % len(accesses)  # half of a copy's warps begin with a write: reads and writes come mixed
        run.add_stream(
            Stream(
                pieces,
                accesses[turn:] + accesses[:turn],
                request.depth,
                number * GOLDEN,
                run.streams,
                device.issue_ps,
                walk_share,
            )
        )
    if request.has_chase:
        run.add_chase(
            scattered(mapping, Footprint(request.footprint, PIECE, device.l2_capacity_bytes), seed + 1), walks
        )
    slowest = device.l2 if footprint.is_resident else device.memory_path[-1]
    return run, round(n_warps * piece / slowest.rates[accesses[0]] * 1e12)


def _result(run: StreamRun, seen: Observed) -> StreamResult:
    seconds = seen.window_ps / 1e12
    hop = max(seen.busy, key=lambda name: seen.busy[name])
    causes = {each.name: each.cause for each in (run.device.l2, *run.device.memory_path)}
    chase = seen.chase.latency_ps / seen.chase.pieces / 1e12 if seen.chase.pieces else None
    return StreamResult(
        stream_bytes_per_s=seen.stream_bytes / seconds,
        chase_latency_s=chase,
        chase_loads=seen.chase.pieces,
        bound=CAUSES[causes[hop]] if seen.busy[hop] >= BOUND_FROM else "latency",
        utilization={name: min(1.0, share) for name, share in seen.busy.items()},
        window_s=seconds,
        events=seen.events,
    )


def chase(machine: Machine, footprint: int, granule: int, *, is_new_page: bool = False) -> float:
    """Seconds per load of a dependent chase alone: steps of `granule` bytes through `footprint`.

    A step within a page finds its translation; `is_new_page`: each load is on a page that the TLB does not hold.
    """
    engine = Engine()
    device = machine.device(engine)
    run = StreamRun(device, engine, machine.memory.channels)
    n_bytes = min(granule, LOAD)
    pieces = scattered(mapping_of(machine.memory), Footprint(footprint, n_bytes, device.l2_capacity_bytes), 0)
    run.add_chase(pieces, float(is_new_page))
    seen = run.observe(0, CHASE_LOADS * (run.round_trip_ps + device.walk_ps)).chase
    return seen.latency_ps / seen.pieces / 1e12
