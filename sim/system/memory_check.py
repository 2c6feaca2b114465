"""Does a run fit in memory: weights, KV cache, activations and the runtime itself against what the machine offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sim.component.os import OsSpec
from sim.hwspec import HardwareSpec
from sim.result.memory import MemoryUse
from sim.system.memory_account import MemoryAccount
from sim.workload.lower import Request
from sim.workload.quant import QuantRecipe, weights_bytes

WAITS = {"preempt": "the others wait for room", "retract": "the others wait for room"}
"""What a runtime does about sequences that do not fit beside the others, where it does not refuse them."""


def memory_use(account: MemoryAccount, request: Request, smaller: Callable[[], list[QuantRecipe]]) -> MemoryUse:
    """What the run needs and what there is, in bytes; `smaller` lists the recipes to propose when it does not fit."""
    budget, model = account.budget, account.model
    kv_cache, activations = account.kv_cache(request), account.activations(request)
    needed, margin = account.needed(request), account.margin(request)
    fits = account.fits(request)
    available = 0 if budget.refusal else max(0, needed + margin)
    alone = account.kv_cache(replace(request, batch=1))
    more = max(0, margin) // max(1, alone)
    tokens = model.max_context - request.depth - request.prompt - request.output
    apart = budget.reserved + budget.others + budget.host
    more_tokens = account.most_depth(request, tokens) if fits else 0
    return MemoryUse(
        capacity_bytes=budget.capacity,
        available_bytes=available,
        needed_bytes=needed,
        reserved_bytes=budget.reserved,
        peak_bytes=needed + apart,
        weights_bytes=account.weights,
        kv_cache_bytes=kv_cache,
        activation_bytes=activations,
        runtime_bytes=account.own,
        fits=fits,
        short_bytes=max(0, needed - available),
        would_fit=None if fits else would_fit(account, request, smaller()),
        more_sequences=account.most_sequences(request, request.batch + more) - request.batch if fits else 0,
        more_tokens=more_tokens,
        is_model_limit=fits and more_tokens == max(0, tokens),
        visible_bytes=budget.visible,
        other_bytes=budget.others,
        host_bytes=budget.host,
        claimed_bytes=account.claimed(request),
        at_once=request.batch if fits else account.most_sequences(request, request.batch),
        when_full=budget.rules.when_full,
        is_marginal=account.is_marginal(request),
        refusal=budget.refusal,
    )


def would_fit(account: MemoryAccount, request: Request, recipes: list[QuantRecipe]) -> str:
    """The largest recipe that fits, else how much less KV would do, else that nothing does."""
    if account.budget.refusal is not None:
        return f"a smaller share of the memory: {account.budget.refusal}"
    sized = sorted(((weights_bytes(account.model, recipe), recipe) for recipe in recipes), key=lambda each: -each[0])
    for size, recipe in sized:
        if size < account.weights and account.margin(request) + account.weights - size >= 0:
            return f"{recipe.name} weights ({size / 1e9:.1f} GB)"
    smallest = min((recipe for _, recipe in sized), key=lambda each: weights_bytes(account.model, each), default=None)
    best = account if smallest is None else min(account, account.with_quant(smallest), key=lambda each: each.weights)
    at_once = best.most_sequences(request, request.batch)
    if at_once:
        waits = WAITS.get(account.budget.rules.when_full)
        return f"{best.quant.name} weights with {at_once:,} sequences at once" + (f"; {waits}" if waits else "")
    start = replace(request, batch=request.batch, depth=0, prompt=0, output=1)
    if best.fits(start):
        tokens = best.most_depth(start, request.depth + request.prompt + request.output) + 1
        return f"{best.quant.name} weights with at most {tokens} tokens per sequence"
    return "no recipe of this model on this machine"


def freeze_note(hardware: HardwareSpec, used_bytes: int) -> str | None:
    """A note where so much memory in use has frozen machines as a whole; None below that, or where nothing is known."""
    system = next((spec for spec in hardware.components.values() if isinstance(spec, OsSpec)), None)
    if system is None or system.freeze_above is None or used_bytes < system.freeze_above:
        return None
    source = next((f.source for f in hardware.fields() if f.path == "os.freeze_above"), "")
    return (
        f"{used_bytes / 1e9:.1f} GB would be in use: machines were seen to freeze from "
        f"{system.freeze_above / 1e9:.0f} GB on ({source})"
    )
