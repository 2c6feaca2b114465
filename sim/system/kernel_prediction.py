"""One op on a runtime's kernels, alone on the machine: the launches one after the other, and what each does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from sim.component import Component
from sim.component.estimate import estimator
from sim.component.kernel_run import KernelRun
from sim.component.panel_cache import survival
from sim.component.profile import Profile
from sim.cost.attention import AGAIN, is_split
from sim.cost.kernel import Lowering, Traffic
from sim.cost.program import Kernel
from sim.engine import Engine
from sim.errors import InputError, Problem
from sim.hwspec import HardwareSpec
from sim.result.kernel_result import KernelResult, Lane, LaunchResult
from sim.system.arguments import Changes
from sim.system.generation import check_generation, notes
from sim.system.kernel_shapes import launches_of
from sim.system.machine import Machine
from sim.system.prediction import launch_costs, runnable
from sim.system.profiles import ProfileStore
from sim.workload.op import AllReduce, Attention, Elementwise, Op
from sim.workload.quant import formats
from sim.workload.runtime import KernelRule, RuntimeSpec
from sim.workload.runtime_file import LoadedRuntime, load_runtime

SMALLEST_WRITE_BACK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Start:
    """What L2 holds when an op begins: shares of its activations and of what it streams (weights, KV).

    `activations` None: they have just been written, so that they are there as far as they fit. `other_bytes`: what
    else passes through L2 before the output's lines are written again, which pushes them out to memory. `dirty_bytes`:
    lines in L2 that others wrote and memory has not seen: every line fetched into L2 first pushes one of them out.
    """

    activations: float | None = None
    streams: float = 0.0
    other_bytes: float = 0.0
    dirty_bytes: float = 0.0


def load_kernels(
    runtime: str | Path | LoadedRuntime, changes: Changes, search_dirs: Sequence[str | Path] = ()
) -> LoadedRuntime:
    """The runtime whose kernels are asked for.

    Raises:
        InputError: no such runtime or version, a field that cannot be set, or an override that a kernel has no use for.
    """
    strangers = [f"model.{name}" for name in changes.model] + [f"workload.{name}" for name in changes.workload]
    if strangers:
        hint = "a kernel has no model and no prompts; its sizes are arguments"
        raise InputError([Problem("cannot be set", "bad_override", path=path, hint=hint) for path in strangers])
    if isinstance(runtime, LoadedRuntime):
        return runtime
    return load_runtime(str(runtime), overrides=changes.runtime, search_dirs=search_dirs)


def predict_kernel(
    op: str,
    hardware: HardwareSpec,
    loaded: LoadedRuntime,
    dtype: str,
    sizes: Mapping[str, float | str],
    *,
    types: Mapping[str, type[Component]],
    changes: Changes,
    is_full: bool = False,
    has_lanes: bool = False,
) -> KernelResult:
    """See `sim.kernel`, which this answers. `sizes`: complete, as `check_shape` gives them."""
    check_generation(hardware, loaded.spec)
    machine = Machine(hardware, types)
    bench = KernelBench(machine, loaded.spec, is_full=is_full, has_lanes=has_lanes)
    return KernelResult(
        op=op,
        hardware=hardware.name,
        runtime=loaded.spec.name,
        runtime_version=loaded.spec.version,
        dtype=dtype,
        shape=sizes,
        launches=bench.run(launches_of(op, loaded.spec, dtype, sizes), Start()),
        peaks=machine.peaks(),
        sustained_bytes_per_s=machine.memory.bandwidth * machine.memory.sustained.read,
        clock_hz=machine.gpu.clock,
        overrides={path: str(value) for path, value in hardware.overrides.items()} | changes.given,
        warnings=(*hardware.warnings, *notes(hardware), *loaded.warnings),
    )


class KernelBench:
    """Runs ops of one runtime on one machine, one after the other. `has_lanes`: keep what the SMs did, for pictures.

    `store`: profiles of this machine's kernels, in the same mode; a new one if not given.
    """

    def __init__(
        self,
        machine: Machine,
        runtime: RuntimeSpec,
        *,
        is_full: bool = False,
        has_lanes: bool = False,
        store: ProfileStore | None = None,
    ) -> None:
        self._machine = machine
        own = runtime.with_units(machine.gpu.flop_per_clock_per_sm)
        self._lowering = Lowering(own, formats(), machine.gpu.sms, estimator(machine.device(Engine())))
        self._store = store or ProfileStore(machine.device, machine.device_key(), None, is_full=is_full)
        self._boundary_ps = launch_costs(machine, runtime, "prefill", 1).boundary_ps
        self._is_full = is_full
        self._has_lanes = has_lanes

    def run(self, ops: Sequence[Op], start: Start) -> tuple[LaunchResult, ...]:
        """The launches; after the first that reads, each finds what the one before wrote in L2, as far as that fits."""
        results = []
        for op in ops:
            if isinstance(op, AllReduce):
                results.append(self._collective(op))
                continue
            kernel = self._kernel(op, start)
            start = replace(start, dirty_bytes=start.dirty_bytes - kernel.flush_bytes)
            if self._lowering.traffic(op).input_bytes:
                start = replace(start, activations=None)
            profile, lanes = self._simulate(kernel)
            results.append(self._launch(op, kernel, profile, lanes))
            if isinstance(op, Attention):
                results += self._around(op, kernel)
        return tuple(results)

    def _around(self, op: Attention, kernel: Kernel) -> list[LaunchResult]:
        """What a runtime launches around a split over the keys, and around one that wants groups in another order."""
        rule, width = self._lowering.rule(op)[1], op.batch * op.query * op.heads * op.values
        extra: list[Op] = []
        if rule.swaps_groups and op.batch > 1 and op.heads > op.kv_heads > 1:
            extra += [
                Elementwise(id=name, site=name, elements=width, flops_per_element=0.0)
                for name in ("swap_queries", "swap_output")
            ]
        if kernel.split_k > 1 or (rule.sums_always and op.query == 1 and is_split(op, rule)):
            one = Elementwise(
                id="attn_reduce",
                site="attn_reduce",
                elements=width,
                read_bytes=round(kernel.written_bytes),
                write_bytes=2 * width,
                flops_per_element=0.0,
                rows=ceil(op.batch * op.query * op.heads / rule.sum_rows),
                threads=rule.sum_threads,
                row_cycles=_sum_cycles(rule, kernel.split_k),
            )
            extra.append(one)
        return [
            self._launch(one, made, *self._simulate(made)) for one in extra for made in [self._kernel(one, Start())]
        ]

    def _collective(self, op: AllReduce) -> LaunchResult:
        """A sum over machines: one kernel, of which only the traffic is looked at."""
        job = self._machine.all_reduce(op)
        return LaunchResult(
            kernel=job.component,
            site=op.kind,
            duration_ps=job.duration_ps,
            boundary_ps=self._boundary_ps,
            causes=job.causes,
            tile=(op.size_bytes,),
            stages=1,
            split_k=1,
            mma="",
            ctas=1,
            waves=1.0,
            occupancy=1,
            dram_bytes=job.dram_read_bytes + job.dram_write_bytes,
            l2_bytes=0.0,
            shared_memory_bytes=0.0,
            flops=0.0,
            events=1,
        )

    def store_site(self, op: Op) -> str:
        """The site whose launches bring new keys and values into the cache that the kernel of `op` reads."""
        return self._lowering.rule(op)[1].store_site or "kv_store"

    def stores_queries(self, op: Op) -> bool:
        """Whether those launches bring the queries into place too."""
        return self._lowering.rule(op)[1].stores_queries

    def quantize_site(self, op: Op) -> str | None:
        """The site whose launches bring the activations of `op` into the format that its kernel reads."""
        return self._lowering.rule(op)[1].quantize_site

    def _kernel(self, op: Op, start: Start) -> Kernel:
        l2, traffic = self._machine.l2, self._lowering.traffic(op)
        kernel = self._lowering.kernel(op)
        here = start.activations
        if here is None:
            here = survival(l2.ways, traffic.input_bytes / l2.capacity)
        shares = {"inputs": 0.0 if traffic.input_bytes == 0.0 else here, AGAIN: 1.0}
        operands = tuple(
            replace(operand, resident_share=shares.get(operand.name, start.streams)) for operand in kernel.operands
        )
        n_bytes = _write_back(kernel, traffic, start, float(l2.capacity), l2.ways)
        made = replace(
            kernel, operands=operands, write_back_bytes=n_bytes, flush_bytes=_flush(kernel, traffic, start, here)
        )
        return runnable(self._machine, made)

    def _simulate(self, kernel: Kernel) -> tuple[Profile, tuple[Lane, ...]]:
        if not self._has_lanes:
            return self._store.profile(kernel)[1], ()
        engine = Engine()
        run = KernelRun(kernel, self._machine.device(engine), engine, is_full=self._is_full)
        run.keep_history()
        profile = run.simulate()
        lanes = tuple(
            Lane(
                f"SM {slot.sm.sm_class.members[0]}, CTA slot {slot.index}",
                slot.sm.weight * slot.ctas,
                tuple((m.cause, m.duration_ps, m.is_folded) for m in slot.history or ()),
            )
            for slot in run.slots
        )
        return profile, lanes

    def _launch(self, op: Op, kernel: Kernel, profile: Profile, lanes: tuple[Lane, ...]) -> LaunchResult:
        return LaunchResult(
            kernel=kernel.name,
            site=op.site or op.kind,
            duration_ps=profile.duration_ps,
            boundary_ps=self._boundary_ps,
            causes=profile.causes,
            tile=kernel.tile,
            stages=kernel.stages,
            split_k=kernel.split_k,
            mma=kernel.mma,
            ctas=profile.ctas,
            waves=profile.waves,
            occupancy=profile.occupancy,
            dram_bytes=profile.dram_read_bytes + profile.dram_write_bytes,
            l2_bytes=profile.l2_read_bytes + profile.l2_write_bytes,
            shared_memory_bytes=profile.l2_read_bytes if kernel.shared_bytes else 0.0,
            flops=kernel.flops,
            events=profile.events,
            lanes=lanes,
        )


def _sum_cycles(rule: KernelRule, split: int) -> int:
    """What a CTA waits that adds up `split` parts; where parts are launched whatever the split, it looks for them."""
    return rule.sum_cycles + rule.sum_split_cycles * split if split > 1 or rule.split_all else 0


def _write_back(kernel: Kernel, traffic: Traffic, start: Start, capacity: float, ways: int) -> float:
    """Dirty bytes that go to memory while the kernel runs: its output, where what passes through L2 pushes it out."""
    passing = kernel.written_bytes + traffic.stream_bytes * (1.0 - start.streams) + start.other_bytes
    n_bytes = kernel.written_bytes * (1.0 - survival(ways, passing / capacity))
    return n_bytes if n_bytes >= SMALLEST_WRITE_BACK_BYTES else 0.0


def _flush(kernel: Kernel, traffic: Traffic, start: Start, here: float) -> float:
    """Dirty bytes of others that the lines which this kernel brings into L2 push out of it."""
    brought = traffic.input_bytes * (1.0 - here) + traffic.stream_bytes * (1.0 - start.streams) + kernel.written_bytes
    return min(start.dirty_bytes, brought)
