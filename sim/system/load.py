"""Loading a model: the start of a runtime, stage by stage, with the weights read as the machine reads files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sim.component import COMPONENTS, Component
from sim.component.memory_pool import MemoryPool
from sim.engine import Behaviour, Engine
from sim.errors import InputError, Problem, gather
from sim.hwspec import HardwareSpec
from sim.result.load_result import LoadResult, LoadStage
from sim.system.arguments import Changes, RunArguments
from sim.system.generation import check_generation
from sim.system.machine import Machine
from sim.system.memory_account import MemoryAccount, budget_of
from sim.system.memory_check import freeze_note
from sim.system.memory_timeline import take_all, timeline_of
from sim.system.prediction import Inputs
from sim.system.recipes import kv_format
from sim.system.weight_reading import Link, Reader, plan_of
from sim.workload.lower import Request
from sim.workload.model import ModelSpec
from sim.workload.quant import formats, resolve_quant
from sim.workload.runtime_memory import LoadRules, Stage

ORIGINS = ("nvme", "network", "page_cache")
HOWS = ("mmap", "read", "direct")
Types = Mapping[str, type[Component]]


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Where the weights lie (`ORIGINS`), how they are read (`HOWS`; None: as the runtime does), over which network.

    `is_compiled`: what an earlier start compiled is on disk. `shard_bytes`: size of the files of a checkpoint.
    """

    origin: str = "nvme"
    how: str | None = None
    link: Link | None = None
    is_compiled: bool = False
    shard_bytes: int = 5 * 10**9

    def check(self) -> None:
        """Raise with everything that cannot be, whatever the runtime.

        Raises:
            InputError: an unknown origin or way, or two that do not go together.
        """
        problems = []
        if self.origin not in ORIGINS:
            message = f"weights come from {', '.join(ORIGINS)}, not from {str(self.origin)[:40]!r}"
            problems.append(Problem(message, "bad_argument", path="origin"))
        if self.how is not None and self.how not in HOWS:
            message = f"weights are read by {', '.join(HOWS)}, not by {str(self.how)[:40]!r}"
            problems.append(Problem(message, "bad_argument", path="how"))
        if self.how == "direct" and self.origin == "page_cache":
            message, hint = "direct reads go past the page cache", "read by mmap or read, or from nvme"
            problems.append(Problem(message, "bad_argument", path="how", hint=hint))
        if self.origin != "network" and self.link is not None:
            problems.append(Problem("goes with origin: network", "bad_argument", path="network"))
        if problems:
            raise InputError(problems)

    def check_runtime(self, rules: LoadRules, runtime: str) -> None:
        """Raise where the runtime does not read so.

        Raises:
            InputError: it has no such way.
        """
        if self.how is not None and self.how not in rules.hows:
            message, hint = f"{runtime} does not read weights by {self.how}", f"it has {', '.join(rules.hows)}"
            raise InputError(Problem(message, "bad_argument", path="how", hint=hint))


def start(
    arguments: RunArguments,
    asked: LoadRequest,
    hardware: HardwareSpec,
    inputs: Inputs,
    changes: Changes,
    search_dirs: Sequence[str | Path] = (),
    types: Types = COMPONENTS,
) -> LoadResult:
    """Start a runtime with a model: every stage, and the memory over it.

    Raises:
        InputError: a way of reading that is not there, or a machine that does not say what reading takes.
    """
    loaded, model = inputs.runtime, inputs.model
    assert loaded is not None
    assert model is not None
    runtime = loaded.spec
    check_generation(hardware, runtime, search_dirs)
    quant, kv_dtype, _ = gather(
        lambda: resolve_quant(model, arguments.quant, runtime.family, search_dirs),
        lambda: kv_format(arguments.kv_dtype or runtime.kv_dtype, runtime),
        lambda: asked.check_runtime(runtime.load, runtime.name),
    )
    request = Request(arguments.batch, arguments.prompt, arguments.depth, arguments.output)
    account = MemoryAccount(budget_of(hardware, runtime.memory), model, quant, runtime, formats()[kv_dtype])
    begun = _Start(Machine(hardware, types), account, asked, request, is_full=arguments.is_full)
    begun.run()
    note = freeze_note(hardware, begun.pool.high_water.n_bytes)
    return LoadResult(
        hardware=hardware.name,
        hardware_digest=hardware.digest,
        model=model.name,
        model_digest=model.digest,
        runtime=runtime.name,
        runtime_version=runtime.version,
        quant=quant.name,
        kv_dtype=kv_dtype,
        origin=asked.origin,
        how=begun.how,
        is_compiled=asked.is_compiled,
        weights_bytes=account.weights,
        stages=tuple(begun.stages),
        memory=timeline_of(begun.pool, begun.engine.now),
        overrides={path: str(value) for path, value in hardware.overrides.items()} | changes.given,
        warnings=(*hardware.warnings, *loaded.warnings, *model.warnings, *((note,) if note else ())),
        events=begun.engine.events,
        failed_at=begun.failed_at,
        short_bytes=begun.short,
    )


class _Start:
    """The start of one runtime on an engine, with the pool that it fills."""

    def __init__(
        self, machine: Machine, account: MemoryAccount, asked: LoadRequest, request: Request, *, is_full: bool
    ) -> None:
        self.engine = Engine()
        self.pool = MemoryPool(lambda: self.engine.now, account.budget.visible)
        self.how = asked.how or account.runtime.load.how
        self.stages: list[LoadStage] = []
        self.failed_at: str | None = None
        self.short = 0
        self._account = account
        self._asked = asked
        self._request = request
        self._is_full = is_full
        rules = account.runtime.load
        plan = plan_of(self.engine, machine, rules, self.how, asked.origin, asked.link)
        tensors = 0.0 if self.how == "direct" else tensor_count(account.model) * rules.tensor_time_s
        each = round(tensors * 1e12 * plan.window / account.weights)
        self._plan = replace(plan, core_ps=plan.core_ps + each)
        self._read = 0

    def run(self) -> None:
        """All stages, or up to the one in which the memory runs out."""
        self.engine.run(self.engine.spawn(self._behave(), "start"))

    def _behave(self) -> Behaviour:
        rules, budget, pool = self._account.runtime.load, self._account.budget, self.pool
        pool.why = "before"
        pool.take("reserved", budget.reserved)
        pool.take("other", budget.others)
        if self._asked.origin == "page_cache":
            pool.cache(self._account.weights)
        if budget.refusal is not None:
            self.failed_at, self.short = (
                rules.before[0].name if rules.before else "weights",
                budget.claim - budget.at_start,
            )
            return
        for stage in rules.before:
            yield from self._stage(stage)
        if self.failed_at is None:
            yield from self._weights()
        for stage in rules.after:
            yield from self._stage(stage)

    def _stage(self, stage: Stage) -> Behaviour:
        """A stage with a time of its own; the memory that it takes is there from its beginning."""
        if self.failed_at is not None:
            return
        time_s, source = stage.time_s, stage.source
        if self._asked.is_compiled and stage.cached_time_s is not None:
            time_s, source = stage.cached_time_s, "from what an earlier start compiled"
        self.pool.why = stage.name
        self.stages.append(LoadStage(stage.name, self.engine.now / 1e12, time_s, stage.kind, source, {}))
        for what in stage.takes:
            self._take(what, self._size(what), stage.name)
        if "kv_cache" in stage.takes and self.failed_at is None:
            held = self._account.claimed(self._request) - self.pool.in_use_bytes
            take_all(self.pool, "held", max(0, held))
        yield self.engine.timeout(round(time_s * 1e12))

    def _size(self, what: str) -> int:
        account = self._account
        sizes: dict[str, Callable[[], int]] = {
            "host": lambda: account.budget.host,
            "runtime": lambda: account.own,
            "activation": lambda: account.activations(self._request),
            "kv_cache": lambda: account.kv_cache(self._request),
        }
        return sizes[what]()

    def _take(self, what: str, n_bytes: int, stage: str) -> None:
        short = self.pool.take(what, n_bytes)
        if short and self.failed_at is None:
            self.failed_at, self.short = stage, short

    def _weights(self) -> Behaviour:
        """The weights: windows by the plan."""
        engine, begin, pool = self.engine, self.engine.now, self.pool
        pool.why = "weights"
        reader = Reader(engine, self._plan, self._account.weights, self._arrived, is_full=self._is_full)
        if self._plan.copies_later:  # a file at a time lies in the runtime's heap until it is copied
            self._take("host", min(self._asked.shard_bytes, self._account.weights), "weights")
        yield from reader.read()
        if self.failed_at is None:
            self._arrived(self._account.weights)
        spent = {"source": reader.spent.source, "cpu": reader.spent.cpu, "copy": reader.spent.copy}
        if self._plan.copies_later and self.failed_at is None:
            pool.give("host", min(self._asked.shard_bytes, self._account.weights))
        total = sum(spent.values()) or 1
        shares = {name: ps / total for name, ps in spent.items()}
        text = f"{self.how} from {self._asked.origin}, requests of {self._plan.window >> 10} KiB"
        self.stages.append(LoadStage("weights", begin / 1e12, (engine.now - begin) / 1e12, "simulated", text, shares))

    def _arrived(self, read: int) -> bool:
        """`read` bytes are where the kernels read them; false where there is no room for them."""
        more = read - self._read
        if more > 0:
            self._take("weights", more, "weights")
            if self.failed_at is not None:
                self.short += self._account.weights - read  # and none of what is still to come
                return False
            if self._plan.is_cached and self._asked.origin != "page_cache":
                self.pool.cache(more)
            self._read = read
        return True


def tensor_count(model: ModelSpec) -> int:
    """Tensors of a checkpoint: every expert has its own matrices, each with a scale; the rest counts little."""
    count = 0
    for tensor in model.tensor_inventory():
        experts = model.layers[tensor.layer].experts if tensor.layer is not None else None
        count += 2 * experts.experts if experts and tensor.tensor_class.startswith("expert_") else 1
    return count
