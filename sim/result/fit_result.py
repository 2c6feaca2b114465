"""What fits into a machine's memory (`sparksim.fit/1`): a model, its other quantisations, and models side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.result.export import write_aside, write_json, write_manifest
from sim.result.identity import version
from sim.result.memory import MemoryUse

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "sparksim.fit/1"


@dataclass(frozen=True, slots=True)
class QuantFit:
    """One quantisation of a model. `margin_bytes`: what is left; negative: what is missing."""

    quant: str
    bits_per_weight: float
    weights_bytes: int
    needed_bytes: int
    margin_bytes: int
    fits: bool
    is_marginal: bool


@dataclass(frozen=True, slots=True)
class ModelFit:
    """One model on its runtime, alone on the machine.

    `largest_context`: most tokens of each of `batch` sequences, at most what the model takes (`context_limit`: "memory"
    or "model"); `largest_batch`: most sequences of the context asked for. 0 where not even one fits.
    `kv_bytes_per_token`: of a further token of a long sequence. `best_quant`: the one with the most bits that fits;
    `smallest_quant`: with the fewest. `would_fit`: what to change.
    """

    model: str
    model_digest: str
    runtime: str
    runtime_version: str
    quant: str
    kv_dtype: str
    batch: int
    prompt_tokens: int
    context_depth: int
    output_tokens: int
    kv_bytes_per_token: float
    memory: MemoryUse
    largest_context: int
    context_limit: str
    largest_batch: int
    quants: tuple[QuantFit, ...]
    best_quant: str | None
    smallest_quant: str | None
    would_fit: tuple[str, ...]
    share: float
    """The smallest share of the visible memory that holds it: what to start vLLM with beside others."""

    @property
    def context(self) -> int:
        """Tokens of each sequence, all together."""
        return self.context_depth + self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Together:
    """Models side by side, each with what it needs and no more. `peak_bytes`: system and all processes included.

    `would_fit`: which single model would have to be smaller, and how small.
    """

    peak_bytes: int
    margin_bytes: int
    fits: bool
    is_marginal: bool
    would_fit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FitResult:
    """The first model is the one that was asked for, the others stand beside it."""

    hardware: str
    hardware_digest: str
    models: tuple[ModelFit, ...]
    together: Together | None
    overrides: dict[str, str]
    warnings: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """The verdict: everything that was asked for, side by side."""
        return self.together.fits if self.together else self.models[0].memory.fits

    @property
    def is_marginal(self) -> bool:
        """Whether the verdict is within what published pairs can tell (3 % of the capacity)."""
        return self.together.is_marginal if self.together else self.models[0].memory.is_marginal

    @property
    def verdict(self) -> str:
        """fits, does not fit, or either of them marginally."""
        return ("fits" if self.fits else "does not fit") + (", marginally" if self.is_marginal else "")

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.fit/1`: SI units, None where nothing applies."""
        models = [
            {**asdict(each), "memory": {**asdict(each.memory), "margin_bytes": each.memory.margin_bytes}}
            for each in self.models
        ]
        return {
            "schema": SCHEMA,
            "sparksim_version": version(),
            "hardware": self.hardware,
            "hardware_digest": self.hardware_digest,
            "fits": self.fits,
            "is_marginal": self.is_marginal,
            "verdict": self.verdict,
            "models": models,
            "together": asdict(self.together) if self.together else None,
            "overrides": self.overrides,
            "warnings": list(self.warnings),
        }

    def write(self, folder: str | Path, *, force: bool = False) -> list[Path]:
        """Write summary and picture into `folder`, which must not exist unless `force`; the paths written."""

        def fill(new: Path) -> None:
            write_json(new / "summary.json", self.to_dict())
            inputs = {"hardware": self.hardware_digest, "model": self.models[0].model_digest}
            write_manifest(new, inputs)
            (new / "plots").mkdir()
            import_module("sim.plot").draw_fit(self, new / "plots" / "fit")

        return write_aside(Path(folder), fill, force=force)

    def to_frame(self) -> pd.DataFrame:
        """A pandas DataFrame: a row per model and quantisation."""
        import pandas as pd

        rows = [
            {"model": each.model, "runtime": each.runtime, **asdict(one)} for each in self.models for one in each.quants
        ]
        return pd.DataFrame(rows)
