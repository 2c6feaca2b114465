"""One kernel on the device: deals the CTAs, runs the SMs against L2 and memory, and returns what happened."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from sim.component.fold import Fold, NoFold
from sim.component.grid import PHASES, SmClass, deal, drift, occupancy, tiles_of
from sim.component.kernel_cycles import epilogue_cycles, step_cycles, work_cycles
from sim.component.panel_cache import PanelCache
from sim.component.profile import CUDA_UNITS, Device, Profile
from sim.component.sm import Cycles, Parts, Slot, Sm, Watcher
from sim.component.transfer import FILL, READS, Fetch, Hop, Part, Requester, across
from sim.cost.program import Kernel
from sim.engine import Behaviour, Engine, FairServer

MOST_SLOTS = 4
"""CTA slots of an SM that are told apart when folding a kernel of more than `MANY_STEPS` K-steps."""
MANY_STEPS = 20_000
MOST_WAVES = 128
"""Waves whose misses are looked at; they stand for those that follow."""
SEPARATE_STEPS = 300
"""So many K-steps are stepped for the sake of more groups of SMs."""
LONG_STEPS = 8
"""From so many K-steps per slot on, slots start spread over a K-step: what they drift to before long."""


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
        self._write_back = Requester(engine)
        self._written: Fetch | None = None
        self._cache = PanelCache(device.l2_capacity_bytes, device.l2_ways)
        self._mean_wave: tuple[tuple[float, ...], float] | None = None
        self._waves: dict[int, tuple[tuple[float, ...], float]] = {}
        self._fetched: dict[tuple[int, int, int], Parts] = {}
        self._stored: dict[tuple[int, int], tuple[Parts, Parts]] = {}
        classes = deal(kernel, device.sms, self.slots_per_sm)
        self.most_slots = MOST_SLOTS if not is_full and kernel.total_steps > MANY_STEPS else self.slots_per_sm
        self.is_long = max(sum(c.steps_of) for c in classes) >= LONG_STEPS * self.slots_per_sm
        if self.is_long:
            classes = drift(classes, device.sms if is_full else self._groups(classes))
        elif is_full:
            classes = [SmClass((member,), c.visits, c.steps_of) for c in classes for member in c.members]
        self.sms = [Sm(engine, self, sm_class, self.slots_per_sm) for sm_class in classes]
        self.slots: list[Slot] = [slot for sm in self.sms for slot in sm.slots]
        self.leader = self.slots[0]
        self.round_ps = self._round_ps() if self.is_long else 0
        spacing = 1 / len(self.sms) - 1 / sum(sm.weight for sm in self.sms)
        self.tail_ps = round(self.round_ps * spacing / 2)
        self.hops: tuple[Hop, ...] = (device.l2, *device.memory_path)
        self.servers: list[FairServer] = [server for hop in self.hops for server in hop.servers()]
        for server in self.servers:
            server.spread_ps = self.round_ps
        self.fold: Watcher = NoFold() if is_full else Fold(self)

    def _groups(self, classes: list[SmClass]) -> int:
        """Groups of SMs that are told apart: more where an SM has little to do, so that all are for a small kernel."""
        kernel, sms = self.kernel, self.device.sms
        few = len(kernel.loads) or ceil(PHASES / (kernel.stages * self.slots_per_sm))
        affordable = SEPARATE_STEPS // max(sum(c.steps_of) for c in classes)
        return sms if affordable > sms / 2 else max(few, affordable)

    def _round_ps(self) -> int:
        """About how long all CTAs on the GPU take for a K-step each: latency, and what binds of memory and units."""
        sm, ctas = self.sms[0], self.slots_per_sm * self.device.sms
        parts = self.parts_of(sm, min(self.slots_per_sm, sm.sm_class.visits - 1), sm.sm_class.steps_of[0], 1)
        moved_s = max(part.n_bytes / part.hop.rates[part.access] for part in parts) / sm.weight * ctas
        service_ps = self.slots_per_sm * max((ps for _, ps in self.cycles.work), default=0)
        return round(self.miss_latency_ps + self.cycles.step_ps + max(moved_s * 1e12, service_ps))

    def parts_of(self, sm: Sm, k: int, steps: int, ctas: int) -> Parts:
        """What `ctas` tiles of `sm` from its k-th on fetch per K-step: all from L2, what L2 misses from memory too.

        The same list for all that move the same bytes.
        """
        weight = sm.weight * ctas
        key = min(k, self.slots_per_sm), sm.weight, ctas  # later visits move the mean (see `_wave`)
        known = self._fetched.get(key)
        if known is None:
            waves = [self._wave(each, steps) for each in range(k, k + ctas)]  # the first may miss what others find
            missing = [sm.weight * sum(m[i] / asked for m, asked in waves) for i in range(len(self.kernel.operands))]
            known = self._fetched[key] = self._parts(missing, weight)
        return known

    def _parts(self, missing: Sequence[float], weight: int) -> Parts:
        """What `weight` CTAs, which miss `missing` bytes by operand together, fetch per K-step."""
        device = self.device
        parts: Parts = []
        for access in READS:
            n_bytes = sum(
                m for m, operand in zip(missing, self.kernel.operands, strict=True) if operand.access == access
            )
            if n_bytes > 0.0:
                parts += across(device.memory_path, n_bytes, access)
        from_l2 = self.kernel.step_bytes * weight
        memory_s = sum(part.n_bytes / part.hop.rates[part.access] for part in parts if not part.is_hidden)
        is_hidden = bool(parts) and from_l2 / device.l2.rates["read"] < memory_s
        fills = [Part(device.l2, self.kernel.fill_bytes * weight, FILL)] if self.kernel.fill_bytes else []
        return [Part(device.l2, from_l2, "read", is_hidden), *parts, *fills]

    def _wave(self, k: int, steps: int) -> tuple[tuple[float, ...], float]:
        """Bytes that the k-th visits of all SMs miss per K-step, by operand, and how many SMs make that visit.

        Visits after the first ones miss what they miss on average: SMs drift apart, so that no wave hits or misses
        together, and the sum over the kernel is the same.
        """
        if k < self.slots_per_sm:
            return self._exact_wave(k, steps)
        if self._mean_wave is None:
            first, last = self.slots_per_sm, max(sm.sm_class.visits for sm in self.sms)
            most = first + (1 if self._cache.is_steady(self.kernel) else MOST_WAVES)
            self._mean_wave = self._mean(range(first, min(last, most)))
        return self._mean_wave

    def _mean(self, visits: range) -> tuple[tuple[float, ...], float]:
        """Missed bytes per K-step and SM over `visits`, weighted by their K-steps."""
        totals, asked = [0.0] * len(self.kernel.operands), 0.0
        for k in visits:
            steps = [(sm.sm_class.steps_of[k], sm.weight) for sm in self.sms if k < sm.sm_class.visits]
            longest, made = max(step for step, _ in steps), sum(step * weight for step, weight in steps)
            missing, count = self._exact_wave(k, longest)
            totals = [total + missed / count * made for total, missed in zip(totals, missing, strict=True)]
            asked += made
        return tuple(total / max(1.0, asked) for total in totals), 1.0  # none asked: CTAs without K-steps

    def _exact_wave(self, k: int, steps: int) -> tuple[tuple[float, ...], float]:
        known = self._waves.get(k)
        if known is None:
            members = [m for sm in self.sms if k < sm.sm_class.visits for m in sm.sm_class.members]
            tiles = tiles_of(self.kernel, members, k, self.device.sms, self.slots_per_sm)
            missing = self._cache.wave(self.kernel, tiles, steps)
            known = self._waves[k] = (tuple(missing), float(len(members)))
        return known

    def missed_bytes(self) -> float:
        """What L2 misses of all that the kernel reads: that of every tile's K-steps."""
        total = 0.0
        for sm in self.sms:
            for k, steps in enumerate(sm.sm_class.steps_of):
                missing, asked = self._wave(k, steps)
                total += sum(missing) / asked * steps * sm.weight
        return total

    def store_parts(self, weight: int, steps: int) -> Parts:
        """What the epilogue of a CTA that did `steps` K-steps of a tile writes to L2, for `weight` CTAs.

        What of it does not stay in L2 goes on to memory; nobody waits for that before the kernel's end.
        """
        known = self._stored.get((weight, steps))
        if known is None:
            known = self._stored[weight, steps] = self._stores(weight, steps)
        to_l2, back = known
        if back:
            self._written = self._write_back.fetch(back, 1, 0)
        return to_l2

    def _stores(self, weight: int, steps: int) -> tuple[Parts, Parts]:
        """What `store_parts` sends to L2, and from there on to memory."""
        kernel, device = self.kernel, self.device
        share = steps / kernel.n_steps if kernel.schedule == "persistent" else 1.0
        n_bytes = kernel.store_bytes * weight * share
        n_back = kernel.write_back_bytes / kernel.stored_tiles * weight * share
        to_l2 = [Part(device.l2, n_bytes, "write")] if n_bytes else []
        return to_l2, across(device.memory_path, n_back, "write") if n_back else []

    def first_walk_ps(self) -> int:
        """Extra latency of the first fetch of a CTA slot: its pages are not in the TLB."""
        cold = sum(o.step_bytes for o in self.kernel.operands if o.resident_share < 1.0)
        return self.device.walk_ps if cold else 0

    def keep_history(self) -> None:
        """From here on every slot remembers its intervals, for a picture."""
        for slot in self.slots:
            slot.history = []

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
        if self._written is not None and self._written.arrived_at < 0:
            self._written.waiter = engine.event()
            engine.run(self._written.waiter)
        duration = engine.now
        return _account(self, duration)

    def _flush(self) -> Behaviour:
        """Dirty bytes that this kernel's reads push out of L2, written back beside its reads."""
        parts = across(self.device.memory_path, self.kernel.flush_bytes, "write")
        fetch = Requester(self.engine).fetch(parts, 1, 0)
        if fetch.arrived_at < 0:
            fetch.waiter = self.engine.event()
            yield fetch.waiter


def _cycles(kernel: Kernel, device: Device) -> Cycles:
    ps_per_cycle = 1e12 / device.clock_hz
    work = tuple((unit, round(cycles * ps_per_cycle)) for unit, cycles in work_cycles(kernel, device))
    fixed = (kernel.prologue_cycles, step_cycles(kernel, device), epilogue_cycles(kernel, device), kernel.first_cycles)
    prologue, step, epilogue, first = (round(cycles * ps_per_cycle) for cycles in fixed)
    return Cycles(prologue, step, work, epilogue, first)


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
        dram_read_bytes=sum(device.memory_path[-1].moved[access] for access in READS),
        dram_write_bytes=device.memory_path[-1].moved["write"],
        flops=kernel.flops,
        tensor_share=min(1.0, busy / duration) if duration else 0.0,
        events=run.engine.events,
        waves=kernel.tiles / (device.sms * run.slots_per_sm),
        ctas=ctas,
        occupancy=run.slots_per_sm,
        missed_read_bytes=run.missed_bytes(),
        missed_write_bytes=kernel.flush_bytes,
        moved_bytes={hop.name: sum(hop.moved.values()) for hop in device.memory_path},
    )
