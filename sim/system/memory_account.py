"""What a model on a runtime needs of a machine's memory, and what the runtime may use of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from sim.component.memory import MemorySpec
from sim.component.os import OsSpec
from sim.errors import Problem, WiringError
from sim.hwspec import HardwareSpec
from sim.result.memory import MARGIN
from sim.workload.lower import Request
from sim.workload.model import ModelSpec
from sim.workload.quant import Format, QuantRecipe, weights_bytes
from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_memory import MemoryRules


@dataclass(frozen=True, slots=True)
class Budget:
    """A machine's memory as a runtime finds it, bytes. `host`: what its own processes take beside the GPU's part."""

    capacity: int
    visible: int
    reserved: int
    others: int
    host: int
    rules: MemoryRules

    @property
    def at_start(self) -> int:
        """What is free when the runtime starts."""
        return self.visible - self.reserved - self.others

    @property
    def claim(self) -> int:
        """The share that a runtime sets aside for all that it has on the GPU (`share: everything`)."""
        return round(self.visible * self.rules.fraction)

    @property
    def refusal(self) -> str | None:
        """Why the runtime would not even start."""
        if self.rules.share != "everything" or self.rules.when_full == "refuse" or self.claim <= self.at_start:
            return None
        most = int(100 * self.at_start / self.visible) / 100
        return (
            f"it wants {self.claim / 1e9:.1f} GB, {self.rules.fraction:g} of what there is, and only "
            f"{self.at_start / 1e9:.1f} GB are free: at most {most:.2f}"
        )

    def room(self, rest: int, activations: int) -> int:
        """Bytes for the KV cache beside `rest` (weights and the runtime's own) and `activations`; negative: too few."""
        fraction, free = self.rules.fraction, self.at_start - self.host
        if self.rules.share == "rest":
            left = free - rest - activations
            return round(left * fraction) if left > 0 else left
        if self.rules.share == "static":
            return min(round(self.at_start * fraction) - rest, free - rest - activations)
        return min(self.claim, free) - rest - activations

    def claimed(self, rest: int, activations: int, kv_cache: int) -> int:
        """What the machine shows as used once the runtime is up: a runtime with a share takes all of it."""
        if self.rules.when_full != "refuse":
            kv_cache = max(kv_cache, self.room(rest, activations))
        return self.reserved + self.others + self.host + rest + activations + kv_cache

    def is_close(self, margin: int) -> bool:
        """Whether so much room, or so much too little, is within what published pairs can tell."""
        return abs(margin) <= MARGIN * self.capacity

    def is_marginal(self, margin: int, claimed: int) -> bool:
        """Whether it fits, or does not, by little; or leaves the machine little where the runtime takes its share."""
        return self.is_close(margin) or (margin >= 0 and self.visible - claimed <= MARGIN * self.capacity)


def budget_of(hardware: HardwareSpec, rules: MemoryRules, beside: int = 0) -> Budget:
    """The budget of a runtime on a machine. `beside`: what other models on it have taken already, bytes.

    Raises:
        WiringError: the machine has no memory.
    """
    memory = next((spec for spec in hardware.components.values() if isinstance(spec, MemorySpec)), None)
    if memory is None:
        raise WiringError(Problem(f"{hardware.name} has no component of type memory", code="missing_component"))
    system = next((spec for spec in hardware.components.values() if isinstance(spec, OsSpec)), None)
    visible, reserved = (system.visible_memory, system.reserve) if system else (memory.capacity, 0)
    others = (system.others if system else 0) + beside
    return Budget(memory.capacity, visible, reserved, others, round(rules.host_bytes), rules)


class MemoryAccount:
    """One model on one runtime: what it needs for a request, and how much of it fits into a budget."""

    def __init__(
        self,
        budget: Budget,
        model: ModelSpec,
        quant: QuantRecipe,
        runtime: RuntimeSpec,
        kv: Format,
        draft: tuple[ModelSpec, QuantRecipe] | None = None,
    ) -> None:
        """`draft`: a model that drafts beside this one, which holds weights and a cache too."""
        self.budget = budget
        self.model = model
        self.quant = quant
        self.runtime = runtime
        self._draft = draft
        self.weights = weights_bytes(model, quant) + (weights_bytes(*draft) if draft else 0)
        self.own = round(runtime.memory.context_bytes + runtime.memory.workspace_bytes)
        self.kv = kv

    def with_quant(self, quant: QuantRecipe) -> MemoryAccount:
        """The same with other weights."""
        return MemoryAccount(self.budget, self.model, quant, self.runtime, self.kv, self._draft)

    def sequence(self, tokens: int) -> int:
        """Keys and values of one sequence of `tokens` tokens, in whole blocks, and the state of recurrent layers."""
        own = sequence_bytes(self._draft[0], self.runtime, tokens, self.kv) if self._draft else 0
        return sequence_bytes(self.model, self.runtime, tokens, self.kv) + own

    def kv_cache(self, request: Request) -> int:
        """Keys and values of all sequences at their longest, and recurrent states."""
        own = kv_cache_bytes(self._draft[0], self.runtime, request, self.kv) if self._draft else 0
        return kv_cache_bytes(self.model, self.runtime, request, self.kv) + own

    def activations(self, request: Request) -> int:
        """Live activations of the widest forward pass, and the logits."""
        return activation_bytes(self.model, self.runtime, request)

    def room(self, request: Request) -> int:
        """Bytes that the KV cache may have."""
        return self.budget.room(self.weights + self.own, self.activations(request))

    def margin(self, request: Request) -> int:
        """What is left when the request runs; negative: what is missing."""
        return self.room(request) - self.kv_cache(request)

    def fits(self, request: Request) -> bool:
        """Whether the request runs, all its sequences together."""
        return self.budget.refusal is None and self.margin(request) >= 0

    def needed(self, request: Request) -> int:
        """Weights, KV cache, activations and the runtime's own."""
        return self.weights + self.own + self.activations(request) + self.kv_cache(request)

    def claimed(self, request: Request) -> int:
        """What the machine shows as used once the runtime is up, bytes."""
        return self.budget.claimed(self.weights + self.own, self.activations(request), self.kv_cache(request))

    def is_marginal(self, request: Request) -> bool:
        """Whether the verdict is within what published pairs can tell."""
        return self.budget.is_marginal(self.margin(request), self.claimed(request))

    def most_sequences(self, request: Request, limit: int) -> int:
        """How many sequences like those of `request` fit together, at most `limit`; 0 where not one does."""
        return most(lambda n: n == 0 or self.fits(replace(request, batch=n)), limit)

    def most_depth(self, request: Request, limit: int) -> int:
        """How many more cached tokens each sequence may have, at most `limit`, where the request fits."""
        return most(lambda n: self.fits(replace(request, depth=request.depth + n)), limit)


def most(fits: Callable[[int], bool], limit: int) -> int:
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
    return request.batch * sequence_bytes(model, runtime, request.depth + request.prompt + request.output, kv)


def sequence_bytes(model: ModelSpec, runtime: RuntimeSpec, tokens: int, kv: Format) -> int:
    """Keys and values of one sequence of `tokens` tokens, in whole blocks, and the state of recurrent layers."""
    block = round(runtime.memory.kv_block_tokens)
    extra = round(runtime.ubatch_tokens) if runtime.window_cache != "window" else 0
    elements = model.kv_elements(ceil(tokens / block) * block, extra)
    return round(elements * kv.bits_per_weight / 8 + model.state_bytes())


def activation_bytes(model: ModelSpec, runtime: RuntimeSpec, request: Request) -> int:
    """Live activations of the widest forward pass, and the logits."""
    tokens = min(round(runtime.ubatch_tokens), request.batch * max(1, request.prompt))
    return live_bytes(model, runtime, tokens, request.batch)


def live_bytes(model: ModelSpec, runtime: RuntimeSpec, tokens: int, sequences: int) -> int:
    """Live activations of a forward pass of `tokens` tokens, and the logits of `sequences` of them."""
    width = max(part.width for layer in model.layers for part in (layer.ffn, layer.beside) if part is not None)
    bytes_each = 4 if runtime.activation_dtype == "f32" else 2
    live = tokens * max(width, model.hidden_size) * bytes_each * runtime.memory.activation_copies
    return round(live + sequences * model.vocab_size * runtime.memory.logits_bytes_per_value)
