"""One kernel on the device: deals the CTAs, runs the SMs against L2 and memory, and returns what happened."""

from __future__ import annotations

from sim.component.fold import Fold, NoFold
from sim.component.grid import SmClass, deal, occupancy, tile_of
from sim.component.panel_cache import PanelCache
from sim.component.profile import CUDA_UNITS, Device, Profile
from sim.component.sm import Cycles, Parts, Slot, Sm, Watcher
from sim.component.transfer import Hop, Requester
from sim.cost.program import Kernel
from sim.engine import Behaviour, Engine, FairServer


class KernelRun:
    """The state of one kernel while it runs; `simulate` is the way in."""

    def __init__(self, kernel: Kernel, device: Device, engine: Engine, *, is_full: bool) -> None:
        self.kernel = kernel
        self.device = device
        self.engine = engine
        self.cuda_units = CUDA_UNITS
        self.hit_latency_ps = device.l2.latency_ps + device.issue_ps
        self.miss_latency_ps = self.hit_latency_ps + sum(hop.latency_ps for hop in device.memory_path)
        self.cycles = _cycles(kernel, device)
        self.slots_per_sm = occupancy(kernel, device.limits)
        self._cache = PanelCache(device.l2_capacity_bytes)
        self._waves: dict[int, tuple[tuple[float, ...], float]] = {}
        self._fetched: dict[str, float] = {"read": 0.0, "random": 0.0}
        classes = deal(kernel, device.sms, self.slots_per_sm)
        if is_full:
            classes = [SmClass((member,), c.visits, c.steps_of) for c in classes for member in c.members]
        self.sms = [Sm(engine, self, sm_class, self.slots_per_sm) for sm_class in classes]
        self.slots: list[Slot] = [slot for sm in self.sms for slot in sm.slots]
        self.leader = self.slots[0]
        self.hops: tuple[Hop, ...] = (device.l2, *device.memory_path)
        self.servers: list[FairServer] = [server for hop in self.hops for server in hop.servers()]
        self.fold: Watcher = NoFold() if is_full else Fold(self)

    def parts_of(self, sm: Sm, k: int, steps: int) -> Parts:
        """What the k-th tile of `sm` fetches per K-step, by hop: all from L2, what L2 misses from memory too."""
        missing, asked = self._wave(k, steps)
        device, weight = self.device, sm.weight
        parts: Parts = [(device.l2, self.kernel.step_bytes * weight, "read")]
        share = weight / asked
        for access in ("read", "random"):
            n_bytes = share * sum(
                m for m, operand in zip(missing, self.kernel.operands, strict=True) if operand.access == access
            )
            if n_bytes > 0.0:
                parts.extend((hop, n_bytes, access) for hop in device.memory_path)
        return parts

    def _wave(self, k: int, steps: int) -> tuple[tuple[float, ...], float]:
        """Bytes that the k-th visits of all SMs miss per K-step, by operand, and how many SMs make that visit."""
        known = self._waves.get(k)
        if known is None:
            members = [m for sm in self.sms if k < sm.sm_class.visits for m in sm.sm_class.members]
            tiles = [tile_of(self.kernel, m, k, self.device.sms, self.slots_per_sm) for m in members]
            missing = self._cache.wave(self.kernel, tiles, steps)
            known = self._waves[k] = (tuple(missing), float(len(members)))
        return known

    def store_parts(self, weight: int, steps: int) -> Parts:
        """What the epilogue of a CTA that did `steps` K-steps of a tile writes to L2, for `weight` CTAs."""
        kernel = self.kernel
        share = steps / kernel.n_steps if kernel.schedule == "persistent" else 1.0
        n_bytes = kernel.store_bytes * weight * share
        return [(self.device.l2, n_bytes, "write")] if n_bytes else []

    def take_walk(self, slot: Slot) -> int:
        """Extra latency of the first fetch of a CTA slot: its pages are not in the TLB (ps)."""
        if slot.done_steps == 0 and slot.issued == 1:
            cold = sum(o.step_bytes for o in self.kernel.operands if not o.is_resident)
            return self.device.walk_ps if cold else 0
        return 0

    def simulate(self) -> Profile:
        """Run to the end and account for every picosecond of it."""
        engine, kernel = self.engine, self.kernel
        processes = [
            engine.spawn(slot.sm.behave(slot), f"{kernel.name} sm{slot.sm.sm_class.members[0]}.{slot.index}")
            for slot in self.slots
        ]
        if kernel.flush_bytes:
            processes.append(engine.spawn(self._flush(), f"{kernel.name} write-back"))
        engine.run(engine.all_of(processes))
        duration = engine.now
        return _account(self, duration)

    def _flush(self) -> Behaviour:
        """Dirty bytes that this kernel's reads push out of L2, written back beside its reads."""
        fetch = Requester(self.engine).fetch(
            [(hop, self.kernel.flush_bytes, "write") for hop in self.device.memory_path], 1, 0
        )
        if fetch.arrived_at < 0:
            fetch.waiter = self.engine.event()
            yield fetch.waiter


def _cycles(kernel: Kernel, device: Device) -> Cycles:
    ps_per_cycle = 1e12 / device.clock_hz
    work = tuple(
        (w.unit, round(w.flops / (device.flop_per_clock[w.unit] * w.efficiency) * ps_per_cycle)) for w in kernel.work
    )
    return Cycles(round(kernel.prologue_cycles * ps_per_cycle), round(kernel.step_cycles * ps_per_cycle), work)


def _fitted(causes: dict[str, int], duration: int) -> dict[str, int]:
    """The critical slot's accounts, scaled to the kernel's time (what folding and write-back add is shared out)."""
    spent = sum(causes.values())
    if not spent:
        return {"pipeline_fill": duration} if duration else {}
    fitted = {cause: ps * duration // spent for cause, ps in sorted(causes.items())}
    largest = max(fitted, key=lambda cause: fitted[cause])
    fitted[largest] += duration - sum(fitted.values())
    return {cause: ps for cause, ps in fitted.items() if ps}


def _account(run: KernelRun, duration: int) -> Profile:
    kernel, device = run.kernel, run.device
    critical = max(run.slots, key=lambda slot: slot.last_end)
    causes = _fitted(critical.causes, duration)
    tensor = sum(service for unit, service in run.cycles.work if unit not in CUDA_UNITS)
    busy = tensor * kernel.total_steps / device.sms
    ctas = run.kernel.ctas or (device.sms * run.slots_per_sm if kernel.schedule == "persistent" else kernel.tiles)
    return Profile(
        duration_ps=duration,
        causes=causes,
        l2_read_bytes=device.l2.moved["read"],
        l2_write_bytes=device.l2.moved["write"],
        dram_read_bytes=device.memory_path[-1].moved["read"] + device.memory_path[-1].moved["random"],
        dram_write_bytes=device.memory_path[-1].moved["write"],
        flops=kernel.flops,
        tensor_share=min(1.0, busy / duration) if duration else 0.0,
        events=run.engine.events,
        waves=kernel.tiles / (device.sms * run.slots_per_sm),
        ctas=ctas,
        occupancy=run.slots_per_sm,
    )
