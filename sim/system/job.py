"""One op made ready to run: where, how long alone, why it takes that long, and what it moves."""

from __future__ import annotations

from dataclasses import dataclass

from sim.component.profile import Profile
from sim.cost.program import Kernel
from sim.workload.op import Op


@dataclass(frozen=True, slots=True)
class Job:
    """An op on its component. Times in ps, with nobody else on the machine; sizes in bytes.

    `asked_..._bytes`: what a kernel asks of L2, and what a copy or another component asks of memory; `dram_..._bytes`:
    what memory moved. `memory_ps`: how long memory alone is busy with those bytes, never more than `duration_ps`.
    """

    op: Op
    component: str
    duration_ps: int
    causes: dict[str, int]
    kernel: Kernel | None = None
    profile: Profile | None = None
    digest: str = ""
    flops: float = 0.0
    unit: str = ""
    asked_read_bytes: float = 0.0
    asked_write_bytes: float = 0.0
    dram_read_bytes: float = 0.0
    dram_write_bytes: float = 0.0
    memory_ps: int = 0


def kernel_job(op: Op, kernel: Kernel, digest: str, profile: Profile, memory_ps: int) -> Job:
    """The job of an op that the GPU runs."""
    return Job(
        op,
        "gpu",
        profile.duration_ps,
        profile.causes,
        kernel,
        profile,
        digest,
        profile.flops,
        kernel.mma,
        kernel.l2_read_bytes,
        kernel.written_bytes,
        profile.dram_read_bytes,
        profile.dram_write_bytes,
        min(memory_ps, profile.duration_ps),
    )
