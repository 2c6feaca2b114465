"""The result of a run: what was asked, memory, and what the trace says (`sparksim.result/1`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.hwspec import HardwareSpec
from sim.result.breakdown import by_class
from sim.result.energy import EnergyUse
from sim.result.identity import Identity, version
from sim.result.memory import MemoryTimeline, MemoryUse
from sim.result.ranges import PHASES, RateRange, as_dict, range_of, validated
from sim.result.trace import BOUNDS, CAUSES, StepTrace, Trace
from sim.workload.graph import Workload

if TYPE_CHECKING:
    import pandas as pd

NOT_TOLD = (
    "peak_bytes_per_s", "sustained_bytes_per_s", "peak_flops", "l2_bytes_per_s", "is_shipped_machine",
    "is_shipped_model",
)  # fmt: skip
"""Of the identity, what is not in the summary."""
Plotter = Callable[["RunResult"], Any]
PLOTTERS: dict[str, Plotter] = {}
"""Filled by `sim.plot` when it is imported: name -> function that draws a result."""


def _nothing() -> None:
    """What was not worked out."""


@dataclass(frozen=True)  # without slots: what is worked out once is kept in the result
class RunResult:
    """One run. `prefill_passes`: (sequences, query, context, outputs) of each forward pass of the prompts, in order.

    `fill`, `draw`: work out memory over time and energy, which most callers never ask for.
    """

    identity: Identity
    memory: MemoryUse | None
    trace: Trace | None
    workload: Workload
    hardware: HardwareSpec
    prefill_passes: tuple[tuple[int, int, int, int], ...] = ()
    fill: Callable[[], MemoryTimeline | None] = field(default=_nothing, compare=False, repr=False)
    draw: Callable[[], EnergyUse | None] = field(default=_nothing, compare=False, repr=False)

    @cached_property
    def memory_timeline(self) -> MemoryTimeline | None:
        """Who has how much memory over the run; None where nothing ran, and for an op trace."""
        return self.fill()

    @cached_property
    def energy(self) -> EnergyUse | None:
        """What the run draws; None where nothing ran or the machine's rails are not described."""
        return self.draw()

    def phase_time_s(self, phase: str) -> float | None:
        """Seconds of a phase, all its steps."""
        if self.trace is None or not self.trace.of(phase):
            return None
        return sum(step.duration_ps * step.weight for step in self.trace.of(phase)) / 1e12

    @property
    def decode_steps(self) -> int:
        """Decode passes: one fewer than the output after a prompt."""
        output = self.identity.output_tokens or 0
        return max(0, output - (1 if self.identity.prompt_tokens else 0))

    @property
    def fits(self) -> bool | None:
        """Whether it fits in memory; None for an op trace, which has no memory account."""
        return self.memory.fits if self.memory else None

    @property
    def bound(self) -> str | None:
        """What bounds all phases together: memory, link, compute, latency, host or storage; None without a run."""
        return _shares(self.trace.steps).bound if self.trace and self.trace.steps else None

    @property
    def phases(self) -> dict[str, dict[str, Any]]:
        """By phase: `time_s`, `bound`, `bound_share`, `causes`, `ops`, `dram`, `flops`, `tensor_utilization`."""
        return {name: self._phase(name) for name in (self.trace.phases() if self.trace else [])}

    @property
    def ttft_s(self) -> float | None:
        """Seconds from the start to the first token of the last sequence; None without a prompt."""
        return self.rates()["ttft_s"]

    @property
    def tpot_s(self) -> float | None:
        """Seconds per decode step."""
        return self.rates()["tpot_s"]

    @property
    def e2e_s(self) -> float | None:
        """Seconds from the start to the last token."""
        return self.rates()["e2e_s"]

    @property
    def decode_tok_s(self) -> float | None:
        """Tokens per second of all sequences together while decoding."""
        return self.rates()["decode_tok_s"]

    @property
    def prefill_tok_s(self) -> float | None:
        """Prompt tokens per second, host time included."""
        return self.rates()["prefill_tok_s"]

    def rates(self) -> dict[str, float | None]:
        """ttft_s, ttft_mean_s, prefill_tok_s, decode_tok_s, tpot_s, e2e_s; None where nothing applies."""
        me, ttft, decode = self.identity, self.phase_time_s("prefill"), self.phase_time_s("decode")
        batch, steps = me.batch or 1, self.decode_steps
        if me.model is None or self.trace is None:
            return dict.fromkeys(("ttft_s", "ttft_mean_s", "prefill_tok_s", "decode_tok_s", "tpot_s", "e2e_s"))
        return {
            "ttft_s": ttft,
            "ttft_mean_s": self._ttft_mean(ttft),
            "prefill_tok_s": batch * (me.prompt_tokens or 0) / ttft if ttft else None,
            "decode_tok_s": batch * steps / decode if decode and steps else None,
            "tpot_s": decode / steps if decode and steps else None,
            "e2e_s": (ttft or 0.0) + (decode or 0.0),
        }

    def ranges(self) -> dict[str, RateRange]:
        """How far the rate of each phase may be off, from how far its class was off; none for an op trace."""
        rates = self.rates()
        found = {phase: rates[f"{phase}_tok_s"] for phase in PHASES}
        return {phase: range_of(self.identity, phase, rate) for phase, rate in found.items() if rate}

    @property
    def validated(self) -> str | None:
        """What stands behind the rates: "measured", "class" or "extrapolated"; None where there are none."""
        return validated(self.identity, self.ranges())

    def _ttft_mean(self, ttft: float | None) -> float | None:
        """Mean over sequences of the time their last prompt pass ended; passes take time by tokens and context."""
        passes = self.prefill_passes
        if ttft is None or not passes:
            return None
        costs = [s * q * (1.0 + c / 65536.0) for s, q, c, _ in passes]
        at, ended, sequences = 0.0, 0.0, 0
        for cost, (_, _, _, outputs) in zip(costs, passes, strict=True):
            at += cost
            ended += at * outputs
            sequences += outputs
        return ttft * ended / (sequences * sum(costs))

    def summary(self) -> dict[str, Any]:
        """`sparksim.result/1`: SI units, finite numbers, None where nothing applies."""
        me, rates = self.identity, self.rates()
        steps = self.trace.steps if self.trace else ()
        together = _shares(steps) if steps else None
        profiles = {op.profile: op.profile_events for step in steps for op in step.ops if op.profile}
        identity = asdict(me)
        for key in NOT_TOLD:
            identity.pop(key)
        identity["clock_hz"] = {"prefill": me.clock_hz, "decode": me.clock_hz}
        identity["warnings"] = list(me.warnings)
        return {
            "schema": "sparksim.result/1",
            "sparksim_version": version(),
            **identity,
            **rates,
            "range": as_dict(self.ranges()),
            "validated": self.validated,
            "memory": asdict(self.memory) if self.memory else None,
            "phases": self.phases,
            "bound": together.bound if together else None,
            "bound_share": together.bound_share if together else None,
            "causes": together.causes if together else None,
            "dram": self._dram(steps) if steps else None,
            "energy": self._energy(),
            "events": sum(profiles.values()) + sum(step.events for step in steps),
            "kernels_simulated": len(profiles),
        }

    def _energy(self) -> dict[str, Any] | None:
        me = self.identity
        tokens = (me.batch or 0) * (me.output_tokens or 0) or None
        energy = self.energy
        return energy.to_dict(me.batch, tokens) if energy else None

    def _phase(self, name: str) -> dict[str, Any]:
        assert self.trace is not None
        steps = self.trace.of(name)
        shares, time_s = _shares(steps), self.phase_time_s(name) or 0.0
        flops = sum(op.flops * op.repeat * step.weight for step in steps for op in step.ops)
        busy = sum(op.tensor_share * op.duration_ps * op.repeat * step.weight for step in steps for op in step.ops)
        return {
            "time_s": time_s,
            "bound": shares.bound,
            "bound_share": shares.bound_share,
            "causes": shares.causes,
            "ops": _op_shares(steps),
            "dram": self._dram(steps),
            "flops": flops,
            "tensor_utilization": min(1.0, busy / (time_s * 1e12)) if time_s else 0.0,
        }

    def _dram(self, steps: Iterable[StepTrace]) -> dict[str, float]:
        read = write = seconds = 0.0
        for step in steps:
            seconds += step.duration_ps * step.weight / 1e12
            for op in step.ops:
                read += op.dram_read_bytes * op.repeat * step.weight
                write += op.dram_write_bytes * op.repeat * step.weight
        rate = (read + write) / seconds if seconds else 0.0
        return {
            "read_bytes": round(read),
            "write_bytes": round(write),
            "achieved_bytes_per_s": rate,
            "utilization": rate / self.identity.peak_bytes_per_s,
        }

    def to_frame(self, what: str = "ops") -> pd.DataFrame:
        """A DataFrame of `ops`, `spans`, `memory` (a row per change of a class) or `power` (per stretch of time)."""
        from sim.result.frame import frame  # noqa: PLC0415 - pandas is loaded only here

        return frame(self.trace, self.memory_timeline, what, self.energy)

    def write(self, folder: str | Path, *, force: bool = False) -> list[Path]:
        """Write the files of `--out` into `folder`, which must not exist unless `force`; the paths written."""
        from sim.result.export import write  # noqa: PLC0415 - not needed to predict

        return write(self, Path(folder), force=force)

    @property
    def plot(self) -> Plots:
        """Pictures of this result: `.timeline()`, `.ops()`, `.roofline()`, `.memory()`, `.power()`."""
        return Plots(self)


@dataclass(frozen=True, slots=True)
class Plots:
    """Draws a result; needs `sim.plot`, which is loaded on first use."""

    result: RunResult

    def __getattr__(self, name: str) -> Callable[[], Any]:
        if not PLOTTERS:
            from importlib import import_module  # noqa: PLC0415 - matplotlib is loaded only here

            import_module("sim.plot")
        if name not in PLOTTERS:
            raise AttributeError(f"no plot {name!r}; there are: {', '.join(sorted(PLOTTERS))}")
        return lambda: PLOTTERS[name](self.result)


@dataclass(frozen=True, slots=True)
class _Shares:
    bound: str
    bound_share: dict[str, float]
    causes: dict[str, float]


def _shares(steps: Iterable[StepTrace]) -> _Shares:
    """Shares of elapsed time by cause and by bound; they sum to 1."""
    causes: dict[str, float] = {}
    for step in steps:
        for cause, ps in step.causes.items():
            causes[cause] = causes.get(cause, 0.0) + ps * step.weight
    total = sum(causes.values()) or 1.0
    shares = {cause: ps / total for cause, ps in sorted(causes.items())}
    bounds = dict.fromkeys(BOUNDS, 0.0)
    for cause, share in shares.items():
        bounds[CAUSES[cause]] += share
    return _Shares(max(bounds, key=lambda name: bounds[name]), bounds, shares)


def _op_shares(steps: Iterable[StepTrace]) -> dict[str, dict[str, float]]:
    """Shares of elapsed time by op class and cause; all of them sum to 1."""
    spent = by_class(steps)
    total = sum(sum(parts.values()) for parts in spent.values()) or 1.0
    return {name: {cause: ps / total for cause, ps in sorted(parts.items())} for name, parts in sorted(spent.items())}
