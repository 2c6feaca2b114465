"""Fields of a machine that the memory account reads and no simulation does: sizes of memory.

Machines that differ by nothing else share their kernel profiles and what was simulated.
"""

from __future__ import annotations

from collections.abc import Mapping

from sim.component import Component
from sim.component.memory import MemorySpec
from sim.component.os import OsSpec
from sim.hwspec import ComponentSpec, HardwareSpec

ONLY_COUNTED: Mapping[type[ComponentSpec], tuple[str, ...]] = {
    MemorySpec: ("capacity",),
    OsSpec: ("visible_memory", "reserve", "others", "freeze_above"),
}


def as_simulated(spec: ComponentSpec) -> ComponentSpec:
    """A component's spec without what is only counted. A class of the user's may read all of its spec: it keeps it."""
    return spec.model_copy(update=dict.fromkeys(ONLY_COUNTED.get(type(spec), ())))


def simulated_digest(hardware: HardwareSpec, types: Mapping[str, type[Component]]) -> str:
    """The digest of a machine, equal for machines that differ in sizes of memory alone."""
    named = {name: spec for name, spec in hardware.components.items() if type(spec) in ONLY_COUNTED}
    if not all(types[hardware.types[name]].__module__.startswith("sim.") for name in named):
        return hardware.digest
    return repr([(name, as_simulated(spec)) for name, spec in hardware.components.items()]) + repr(hardware.links)
