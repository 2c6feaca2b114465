"""Memory of a run: what is there, what it needs, and what would fit instead. All in bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Fields as in `sparksim.result/1`; `needed_bytes` is the sum of weights, KV cache, activations and runtime.

    `more_sequences`: how many sequences of the same length would fit besides; `more_tokens`: how many tokens each
    sequence could be longer, at most to the model's longest context. Both 0 where the run itself does not fit.
    """

    capacity_bytes: int
    available_bytes: int
    needed_bytes: int
    reserved_bytes: int
    peak_bytes: int
    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    runtime_bytes: int
    fits: bool
    short_bytes: int
    would_fit: str | None
    more_sequences: int = 0
    more_tokens: int = 0
