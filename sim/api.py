"""One simulation, step by step: start reading here. Everything else in `sim` is called from this page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sim.component import COMPONENTS, Component, spec_types
from sim.hwspec import HardwareSpec
from sim.hwspec import load_hardware as _load_hardware
from sim.result.run_result import RunResult
from sim.system.arguments import RunArguments, split_overrides
from sim.system.prediction import predict, replay

Overrides = Mapping[str, object] | Iterable[str]


def run(
    *,
    model: str | None = None,
    runtime: str | None = None,
    hardware: str | HardwareSpec = "dgx-spark",
    quant: str | None = None,
    kv_dtype: str | None = None,
    batch: int = 1,
    prompt: int = 2048,
    depth: int = 0,
    output: int = 128,
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    seed: int = 0,
    file: str | Path | None = None,
    is_full: bool = False,
    progress: Callable[[str], None] | None = None,
) -> RunResult:
    """Predict one run: `batch` sequences with `depth` tokens cached each process `prompt` tokens and generate `output`.

    `file`: an op trace (`sparksim.ops/1`) to replay instead of a model. `set`: overrides, "PATH=VALUE" texts or a
    mapping (`gpu.sms`, `memory.bandwidth`, `runtime.ubatch_tokens`, `model.num_hidden_layers`). `cache`: folder of the
    kernel profile cache, "off" for none. `is_full`: every CTA and K-step is simulated instead of folded.
    `progress` is told what is being done. Times are in seconds, sizes in bytes. A model that does not fit gives a
    result with `memory.fits` false and no rates.

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    arguments = RunArguments(
        model, runtime, quant, kv_dtype, batch, prompt, depth, output, seed, str(file) if file else None, is_full
    )
    arguments.check()
    changes = split_overrides(set)
    machine = load_hardware(hardware, overrides=changes.hardware, search_dirs=spec_dirs)
    if file is not None:
        return replay(arguments, machine, changes, spec_dirs, cache, COMPONENTS, progress)
    return predict(arguments, machine, changes, spec_dirs, cache, COMPONENTS, progress)


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
