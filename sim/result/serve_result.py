"""The result of serving: a row per request, and what they say together (`sparksim.serve/1`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.hwspec import HardwareSpec
from sim.result.identity import Identity, version
from sim.result.memory import MemoryUse
from sim.result.served_energy import Prices
from sim.result.served_run import FAILURES, ServedRun

if TYPE_CHECKING:
    import pandas as pd

LATENCIES = ("ttft_s", "tpot_s", "itl_s", "e2e_s")
_PS = 1e-12
_ASKED = ("batch", "prompt_tokens", "context_depth", "output_tokens", "seed")
"""Of the identity: what a server is not asked."""
_MANY = 1000


@dataclass(frozen=True, slots=True)
class ServeResult:
    """What a server did, once for each seed. `block_bytes`: bytes of a KV block; `limits`: per request, seconds."""

    identity: Identity
    memory: MemoryUse
    hardware: HardwareSpec
    runs: Sequence[ServedRun]
    block_bytes: float
    pool_blocks: int
    slo: Mapping[str, float] = field(default_factory=dict)
    """Percentiles that must be kept, e.g. {"ttft_p95": 3.0}, seconds."""
    limits: Mapping[str, float] = field(default_factory=dict)
    traffic: Mapping[str, Any] = field(default_factory=dict)
    prices: Prices | None = None
    content: str = "mixed_text"
    """What requests are about: see `workload.hf_config.CONTENTS`."""
    steps_simulated: int = 0
    is_interrupted: bool = False

    @property
    def fits(self) -> bool:
        """Whether the model leaves room for at least one request."""
        return self.memory.fits

    @property
    def is_held(self) -> bool | None:
        """Whether every percentile of the SLO is kept (mean over the seeds); None without one, or without requests."""
        verdicts = [one["is_held"] for one in self.verdicts().values()]
        return all(verdicts) if verdicts else None

    def verdicts(self) -> dict[str, dict[str, Any]]:
        """For each percentile of the SLO: its limit, what came out, whether it is kept."""
        together = self._together() if self.runs else {}
        found = {}
        for name, limit in self.slo.items():
            what, _, which = name.partition("_")
            value = (together.get(f"{what}_s") or {}).get(which)
            if value is not None:
                found[name] = {"limit_s": limit, "value_s": value, "is_held": value <= limit}
        return found

    def summary(self) -> dict[str, Any]:
        """`sparksim.serve/1`: SI units, finite numbers, None where nothing applies; means over the seeds."""
        identity = asdict(self.identity)
        kept = {key: value for key, value in identity.items() if key in _TOLD}
        found: dict[str, Any] = {"schema": "sparksim.serve/1", "sparksim_version": version(), **kept}
        found["warnings"] = list(self.identity.warnings)
        found["traffic"] = dict(self.traffic)
        found["content"] = self.content
        found["seeds"] = [run.seed for run in self.runs]
        found |= self._together() if self.runs else dict.fromkeys(NUMBERS)
        found["kv_capacity_bytes"] = round(self.pool_blocks * self.block_bytes)
        found["slo"] = {"is_held": self.is_held, "percentiles": self.verdicts(), "per_request": dict(self.limits)}
        found["memory"] = asdict(self.memory)
        found["steps_simulated"] = self.steps_simulated
        found["is_interrupted"] = self.is_interrupted
        if len(self.runs) > 1:
            found["by_seed"] = [{"seed": run.seed, **self._one(run)} for run in self.runs]
        return found

    def _one(self, run: ServedRun) -> dict[str, Any]:
        return run.summary(self.block_bytes, self.limits, self.prices)

    def _together(self) -> dict[str, Any]:
        """Means over the seeds, peaks as the highest of them."""
        each = [self._one(run) for run in self.runs]
        if len(each) == 1:
            return each[0]
        shared = (key for key in each[0] if all(key in one for one in each))
        return {key: _mean([one[key] for one in each], is_peak="peak" in key) for key in shared}

    def to_frame(self, what: str = "requests") -> pd.DataFrame:
        """A pandas DataFrame: `requests` (a row each, seconds and tokens) or `series` (running, waiting, KV blocks).

        Raises:
            ValueError: another name.
        """
        import pandas as pd

        if what not in ("requests", "series"):
            raise ValueError(f"no table {what!r}; there are requests and series")
        tables = [pd.DataFrame({"seed": run.seed, **dict(getattr(run, what))}) for run in self.runs]
        frame = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
        return frame.rename(columns={name: name[:-2] + "s" for name in frame if name.endswith("_ps")}).assign(
            **{name[:-2] + "s": frame[name] * _PS for name in frame if name.endswith("_ps")}
        )

    def write(self, folder: str | Path, *, force: bool = False) -> list[Path]:
        """Write the files of `--out` into `folder`, which must not exist unless `force`; the paths written."""
        from sim.result.serve_export import write_serve  # noqa: PLC0415 - not needed to predict

        return write_serve(self, Path(folder), force=force)


_TOLD = frozenset(
    ("hardware", "hardware_digest", "model", "model_digest", "runtime", "runtime_version", "quant", "kv_dtype",
     "clock_hz", "overrides", "speculation")
)  # fmt: skip
NUMBERS = (
    "requests", "completed", "failed", *FAILURES, "duration_s", "request_rate", "output_tok_s", "total_tok_s",
    "goodput", *LATENCIES, "prompt_tokens", "output_tokens", "peak_running", "peak_waiting", "preemptions",
    "wasted_tokens", "by_priority", "cached_tokens", "kv_peak_bytes", "steps", "utilization", "skipped_lines",
    "energy", "cost",
)  # fmt: skip
"""Keys of one run."""


def _mean(values: Sequence[Any], *, is_peak: bool) -> Any:
    """Of numbers, or of mappings of numbers (what all have); None where one is missing."""
    if any(value is None for value in values):
        return None
    if isinstance(values[0], str):
        return values[0]
    if isinstance(values[0], Mapping):
        shared = (key for key in values[0] if all(key in value for value in values))
        return {key: _mean([value[key] for value in values], is_peak=False) for key in shared}
    if is_peak:
        return max(values)
    mean = sum(values) / len(values)
    return (
        round(mean)
        if all(isinstance(value, int) for value in values) and (mean.is_integer() or mean >= _MANY)
        else mean
    )
