"""Whether a runtime's kernels run on a machine's GPU at all, and what is said of a GPU that is described coarsely."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.component.gpu import GpuSpec
from sim.component.machine import MachineSpec
from sim.errors import InputError, Problem
from sim.hwspec import HardwareSpec
from sim.paths import available
from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_file import load_runtime

TITLES = {
    "nvidia": "NVIDIA's since Turing",
    "volta": "NVIDIA's Volta",
    "pascal": "NVIDIA's Pascal",
    "rdna": "AMD's RDNA",
    "apple": "Apple's",
}
COARSE = (
    "the GPU of {name} is described by coarse compute units: decode rests on its memory, prefill on few calibrated "
    "kernels (`sparksim validate machines` says how far off they are)"
)


def gpu_of(hardware: HardwareSpec) -> GpuSpec | None:
    """The machine's GPU; None where it has none (which is said elsewhere)."""
    return next((spec for spec in hardware.components.values() if isinstance(spec, GpuSpec)), None)


def check_generation(hardware: HardwareSpec, runtime: RuntimeSpec, search_dirs: Sequence[str | Path] = ()) -> None:
    """Refuses a runtime whose kernels are written for other GPUs than this machine's.

    Raises:
        InputError: they are; the hint names those runtimes whose kernels run there.
    """
    gpu = gpu_of(hardware)
    if gpu is None or gpu.generation in runtime.generations:
        return
    written = " and ".join(TITLES[each] for each in runtime.generations)
    message = f"{runtime.name} has kernels for GPUs of {written}; that of {hardware.name} is {TITLES[gpu.generation]}"
    others = suitable(gpu.generation, runtime.family, search_dirs)
    hint = f"with kernels for it: {', '.join(others)}" if others else "no described runtime has kernels for it"
    raise InputError(Problem(message, code="unsuitable_runtime", path="runtime", hint=hint))


def suitable(generation: str, family: str, search_dirs: Sequence[str | Path] = ()) -> list[str]:
    """Runtimes with kernels for GPUs of a generation, those that `family` is the root of first."""
    specs = [load_runtime(name, search_dirs=search_dirs).spec for name in available("runtimes", search_dirs)]
    fitting = [spec for spec in specs if generation in spec.generations]
    return [spec.name for spec in sorted(fitting, key=lambda spec: (spec.family != family, spec.name))]


def box_of(hardware: HardwareSpec) -> MachineSpec | None:
    """What belongs to no single block; None where the file does not say it."""
    return next((spec for spec in hardware.components.values() if isinstance(spec, MachineSpec)), None)


def notes(hardware: HardwareSpec) -> tuple[str, ...]:
    """What the reader of a result should know of how the machine is described."""
    gpu, box = gpu_of(hardware), box_of(hardware)
    found = []
    if gpu is not None and gpu.is_coarse:
        found.append(COARSE.format(name=hardware.name))
    if box is not None and box.gpus > 1:
        found.append(f"one of the {box.gpus} GPUs of {hardware.name} is simulated, with its own memory")
    return tuple(found)
