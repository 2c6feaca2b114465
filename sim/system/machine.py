"""A machine: components made from a hardware spec and joined by its links."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import TypeVar

from sim.component import COMPONENTS, Component
from sim.component.gpu import GpuSpec
from sim.component.grid import SmLimits
from sim.component.l2 import L2Spec
from sim.component.memory import MemorySpec
from sim.component.nic import NicSpec
from sim.component.nvme import NvmeSpec
from sim.component.peers import PeersSpec
from sim.component.profile import Device
from sim.component.system_cache import SystemCacheSpec
from sim.component.tlb import TlbSpec
from sim.component.transfer import Hop, Part, Requester
from sim.cost.all_reduce import Latencies, chosen
from sim.engine import Behaviour, Engine
from sim.errors import Problem, WiringError, WorkloadError
from sim.hwspec import ComponentSpec, HardwareSpec
from sim.system.job import Job
from sim.system.memory_rates import with_rates
from sim.system.only_counted import as_simulated
from sim.system.plugins import checked_hop, checked_share, code_of, named_failure
from sim.units import ps_from_seconds
from sim.workload.op import AllReduce, Copy, Custom, Host, Op

SpecT = TypeVar("SpecT", bound=ComponentSpec)


@dataclass(frozen=True, slots=True)
class _Moved:
    """A transfer that ran alone: how long (ps), what bound it, and the bytes that memory moved for it."""

    duration_ps: int
    cause: str
    read_bytes: float
    write_bytes: float


class Machine:
    """Components by name, and the ways between them. Holds no simulated state: each simulation makes its own hops.

    `cache`: folder of rates that were derived before (None: the user's; "off": none), where memory's must be derived.
    """

    def __init__(
        self, hardware: HardwareSpec, types: Mapping[str, type[Component]] = COMPONENTS, cache: str | Path | None = None
    ) -> None:
        self.hardware = hardware
        self._specs = {name: with_rates(hardware, name, spec, cache) for name, spec in hardware.components.items()}
        self.components = {name: types[hardware.types[name]](name, spec) for name, spec in self._specs.items()}
        self._takers = [c for c in self.components.values() if type(c).accepts is not Component.accepts]
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

    @property
    def l2_name(self) -> str:
        """Name of the GPU's L2."""
        return self._name_of(L2Spec)

    @property
    def memory_name(self) -> str:
        """Name of the memory."""
        return self._name_of(MemorySpec)

    @property
    def memory_path(self) -> tuple[str, ...]:
        """Names on the way from L2 to memory, L2 left out."""
        return tuple(self._memory_path)

    def _name_of(self, kind: type) -> str:
        for name, spec in self._specs.items():
            if isinstance(spec, kind):
                return name
        problem = Problem(f"{self.hardware.name} has no component of type {kind.__name__}", code="missing_component")
        raise WiringError(problem)

    def _one(self, kind: type[SpecT]) -> SpecT:
        spec = self._specs[self._name_of(kind)]
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

    def tenants(self) -> list[str]:
        """Components besides the GPU that move data to or from memory: clusters, adapters, drives, users' own."""
        memory, found = self._name_of(MemorySpec), []
        for name, component in self.components.items():
            is_on_a_way = type(component.spec).serves or name in (memory, self.gpu_name)
            if not is_on_a_way and self._is_linked(name, memory) and self.hop(name, Engine()) is not None:
                found.append(name)
        return found

    def _is_linked(self, name: str, other: str) -> bool:
        try:
            return bool(self.route(name, other))
        except WiringError:
            return False

    def ways_to_memory(self, name: str) -> list[list[str]]:
        """Every shortest way from a component to memory, memory left out: those on which its transfers are spread.

        Raises:
            WiringError: it is unknown, or no links lead from it to memory.
        """
        memory = self._name_of(MemorySpec)
        shortest = len(self.route(name, memory))
        ways = [[name]]
        for _ in range(shortest - 1):
            ways = [[*way, each] for way in ways for each in self._neighbours[way[-1]] if each not in way]
        return [way[:-1] for way in ways if way[-1] == memory]

    def device(self, engine: Engine) -> Device:
        """The device level's view: SMs, and hops from L2 to memory, fresh on `engine`."""
        gpu, l2 = self.gpu, self.l2
        hops = [hop for name in self._memory_path if (hop := self.hop(name, engine)) is not None]
        l2_hop = self.hop(self._name_of(L2Spec), engine)
        assert l2_hop is not None
        tlb = next((s for s in self.hardware.components.values() if isinstance(s, TlbSpec)), None)
        caches = (s for s in self.hardware.components.values() if isinstance(s, SystemCacheSpec))
        side = next((cache for cache in caches if cache.serves_gpu_reads), None)
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
            tlb_page_bytes=tlb.page if tlb else 0,
            requester_bytes=float(l2.requester_queue),
            shared_bytes_per_clock=float(gpu.l1_bytes_per_clock),
            l2_banks=l2.banks,
            l2_line_bytes=l2.line,
            side_cache_bytes=float(side.capacity) if side else 0.0,
            side_cache_ps=ps_from_seconds(side.latency) if side else 0,
        )

    def device_key(self) -> str:
        """Everything that the device level reads of the spec, and the code of components of users: a profile's key."""
        names = [self.gpu_name, self._name_of(L2Spec), *self._memory_path]
        names += [name for name, spec in self.hardware.components.items() if isinstance(spec, TlbSpec)]
        codes = {name: code_of(type(self.components[name])) for name in names}
        specs = {name: self._specs[name] if codes[name] else as_simulated(self._specs[name]) for name in names}
        return repr([(name, specs[name], codes[name]) for name in names])

    def stream_key(self) -> str:
        """Everything that a stream on this machine depends on: what the device level reads, but for the SM clock."""
        gpu = self.gpu.model_copy(update={"clock": 0.0})
        caches = [spec for spec in self._specs.values() if isinstance(spec, SystemCacheSpec)]
        return self.device_key().replace(repr(self.gpu), repr(gpu)) + repr(caches)

    def memory_ps(self, read_bytes: float, write_bytes: float) -> int:
        """How long memory alone is busy with so many bytes, at its sustained rates."""
        bandwidth, sustained = self.memory.bandwidth, self.memory.sustained
        return ps_from_seconds(read_bytes / (bandwidth * sustained.read) + write_bytes / (bandwidth * sustained.write))

    def copy(self, op: Copy) -> Job:
        """A copy. What the drive and the NIC hold lies there; what everybody else holds lies in memory.

        Raises:
            WiringError: an end is unknown, or nothing leads from one to the other.
        """
        source, target = (self.end(end) for end in (op.source, op.target))
        memory, size = self._name_of(MemorySpec), float(op.size_bytes)
        is_stored, is_sent = (self._is_outside(end) for end in (source, target))
        parts: list[tuple[str, float, str]] = []
        aside: set[str] = set()
        for end, access, is_outside in ((source, "read", is_stored), (target, "write", is_sent)):
            if is_outside:  # over all its links at once
                ways = self.ways_to_memory(end)
                parts += [(name, size / len(ways), access) for way in ways for name in way]
                aside |= {name for way in ways[1:] for name in way} - set(ways[0])
        if not is_stored and not is_sent:
            way = self.route(source, target) if source != target else self.route(source, memory)
            parts += [(name, size, access) for name in way if name != memory for access in ("read", "write")]
        read, write = (0.0 if is_stored and not is_sent else size), (0.0 if is_sent and not is_stored else size)
        parts += [(memory, size, access) for access, n_bytes in (("read", read), ("write", write)) if n_bytes]
        moved = self._move(parts, aside)
        causes = {moved.cause: moved.duration_ps}
        return self._job(op, f"copy:{op.source}-{op.target}", moved.duration_ps, causes, moved, read, write)

    def all_reduce(self, op: AllReduce) -> Job:
        """A sum over equal machines, as each of them sees it: its link sends while memory is read and written.

        Raises:
            WorkloadError: nothing joins the machine to others, or not to so many.
        """
        name = next((name for name, spec in self._specs.items() if isinstance(spec, PeersSpec)), None)
        peers = self._specs[name] if name else None
        if not isinstance(peers, PeersSpec) or name is None or op.ranks > peers.most_ranks:
            most = f"joins at most {peers.most_ranks}" if isinstance(peers, PeersSpec) else "has nothing that joins it"
            hint = "a component of type `peers` in its file says what joins it to others"
            message = f"{self.hardware.name} {most} to other machines; the op wants {op.ranks}"
            raise WorkloadError(Problem(message, code="no_peers", path=op.id, hint=hint))
        link = Latencies(
            peers.step_latency, peers.bulk_latency, peers.flag_latency, peers.via == "nvlink", peers.via == "network"
        )
        ways = [[name]] if peers.through is None else self.ways_to_memory(peers.through)
        hop = self.hop(peers.through or name, Engine())
        left = peers.per_doubling ** (log2(op.ranks) - 1)
        rate = hop.rates["write"] * left if hop else 0.0
        plan = chosen(op.size_bytes, op.ranks, op.algorithm, link, rate, has_custom=op.ranks <= peers.custom_ranks)
        sent = plan.sent_bytes / left  # what a link that is slower by `left` would move in the same time
        parts = [(each, sent / len(ways), access) for way in ways for each in way for access in ("read", "write")]
        aside = {each for way in ways[1:] for each in way} - set(ways[0])
        memory = self._name_of(MemorySpec)
        moved = self._move([*parts, (memory, plan.sent_bytes, "read"), (memory, float(op.size_bytes), "write")], aside)
        wait = ps_from_seconds(plan.wait_s)
        causes = {moved.cause: moved.duration_ps, "dependency": wait}
        kind = f"all_reduce:{plan.algorithm}" + (f" {plan.protocol}" if plan.protocol else "")
        read, write = plan.sent_bytes, float(op.size_bytes)
        return self._job(op, kind, moved.duration_ps + wait, causes, moved, read, write)

    def end(self, name: str) -> str:
        """The component that an end of a copy stands for."""
        return "cpu0" if name == "cpu" and name not in self.components else name

    def _is_outside(self, name: str) -> bool:
        return isinstance(self.hardware.components.get(name), NvmeSpec | NicSpec)

    def _move(self, transfers: list[tuple[str, float, str]], aside: Collection[str] = ()) -> _Moved:
        """Send (component, bytes, access) across at once; when the slowest is through, everything has arrived.

        `aside`: those that lie beside others on the way, so that their latency is not added.
        """
        engine = Engine()
        hops = {name: self.hop(name, engine) for name, _, _ in transfers}
        parts = [Part(hop, n_bytes, access) for name, n_bytes, access in transfers if (hop := hops[name]) is not None]
        if not parts:
            names = ", ".join(hops)
            raise WiringError(Problem(f"nothing among {names} carries traffic", code="not_linked"))
        latency = sum(hop.latency_ps for name, hop in hops.items() if hop is not None and name not in aside)
        fetch = Requester(engine).fetch(parts, 1, latency)

        def wait() -> Behaviour:
            fetch.waiter = engine.event()  # happens the latency after the last byte
            yield fetch.waiter

        engine.run(engine.spawn(wait(), "transfer"))
        memory = hops.get(self._name_of(MemorySpec))
        moved = memory.moved if memory is not None else {}
        return _Moved(engine.now, fetch.cause, moved.get("read", 0.0), moved.get("write", 0.0))

    def hop(self, name: str, engine: Engine) -> Hop | None:
        """What a component carries, fresh on `engine`; None where it carries nothing."""
        component = self.components[name]
        with named_failure(component, "carry"):
            return checked_hop(component, component.carry(engine))

    def taker(self, op: Op) -> str | None:
        """Name of the component beside the GPU that accepts `op`, which is neither a copy nor host work.

        A custom op may say which component it is for.

        Raises:
            WorkloadError: the component that the op is for is not there, or does not accept it.
        """
        wanted = op.component if isinstance(op, Custom) else None
        if wanted == self.gpu_name or isinstance(op, Copy | AllReduce | Host):
            return None
        for component in self._takers:
            if wanted in (None, component.name):
                with named_failure(component, f"accepts({op.id!r})"):
                    if component.accepts(op):
                        return component.name
        if wanted is not None:
            why = "does not take it" if wanted in self.components else "is not there"
            hint = f"{self.hardware.name} has: {', '.join(self.components)}"
            message = f"is to run on component {wanted[:40]!r}, which {why}"
            raise WorkloadError(Problem(message, code="no_component", path=op.id, hint=hint))
        return None

    def compute(self, name: str, op: Op, write_back_bytes: float = 0.0) -> Job:
        """An op on another component than the GPU: it computes while its bytes move between memory and it.

        `write_back_bytes`: what its inputs have dirty in L2, written to memory for it.

        Raises:
            PluginError: the component's program fails or says something that cannot be.
            WiringError: no links lead from it to memory.
        """
        component = self.components[name]
        with named_failure(component, f"program({op.id!r})"):
            share = checked_share(component, op, component.program(op))
        read, write = float(share.read_bytes), share.write_bytes + write_back_bytes
        compute, moved = ps_from_seconds(share.compute_s), _Moved(0, "dram", 0.0, 0.0)
        if read + write:
            way = self.route(name, self._name_of(MemorySpec))
            both = (("read", read), ("write", write))
            moved = self._move([(hop, n_bytes, access) for hop in way for access, n_bytes in both if n_bytes])
        cause = "cuda" if share.is_vector else "tensor"
        causes = {cause: compute} if compute >= moved.duration_ps else {moved.cause: moved.duration_ps}
        start = ps_from_seconds(share.start_s)
        if start:
            causes["dependency"] = start
        duration = start + max(compute, moved.duration_ps)
        unit = f"{name}.{share.unit}" if share.unit else ""
        return self._job(op, name, duration, causes, moved, read, write, flops=share.flops, unit=unit)

    def _job(
        self,
        op: Op,
        component: str,
        duration_ps: int,
        causes: dict[str, int],
        moved: _Moved,
        read: float,
        write: float,
        *,
        flops: float = 0.0,
        unit: str = "",
    ) -> Job:
        return Job(
            op,
            component,
            duration_ps,
            {cause: ps for cause, ps in causes.items() if ps},
            flops=flops,
            unit=unit,
            asked_read_bytes=read,
            asked_write_bytes=write,
            dram_read_bytes=moved.read_bytes,
            dram_write_bytes=moved.write_bytes,
            memory_ps=min(duration_ps, self.memory_ps(moved.read_bytes, moved.write_bytes)),
        )

    def peaks(self) -> dict[str, float]:
        """Peak rate by unit, FLOP/s: the GPU's by their names, other components' as COMPONENT.UNIT."""
        found = dict(self.gpu.peak)
        for name, component in self.components.items():
            with named_failure(component, "peak"):
                found |= {f"{name}.{unit}": float(rate) for unit, rate in component.peak.items()}
        return found
