"""What fits: the longest context, the most sequences, the best quantisation, and which models stand side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem, gather
from sim.hwspec import HardwareSpec
from sim.result.fit_result import FitResult, ModelFit, QuantFit, Together
from sim.study.sides import beside as other
from sim.system.arguments import MOST_SEQUENCES
from sim.system.generation import check_generation
from sim.system.memory_account import Budget, MemoryAccount, budget_of, most
from sim.system.memory_check import freeze_note, memory_use
from sim.system.prepared import Asked, Prepared
from sim.system.recipes import kv_format, recipes_of, smaller_recipes
from sim.workload.lower import Request
from sim.workload.model import ModelSpec
from sim.workload.quant import Format, formats, resolve_quant

KV_SMALLER = ("fp8", "q8_0", "q4_0")
"""Formats of the KV cache to propose, in order."""


def fit(asked: Asked, beside: Sequence[str | Mapping[str, Any]] = ()) -> FitResult:
    """What fits of the model that is asked for, with others `beside` it, for which all but its quantisation holds too.

    Raises:
        InputError: something given cannot be used, or a quantisation or KV format that its runtime or checkpoint does
            not allow; every problem.
    """
    first, *changes = gather(asked.prepare, *(partial(other, each) for each in beside))
    shared = replace(asked, arguments={**asked.arguments, "quant": None}, set=(), file=None)
    others = gather(*(partial(shared.prepare, each.arguments, each.overrides) for each in changes))
    return _fit([first, *others], asked.search_dirs)


def _fit(prepared: Sequence[Prepared], search_dirs: Sequence[str | Path]) -> FitResult:
    """What fits of the first of `prepared`, with the others beside it; all on the machine of the first."""
    if any(each.inputs.model is None for each in prepared):
        raise InputError(Problem("an op trace says nothing of memory", "usage", path="file", hint="give a model"))
    hardware = prepared[0].hardware
    models = gather(*(partial(_model_fit, each, hardware, search_dirs) for each in prepared))
    together = _together(hardware, prepared, models) if len(models) > 1 else None
    warnings: dict[str, None] = dict.fromkeys(hardware.warnings)
    for each in prepared:
        assert each.inputs.runtime is not None
        assert each.inputs.model is not None
        warnings |= dict.fromkeys((*each.inputs.runtime.warnings, *each.inputs.model.warnings))
    used = together.peak_bytes if together else models[0].memory.claimed_bytes
    is_held = together.fits if together else models[0].memory.fits
    note = freeze_note(hardware, used) if is_held else None
    overrides = {path: str(value) for path, value in hardware.overrides.items()} | prepared[0].changes.given
    return FitResult(
        hardware.name, hardware.digest, tuple(models), together, overrides, (*warnings, *((note,) if note else ()))
    )


def _model_fit(prepared: Prepared, hardware: HardwareSpec, search_dirs: Sequence[str | Path]) -> ModelFit:
    """One model, alone on the machine."""
    account, request, kv_dtype = account_of(prepared, hardware, search_dirs)
    model, runtime = account.model, account.runtime
    use = memory_use(account, request, lambda: smaller_recipes(model, runtime))
    quants = tuple(
        _quant_fit(account.with_quant(recipe), request)
        for recipe in recipes_of(model, runtime, account.quant, search_dirs)
    )
    fitting = [each.quant for each in quants if each.fits]
    longest = _largest_context(account, request)
    batch = account.most_sequences(request, MOST_SEQUENCES)
    return ModelFit(
        model=model.name,
        model_digest=model.digest,
        runtime=runtime.name,
        runtime_version=runtime.version,
        quant=account.quant.name,
        kv_dtype=kv_dtype,
        batch=request.batch,
        prompt_tokens=request.prompt,
        context_depth=request.depth,
        output_tokens=request.output,
        kv_bytes_per_token=kv_bytes_per_token(model, formats()[kv_dtype]),
        memory=use,
        largest_context=longest,
        context_limit="model" if longest >= model.max_context else "memory",
        largest_batch=batch,
        quants=quants,
        best_quant=fitting[0] if fitting else None,
        smallest_quant=fitting[-1] if fitting else None,
        would_fit=() if use.fits else _proposals(account, request, kv_dtype, quants, longest, batch),
        share=ceil(100 * use.needed_bytes / use.visible_bytes) / 100,
    )


def kv_bytes_per_token(model: ModelSpec, kv: Format) -> float:
    """Bytes that a further token of a long sequence takes: windows are full by then."""
    longest = max(2, model.max_context)
    return (model.kv_elements(longest) - model.kv_elements(longest - 1)) * kv.bits_per_weight / 8


def account_of(
    prepared: Prepared, hardware: HardwareSpec, search_dirs: Sequence[str | Path] = ()
) -> tuple[MemoryAccount, Request, str]:
    """What a run needs of the memory, for which request, and the format of its KV cache.

    Raises:
        InputError: a quantisation or KV format that its runtime or checkpoint does not allow.
    """
    arguments, loaded, model = prepared.arguments, prepared.inputs.runtime, prepared.inputs.model
    assert loaded is not None
    assert model is not None
    runtime = loaded.spec
    check_generation(hardware, runtime, search_dirs)
    quant, kv_dtype = gather(
        lambda: resolve_quant(model, arguments.quant, runtime.family, search_dirs),
        lambda: kv_format(arguments.kv_dtype or runtime.kv_dtype, runtime),
    )
    budget = budget_of(hardware, runtime.memory)
    request = Request(arguments.batch, arguments.prompt, arguments.depth, arguments.output)
    return MemoryAccount(budget, model, quant, runtime, formats()[kv_dtype]), request, kv_dtype


def _quant_fit(account: MemoryAccount, request: Request) -> QuantFit:
    margin = account.margin(request)
    bits = 8 * account.weights / account.model.parameter_count()
    return QuantFit(
        account.quant.name,
        bits,
        account.weights,
        account.needed(request),
        margin,
        account.fits(request),
        account.is_marginal(request),
    )


def with_context(request: Request, tokens: int) -> Request:
    """The request with `tokens` tokens per sequence: what is cached gives way first, then the prompt."""
    output = min(request.output, tokens)
    prompt = min(request.prompt, tokens - output)
    return replace(request, depth=tokens - output - prompt, prompt=prompt, output=output)


def _largest_context(account: MemoryAccount, request: Request) -> int:
    """Most tokens of each sequence, at most the model's positions."""
    return most(lambda n: n == 0 or account.fits(with_context(request, n)), account.model.max_context)


def _proposals(
    account: MemoryAccount, request: Request, kv_dtype: str, quants: Sequence[QuantFit], longest: int, batch: int
) -> tuple[str, ...]:
    """Every single change that would make it fit."""
    found = []
    if account.budget.refusal is not None:
        return (f"a smaller share of the memory: {account.budget.refusal}",)
    better = next((each for each in quants if each.fits and each.weights_bytes < account.weights), None)
    if better is not None:
        found.append(f"--quant {better.quant}: weights of {better.weights_bytes / 1e9:.1f} GB")
    known = account.runtime.kv_dtypes or tuple(formats())
    for name in KV_SMALLER:
        smaller = MemoryAccount(account.budget, account.model, account.quant, account.runtime, formats()[name])
        if name in known and name != kv_dtype and smaller.fits(request):
            found.append(f"--kv-dtype {name}: a KV cache of {smaller.kv_cache(request) / 1e9:.1f} GB")
            break
    if batch:
        waits = "" if account.budget.rules.when_full == "refuse" else "; the others wait for room"
        found.append(f"--batch {batch}{waits}")
    if longest:
        found.append(f"{longest:,} tokens per sequence")
    share = _larger_share(account, request)
    if share is not None:
        found.append(f"--set runtime.memory.fraction={share:.2f}")
    return tuple(found)


def _larger_share(account: MemoryAccount, request: Request) -> float | None:
    """The smallest share in hundredths with which it would fit, if there is one."""
    rules = account.budget.rules
    for hundredths in range(ceil(100 * rules.fraction), 101):
        budget = replace(account.budget, rules=rules.model_copy(update={"fraction": hundredths / 100}))
        larger = MemoryAccount(budget, account.model, account.quant, account.runtime, account.kv)
        if larger.fits(request):
            return hundredths / 100
    return None


def _together(hardware: HardwareSpec, prepared: Sequence[Prepared], models: Sequence[ModelFit]) -> Together:
    """All of them at once, each with what it needs: shares are for the user to set."""
    first: Budget = budget_of(hardware, prepared[0].inputs.runtime.spec.memory)  # type: ignore[union-attr]
    margin = first.at_start - sum(one.memory.needed_bytes + one.memory.host_bytes for one in models)
    proposals = []
    for one in models if margin < 0 else ():
        fitting = (each for each in one.quants if one.memory.needed_bytes - each.needed_bytes >= -margin)
        best = next(fitting, None)
        if best is not None:
            proposals.append(f"{one.model} in {best.quant}: {best.weights_bytes / 1e9:.1f} GB of weights")
    return Together(first.visible - margin, margin, margin >= 0, first.is_close(margin), tuple(proposals))
