"""The steps of a prediction: load, lower, check the memory, replay every knot step, check the laws, sum up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sim.component import Component
from sim.component.estimate import estimator
from sim.component.profile import Profile
from sim.cost.kernel import Lowering
from sim.cost.program import Kernel
from sim.engine import Engine
from sim.errors import InputError, Problem, WorkloadError, gather
from sim.hwspec import HardwareSpec
from sim.paths import is_shipped
from sim.result.identity import Identity
from sim.result.laws import check_laws
from sim.result.memory import MemoryUse
from sim.result.run_result import RunResult
from sim.result.trace import Trace
from sim.system.arguments import Changes, RunArguments
from sim.system.clock_limits import capped_clock, within_limits
from sim.system.energy import energy_use
from sim.system.execute import LaunchCosts, StepRunner
from sim.system.generation import check_generation, notes
from sim.system.machine import Machine
from sim.system.memory_account import MemoryAccount, budget_of
from sim.system.memory_check import freeze_note, memory_use
from sim.system.memory_timeline import memory_over_time
from sim.system.only_counted import simulated_digest
from sim.system.profiles import ProfileStore, default_cache_folder
from sim.system.recipes import kv_format, kv_storage, smaller_recipes
from sim.units import ps_from_seconds
from sim.workload.graph import Workload
from sim.workload.hf_config import load_model
from sim.workload.lower import Request, lower, prefill_passes
from sim.workload.model import ModelSpec
from sim.workload.optrace import read_ops
from sim.workload.quant import QuantRecipe, formats, load_quant, resolve_quant
from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_file import LoadedRuntime
from sim.workload.speculate import Speculation, read_speculation, with_head

Types = Mapping[str, type[Component]]
Folders = Sequence[str | Path]
Progress = Callable[[str], None]
"""Is told what is being done: "step 3 of 8, prefill@1536: mmq_q8"."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run reads: the runtime, and a model or an op trace. None where none is given."""

    runtime: LoadedRuntime | None
    model: ModelSpec | None
    trace: Workload | None


def load_inputs(arguments: RunArguments, changes: Changes, search_dirs: Folders) -> Inputs:
    """Everything that the arguments name, with the overrides applied.

    Raises:
        InputError: every problem of all of them.
    """
    file = arguments.file
    if file is not None and (changes.model or changes.workload):
        paths = [f"model.{key}" for key in changes.model] + [f"workload.{key}" for key in changes.workload]
        raise InputError([Problem("an op trace has no model", "usage", path=path) for path in paths])
    return Inputs(
        *gather(
            lambda: arguments.load_runtime(changes.runtime, search_dirs) if arguments.runtime else None,
            lambda: arguments.load_model(changes, search_dirs) if arguments.model else None,
            lambda: read_ops(Path(file)) if file else None,
            # What these name is looked at with the model at hand; that they are known, together with all else.
            lambda: load_quant(arguments.quant, search_dirs) if isinstance(arguments.quant, str | Path) else None,
            lambda: kv_storage(arguments.kv_dtype) if arguments.kv_dtype else None,
        )[:3]
    )


def predict(
    arguments: RunArguments,
    hardware: HardwareSpec,
    inputs: Inputs,
    changes: Changes,
    search_dirs: Folders,
    cache: str | Path | None,
    types: Types,
    progress: Progress | None = None,
) -> RunResult:
    """A model on a runtime on a machine."""
    loaded, asked = inputs.runtime, inputs.model
    assert loaded is not None
    assert asked is not None
    runtime = loaded.spec
    check_generation(hardware, runtime, search_dirs)
    quant, kv_dtype = gather(
        lambda: resolve_quant(asked, arguments.quant, runtime.family, search_dirs),
        lambda: kv_format(arguments.kv_dtype or runtime.kv_dtype, runtime),
    )
    request = _request(arguments, changes, asked, quant, runtime, search_dirs)
    guess = request.speculation
    model = with_head(asked, guess.method) if guess else asked
    draft = (guess.draft, guess.quant or quant) if guess and guess.draft else None
    account = MemoryAccount(budget_of(hardware, runtime.memory), model, quant, runtime, formats()[kv_dtype], draft)
    memory = memory_use(account, request, lambda: smaller_recipes(model, runtime))
    identity = identify(arguments, hardware, changes, loaded, model, quant, kv_dtype, cache, memory, guess)
    if not memory.fits:
        return RunResult(identity, memory, None, lower(model, quant, runtime, request, kv_dtype), hardware)
    key = None
    if cache != "off":
        folder = str(cache or default_cache_folder())
        machine = simulated_digest(hardware, types)
        key = (machine, *types.items(), model, quant, runtime.model_dump_json(), request, kv_dtype, folder)

    run_on = _executor(runtime, arguments, types, cache, progress)

    def simulate() -> tuple[Workload, Trace]:
        workload = lower(model, quant, runtime, request, kv_dtype)
        return workload, within_limits(workload, hardware, run_on)

    workload, trace = _RECENT.get((key, arguments.is_full), simulate) if key else simulate()
    ends = (
        tuple((one.sequences, one.query, one.context, one.outputs) for one in prefill_passes(runtime, request))
        if request.prompt
        else ()
    )
    fill = partial(memory_over_time, account, request, trace)
    draw = partial(energy_use, trace, hardware)
    return RunResult(identity, memory, trace, workload, hardware, ends, fill, draw)


def _told(guess: Speculation) -> dict[str, str | float | bool | None]:
    """What a result says of its drafts."""
    return {
        "method": guess.method,
        "draft_model": guess.draft.name if guess.draft else None,
        "draft_tokens": guess.drafts,
        "acceptance_length": guess.accepted,
        "is_default": guess.note is not None,
    }


def drafts_of(
    said: Mapping[str, str], model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec, search_dirs: Folders
) -> Speculation | None:
    """The drafts that `workload.` settings say; a drafting model has its own files' format. None without any.

    Raises:
        InputError: no sane number, no such drafter, or one with another vocabulary; every problem.
    """
    guess = read_speculation(said, model, runtime.draft_tokens, lambda name: load_model(name, search_dirs=search_dirs))
    if guess is None or guess.draft is None:
        return guess
    name = quant.name if quant.runtimes and guess.draft.quantization is None else None
    return replace(guess, quant=resolve_quant(guess.draft, name, runtime.family, search_dirs))


def _request(
    arguments: RunArguments,
    changes: Changes,
    model: ModelSpec,
    quant: QuantRecipe,
    runtime: RuntimeSpec,
    search_dirs: Folders,
) -> Request:
    """What is asked for, with drafts where the workload has some."""
    guess = drafts_of(changes.workload, model, quant, runtime, search_dirs)
    return Request(arguments.batch, arguments.prompt, arguments.depth, arguments.output, guess)


def replay(
    arguments: RunArguments,
    hardware: HardwareSpec,
    inputs: Inputs,
    changes: Changes,
    cache: str | Path | None,
    types: Types,
    progress: Progress | None = None,
) -> RunResult:
    """An op trace on a runtime's kernels on a machine."""
    loaded, workload = inputs.runtime, inputs.trace
    assert loaded is not None
    assert workload is not None
    check_generation(hardware, loaded.spec)
    identity = identify(arguments, hardware, changes, loaded, None, None, None, cache)
    trace = within_limits(workload, hardware, _executor(loaded.spec, arguments, types, cache, progress))
    draw = partial(energy_use, trace, hardware)
    return RunResult(identity, None, trace, workload, hardware, draw=draw)


def _executor(
    runtime: RuntimeSpec, arguments: RunArguments, types: Types, cache: str | Path | None, progress: Progress | None
) -> Callable[[Workload, HardwareSpec], Trace]:
    """Simulates a workload on a machine that is like ours, but for its limits."""

    def run_on(workload: Workload, hardware: HardwareSpec) -> Trace:
        machine = Machine(hardware, types, cache)
        return execute(workload, machine, runtime, cache, is_full=arguments.is_full, progress=progress)

    return run_on


def execute(
    workload: Workload,
    machine: Machine,
    runtime: RuntimeSpec,
    cache: str | Path | None,
    *,
    is_full: bool = False,
    progress: Progress | None = None,
) -> Trace:
    """Replay every knot step; laws are checked before anything is summed up."""
    own = runtime.with_units(machine.gpu.flop_per_clock_per_sm)
    held = own.at_sustained_clock(machine.gpu.sustained_share)
    lowering = Lowering(held, formats(), machine.gpu.sms, estimator(machine.device(Engine())))
    store = profile_store(machine, cache, is_full=is_full)
    watched = _Watched(store, progress, sum(len(phase.steps) for phase in workload.phases))
    runner = StepRunner(
        lowering,
        lambda kernel: watched.profile(runnable(machine, kernel)),
        lambda phase, tokens: launch_costs(machine, runtime, phase, tokens),
        machine,
    )
    steps, stepped_before = [], store.stepped
    for phase in workload.phases:
        for step in phase.steps:
            watched.begin(step.name)
            steps.append(runner.run(phase.name, step))
    store.flush()
    trace = Trace(tuple(steps), store.stepped - stepped_before)
    check_laws(trace, peak_bytes_per_s=machine.memory.bandwidth)
    return trace


class _Watched:
    """A profile store that tells `progress` which kernel of which step is next."""

    def __init__(self, store: ProfileStore, progress: Progress | None, n_steps: int) -> None:
        self._store = store
        self._progress = progress
        self._n_steps = n_steps
        self._at = 0
        self._step = ""

    def begin(self, step: str) -> None:
        self._at += 1
        self._step = f"step {self._at} of {self._n_steps}, {step}"
        if self._progress is not None:
            self._progress(self._step)

    def profile(self, kernel: Kernel) -> tuple[str, Profile]:
        if self._progress is not None:
            self._progress(f"{self._step}: {kernel.name}")
        return self._store.profile(kernel)


class _Recent:
    """The last few predictions of this process, by everything that they depend on: asked again, the same answer."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, tuple[Workload, Trace]] = OrderedDict()

    def get(self, key: Hashable, simulate: Callable[[], tuple[Workload, Trace]]) -> tuple[Workload, Trace]:
        """The workload and trace under `key`, simulated where they are not known."""
        known = self._known.pop(key, None)
        workload, trace = known or simulate()
        self._known[key] = workload, replace(trace, kernels_stepped=0)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return workload, trace


_RECENT = _Recent(16)
_STORES: OrderedDict[tuple[str, str, bool], ProfileStore] = OrderedDict()
MOST_STORES = 8
"""Devices whose profiles are kept in memory: a study of a thousand machines must not hold all of them."""


def profile_store(machine: Machine, cache: str | Path | None, *, is_full: bool) -> ProfileStore:
    """The profiles of this machine in this process; `cache`: folder, None = the user's, "off" = none at all."""
    if cache == "off":
        return ProfileStore(machine.device, machine.device_key(), None, is_full=is_full)
    folder = Path(cache) if cache is not None else default_cache_folder()
    key = (machine.device_key(), str(folder), is_full)
    store = _STORES.pop(key, None) or ProfileStore(machine.device, machine.device_key(), folder, is_full=is_full)
    _STORES[key] = store
    if len(_STORES) > MOST_STORES:
        _STORES.popitem(last=False)
    return store


def launch_costs(machine: Machine, runtime: RuntimeSpec, phase: str, tokens: int) -> LaunchCosts:
    """What launching costs in a phase: graph or eager, and the host's share of a step."""
    gpu = machine.gpu
    is_decode = phase == "decode"
    mode = runtime.launch if is_decode else runtime.prefill_launch
    is_graph = mode == "graph" and not (is_decode and tokens > runtime.graph_batch_limit)
    host = runtime.host_step_s + (runtime.host_sequence_s * tokens if is_decode else 0.0)
    is_early = runtime.dependent_launch == "programmatic"
    boundary = gpu.kernel_boundary_pdl if is_early else gpu.kernel_boundary
    start = gpu.graph_launch + gpu.graph_first_node + runtime.graph_launch_s if is_graph else gpu.eager_first_node
    return LaunchCosts(
        boundary_ps=ps_from_seconds(boundary if is_graph else gpu.kernel_boundary_eager),
        start_ps=ps_from_seconds(start),
        node_fs=round((gpu.graph_launch_per_node + gpu.graph_first_node_per_node) * 1e15) if is_graph else 0,
        copy_engines=gpu.copy_engines,
        host_launch_ps=ps_from_seconds(gpu.eager_launch + runtime.host_launch_s),
        host_step_ps=ps_from_seconds(host),
        is_graph=is_graph,
        is_async=runtime.is_async,
    )


def runnable(machine: Machine, kernel: Kernel) -> Kernel:
    """`kernel`, if the GPU has the units that it works on."""
    units = machine.gpu.flop_per_clock_per_sm
    for work in kernel.work:
        if work.unit not in units:
            message = f"{kernel.name} works on {work.unit[:40]!r}, which {machine.gpu_name} does not have"
            hint = f"flop_per_clock_per_sm lists {', '.join(units)}"
            raise WorkloadError(Problem(message, code="unknown_unit", hint=hint))
    return kernel


def _beyond(model: ModelSpec | None, arguments: RunArguments) -> tuple[str, ...]:
    """A warning where sequences grow longer than the model's positions."""
    tokens = arguments.depth + arguments.prompt + arguments.output
    if model is None or tokens <= model.max_context:
        return ()
    return (f"{tokens:,} tokens per sequence are more than the {model.max_context:,} positions of {model.name}",)


def identify(
    arguments: RunArguments,
    hardware: HardwareSpec,
    changes: Changes,
    loaded: LoadedRuntime,
    model: ModelSpec | None,
    quant: QuantRecipe | None,
    kv_dtype: str | None,
    cache: str | Path | None,
    memory: MemoryUse | None = None,
    guess: Speculation | None = None,
) -> Identity:
    """Who a result belongs to."""
    machine = Machine(hardware, cache=cache)
    told = (*hardware.warnings, *notes(hardware), *loaded.warnings)
    warnings = (*told, *(model.warnings if model else ()), *_beyond(model, arguments))
    frozen = freeze_note(hardware, memory.peak_bytes) if memory and memory.fits else None
    return Identity(
        hardware=hardware.name,
        hardware_digest=hardware.digest,
        model=model.name if model else None,
        model_digest=model.digest if model else None,
        runtime=loaded.spec.name,
        runtime_version=loaded.spec.version,
        quant=quant.name if quant else None,
        kv_dtype=kv_dtype,
        batch=arguments.batch if model else None,
        prompt_tokens=arguments.prompt if model else None,
        context_depth=arguments.depth if model else None,
        output_tokens=arguments.output if model else None,
        clock_hz=capped_clock(machine.gpu.clock, hardware),
        overrides={path: str(value) for path, value in hardware.overrides.items()} | changes.given,
        warnings=(*warnings, *((frozen,) if frozen else ()), *((guess.note,) if guess and guess.note else ())),
        speculation=_told(guess) if guess else None,
        peak_bytes_per_s=machine.memory.bandwidth,
        sustained_bytes_per_s=machine.memory.bandwidth * machine.memory.sustained.read,
        peak_flops=machine.peaks(),
        seed=arguments.seed,
        l2_bytes_per_s=machine.l2.bandwidth,
        architecture=model.architecture if model else None,
        is_shipped_machine=not hardware.overrides and all(map(is_shipped, hardware.description.files)),
        is_shipped_model=model is not None and is_shipped(model.source_file),
    )
