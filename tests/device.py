"""A device under test: small machines and kernels for tests of the device level, and how to run one on the other."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sim.component import spec_types
from sim.component.kernel_run import KernelRun
from sim.component.profile import Profile
from sim.cost.program import Grid, Kernel, Operand, Work
from sim.engine import Engine
from sim.hwspec import HardwareSpec, load_hardware
from sim.system.machine import Machine


@lru_cache(maxsize=64)
def hardware(*overrides: str) -> HardwareSpec:
    """DGX Spark with `PATH=VALUE` overrides."""
    return load_hardware("dgx-spark", spec_types(), overrides)


@lru_cache(maxsize=64)
def machine(*overrides: str) -> Machine:
    """The same, wired."""
    return Machine(hardware(*overrides))


def simulate(kernel: Kernel, on: Machine, *, is_full: bool = False) -> tuple[Profile, KernelRun]:
    """The profile of one launch and the run that it came from (whose hops and servers can be asked)."""
    engine = Engine()
    run = KernelRun(kernel, on.device(engine), engine, is_full=is_full)
    return run.simulate(), run


def stream(ctas: int, steps: int, step_bytes: float, **fields: Any) -> Kernel:
    """CTAs that read bytes nobody shares and compute nothing."""
    known: dict[str, Any] = {"stages": 2, "threads": 256, "prologue_cycles": 0} | fields
    return Kernel(
        "stream", ctas, steps, Grid(ctas), (Operand("inputs", step_bytes, "m"),), (Work("fp32", 0.0),), **known
    )


def sustained(on: Machine) -> float:
    """What memory and the link let an endless read have, bytes per second."""
    link = next(spec for name, spec in on.hardware.components.items() if name == "c2c")
    return min(on.memory.bandwidth * on.memory.sustained.read, link.bandwidth)  # type: ignore[attr-defined]
