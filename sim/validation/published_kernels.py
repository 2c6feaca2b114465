"""Single kernels that were measured on GB10, beside what the simulation says of them: they ship, so no extra is needed.

Each record names the kernel rule that stands for what was measured. A rule `of` another machine has its numbers from
there: only the hardware description is swapped, which is what those records are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.errors import Problem, WorkloadError
from sim.paths import find
from sim.system.kernel_prediction import KernelBench, Start
from sim.system.kernel_shapes import check_shape, launches_of
from sim.system.machine import Machine
from sim.system.plugins import load_hardware
from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_file import load_runtime
from sim.yamlfile import closest, load_yaml, validate_model

MACHINE = "dgx-spark"
TIMES = {"us": 1e-6, "ms": 1e-3}


class Published(BaseModel):
    """One published figure and its conditions; see the head of `workloads/measurements/gb10_kernels.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    group: str
    op: Literal["gemm", "attention", "moe"]
    dtype: str
    runtime: str
    kernel: str
    of: str | None = None
    shape: dict[str, int]
    launches: tuple[str, ...] = ()
    clock_mhz: int | None = Field(None, gt=0)
    l2: Literal["cold", "written", "dirty"]
    value: float | tuple[float, float]
    unit: Literal["TFLOP/s", "us", "ms"]
    source: str
    is_held: bool = True
    note: str = ""

    @property
    def bounds(self) -> tuple[float, float]:
        """The range that was measured, of one number twice the same."""
        return self.value if isinstance(self.value, tuple) else (self.value, self.value)


class PublishedFile(BaseModel):
    """All of them. `within`: what those that are held must come to."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["sparksim.published_kernels/1"] = Field(alias="schema")
    hardware: str
    within: float = Field(gt=0)
    sources: dict[str, str]
    records: tuple[Published, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """A record beside its prediction, in the record's unit. `cause`: what most of the longest launch's time goes to."""

    record: Published
    predicted: float
    cause: str

    @property
    def error(self) -> float:
        """Predicted / measured - 1; of a range its nearer end, 0 inside."""
        low, high = self.record.bounds
        return self.predicted / min(max(self.predicted, low), high) - 1.0


def load_published() -> PublishedFile:
    """The records that ship."""
    return validate_model(PublishedFile, load_yaml(find("measurements", "gb10_kernels")))


def compare_published(published: PublishedFile | None = None) -> PublishedReport:
    """Predict every record.

    Raises:
        InputError: a record names a kernel, a shape or a machine that there is not.
    """
    file = published or load_published()
    return PublishedReport(tuple(_compare(file.hardware, record) for record in file.records), file.within)


def _compare(hardware: str, record: Published) -> Compared:
    clock = {"gpu.clock": f"{record.clock_mhz} MHz"} if record.clock_mhz else {}
    machine = Machine(load_hardware(hardware, clock))
    runtime = _with_kernel(load_runtime(record.runtime).spec, record)
    bench = KernelBench(machine, runtime)
    ops = launches_of(record.op, runtime, record.dtype, check_shape(record.op, record.dtype, record.shape))
    launches = bench.run(ops, _start(record, float(machine.l2.capacity)))
    counted = [launch for launch in launches if not record.launches or launch.site in record.launches]
    if missing := sorted(set(record.launches) - {launch.site for launch in launches}):
        hint = f"there are: {', '.join(dict.fromkeys(launch.site for launch in launches))}"
        message = f"nothing is launched at {', '.join(missing)}"
        raise WorkloadError(Problem(message, code="no_site", path=record.id, hint=hint))
    seconds = sum(launch.duration_ps for launch in counted) / 1e12
    flops = sum(launch.flops for launch in counted)
    longest = max(counted, key=lambda launch: launch.duration_ps)
    cause = max(longest.causes, key=lambda name: longest.causes[name])
    predicted = seconds / TIMES[record.unit] if record.unit in TIMES else flops / seconds / 1e12
    return Compared(record, predicted, f"{cause} {longest.causes[cause] / longest.duration_ps:.0%}")


def _with_kernel(runtime: RuntimeSpec, record: Published) -> RuntimeSpec:
    """The runtime with the record's kernel before all others.

    Raises:
        WorkloadError: it has no such kernel.
    """
    if record.kernel not in runtime.kernels:
        guess = closest(record.kernel, list(runtime.kernels))
        hint = f"did you mean {guess!r}?" if guess else None
        message = f"{runtime.name} has no kernel {record.kernel!r}"
        raise WorkloadError(Problem(message, code="unknown_kernel", path=record.id, hint=hint))
    return runtime.only(record.kernel)


def _start(record: Published, capacity: float) -> Start:
    if record.l2 == "written":
        return Start()
    return replace(Start(activations=0.0), dirty_bytes=capacity if record.l2 == "dirty" else 0.0)


@dataclass(frozen=True, slots=True)
class PublishedReport:
    """All comparisons and what they are held to."""

    compared: tuple[Compared, ...]
    within: float

    def broken_targets(self) -> list[str]:
        """Every figure that is held and does not hold, in a sentence each."""
        return [
            f"GB10 {one.record.id}: {one.error:+.1%} off, target {self.within:.0%}"
            for one in self.compared
            if one.record.is_held and abs(one.error) > self.within
        ]

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain data for --json."""
        return [
            {"id": one.record.id, "measured": one.record.value, "predicted": one.predicted, "unit": one.record.unit,
             "error": one.error, "is_held": one.record.is_held} for one in self.compared
        ]  # fmt: skip

    def to_text(self) -> str:
        """A table for a person."""
        lines = [
            "GB10 kernels as published; error = predicted / measured - 1. (*): numbers rest on another machine",
            f"{'':<78}{'measured':>12}{'predicted':>11}{'error':>9}",
        ]
        for one in self.compared:
            record, (low, high) = one.record, one.record.bounds
            sizes = " ".join(f"{name} {size}" for name, size in record.shape.items() if name != "kv_heads")
            at = f" at {record.clock_mhz:,} MHz" if record.clock_mhz else ""
            name = f"{record.group} {record.dtype} {sizes}{at}{' (*)' if record.of else ''}"
            measured = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            mark = "" if record.is_held else f"  not held: {record.note}"
            values = f"{measured:>12}{one.predicted:>11.1f}{one.error:>+9.1%}"
            lines.append(f"  {name:<76}{values} {record.unit}; {one.cause}{mark}")
        for group, errors in self._unheld().items():
            lines.append(f"  {group}, not held: {len(errors)}, median {median(errors):.1%} off")
        return "\n".join(lines)

    def _unheld(self) -> Mapping[str, list[float]]:
        """Absolute errors of what is shown only, by group, where there are several."""
        found: dict[str, list[float]] = {}
        for one in self.compared:
            if not one.record.is_held:
                found.setdefault(one.record.group, []).append(abs(one.error))
        return {group: errors for group, errors in found.items() if len(errors) > 1}
