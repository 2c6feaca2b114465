"""A machine: components made from a hardware spec and joined by its links."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TypeVar

from sim.component import COMPONENTS, Component
from sim.component.gpu import GpuSpec
from sim.component.grid import SmLimits
from sim.component.l2 import L2Spec
from sim.component.memory import MemorySpec
from sim.component.profile import Device
from sim.component.tlb import TlbSpec
from sim.component.transfer import Requester, across
from sim.engine import Behaviour, Engine
from sim.errors import Problem, WiringError
from sim.hwspec import ComponentSpec, HardwareSpec
from sim.units import ps_from_seconds
from sim.workload.op import Copy, Op

SpecT = TypeVar("SpecT", bound=ComponentSpec)


class Machine:
    """Components by name, and the ways between them. Holds no simulated state: each simulation makes its own hops."""

    def __init__(self, hardware: HardwareSpec, types: Mapping[str, type[Component]] = COMPONENTS) -> None:
        self.hardware = hardware
        kinds = {spec_type.Spec: spec_type for spec_type in types.values()}
        self.components = {name: kinds[type(spec)](name, spec) for name, spec in hardware.components.items()}
        self._neighbours: dict[str, list[str]] = {name: [] for name in self.components}
        for link in hardware.links:
            ends = [str(end).split(".")[0] for end in (link.source, link.target)]
            self._neighbours[ends[0]].append(ends[1])
            self._neighbours[ends[1]].append(ends[0])
        self.gpu = self._one(GpuSpec)
        self.gpu_name = self._name_of(GpuSpec)
        self.l2 = self._one(L2Spec)
        self.memory = self._one(MemorySpec)
        self._memory_path = self.route(self._name_of(L2Spec), self._name_of(MemorySpec))[1:]

    def _name_of(self, kind: type) -> str:
        for name, spec in self.hardware.components.items():
            if isinstance(spec, kind):
                return name
        problem = Problem(f"{self.hardware.name} has no component of type {kind.__name__}", code="missing_component")
        raise WiringError(problem)

    def _one(self, kind: type[SpecT]) -> SpecT:
        spec = self.hardware.components[self._name_of(kind)]
        assert isinstance(spec, kind)
        return spec

    def route(self, source: str, target: str) -> list[str]:
        """Names of the components on the shortest way along the links, both ends included.

        Raises:
            WiringError: an end is unknown, or no links lead from one to the other.
        """
        for end in (source, target):
            if end not in self.components:
                hint = f"there are: {', '.join(sorted(self.components))}"
                raise WiringError(
                    Problem(f"{self.hardware.name} has no component {end!r}", code="unknown_component", hint=hint)
                )
        previous: dict[str, str] = {source: source}
        queue = deque([source])
        while queue and target not in previous:
            name = queue.popleft()
            for neighbour in self._neighbours[name]:
                if neighbour not in previous:
                    previous[neighbour] = name
                    queue.append(neighbour)
        if target not in previous:
            raise WiringError(
                Problem(f"no links lead from {source!r} to {target!r} on {self.hardware.name}", code="not_linked")
            )
        way = [target]
        while way[-1] != source:
            way.append(previous[way[-1]])
        return way[::-1]

    def device(self, engine: Engine) -> Device:
        """The device level's view: SMs, and hops from L2 to memory, fresh on `engine`."""
        gpu, l2 = self.gpu, self.l2
        hops = [hop for name in self._memory_path if (hop := self.components[name].carry(engine)) is not None]
        l2_hop = self.components[self._name_of(L2Spec)].carry(engine)
        assert l2_hop is not None
        tlb = next((s for s in self.hardware.components.values() if isinstance(s, TlbSpec)), None)
        limits = SmLimits(gpu.shared_memory_per_sm, gpu.registers_per_sm, gpu.max_threads_per_sm, gpu.max_ctas_per_sm)
        return Device(
            sms=gpu.sms,
            clock_hz=gpu.clock,
            flop_per_clock={unit: float(rate) for unit, rate in gpu.flop_per_clock_per_sm.items()},
            limits=limits,
            issue_ps=ps_from_seconds(gpu.issue_latency),
            l2_capacity_bytes=float(l2.capacity),
            l2_ways=l2.ways,
            l2=l2_hop,
            memory_path=tuple(hops),
            walk_ps=ps_from_seconds(tlb.walk) if tlb else 0,
            tlb_reach_bytes=float(tlb.reach) if tlb else 0.0,
        )

    def device_key(self) -> str:
        """Everything of the spec that the device level reads, as text: the key of kernel profiles."""
        names = [self.gpu_name, self._name_of(L2Spec), *self._memory_path]
        names += [name for name, spec in self.hardware.components.items() if isinstance(spec, TlbSpec)]
        return repr([(name, self.hardware.components[name]) for name in names])

    def copy(self, op: Copy) -> tuple[str, int, dict[str, int]]:
        """Run a copy alone: (the component that serves it, ps, causes)."""
        names = {"cpu": "cpu0"}
        ends = [names.get(end, end) if end not in self.components else end for end in (op.source, op.target)]
        way = self.route(ends[0], ends[1]) if ends[0] != ends[1] else self.route(ends[0], "memory")
        duration, cause = self._move(way, float(op.size_bytes))
        return f"copy:{op.source}-{op.target}", duration, {cause: duration}

    def _move(self, way: list[str], n_bytes: float) -> tuple[int, str]:
        """Bytes across the components of `way` at once: (ps, what bound it)."""
        engine = Engine()
        hops = [hop for name in way if (hop := self.components[name].carry(engine)) is not None]
        if not hops:
            raise WiringError(Problem(f"nothing on the way {' -> '.join(way)} carries traffic", code="not_linked"))
        fetch = Requester(engine).fetch(across(hops, n_bytes, "read"), 1, sum(hop.latency_ps for hop in hops))

        def wait() -> Behaviour:
            if fetch.arrived_at < 0:
                fetch.waiter = engine.event()
                yield fetch.waiter
            yield engine.timeout(fetch.latency_ps)

        engine.run(engine.spawn(wait(), "copy"))
        return engine.now, fetch.cause

    def taker(self, op: Op) -> tuple[str, int, dict[str, int]] | None:
        """(component, ps, causes) when another component than the GPU accepts `op`; it computes while bytes move."""
        for name, component in self.components.items():
            if not component.accepts(op):
                continue
            share = component.program(op)
            compute = ps_from_seconds(share.compute_s)
            moving, cause = 0, "dram"
            if share.read_bytes + share.write_bytes:
                moving, cause = self._move(self.route(name, "memory")[1:], float(share.read_bytes + share.write_bytes))
            return name, max(compute, moving), {"tensor": compute} if compute >= moving else {cause: moving}
        return None
