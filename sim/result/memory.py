"""Memory of a run: what is there, what it needs, and what would fit instead. All in bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Fields as in `sparksim.result/1`; `needed_bytes` is the sum of the four classes below it."""

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
