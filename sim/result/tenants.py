"""What came out of tenants on one machine: each alone and together (`sparksim.tenants/1`); the law that bounds them."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import LawError, Problem
from sim.hwspec import HardwareSpec
from sim.result.identity import version
from sim.result.laws import LAWS

if TYPE_CHECKING:
    import pandas as pd

UNITS = {"model": "tokens/s", "cpu": "B/s", "rdma": "B/s", "ssd": "B/s"}
"""What the rate of each kind of tenant counts."""
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class TenantUse:
    """One tenant, alone or together. `rate`: in the unit of its kind; `bytes_per_s`: to and from memory.

    `memory_share`: share of the time that memory's bus is busy for it. `gpu_share`: that it has the GPU.
    `ttft_s`: mean over its requests, None where no prompt is read.
    """

    rate: float
    bytes_per_s: float
    memory_share: float
    gpu_share: float = 0.0
    ttft_s: float | None = None
    requests: int = 0


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant alone and together with the others; `watts`: of its CPU cores."""

    name: str
    kind: str
    alone: TenantUse
    together: TenantUse
    watts: float = 0.0

    @property
    def slowdown(self) -> float:
        """Rate alone / rate together."""
        return self.alone.rate / self.together.rate if self.together.rate else float("inf")


@dataclass(frozen=True, slots=True)
class TenantSample:
    """A stretch of the time together: bytes per second of each tenant, on average."""

    start_s: float
    seconds: float
    bytes_per_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class TenantsResult:
    """Tenants of one machine over `seconds`. Rates in bytes per second; `needed_bytes`: of all models together."""

    title: str
    hardware: HardwareSpec
    seconds: float
    rows: tuple[TenantRow, ...]
    samples: tuple[TenantSample, ...]
    peak_bytes_per_s: float
    sustained_bytes_per_s: float
    switches: int
    needed_bytes: int
    capacity_bytes: int
    power_w: dict[str, float] | None
    overrides: dict[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the models, and what the system keeps, lie in memory together."""
        return self.needed_bytes <= self.capacity_bytes

    @property
    def total_bytes_per_s(self) -> float:
        """What memory moves for all of them."""
        return sum(row.together.bytes_per_s for row in self.rows)

    def row(self, name: str) -> TenantRow:
        """The tenant of that name."""
        return next(row for row in self.rows if row.name == name)

    def check_laws(self) -> None:
        """Raise where more is moved than memory can.

        Raises:
            LawError: the sum of the tenants is beyond memory's peak, or its bus is busy for more than the time.
        """
        busy, total = sum(row.together.memory_share for row in self.rows), self.total_bytes_per_s
        samples = [sum(each.bytes_per_s.values()) for each in self.samples]
        most = max([total, *samples])
        if most > self.peak_bytes_per_s * (1 + TOLERANCE) or busy > 1 + TOLERANCE:
            text = f"{most / 1e9:.1f} of {self.peak_bytes_per_s / 1e9:.1f} GB/s, bus busy {busy:.1%}"
            raise LawError(Problem(f"L10 broken: {LAWS['L10']}; {text}", code="law"))

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.tenants/1`: SI units, finite numbers, None where nothing applies."""
        return {
            "schema": "sparksim.tenants/1",
            "sparksim_version": version(),
            "title": self.title,
            "hardware": self.hardware.name,
            "hardware_digest": self.hardware.digest,
            "overrides": self.overrides,
            "warnings": list(self.warnings),
            "duration_s": self.seconds,
            "tenants": {row.name: _plain(row, self.total_bytes_per_s) for row in self.rows},
            "memory": {
                "total_bytes_per_s": self.total_bytes_per_s,
                "sustained_bytes_per_s": self.sustained_bytes_per_s,
                "peak_bytes_per_s": self.peak_bytes_per_s,
                "utilization": self.total_bytes_per_s / self.peak_bytes_per_s,
                "needed_bytes": self.needed_bytes,
                "capacity_bytes": self.capacity_bytes,
                "fits": self.fits,
            },
            "gpu_switches": self.switches,
            "power_w": self.power_w,
        }

    def write(self, folder: str | Path, *, force: bool = False) -> list[Path]:
        """Write `summary.json`, `bandwidth.csv`, `spec.resolved.yaml`, `manifest.json` and `plots/` into `folder`.

        Raises:
            InputError: the folder exists and `force` is not set, it is not one of ours, or it cannot be written.
        """
        from sim.result.export import write_aside  # noqa: PLC0415 - not needed to predict

        return write_aside(Path(folder), self._fill, force=force)

    def _fill(self, folder: Path) -> None:
        from sim.result.export import write_json, write_manifest  # noqa: PLC0415 - as above

        write_json(folder / "summary.json", self.to_dict())
        names = [row.name for row in self.rows]
        with (folder / "bandwidth.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["start_s", "seconds", *names])
            writer.writerows(
                [each.start_s, each.seconds, *(each.bytes_per_s[n] for n in names)] for each in self.samples
            )
        (folder / "spec.resolved.yaml").write_text(self.hardware.to_yaml(), encoding="utf-8")
        write_manifest(folder, {"hardware": self.hardware.digest})
        (folder / "plots").mkdir()
        import_module("sim.plot").draw_tenants(self, folder / "plots" / "bandwidth")

    def to_frame(self, what: str = "tenants") -> pd.DataFrame:
        """A DataFrame of `tenants` (a row each) or `bandwidth` (a row per stretch of time, a column per tenant)."""
        import pandas as pd

        if what == "bandwidth":
            rows = [{"start_s": one.start_s, "seconds": one.seconds, **one.bytes_per_s} for one in self.samples]
            return pd.DataFrame(rows)
        return pd.json_normalize([{"tenant": name, **one} for name, one in self.to_dict()["tenants"].items()])


def _plain(row: TenantRow, total: float) -> dict[str, Any]:
    together = row.together
    return {
        "kind": row.kind,
        "unit": UNITS[row.kind],
        "alone": asdict(row.alone),
        "together": asdict(together),
        "slowdown": row.slowdown if together.rate else None,
        "bandwidth_share": together.bytes_per_s / total if total else 0.0,
        "watts": row.watts,
    }
