"""Hardware blocks, one file each. `COMPONENTS` maps the `type:` of a hardware file to the class that stands for it."""

from __future__ import annotations

from sim.component.c2c import C2c
from sim.component.component import Component
from sim.component.compute_units import ComputeUnits
from sim.component.cpu import CpuCluster
from sim.component.gpu import Gpu
from sim.component.l2 import L2
from sim.component.machine import Machine
from sim.component.memory import Memory
from sim.component.nic import Nic
from sim.component.nvme import Nvme
from sim.component.os import Os
from sim.component.pcie import Pcie
from sim.component.peers import Peers
from sim.component.power import Power
from sim.component.system_cache import SystemCache
from sim.component.tlb import Tlb
from sim.hwspec import ComponentSpec

__all__ = ["COMPONENTS", "Component", "spec_types"]

COMPONENTS: dict[str, type[Component]] = {
    "c2c": C2c,
    "compute_units": ComputeUnits,
    "cpu_cluster": CpuCluster,
    "gpu": Gpu,
    "l2": L2,
    "machine": Machine,
    "memory": Memory,
    "nic": Nic,
    "nvme": Nvme,
    "os": Os,
    "pcie": Pcie,
    "peers": Peers,
    "power": Power,
    "system_cache": SystemCache,
    "tlb": Tlb,
}


def spec_types() -> dict[str, type[ComponentSpec]]:
    """The spec class of each component type: what `hwspec.load_hardware` checks a file against."""
    return {name: component.Spec for name, component in COMPONENTS.items()}
