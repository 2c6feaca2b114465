"""Who a result belongs to: what was asked of which machine, model and runtime."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


@dataclass(frozen=True, slots=True)
class Identity:
    """What a result is the result of. Rates in bytes and FLOPs per second."""

    hardware: str
    hardware_digest: str
    model: str | None
    model_digest: str | None
    runtime: str
    runtime_version: str
    quant: str | None
    kv_dtype: str | None
    batch: int | None
    prompt_tokens: int | None
    context_depth: int | None
    output_tokens: int | None
    clock_hz: float
    overrides: dict[str, str]
    warnings: tuple[str, ...]
    peak_bytes_per_s: float
    sustained_bytes_per_s: float
    peak_flops: dict[str, float]
    seed: int = 0
    l2_bytes_per_s: float = 0.0
    """Peak read rate of L2; 0 where it is not known."""
    architecture: str | None = None
    """The model's, as its config.json says it; None for an op trace."""
    speculation: dict[str, str | float | bool | None] | None = None
    """Drafting method, model, drafts of a step, and what a step yields; None without drafts."""
    is_shipped_machine: bool = False
    """It is a machine of ours, nothing of it set by hand."""
    is_shipped_model: bool = False
    """It is a card of ours."""


def version() -> str:
    """The version of sparksim that runs."""
    try:
        return installed_version("sparksim")
    except PackageNotFoundError:
        return "0.1.0"
