"""What a prediction of one kernel says: the launches it takes, their sums, and what the SMs did meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.result.trace import BOUNDS, CAUSES


@dataclass(frozen=True, slots=True)
class Lane:
    """One CTA slot of an SM that stands for `count` equal ones: its intervals in order, (cause, ps, is_folded).

    Folded intervals are many steps that were advanced in closed form, summed by cause.
    """

    name: str
    count: int
    moments: tuple[tuple[str, int, bool], ...]


@dataclass(frozen=True, slots=True)
class LaunchResult:
    """One launch. Times in ps with nobody else on the machine, sizes in bytes; `causes` sum to `duration_ps`."""

    kernel: str
    site: str
    duration_ps: int
    boundary_ps: int
    causes: Mapping[str, int]
    tile: tuple[int, ...]
    stages: int
    split_k: int
    mma: str
    ctas: int
    waves: float
    occupancy: int
    dram_bytes: float
    l2_bytes: float
    shared_memory_bytes: float
    flops: float
    events: int
    lanes: tuple[Lane, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, SI units."""
        return {
            "kernel": self.kernel,
            "site": self.site,
            "duration_s": self.duration_ps / 1e12,
            "launch_s": self.boundary_ps / 1e12,
            "ctas": self.ctas,
            "tile": list(self.tile),
            "dram_bytes": self.dram_bytes,
        }


@dataclass(frozen=True, slots=True)
class KernelResult:
    """An op on a runtime's kernels: `launches` in order.

    `duration_s` is the sum of the launches, each from its first CTA's start to its last store; `launch_s` what lies
    between each and the kernel before it, besides. What only one kernel can have (tile, waves...) is of the longest.
    """

    op: str
    hardware: str
    runtime: str
    runtime_version: str
    dtype: str
    shape: Mapping[str, float | str]
    launches: tuple[LaunchResult, ...]
    peaks: Mapping[str, float]
    sustained_bytes_per_s: float
    clock_hz: float
    overrides: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def longest(self) -> LaunchResult:
        """The launch that takes most of the time."""
        return max(self.launches, key=lambda launch: launch.duration_ps)

    @property
    def duration_s(self) -> float:
        """All launches together, without what lies between them."""
        return sum(launch.duration_ps for launch in self.launches) / 1e12

    @property
    def launch_s(self) -> float:
        """Kernel boundaries, all launches together."""
        return sum(launch.boundary_ps for launch in self.launches) / 1e12

    @property
    def total_s(self) -> float:
        """What the op adds to a sequence of kernels: launches and the boundaries before them."""
        return self.duration_s + self.launch_s

    @property
    def causes(self) -> dict[str, float]:
        """Share of `duration_s` by cause."""
        total = sum(launch.duration_ps for launch in self.launches) or 1
        found: dict[str, float] = {}
        for launch in self.launches:
            for cause, ps in launch.causes.items():
                found[cause] = found.get(cause, 0.0) + ps / total
        return dict(sorted(found.items()))

    @property
    def bound_share(self) -> dict[str, float]:
        """Share of `duration_s` by bound; they sum to 1."""
        shares = dict.fromkeys(BOUNDS, 0.0)
        for cause, share in self.causes.items():
            shares[CAUSES[cause]] += share
        return shares

    @property
    def bound(self) -> str:
        """What most of the time goes to."""
        shares = self.bound_share
        return max(shares, key=lambda name: shares[name])

    @property
    def flops(self) -> float:
        """Useful FLOPs, padding excluded."""
        return sum(launch.flops for launch in self.launches)

    @property
    def bytes(self) -> dict[str, float]:
        """Bytes moved: `dram` and `l2` both ways; `smem` the tiles that CTAs keep there, each counted once."""
        return {
            "dram": sum(launch.dram_bytes for launch in self.launches),
            "l2": sum(launch.l2_bytes for launch in self.launches),
            "smem": sum(launch.shared_memory_bytes for launch in self.launches),
        }

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.kernel/1`: plain data, SI units."""
        longest, moved, time = self.longest, self.bytes, self.duration_s
        return {
            "schema": "sparksim.kernel/1",
            "op": self.op,
            "hardware": self.hardware,
            "runtime": self.runtime,
            "runtime_version": self.runtime_version,
            "dtype": self.dtype,
            "shape": dict(self.shape),
            "duration_s": time,
            "launch_s": self.launch_s,
            "waves": longest.waves,
            "ctas": longest.ctas,
            "occupancy": longest.occupancy,
            "tile": list(longest.tile),
            "stages": longest.stages,
            "split_k": longest.split_k,
            "mma": longest.mma,
            "bytes": moved,
            "flops": self.flops,
            "achieved": {
                "flops_per_s": self.flops / time,
                "dram_bytes_per_s": moved["dram"] / time,
                "l2_bytes_per_s": moved["l2"] / time,
            },
            "bound": self.bound,
            "bound_share": self.bound_share,
            "causes": self.causes,
            "events": sum(launch.events for launch in self.launches),
            "clock_hz": self.clock_hz,
            "launches": [launch.to_dict() for launch in self.launches],
            "overrides": dict(self.overrides),
            "warnings": list(self.warnings),
        }
