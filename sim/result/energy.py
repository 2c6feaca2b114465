"""What a run draws: energy and power by rail, the clock that power leaves, temperature; over time and in sums."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

RAILS = ("gpu", "package", "wall")
"""What a watt is counted on: the GPU's rail (nvidia-smi), GPU, CPU and fabric together, and the wall."""


class PowerSample(NamedTuple):
    """A stretch of time with one clock. Watts are means over it; `celsius` is the GPU's temperature at its end."""

    phase: str
    start_s: float
    seconds: float
    clock_hz: float
    gpu_w: float
    cpu_w: float
    package_w: float
    memory_w: float
    wall_w: float
    celsius: float | None


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """Of a whole run. `parts_w`: by phase, what the GPU's rail draws by activity; `not_counted`: whose draw is unknown.

    Clocks are what power and temperature leave of the clock that the times were simulated with: an answer beside them.
    """

    samples: tuple[PowerSample, ...]
    parts_w: dict[str, dict[str, float]]
    not_counted: tuple[str, ...] = ()

    def joules(self, rail: str, phase: str | None = None) -> float:
        """Energy of a rail, in one phase or in all."""
        return float(sum(getattr(each, f"{rail}_w") * each.seconds for each in self._of(phase)))

    def watts(self, rail: str, phase: str | None = None) -> float:
        """Mean power of a rail."""
        seconds = sum(each.seconds for each in self._of(phase))
        return self.joules(rail, phase) / seconds if seconds else 0.0

    def clock_hz(self, phase: str) -> float | None:
        """Mean SM clock of a phase."""
        chosen = list(self._of(phase))
        seconds = sum(each.seconds for each in chosen)
        return sum(each.clock_hz * each.seconds for each in chosen) / seconds if seconds else None

    @property
    def phases(self) -> list[str]:
        """Names of the phases, in order."""
        return list(dict.fromkeys(each.phase for each in self.samples))

    @property
    def peak_celsius(self) -> float | None:
        """The GPU's highest temperature."""
        return max((each.celsius for each in self.samples if each.celsius is not None), default=None)

    def _of(self, phase: str | None) -> Iterable[PowerSample]:
        return (each for each in self.samples if phase in (None, each.phase))

    def to_dict(self, requests: int | None, output_tokens: int | None) -> dict[str, Any]:
        """The `energy` of `sparksim.result/1`; `requests`, `output_tokens`: of all sequences, None for an op trace."""
        total = {rail: self.joules(rail) for rail in RAILS}
        return {
            **{f"{rail}_j": joules for rail, joules in total.items()},
            "joules_per_output_token": _each(total, output_tokens),
            "joules_per_request": _each(total, requests),
            "power_w": {phase: {rail: self.watts(rail, phase) for rail in RAILS} for phase in self.phases},
            "gpu_parts_w": self.parts_w,
            "clock_hz": {phase: self.clock_hz(phase) for phase in self.phases},
            "peak_celsius": self.peak_celsius,
            "not_counted": list(self.not_counted),
        }


def _each(total: dict[str, float], count: int | None) -> dict[str, float] | None:
    return {rail: joules / count for rail, joules in total.items()} if count else None
