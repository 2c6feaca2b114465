"""One simulation, step by step: start reading here. Everything else in `sim` is called from this page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sim.component import COMPONENTS, Component, spec_types
from sim.errors import gather
from sim.hwspec import HardwareSpec
from sim.hwspec import load_hardware as _load_hardware
from sim.result.run_result import RunResult
from sim.system.prediction import load_inputs, predict, replay
from sim.system.scenario import asked

Overrides = Mapping[str, object] | Iterable[str]


def run(
    *,
    model: str | None = None,
    runtime: str | None = None,
    hardware: str | HardwareSpec | None = None,
    quant: str | None = None,
    kv_dtype: str | None = None,
    batch: int | None = None,
    prompt: int | None = None,
    depth: int | None = None,
    output: int | None = None,
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    seed: int = 0,
    file: str | Path | None = None,
    is_full: bool = False,
    progress: Callable[[str], None] | None = None,
) -> RunResult:
    """Predict one run: `batch` sequences with `depth` tokens cached each process `prompt` tokens and generate `output`.

    `file`: a scenario of kind run (the other arguments then override it), or an op trace (`sparksim.ops/1`) to replay
    instead of a model. Not given, neither here nor there: hardware dgx-spark, batch 1, prompt 2048, depth 0, output
    128; quant is what the checkpoint says, kv_dtype the runtime's. `set`: overrides, "PATH=VALUE" texts or a mapping
    (`gpu.sms`, `memory.bandwidth`, `runtime.ubatch_tokens`, `model.num_hidden_layers`). `cache`: folder of the kernel
    profile cache, "off" for none. `is_full`: every CTA and K-step is simulated instead of folded. `progress` is told
    what is being done. Times are in seconds, sizes in bytes. A model that does not fit gives a result with
    `memory.fits` false and no rates.

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    given = {
        "model": model, "runtime": runtime, "hardware": hardware, "quant": quant, "kv_dtype": kv_dtype,
        "batch": batch, "prompt": prompt, "depth": depth, "output": output, "seed": seed, "is_full": is_full,
    }  # fmt: skip
    plan = asked(given, set, file, spec_dirs)
    *_, machine, loaded = gather(
        plan.arguments.check,
        plan.changes.check,
        lambda: load_hardware(plan.hardware, overrides=plan.changes.hardware, search_dirs=spec_dirs),
        lambda: load_inputs(plan.arguments, plan.changes, spec_dirs),
    )
    if plan.arguments.file is not None:
        return replay(plan.arguments, machine, loaded, plan.changes, cache, COMPONENTS, progress)
    return predict(plan.arguments, machine, loaded, plan.changes, spec_dirs, cache, COMPONENTS, progress)


def load_hardware(
    ref: str | HardwareSpec | Path,
    *,
    overrides: Mapping[str, object] | None = None,
    search_dirs: Sequence[str | Path] = (),
) -> HardwareSpec:
    """The machine that a name or path stands for (or the one given), with `overrides` applied."""
    if isinstance(ref, HardwareSpec):
        for path, value in (overrides or {}).items():
            ref = ref.override(path, value)
        return ref
    return _load_hardware(ref, spec_types(), overrides or {}, search_dirs)


def list_names(kind: str, search_dirs: Sequence[str | Path] = ()) -> list[str]:
    """Names of everything of a kind: hardware, models, runtimes, quants, ops, components, scenarios, laws..."""
    from sim.system.catalogue import names  # noqa: PLC0415 - only this verb needs it

    return names(kind, search_dirs)


def register(component: type[Component], name: str | None = None) -> type[Component]:
    """Make a component class of your own known under `type: NAME` in hardware files; usable as a decorator."""
    COMPONENTS[name or component.__name__.lower()] = component
    return component
