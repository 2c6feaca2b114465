"""What the device level is told of the machine, and what it tells the system level of a kernel: plain data."""

from __future__ import annotations

from dataclasses import dataclass

from sim.component.grid import SmLimits
from sim.component.transfer import Hop

CUDA_UNITS = frozenset({"fp32", "fp16_lanes", "int8_dp4a"})
"""Units that are CUDA cores; every other key of `flop_per_clock_per_sm` is a matrix unit."""


@dataclass(frozen=True, slots=True)
class Device:
    """What the device level knows of the machine (resolved from the components): rates in units per second.

    `requester_bytes`: how much of one warp's traffic stands in line at its SM at a time. `side_cache_...`: the
    memory-side cache, as far as the GPU's reads look into it (0 bytes: they do not).
    """

    sms: int
    clock_hz: float
    flop_per_clock: dict[str, float]
    limits: SmLimits
    issue_ps: int
    l2_capacity_bytes: float
    l2_ways: int
    l2: Hop
    memory_path: tuple[Hop, ...]
    walk_ps: int
    tlb_reach_bytes: float
    tlb_page_bytes: int = 0
    requester_bytes: float = 1024.0
    side_cache_bytes: float = 0.0
    side_cache_ps: int = 0
    shared_bytes_per_clock: float = 128.0
    l2_banks: int = 1
    l2_line_bytes: int = 128


@dataclass(frozen=True, slots=True)
class Profile:
    """What one launch of a kernel does: the device level's answer, all the system level needs.

    Times in ps; bytes and FLOPs as served, not as asked. `causes` sum to `duration_ps`. `missed_..._bytes`: what L2
    misses and pushes out, by its own count; `moved_bytes`: what each hop on the way to memory has moved, by name.
    """

    duration_ps: int
    causes: dict[str, int]
    l2_read_bytes: float
    l2_write_bytes: float
    dram_read_bytes: float
    dram_write_bytes: float
    flops: float
    tensor_share: float
    events: int
    waves: float
    ctas: int
    occupancy: int
    missed_read_bytes: float
    missed_write_bytes: float
    moved_bytes: dict[str, float]


@dataclass(frozen=True, slots=True)
class Share:
    """What one op asks of a component that is not the GPU. It computes while its bytes move; the longer one counts.

    `compute_s`: seconds of computing. `read_bytes`, `write_bytes`: from and to memory, past the GPU's L2. `flops`:
    useful FLOPs on `unit`, a key of the component's `peak` ("" where it has none). `is_vector`: the unit counts as
    CUDA cores in results, not as tensor cores. `start_s`: time before anything happens (a doorbell, a descriptor).
    """

    compute_s: float
    read_bytes: int
    write_bytes: int
    flops: float = 0.0
    unit: str = ""
    is_vector: bool = False
    start_s: float = 0.0
