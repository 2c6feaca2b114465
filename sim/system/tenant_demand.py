"""What each tenant asks of the memory, and how long a model's pass takes with what the others leave.

Movers (CPU jobs, the adapter, the drive) ask at a constant rate. A pass of a model asks op by op: how long it takes
alone, how long memory alone is busy for it (its demand is their ratio), how much of that it waits for latency. Under a
smaller share of the bus an op takes what memory needs at that share; it never gets faster than alone. The bus is shared
max-min fair between tenants, as at the channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sim.component.cpu import CpuClusterSpec
from sim.engine import Engine
from sim.errors import InputError, Problem
from sim.result.trace import OpRecord, StepTrace
from sim.system.contention import max_min_shares
from sim.system.machine import Machine
from sim.system.stream_request import PIECE
from sim.system.tenant_file import CpuTenant, RdmaTenant, SsdTenant

MEMORY_ACCESS = {
    "read": {"read": 1.0}, "write": {"write": 1.0}, "copy": {"read": 0.5, "write": 0.5},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mover:
    """A tenant of constant demand. `wants`: bytes per second to or from memory; `demand`: share of the bus that takes.

    `rate`: what it counts, bytes per second; more than `wants` where caches answer. `watts`: of its cores.
    """

    name: str
    kind: str
    wants: float
    demand: float
    rate: float
    watts: float = 0.0

    def at(self, share: float) -> float:
        """Bytes per second to or from memory with `share` of the bus."""
        return self.wants * share / self.demand if self.demand else 0.0


def mover_of(name: str, tenant: CpuTenant | RdmaTenant | SsdTenant, machine: Machine) -> Mover:
    """The demand of a tenant that only moves bytes.

    Raises:
        InputError: the machine has no such component, or it has fewer cores.
    """
    if isinstance(tenant, CpuTenant):
        return _cpu(name, tenant, machine)
    component = tenant.adapter if isinstance(tenant, RdmaTenant) else tenant.drive
    own = tenant.access if isinstance(tenant, SsdTenant) else "write" if tenant.direction == "in" else "read"
    in_memory = {"read": "write", "write": "read"}[own] if isinstance(tenant, SsdTenant) else own
    able = _able(name, component, own, machine)
    wants = min(able, tenant.rate or able)
    return Mover(name, tenant.kind, wants, _demand(wants, in_memory, machine), wants)


def _cpu(name: str, tenant: CpuTenant, machine: Machine) -> Mover:
    spec = machine.components[tenant.cluster].spec if tenant.cluster in machine.components else None
    if not isinstance(spec, CpuClusterSpec):
        names = ", ".join(n for n, c in machine.components.items() if isinstance(c.spec, CpuClusterSpec))
        raise InputError(_problem(name, "cluster", f"no cluster {tenant.cluster[:40]!r}", f"there are: {names}"))
    kinds = sorted((kind for kind in spec.cores for _ in range(kind.count)), key=lambda kind: -kind.lines_under_way)
    if tenant.cores is not None and tenant.cores > len(kinds):
        raise InputError(_problem(name, "cores", f"{tenant.cluster} has {len(kinds)} cores", None))
    used = kinds[: tenant.cores]
    watts = sum(kind.watts for kind in used)
    under_way = sum(spec.bytes_under_way(len(used)))
    is_cached = tenant.footprint is not None and tenant.footprint <= max(spec.l3, sum(kind.l2 for kind in used))
    if is_cached:
        able = under_way / spec.l3_latency
        return Mover(name, "cpu", 0.0, 0.0, min(able, tenant.rate or able), watts)
    able = min(under_way / spec.memory_latency, _able(name, tenant.cluster, "read", machine))
    wants = min(able, tenant.rate or able)
    return Mover(name, "cpu", wants, _demand(wants, tenant.access, machine), wants, watts)


def _able(name: str, component: str, access: str, machine: Machine) -> float:
    """What a component and all its ways to memory carry, bytes per second."""
    if component not in machine.tenants():
        hint = f"there are: {', '.join(machine.tenants())}"
        raise InputError(_problem(name, "component", f"no component {component[:40]!r} moves data to memory", hint))
    engine = Engine()
    own = machine.hop(component, engine)
    ways = []
    for way in machine.ways_to_memory(component):
        hops = [hop for each in way[1:] if (hop := machine.hop(each, engine)) is not None]
        ways.append(min((hop.rates[access] for hop in hops), default=float("inf")))
    assert own is not None
    return float(min(own.rates[access], sum(ways)))


def _problem(name: str, field_name: str, message: str, hint: str | None) -> Problem:
    return Problem(message, "bad_argument", path=f"tenants.{name}.{field_name}", hint=hint)


def _demand(rate: float, access: str, machine: Machine) -> float:
    """Share of memory's time that moving `rate` bytes per second takes."""
    busy = {kind: rate * part for kind, part in MEMORY_ACCESS[access].items()}
    return machine.memory_ps(busy.get("read", 0.0), busy.get("write", 0.0)) / 1e12


@dataclass(frozen=True, slots=True)
class PassUse:
    """One pass of a model beside movers: times in seconds. `moved`: bytes of each mover while it has the GPU."""

    gpu_s: float
    host_s: float
    n_bytes: float
    bus_s: float
    moved: dict[str, float] = field(default_factory=dict)


def pass_with(step: StepTrace, movers: Sequence[Mover], machine: Machine) -> PassUse:
    """How a pass of a model goes beside `movers`: op by op, each with the share of the bus that is left for it."""
    ops = [op for op in step.ops if op.component == machine.gpu_name]
    host_s = step.causes.get("step", 0) / 1e12
    alone_s = step.duration_ps / 1e12 - host_s
    kernels_s = sum(op.duration_ps * op.repeat for op in ops) / 1e12
    between_s = max(0.0, alone_s - kernels_s)  # launches and boundaries: the GPU is taken, memory is not
    quiet = max_min_shares([mover.demand for mover in movers])
    moved = {mover.name: mover.at(share) * between_s for mover, share in zip(movers, quiet, strict=True)}
    gpu_s, bus_s = between_s, 0.0
    late = _wait_s(movers, machine) / (_round_trip_s(machine) or 1.0)
    for op in ops:
        taken_s, shares = _op_with(op, movers, machine, late)
        gpu_s += taken_s * op.repeat
        bus_s += _bus_s(op, machine) * op.repeat
        for mover, share in zip(movers, shares, strict=True):
            moved[mover.name] += mover.at(share) * taken_s * op.repeat
    n_bytes = sum((op.dram_read_bytes + op.dram_write_bytes) * op.repeat for op in ops)
    return PassUse(gpu_s, host_s, n_bytes, bus_s, moved)


def _op_with(op: OpRecord, movers: Sequence[Mover], machine: Machine, late: float) -> tuple[float, list[float]]:
    """Seconds of one launch, and the movers' shares of the bus meanwhile."""
    alone_s = op.duration_ps / 1e12
    waits_s = min(alone_s, op.causes.get("pipeline_fill", 0.0) / 1e12) * late
    bus_s = _bus_s(op, machine)
    floor_s = alone_s + waits_s
    demand = min(1.0, bus_s / floor_s) if floor_s else 0.0
    own, *others = max_min_shares([demand, *(mover.demand for mover in movers)])
    return max(floor_s, bus_s / own if own else 0.0), others


def _bus_s(op: OpRecord, machine: Machine) -> float:
    """How long memory alone is busy for one launch; never longer than the launch took alone."""
    return min(op.duration_ps, machine.memory_ps(op.dram_read_bytes, op.dram_write_bytes)) / 1e12


def _wait_s(movers: Sequence[Mover], machine: Machine) -> float:
    """How much longer a load waits: behind a piece of each other tenant at its channel, as often as one is there."""
    piece_s = PIECE * machine.memory.channels / machine.memory.bandwidth
    return piece_s * sum(min(1.0, mover.demand) for mover in movers)


def _round_trip_s(machine: Machine) -> float:
    device = machine.device(Engine())
    return (device.issue_ps + device.l2.latency_ps + sum(hop.latency_ps for hop in device.memory_path)) / 1e12
