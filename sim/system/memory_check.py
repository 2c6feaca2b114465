"""Does a run fit in memory: weights, KV cache, activations and the runtime itself against what the machine offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from sim.component.memory import MemorySpec
from sim.component.os import OsSpec
from sim.hwspec import HardwareSpec
from sim.result.memory import MemoryUse
from sim.workload.lower import Request
from sim.workload.model import ModelSpec
from sim.workload.quant import Format, QuantRecipe, weights_bytes
from sim.workload.runtime import RuntimeSpec


def memory_use(
    hardware: HardwareSpec,
    model: ModelSpec,
    quant: QuantRecipe,
    runtime: RuntimeSpec,
    request: Request,
    kv: Format,
    smaller: Callable[[], list[QuantRecipe]],
) -> MemoryUse:
    """What the run needs and what there is, in bytes; `smaller` lists the recipes to propose when it does not fit."""
    memory = next(spec for spec in hardware.components.values() if isinstance(spec, MemorySpec))
    system = next((spec for spec in hardware.components.values() if isinstance(spec, OsSpec)), None)
    visible = system.visible_memory if system else memory.capacity
    reserved = system.reserve if system else 0
    available = round((visible - reserved) * runtime.memory.fraction)
    weights = weights_bytes(model, quant)
    kv_cache = kv_cache_bytes(model, runtime, request, kv)
    activations = activation_bytes(model, runtime, request)
    own = round(runtime.memory.context_bytes + runtime.memory.workspace_bytes)
    needed = weights + kv_cache + activations + own

    alone = kv_cache_bytes(model, runtime, replace(request, batch=1), kv)

    def more_sequences_fit(n: int) -> bool:
        larger = replace(request, batch=request.batch + n)
        return needed - activations + n * alone + activation_bytes(model, runtime, larger) <= available

    def more_tokens_fit(n: int) -> bool:
        longer = replace(request, depth=request.depth + n)
        return needed - kv_cache + kv_cache_bytes(model, runtime, longer, kv) <= available

    short = max(0, needed - available)
    return MemoryUse(
        capacity_bytes=memory.capacity,
        available_bytes=available,
        needed_bytes=needed,
        reserved_bytes=reserved,
        peak_bytes=needed + reserved,
        weights_bytes=weights,
        kv_cache_bytes=kv_cache,
        activation_bytes=activations,
        runtime_bytes=own,
        fits=not short,
        short_bytes=short,
        would_fit=_proposal(model, needed - weights, available, kv_cache, request, smaller()) if short else None,
        more_sequences=_most(more_sequences_fit, (available - needed) // max(1, alone)),
        more_tokens=0
        if short
        else _most(more_tokens_fit, model.max_context - request.depth - request.prompt - request.output),
    )


def _most(fits: Callable[[int], bool], limit: int) -> int:
    """The largest n from 0 to `limit` that fits, for a need that grows with n; 0 if not even that does."""
    if limit <= 0 or fits(limit):
        return max(0, limit)
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def kv_cache_bytes(model: ModelSpec, runtime: RuntimeSpec, request: Request, kv: Format) -> int:
    """Keys and values of all sequences at their longest, in whole blocks, and the state of recurrent layers."""
    block = round(runtime.memory.kv_block_tokens)
    tokens = ceil((request.depth + request.prompt + request.output) / block) * block
    extra = round(runtime.ubatch_tokens) if runtime.window_cache != "window" else 0
    return round(request.batch * (model.kv_elements(tokens, extra) * kv.bits_per_weight / 8 + model.state_bytes()))


def activation_bytes(model: ModelSpec, runtime: RuntimeSpec, request: Request) -> int:
    """Live activations of the widest forward pass, and the logits."""
    tokens = min(round(runtime.ubatch_tokens), request.batch * max(1, request.prompt))
    width = max(part.width for layer in model.layers for part in (layer.ffn, layer.beside) if part is not None)
    bytes_each = 4 if runtime.activation_dtype == "f32" else 2
    live = tokens * max(width, model.hidden_size) * bytes_each * runtime.memory.activation_copies
    return round(live + request.batch * model.vocab_size * runtime.memory.logits_bytes_per_value)


def _proposal(
    model: ModelSpec, rest: int, available: int, cache: int, request: Request, recipes: list[QuantRecipe]
) -> str:
    """The largest recipe that fits, else how much less KV would do, else that nothing does."""
    sized = sorted(((weights_bytes(model, recipe), recipe.name) for recipe in recipes), reverse=True)
    for size, name in sized:
        if size + rest <= available:
            return f"{name} weights ({size / 1e9:.1f} GB)"
    if sized and sized[-1][0] + rest - cache < available:
        share = (available - sized[-1][0] - (rest - cache)) / max(1, cache)
        tokens = int((request.depth + request.prompt + request.output) * share)
        if tokens > 0:
            return f"{sized[-1][1]} weights with at most {tokens} tokens per sequence"
    return "no recipe of this model on this machine"
