"""What `microbench stream` is asked to run, and whether a machine can: streams, and who runs beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

from sim.component.cpu import CpuClusterSpec
from sim.component.stream_pattern import PATTERNS
from sim.errors import InputError, Problem
from sim.system.machine import Machine

FOOTPRINT = 256 << 20
"""Default: what the published measurements read per point (240-280 MB)."""
PIECE = 512
"""Most bytes that a warp asks for at once: 32 lanes of 16 B."""
SECTOR = 32
"""Least bytes that memory gives: a sector of a line."""
ACCESSES = {"read": ("read",), "write": ("write",), "copy": ("read", "write")}


class Tenant(NamedTuple):
    """A component that is to run beside: "NAME", "NAME=write", and of a cluster "NAME:CORES"."""

    name: str
    cores: int | None
    access: str

    @classmethod
    def of(cls, text: str) -> Tenant:
        """What the text asks for (-1 cores: a number that is none)."""
        whose, _, access = text.partition("=")
        name, colon, cores = whose.partition(":")
        number = int(cores) if cores.isdecimal() and len(cores) < 6 else -1
        return cls(name, number if colon else None, access or "read")

    def check(self, machine: Machine) -> Iterator[Problem]:
        """What is wrong with it on this machine."""
        if self.access not in ("read", "write"):
            message = f"must move =read or =write, not {self.access[:20]!r}"
            yield Problem(message, code="bad_argument", path="beside")
        able = machine.tenants()
        if self.name not in able:
            message = f"no component {self.name[:40]!r} moves data to memory"
            yield Problem(message, "bad_argument", path="beside", hint=f"there are: {', '.join(able)}")
        elif self.cores is not None:
            spec = machine.components[self.name].spec
            most = len(spec.bytes_under_way()) if isinstance(spec, CpuClusterSpec) else 0
            if not 1 <= self.cores <= most:
                message = f"{self.name} has {most} cores" if most else f"{self.name} has no cores to choose from"
                yield Problem(message, "bad_argument", path="beside", hint=f"give {self.name}, or {self.name}:NUMBER")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A kernel with barriers that runs beside: in each of its CTAs all warps load 512 B, wait for each other, compute.

    `pause_ns`: how long they compute between two loads.
    """

    ctas: int
    warps: int
    pause_ns: float


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What to run: CTAs round robin over SMs, each with `inflight` bytes outstanding, shared by its warps.

    `footprint`: bytes that are read over and over. `has_chase`: a dependent chase over the same footprint runs beside.
    `kind`: read, write or copy (half of the pieces each). `is_batched`: a warp asks for all its pieces at once and
    waits for all of them, as a loop does that loads and then uses; otherwise the next leaves when one arrives.
    `neighbour`: a kernel with barriers beside. `beside`: other components that move data as fast as they can ("nic",
    "cpu0=write", "cpu1:2" for two of its cores).
    """

    ctas: int
    inflight: int
    pattern: str = "tile"
    warps: int = 4
    footprint: int = FOOTPRINT
    has_chase: bool = False
    kind: str = "read"
    is_batched: bool = False
    neighbour: Neighbour | None = None
    beside: tuple[str, ...] = ()

    @property
    def depth(self) -> int:
        """Pieces that a warp keeps outstanding."""
        return max(1, -(-self.inflight // (self.warps * PIECE)))

    @property
    def piece(self) -> float:
        """Bytes of a piece."""
        return self.inflight / self.warps / self.depth

    @property
    def _is_watched(self) -> bool:
        """Whether there is something to see without any stream."""
        return self.has_chase or self.neighbour is not None

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
            for name, value, least in (("ctas", self.ctas, 0 if self._is_watched else 1), ("warps", self.warps, 1))
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
        problems += [problem for each in self.beside for problem in Tenant.of(each).check(machine)]
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
