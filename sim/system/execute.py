"""Replays a step on the system: the host launches, the GPU runs kernels in order, copies and other components beside it.

Each GPU op takes its kernel profile; between two kernels lies the boundary that the launch mode costs. Blocks repeat:
once two iterations in a row took equally long, the rest are advanced in closed form (`Engine.warp`), as layers do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sim.component.kernel_run import Profile
from sim.cost.kernel import Lowering
from sim.cost.program import Kernel
from sim.engine import Behaviour, Engine, Event
from sim.result.trace import Folded, OpRecord, Span, StepTrace
from sim.system.profiles import ProfileStore
from sim.system.residency import Residency
from sim.workload.graph import Step
from sim.workload.op import Copy, Custom, Host, Op


@dataclass(frozen=True, slots=True)
class LaunchCosts:
    """What launching costs on this machine with this runtime, ps."""

    boundary_ps: int
    graph_start_ps: int
    host_launch_ps: int
    host_step_ps: int
    is_graph: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One op made ready: where it runs, how long, and why it takes that long."""

    op: Op
    component: str
    duration_ps: int
    causes: dict[str, int]
    kernel: Kernel | None = None
    profile: Profile | None = None
    digest: str = ""


@dataclass(slots=True)
class _Queue:
    """A component that runs jobs in order, and where it stands."""

    component: str
    spans: list[Span] = field(default_factory=list)
    last_end: int = 0


class StepRunner:
    """Runs steps on one machine with one runtime."""

    def __init__(
        self, lowering: Lowering, store: ProfileStore, costs: Callable[[str, int], LaunchCosts], l2_capacity_bytes: float,
        copy_time: Callable[[Copy], tuple[int, str]], accelerators: Callable[[Op], str | None] = lambda _op: None,
    ) -> None:  # fmt: skip
        self._lowering = lowering
        self._store = store
        self._costs = costs
        self._l2_capacity = l2_capacity_bytes
        self._copy_time = copy_time
        self._accelerators = accelerators

    def run(self, phase: str, step: Step) -> StepTrace:
        """Simulate one step; times in its trace start at 0."""
        jobs = self._prepare(step)
        return _Replay(phase, step, jobs, self._costs(phase, step.tokens), self._lowering).simulate()

    def _prepare(self, step: Step) -> list[list[Job]]:
        """Jobs per block, in the steady state of the block (what its second iteration finds in L2)."""
        residency = Residency(self._l2_capacity)
        prepared = []
        for block in step.blocks:
            traffics = [self._lowering.traffic(op) for op in block.ops]
            if block.repeat > 1:
                for op, traffic in zip(block.ops, traffics, strict=True):
                    residency.visit(op.id, op.after, traffic)
            jobs = []
            for op, traffic in zip(block.ops, traffics, strict=True):
                found = residency.visit(op.id, op.after, traffic)
                jobs.append(self._job(op, found.inputs_resident, found.flushed_bytes))
            prepared.append(jobs)
        return prepared

    def _job(self, op: Op, inputs_resident: bool, flushed_bytes: float) -> Job:
        if isinstance(op, Host):
            duration = round(op.duration_s * 1e12)
            return Job(op, "host", duration, {"step": duration})
        if isinstance(op, Copy):
            duration, cause = self._copy_time(op)
            return Job(op, "copy", duration, {cause: duration})
        kernel = self._lowering.kernel(op, inputs_resident=inputs_resident)
        if flushed_bytes >= 4096:
            kernel = _with_flush(kernel, flushed_bytes)
        digest, profile = self._store.profile(kernel)
        return Job(op, "gpu", profile.duration_ps, profile.causes, kernel, profile, digest)


def _with_flush(kernel: Kernel, n_bytes: float) -> Kernel:
    from dataclasses import replace

    return replace(kernel, flush_bytes=float(round(n_bytes)))


class _Replay:
    """One step on one engine."""

    def __init__(self, phase: str, step: Step, jobs: list[list[Job]], costs: LaunchCosts, lowering: Lowering) -> None:
        self._phase = phase
        self._step = step
        self._jobs = jobs
        self._costs = costs
        self._engine = Engine()
        self._done: dict[str, Event] = {}
        self._launched: dict[tuple[int, int, int], Event] = {}
        self._skipped: dict[int, int] = {}
        self._spans: list[Span] = []
        self._folded: list[Folded] = []
        self._walls: dict[tuple[int, int], list[tuple[int, dict[str, int], int]]] = {}

    def simulate(self) -> StepTrace:
        """Run to the end of the last op."""
        engine = self._engine
        gpu = engine.spawn(self._execute(), f"{self._step.name}: gpu queue")
        engine.run(gpu)
        records = tuple(
            self._record(block, position, job) for block, jobs in enumerate(self._jobs) for position, job in enumerate(jobs)
        )
        return StepTrace(
            self._phase, self._step.name, self._step.weight, self._step.tokens, self._step.context, engine.now, records,
            tuple(self._spans), tuple(self._folded), engine.events,
        )  # fmt: skip

    def _execute(self) -> Behaviour:
        """The queue: host start, then block after block; launches that the host cannot hide show as host time."""
        engine, costs = self._engine, self._costs
        host_free = 0
        start = costs.host_step_ps + (costs.graph_start_ps if costs.is_graph else 0)
        first_cause = "step"
        if start:
            yield engine.timeout(start)
        waited_since = 0
        host_free = engine.now
        for number, (block, jobs) in enumerate(zip(self._step.blocks, self._jobs, strict=True)):
            iteration = 0
            marks: list[tuple[int, int, int]] = []
            while iteration < block.repeat:
                marks.append((engine.now, host_free, len(self._spans)))
                period = self._repeats(marks)
                left = block.repeat - iteration
                if period is not None and left > 0:
                    self._fold(number, marks, period, left)
                    host_free += left * (marks[-1][1] - marks[-2][1])
                    waited_since = engine.now
                    break
                for position, job in enumerate(jobs):
                    if not costs.is_graph and job.component != "host":
                        host_free = max(host_free, waited_since if job.component == "host" else host_free) + costs.host_launch_ps
                    begin = waited_since
                    causes: dict[str, int] = {}
                    if engine.now > begin:
                        causes[first_cause] = engine.now - begin
                    if not costs.is_graph and host_free > engine.now:
                        causes["launch"] = host_free - engine.now
                        yield engine.timeout(host_free - engine.now)
                    if job.component == "gpu" and costs.boundary_ps:
                        causes["dependency"] = causes.get("dependency", 0) + costs.boundary_ps
                        yield engine.timeout(costs.boundary_ps)
                    yield engine.timeout(job.duration_ps)
                    for cause, ps in job.causes.items():
                        causes[cause] = causes.get(cause, 0) + ps
                    self._note(number, iteration, position, job, begin, causes)
                    waited_since = engine.now
                    if job.component == "host":
                        host_free = engine.now
                iteration += 1

    def _repeats(self, marks: list[tuple[int, int, int]]) -> int | None:
        """The period, when the last two iterations took equally long on the GPU and on the host."""
        if len(marks) < 4:
            return None
        (a, ha, _), (b, hb, _), (c, hc, _) = marks[-3:]
        return c - b if c - b == b - a and hc - hb == hb - ha else None

    def _fold(self, number: int, marks: list[tuple[int, int, int]], period: int, left: int) -> None:
        self._engine.warp(period * left)
        self._folded.append(Folded(marks[-2][2], marks[-1][2], left, period))
        for position in range(len(self._jobs[number])):
            wall, causes, count = self._walls[number, position][-1]
            self._walls[number, position].append((wall, causes, count * left))

    def _note(self, block: int, iteration: int, position: int, job: Job, begin: int, causes: dict[str, int]) -> None:
        """Spans that tile [begin, now] and the op's account."""
        end = self._engine.now
        at = begin
        for cause, ps in causes.items():
            self._spans.append(Span(job.component, job.op.id, block, iteration, cause, at, at + ps))
            at += ps
        if at != end:
            last = self._spans.pop()
            self._spans.append(last._replace(end_ps=end))
            causes = {**causes, last.cause: causes[last.cause] + end - at}
        self._walls.setdefault((block, position), []).append((end - begin, causes, 1))

    def _record(self, block: int, position: int, job: Job) -> OpRecord:
        entries = self._walls[block, position]
        repeat = sum(count for _, _, count in entries)
        causes: dict[str, float] = {}
        for _, spent, count in entries:
            for cause, ps in spent.items():
                causes[cause] = causes.get(cause, 0.0) + ps * count / repeat
        wall = sum(w * count for w, _, count in entries) / repeat
        kernel, profile, op = job.kernel, job.profile, job.op
        if kernel is None or profile is None:
            size = float(op.size_bytes) if isinstance(op, Copy) else 0.0
            return OpRecord(op.id, op.site or op.kind, op.kind, block, repeat, job.component, "", wall, job.duration_ps, causes,
                            0.0, "", size, size, 0.0, 0.0, 0.0, 0.0, 0.0)  # fmt: skip
        return OpRecord(
            op.id, op.site or op.kind, op.kind, block, repeat, job.component, kernel.name, wall, job.duration_ps, causes,
            profile.flops, kernel.mma, kernel.l2_read_bytes, kernel.written_bytes, profile.l2_read_bytes,
            profile.l2_write_bytes, profile.dram_read_bytes, profile.dram_write_bytes, profile.tensor_busy_share,
            kernel.tile, profile.ctas, profile.waves, profile.occupancy, kernel.split_k, job.digest, profile.events,
        )  # fmt: skip
