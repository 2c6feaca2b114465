"""The result of loading a model: stages, how long each takes, and who has how much memory meanwhile."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, Problem
from sim.result.export import write_aside, write_json, write_manifest
from sim.result.identity import version
from sim.result.memory import MemoryTimeline

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "sparksim.load/1"


@dataclass(frozen=True, slots=True)
class LoadStage:
    """A part of the start, seconds. `shares`: of the weights, what it waited for (source, cpu, copy); they sum to 1.

    `source`: where its time comes from: the mechanism that was simulated, or the source of a number.
    """

    name: str
    start_s: float
    time_s: float
    kind: str
    source: str
    shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`time_s`: from the start of the process to its first request; `weights_time_s`: of the weights alone.

    `origin`: nvme, network or page_cache. `how`: mmap, read or direct. `failed_at`: the stage in which the memory ran
    out, and by how many bytes (`short_bytes`); None where it did not.
    """

    hardware: str
    hardware_digest: str
    model: str
    model_digest: str
    runtime: str
    runtime_version: str
    quant: str
    kv_dtype: str
    origin: str
    how: str
    is_compiled: bool
    weights_bytes: int
    stages: tuple[LoadStage, ...]
    memory: MemoryTimeline
    overrides: dict[str, str]
    warnings: tuple[str, ...]
    events: int
    failed_at: str | None = None
    short_bytes: int = 0

    @property
    def fits(self) -> bool:
        """Whether there was memory enough for every stage."""
        return self.failed_at is None

    @property
    def time_s(self) -> float | None:
        """Seconds from the start of the process to its first request; None where it does not get there."""
        return sum(stage.time_s for stage in self.stages) if self.fits else None

    @property
    def weights_time_s(self) -> float | None:
        """Seconds that the weights take."""
        found = [stage.time_s for stage in self.stages if stage.name == "weights"]
        return found[0] if found and self.failed_at != "weights" else None

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.load/1`: SI units, None where nothing applies."""
        weights, high = self.weights_time_s, self.memory
        return {
            "schema": SCHEMA,
            "sparksim_version": version(),
            **{name: getattr(self, name) for name in _IDENTITY},
            "compiled": self.is_compiled,
            "fits": self.fits,
            "failed_at": self.failed_at,
            "short_bytes": self.short_bytes,
            "time_s": self.time_s,
            "weights_time_s": weights,
            "weights_bytes": self.weights_bytes,
            "weights_bytes_per_s": self.weights_bytes / weights if weights else None,
            "stages": [asdict(stage) for stage in self.stages],
            "memory": {
                "capacity_bytes": high.capacity_bytes,
                "peak_bytes": high.high_water_bytes,
                "peak_s": high.high_water_s,
                "peak": high.high_water,
                "timeline": [row._asdict() for row in high.rows],
            },
            "overrides": self.overrides,
            "warnings": list(self.warnings),
            "events": self.events,
        }

    def write(self, folder: str | Path, *, force: bool = False) -> list[Path]:
        """Write summary, memory and picture into `folder`, which must not exist unless `force`; the paths written."""

        def fill(new: Path) -> None:
            write_json(new / "summary.json", self.to_dict())
            write_manifest(new, {"hardware": self.hardware_digest, "model": self.model_digest})
            rows = ["time_s,phase,what,bytes", *(",".join(map(str, row)) for row in self.memory.rows)]
            (new / "memory.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
            (new / "plots").mkdir()
            import_module("sim.plot").draw_load(self, new / "plots" / "load")

        return write_aside(Path(folder), fill, force=force)

    def to_frame(self, what: str = "stages") -> pd.DataFrame:
        """A pandas DataFrame of `stages` or `memory` (a row each time that a class changes).

        Raises:
            InputError: another table.
        """
        import pandas as pd

        if what == "memory":
            return pd.DataFrame([row._asdict() for row in self.memory.rows])
        if what == "stages":
            return pd.DataFrame([asdict(stage) for stage in self.stages])
        raise InputError(Problem(f"no table {what!r}", code="unknown_table", hint="stages or memory"))


_IDENTITY = (
    "hardware", "hardware_digest", "model", "model_digest", "runtime", "runtime_version", "quant", "kv_dtype", "origin",
    "how",
)  # fmt: skip
