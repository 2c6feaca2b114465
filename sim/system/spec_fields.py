"""Which numbers of a machine and a runtime an answer can depend on: the ones that the simulation reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sim.component.tlb import TlbSpec
from sim.engine import Engine
from sim.errors import InputError
from sim.hwspec import FieldInfo, HardwareSpec
from sim.result.run_result import RunResult
from sim.system.machine import Machine
from sim.system.prediction import launch_costs
from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_file import SETTABLE

STEP = 1.1
"""By how much a field is changed to see what hangs on it."""
_COPY = "copy:"
_SHARE = "%"
"""Shares of a peak (what memory sustains of it) act as the peak does: the peak is asked instead."""


@dataclass(frozen=True, slots=True)
class SpecField:
    """A number that is read: its path as after `--set`, value in SI and unit; `factor`: what it can be multiplied by.

    `group`: fields that rarely matter, asked together first ("" for one that is asked on its own).
    """

    path: str
    value: float
    unit: str
    factor: float = STEP
    group: str = ""


def fields_read(result: RunResult, runtime: RuntimeSpec) -> list[SpecField]:
    """The fields that the run behind `result` may depend on, those of the machine first.

    A field of the machine is read if changing it changes what the device level is told, what a launch costs, or the
    spec of a component that runs ops or carries copies. Derived fields (`memory.bandwidth`) stand for their inputs.
    """
    hardware = result.hardware
    machine = Machine(hardware)
    before = _told(machine, runtime, result)
    units = {op.unit for step in (result.trace.steps if result.trace else ()) for op in step.ops}
    found = []
    for info in _candidates(hardware, _parts_used(machine, result)):
        factor = _possible(hardware, info, before, runtime, result)
        if factor is not None:
            found.append(SpecField(info.path, float(info.value), info.unit or "", factor, _group(info, units)))
    times = [name for name, kind in SETTABLE.items() if kind == "s" and getattr(runtime, name)]
    return found + [SpecField(f"runtime.{name}", float(getattr(runtime, name)), "s") for name in times]


def _parts_used(machine: Machine, result: RunResult) -> set[str]:
    """Components on the way from the SMs to memory, and those that ran ops or carried copies."""
    hardware = machine.hardware
    names = {machine.gpu_name, *machine.memory_path, machine.l2_name}
    names |= {name for name, spec in hardware.components.items() if isinstance(spec, TlbSpec)}
    for component in {op.component for step in (result.trace.steps if result.trace else ()) for op in step.ops}:
        if component.startswith(_COPY):
            ends = [machine.end(end) for end in component.removeprefix(_COPY).split("-")]
            names |= {name for end in ends for name in machine.route(end, machine.memory_name)}
        elif component in hardware.components:
            names.add(component)
    return names


def _candidates(hardware: HardwareSpec, names: set[str]) -> Iterable[FieldInfo]:
    """Numbers of the parts that are used; a derived one that can be set instead of what it is computed from."""
    fields = [info for info in hardware.fields() if info.path.partition(".")[0] in names]
    stand_in = [info for info in fields if info.status == "derived" and _can_be_set(hardware, info)]
    replaced = {each for info in stand_in for each in info.inputs}
    for info in fields:
        is_number = isinstance(info.value, int | float) and not isinstance(info.value, bool) and info.unit != _SHARE
        is_open = info in stand_in or (info.status != "derived" and info.path not in replaced)
        # What the channels are made of shows in what memory sustains; deriving that takes seconds for each field.
        if is_number and info.value and is_open and ".dram." not in info.path:
            yield info


def _can_be_set(hardware: HardwareSpec, info: FieldInfo) -> bool:
    name, _, field = info.path.partition(".")
    derived = hardware.components[name].derived_fields.get(field)
    return derived is not None and derived.moves is not None


def _possible(
    hardware: HardwareSpec, info: FieldInfo, before: object, runtime: RuntimeSpec, result: RunResult
) -> float | None:
    """The factor that a field can be changed by with an effect: up if possible, else down; None for none."""
    for factor in (STEP, 1.0 / STEP):
        try:
            changed = hardware.override(info.path, changed_value(info, factor))
            if _told(Machine(changed), runtime, result) != before:
                return float(changed.provenance[info.path].value) / float(info.value)
        except InputError:
            continue
    return None


def changed_value(info: FieldInfo | SpecField, factor: float) -> object:
    """What to set a field to: a factor, or a whole number for a count or a size."""
    if info.unit not in ("", "B"):
        return f"x{factor!r}"
    whole = round(info.value * factor)
    is_whole = float(info.value).is_integer() and whole > 1
    return f"x{factor!r}" if not is_whole else whole if info.unit == "" else f"{whole} B"


def _told(machine: Machine, runtime: RuntimeSpec, result: RunResult) -> object:
    """Everything that the simulation reads of a machine, as values that can be compared."""
    device = machine.device(Engine())
    hops = [(hop.name, sorted(hop.rates.items()), hop.latency_ps) for hop in (device.l2, *device.memory_path)]
    plain = [
        getattr(device, name)
        for name in ("sms", "clock_hz", "flop_per_clock", "limits", "issue_ps", "l2_capacity_bytes", "l2_ways")
    ]
    tokens = {(step.phase, step.tokens) for step in (result.trace.steps if result.trace else ())}
    launches = [launch_costs(machine, runtime, phase, n) for phase, n in sorted(tokens)]
    others = _parts_used(machine, result) - {machine.gpu_name, machine.l2_name, *machine.memory_path}
    specs = [repr(machine.hardware.components[name]) for name in sorted(others - _translation(machine))]
    plain.append(machine.gpu.sustained_share)
    return hops, plain, device.walk_ps, device.tlb_reach_bytes, launches, specs


def _translation(machine: Machine) -> set[str]:
    return {name for name, spec in machine.hardware.components.items() if isinstance(spec, TlbSpec)}


def _group(info: FieldInfo, units: set[str]) -> str:
    """Fields that are asked together first: units that no op names, and what limits how many CTAs an SM holds."""
    name = info.path.rpartition(".")[2]
    if ".flop_per_clock_per_sm." in info.path:
        return "" if name in units else "units"
    is_limit = name.startswith(("max_", "registers_", "shared_memory_"))
    return "limits" if is_limit else ""
