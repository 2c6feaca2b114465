"""Replays a step on the system: every component runs its ops in order, the host launches, all overlap if they may.

Each op waits for the ops it reads from (`after`) and for its turn on its component. GPU ops take their kernel profile;
between two kernels lies the boundary that the machine and the launch mode cost. Ops of different components that run at
the same time share the memory (`contention.py`). Blocks repeat: once two iterations in a row took equally long, the
rest are advanced in closed form (`Engine.warp`), as equal layers are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sim.component.profile import Profile
from sim.cost.activity import activity
from sim.cost.kernel import Lowering
from sim.cost.program import Kernel
from sim.engine import Behaviour, Engine, Event
from sim.result.trace import Folded, OpRecord, Span, StepTrace
from sim.system.contention import SharedMemory
from sim.system.critical_path import Turn, critical_path
from sim.system.job import Job, kernel_job
from sim.system.machine import Machine
from sim.system.residency import Residency
from sim.workload.graph import Step
from sim.workload.op import AllReduce, Copy, Host, Op
from sim.workload.quant import formats

SMALLEST_FLUSH_BYTES = 4096


@dataclass(frozen=True, slots=True)
class LaunchCosts:
    """What launching costs on this machine with this runtime, ps."""

    boundary_ps: int
    start_ps: int
    host_launch_ps: int
    host_step_ps: int
    is_graph: bool
    is_async: bool = False
    """The host works on the next pass while the GPU runs this one: its time shows only where it is the longer."""
    node_fs: int = 0
    """What each kernel of a graph adds to the graph's start, femtoseconds."""
    copy_engines: int = 2
    """Engines of the GPU that copy: with one, copies to the GPU and from it take turns."""


class StepRunner:
    """Runs steps on one machine with one runtime.

    `profile_of`: kernel -> (digest, profile). `costs`: (phase, tokens) -> launch costs.
    """

    def __init__(
        self,
        lowering: Lowering,
        profile_of: Callable[[Kernel], tuple[str, Profile]],
        costs: Callable[[str, int], LaunchCosts],
        machine: Machine,
    ) -> None:
        self._lowering = lowering
        self._profile_of = profile_of
        self._costs = costs
        self._machine = machine
        # Steps of a run differ in little: most ops come again as they are.
        self._job_of = cache(self._job)
        self._traffic_of = cache(lowering.traffic)

    def run(self, phase: str, step: Step) -> StepTrace:
        """Simulate one step; times in its trace start at 0."""
        return _Replay(phase, step, self._prepare(step), self._costs(phase, step.tokens)).simulate()

    def _prepare(self, step: Step) -> list[list[Job]]:
        """Jobs per block, in the steady state of the block (what its second iteration finds in L2)."""
        residency = Residency(float(self._machine.l2.capacity))
        prepared = []
        for block in step.blocks:
            takers = [self._machine.taker(op) for op in block.ops]
            traffics = [
                self._traffic_of(op) if taker is None else None for op, taker in zip(block.ops, takers, strict=True)
            ]
            if block.repeat > 1:
                for op, traffic in zip(block.ops, traffics, strict=True):
                    residency.visit(op.id, op.after, traffic)
            jobs = []
            for op, taker, traffic in zip(block.ops, takers, traffics, strict=True):
                found = residency.visit(op.id, op.after, traffic)
                if taker is None:
                    jobs.append(self._job_of(op, found.inputs_resident, found.flushed_bytes))
                else:
                    jobs.append(self._machine.compute(taker, op, found.flushed_bytes))
            prepared.append(jobs)
        return prepared

    def _job(self, op: Op, inputs_resident: float, flushed_bytes: float) -> Job:
        if isinstance(op, Host):
            duration = round(op.duration_s * 1e12)
            return Job(op, "host", duration, {"step": duration})
        if isinstance(op, Copy):
            return self._machine.copy(op)
        if isinstance(op, AllReduce):
            return self._machine.all_reduce(op)
        kernel = self._lowering.kernel(op, inputs_resident=inputs_resident)
        if flushed_bytes >= SMALLEST_FLUSH_BYTES:
            kernel = replace(kernel, flush_bytes=float(round(flushed_bytes)))
        digest, profile = self._profile_of(kernel)
        memory_ps = self._machine.memory_ps(profile.dram_read_bytes, profile.dram_write_bytes)
        return kernel_job(op, kernel, digest, profile, memory_ps)


@dataclass(slots=True)
class _Account:
    """What one op took, summed over the iterations that were stepped or folded."""

    wall_ps: int = 0
    causes: dict[str, int] | None = None
    last_wall_ps: int = 0
    last_causes: dict[str, int] | None = None
    count: int = 0

    def add(self, wall_ps: int, causes: dict[str, int], times: int) -> None:
        self.last_wall_ps, self.last_causes = wall_ps, causes
        self.wall_ps += wall_ps * times
        self.count += times
        total = self.causes if self.causes is not None else {}
        for cause, ps in causes.items():
            total[cause] = total.get(cause, 0) + ps * times
        self.causes = total


class _Replay:
    """One step on one engine: a process per component, one for the host's launches."""

    def __init__(self, phase: str, step: Step, jobs: list[list[Job]], costs: LaunchCosts) -> None:
        self._phase = phase
        self._step = step
        self._jobs = jobs
        self._costs = costs
        self._engine = Engine()
        self._memory = SharedMemory(self._engine)
        self._spans: list[Span] = []
        self._folded: list[Folded] = []
        self._elapsed: dict[tuple[int, str], dict[str, int]] = {
            (number, job.op.id): {} for number, block in enumerate(jobs) for job in block
        }
        self._path: dict[str, dict[str, int]] = {}
        self._host_at = 0
        self._host_period = 0
        self._noted = (0, 0)
        self._accounts = [[_Account() for _ in block] for block in jobs]

    def simulate(self) -> StepTrace:
        """Run to the end of the last op."""
        engine = self._engine
        engine.run(engine.spawn(self._pass(), self._step.name))
        records = tuple(
            self._record(block, position, job)
            for block, jobs in enumerate(self._jobs)
            for position, job in enumerate(jobs)
        )
        return StepTrace(
            self._phase,
            self._step.name,
            self._step.weight,
            self._step.tokens,
            self._step.context,
            engine.now,
            records,
            tuple(self._spans),
            tuple(self._folded),
            engine.events,
            self._elapsed,
        )

    def _pass(self) -> Behaviour:
        """The step: the host's part first, then block after block."""
        costs = self._costs
        is_hidden = costs.is_async and costs.is_graph
        start = (0 if is_hidden else costs.host_step_ps) + costs.start_ps + self._nodes() * costs.node_fs // 1000
        if start:
            yield self._engine.timeout(start)
        lead = {"step": start} if start else {}
        self._host_at = self._engine.now
        for number, block in enumerate(self._step.blocks):
            marks: list[tuple[int, int]] = []
            iteration = 0
            while iteration < block.repeat:
                marks.append((self._engine.now, len(self._spans)))
                left = block.repeat - iteration
                if _is_periodic(marks):
                    self._fold(number, marks, left)
                    break
                yield from self._iterate(number, iteration, lead)
                lead = {}
                iteration += 1

        if is_hidden and self._engine.now < costs.host_step_ps:
            yield from self._wait_for_host(costs.host_step_ps - self._engine.now)

    def _nodes(self) -> int:
        """Kernels of the step: the nodes of its graph, where it is launched as one."""
        blocks = zip(self._jobs, self._step.blocks, strict=True)
        return sum(block.repeat * sum(job.component == "gpu" for job in jobs) for jobs, block in blocks)

    def _queue_of(self, job: Job) -> str:
        """What serves its ops one after the other: a component, or one of the GPU's copy engines."""
        op = job.op
        if not isinstance(op, Copy) or "gpu" not in (op.source, op.target):
            return job.component
        return f"copy engine {int(op.target != 'gpu') % self._costs.copy_engines}"

    def _wait_for_host(self, duration_ps: int) -> Behaviour:
        """The host is slower than the GPU: the life of the op that ended last goes on until the host is ready."""
        begin = self._engine.now
        yield self._engine.timeout(duration_ps)
        block, position = self._noted
        job, iteration = self._jobs[block][position], self._step.blocks[block].repeat - 1
        self._elapse(block, {job.op.id: {"step": duration_ps}}, 1)
        self._spans.append(Span(job.component, job.op.id, block, iteration, "step", begin, self._engine.now))
        account = self._accounts[block][position]
        account.wall_ps += duration_ps
        account.causes = {**(account.causes or {}), "step": (account.causes or {}).get("step", 0) + duration_ps}

    def _iterate(self, number: int, iteration: int, lead: dict[str, int]) -> Behaviour:
        """One iteration of a block: its ops on their components, joined at the end."""
        engine = self._engine
        jobs = self._jobs[number]
        done = {job.op.id: engine.event() for job in jobs}
        queues: dict[str, list[int]] = {}
        for position, job in enumerate(jobs):
            queues.setdefault(self._queue_of(job), []).append(position)
        launched = self._launch(jobs) if not self._costs.is_graph else None
        is_shared = len({job.component for job in jobs if job.memory_ps}) > 1
        turns: dict[int, Turn] = {}
        processes: list[Event] = [
            engine.spawn(
                self._serve(number, iteration, component, positions, done, turns, launched, lead, is_shared=is_shared),
                f"{self._step.name}: {component}",
            )
            for component, positions in queues.items()
        ]
        yield engine.all_of(processes)
        self._path = {jobs[position].op.id: turns[position].causes for position in critical_path(turns)}
        for first in list(self._path)[:1]:
            self._elapse(number, {first: lead}, 1)
        self._elapse(number, self._path, 1)

    def _elapse(self, block: int, path: dict[str, dict[str, int]], times: int) -> None:
        """Elapsed time of the step, by op and cause."""
        for op, causes in path.items():
            spent = self._elapsed[block, op]
            for cause, ps in causes.items():
                if ps:
                    spent[cause] = spent.get(cause, 0) + ps * times

    def _launch(self, jobs: list[Job]) -> dict[str, int]:
        """When the host has launched each op of the block: one after the other, without waiting for the GPU."""
        begin = self._host_at
        times = {}
        for job in jobs:
            if job.component != "host":
                self._host_at += self._costs.host_launch_ps
            times[job.op.id] = self._host_at
        self._host_period = self._host_at - begin
        return times

    def _serve(
        self,
        number: int,
        iteration: int,
        component: str,
        positions: list[int],
        done: dict[str, Event],
        turns: dict[int, Turn],
        launched: dict[str, int] | None,
        lead: dict[str, int],
        *,
        is_shared: bool,
    ) -> Behaviour:
        """A component works through its ops of the block, in order; `is_shared`: others use memory beside it.

        A name in `after` that stands later in the block is that of an equal layer before, which is done already.
        """
        engine = self._engine
        since = engine.now - sum(lead.values())
        before: int | None = None
        places = {job.op.id: position for position, job in enumerate(self._jobs[number])}
        for position in positions:
            job = self._jobs[number][position]
            waits = dict(lead) if before is None else {}
            for name in job.op.after:
                if places.get(name, position) < position and done[name].callbacks is not None:
                    yield done[name]
                    before = places[name]
            ready = engine.now
            waits["dependency"] = ready - since - sum(waits.values())
            causes: dict[str, int] = {}
            if launched is not None and launched[job.op.id] > ready:
                causes["launch"] = launched[job.op.id] - ready
                yield engine.timeout(launched[job.op.id] - ready)
            gap = self._costs.boundary_ps if component == "gpu" else 0
            for cause, ps in (("dependency", gap), *job.causes.items()):
                causes[cause] = causes.get(cause, 0) + ps
            if is_shared:
                yield from self._share(job, gap, causes)
            else:
                yield engine.timeout(gap + job.duration_ps)
            turns[position] = Turn(ready, engine.now, causes, before)
            self._note(number, iteration, position, job, since, _sum(waits, causes))
            since, before = engine.now, position
            done[job.op.id].succeed()

    def _share(self, job: Job, gap_ps: int, causes: dict[str, int]) -> Behaviour:
        """The op beside others that use memory; what it takes longer than alone is time that it waited for memory."""
        engine = self._engine
        if gap_ps:
            yield engine.timeout(gap_ps)
        begin = engine.now
        yield self._memory.run(job.duration_ps, job.memory_ps)
        waited = engine.now - begin - job.duration_ps
        if waited:
            causes["dram"] = causes.get("dram", 0) + waited

    def _fold(self, number: int, marks: list[tuple[int, int]], left: int) -> None:
        """The remaining iterations happen in closed form."""
        (before, first), (now, end) = marks[-2:]
        self._engine.warp((now - before) * left)
        self._host_at += self._host_period * left
        self._elapse(number, self._path, left)
        self._folded.append(Folded(first, end, left, now - before))
        for account in self._accounts[number]:
            account.add(account.last_wall_ps, account.last_causes or {}, left)

    def _note(self, block: int, iteration: int, position: int, job: Job, begin: int, causes: dict[str, int]) -> None:
        """Spans that tile [begin, now], and the op's account."""
        at = begin
        for cause, ps in causes.items():
            if ps:
                self._spans.append(Span(job.component, job.op.id, block, iteration, cause, at, at + ps))
                at += ps
        self._noted = block, position
        self._accounts[block][position].add(self._engine.now - begin, causes, 1)

    def _record(self, block: int, position: int, job: Job) -> OpRecord:
        account, op, kernel, profile = self._accounts[block][position], job.op, job.kernel, job.profile
        return OpRecord(
            op.id,
            op.site or op.kind,
            op.kind,
            block,
            account.count,
            job.component,
            kernel.name if kernel else "",
            account.wall_ps / account.count,
            job.duration_ps,
            {cause: ps / account.count for cause, ps in (account.causes or {}).items() if ps},
            job.flops,
            job.unit,
            job.asked_read_bytes,
            job.asked_write_bytes,
            profile.l2_read_bytes if profile else 0.0,
            profile.l2_write_bytes if profile else 0.0,
            job.dram_read_bytes,
            job.dram_write_bytes,
            profile.tensor_share if profile else 0.0,
            op.after,
            *_of_kernel(job),
        )


def _of_kernel(job: Job) -> tuple[Any, ...]:
    """The last fields of an op's record: what only a kernel has."""
    kernel, profile = job.kernel, job.profile
    if kernel is None or profile is None:
        return ()
    grid = (kernel.tile, profile.ctas, profile.waves, profile.occupancy, kernel.grid.splits)
    missed = profile.missed_read_bytes + profile.missed_write_bytes
    done = activity(job.op, kernel, formats())
    return (*grid, job.digest, profile.events, missed, profile.moved_bytes, done.matrix_flops, done.instructions)


def _sum(waits: dict[str, int], causes: dict[str, int]) -> dict[str, int]:
    """Causes of an op's whole life: what it waited for first, then its own."""
    total = {cause: ps for cause, ps in waits.items() if ps}
    for cause, ps in causes.items():
        total[cause] = total.get(cause, 0) + ps
    return total


def _is_periodic(marks: list[tuple[int, int]]) -> bool:
    """Whether the last two iterations took equally long."""
    if len(marks) < 4:
        return False
    (a, _), (b, _), (c, _) = marks[-3:]
    return c - b == b - a
