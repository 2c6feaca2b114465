"""The hardware's curves, simulated beside measured: each measurement at the SM clock that it states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sim.component.stream import MakeQueue
from sim.component.stream_warp import WarpQueue
from sim.errors import InputError, Problem
from sim.paths import find
from sim.system.cpu_chase import cpu_chase
from sim.system.machine import Machine
from sim.system.microbench import StreamResult, chase, stream
from sim.system.stream_request import FOOTPRINT, Neighbour, StreamRequest
from sim.yamlfile import load_yaml, validate_model

SCALES = {"GB/s": 1e9, "ns": 1e-9, "us": 1e-6, "x": 1.0}
STREAMS, LADDER, LOADED = "bytes in flight", "latency ladder", "loaded latency"
BARRIERS = "beside a barrier kernel"
KEPT = "streams beside a barrier kernel"
KNEE = 4096
"""Bytes in flight per SM from which on the tighter target holds."""
CALIBRATED = {
    "gpu.issue_latency": "chosen so that bandwidth at 0.5 to 4 KiB in flight per SM comes out",
    "l2.requester_queue": "chosen so that a load, and a kernel, beside streams wait as long as they do",
    "memory.sustained.read": "the plateau of long reads",
    "memory.sustained.random": "the plateau of scattered reads of 512 B",
    "memory.sustained.write": "such that a copy comes out",
}
"""The fields of dgx-spark that were chosen, or set to a plateau, with these measurements (or ones like them)."""
READ_OFF = {
    "l2.hit_latency": "a load that hits L2",
    "c2c.latency": "an unloaded load from memory, less what L2 and the controllers take of it",
    "tlb.walk": "a load on a new page, less one that is not",
    "gpu.graph_launch, gpu.kernel_boundary, ...": "the launch costs",
}
"""Fields that hold a latency as it was measured: for these the ladder shows that parts add up, no more."""


class Probe(BaseModel):
    """What is run beside a measurement. `given`: nothing is, the hardware file holds the number in `field`.

    `loaded`: a dependent chase beside the stream. `neighbour`: a kernel with barriers beside the stream, how many times
    longer its rounds are than alone. `kept`: the rate of a stream of `n_bytes`, beside it such a kernel for `rounds`.
    `cpu`: a dependent chase of a core of `cluster`. `graph_...`: of a graph of `nodes` kernels. `batched`: warps wait
    for all of their loads before they send new ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["stream", "loaded", "neighbour", "kept", "chase", "cpu", "graph_launch", "graph_first_node", "given"]
    pattern: str = "tile"
    access: Literal["read", "write", "copy"] = "read"
    warps: int = 4
    ctas: int = 0
    inflight: int = 0
    footprint: int = FOOTPRINT
    granule: int = 0
    cluster: str | None = None
    nodes: int = Field(0, ge=0)
    batched: bool = False
    neighbour: Neighbour | None = None
    rounds: int = Field(0, ge=0)
    n_bytes: int = Field(0, ge=0)
    field: str | None = None

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Probe:
        if self.kind == "given" and (self.field or "").count(".") != 1:
            raise ValueError("kind 'given' needs a field, e.g. gpu.graph_launch")
        if (self.kind == "cpu") is (self.cluster is None) or (self.nodes > 0) is not self.kind.startswith("graph_"):
            raise ValueError("kind 'cpu' needs a cluster and 'graph_...' needs nodes, no other has them")
        if (self.kind in ("neighbour", "kept")) is (self.neighbour is None):
            raise ValueError("kinds 'neighbour' and 'kept' need a neighbour, no other has one")
        if not (self.kind == "kept") == (self.rounds > 0) == (self.n_bytes > 0):
            raise ValueError("kind 'kept' needs rounds and n_bytes, no other has them")
        if self.kind == "chase" and not 0 < self.granule <= self.footprint:
            raise ValueError("kind 'chase' needs a granule, at most its footprint")
        return self


class Record(BaseModel):
    """One published number and its conditions. `beside`: the same stream beside a second kernel, same unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    group: str
    value: float = Field(gt=0)
    unit: Literal["GB/s", "ns", "us", "x"]
    quality: Literal["high", "medium", "low"]
    clock_mhz: int | None
    probe: Probe
    source: str
    conditions: str
    beside: float | None = None
    note: str = ""


class Records(BaseModel):
    """A file of measurements."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["sparksim.microbench/1"] = Field(alias="schema")
    hardware: str
    sources: dict[str, str]
    records: tuple[Record, ...]


class MicrobenchTargets(BaseModel):
    """What must hold: absolute errors, medians of a group or of each point in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    median: float = Field(gt=0)
    from_4_kib: float = Field(gt=0)
    below_4_kib: float = Field(gt=0)
    loaded_median: float = Field(gt=0)
    loaded_point: float = Field(gt=0)
    barrier_median: float = Field(gt=0)
    kept_point: float = Field(gt=0)
    least_records: int = Field(gt=0)


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison, in the unit of its record."""

    record: Record
    simulated: float
    bytes_per_sm: float
    requesters: int
    is_other: bool = False
    """Simulated on another machine than was measured."""

    @property
    def error(self) -> float:
        """Simulated / measured - 1."""
        return self.simulated / self.record.value - 1.0

    @property
    def why_not(self) -> str:
        """Why the row does not count; empty where it does."""
        if self.is_other:
            return "measured on another machine"
        if self.record.beside is not None and self.record.beside > self.record.value:
            return "faster beside a second kernel"
        if self.record.probe.kind in ("given", "cpu", "graph_launch", "graph_first_node"):
            return "the hardware file was set by it"
        return "" if self.record.quality != "low" else "quality low"

    @property
    def is_counted(self) -> bool:
        """Whether targets look at it."""
        return not self.why_not


def load_microbench(file: str | None = None) -> Records:
    """The measurements in `file`, or those that ship with the project.

    Raises:
        InputError: everything that is wrong with the file.
    """
    return validate_model(Records, load_yaml(Path(file) if file else find("measurements", "microbench")))


def validate_microbench(
    machine_at: Callable[[int | None], Machine],
    measured: Records | None = None,
    *,
    records: tuple[Record, ...] | None = None,
    is_other: bool = False,
    progress: Callable[[str], None] | None = None,
    make_queue: Callable[[], MakeQueue] = lambda: WarpQueue,
) -> MicrobenchReport:
    """Run every probe of `measured` (what ships with the project), or only of `records`.

    `machine_at`: SM clock in MHz (None: the machine's own) -> machine. `make_queue`: called for each probe, gives the
    queue of a requester (another arbitration than round robin). `is_other`: it is not the machine that was measured;
    what it cannot run is left out, and said so.

    Raises:
        InputError: a probe cannot be run on the machine that was measured.
    """
    machine_of = cache(machine_at)
    stream_of = _Streams(make_queue)
    chosen = records if records is not None else (measured or load_microbench()).records
    rows, left_out = [], {}
    for number, record in enumerate(chosen, 1):
        if progress is not None:
            progress(f"{number} of {len(chosen)}, {record.group}: {record.id}")
        try:
            row = _row(record, machine_of(record.clock_mhz), stream_of)
        except InputError as error:
            if not is_other:
                raise
            left_out[record.id] = "; ".join(problem.message for problem in error.problems)
        else:
            rows.append(replace(row, is_other=is_other))
    return MicrobenchReport(tuple(rows), is_whole=records is None and measured is None, left_out=left_out)


def _row(record: Record, machine: Machine, stream_of: Callable[..., StreamResult]) -> Row:
    probe = record.probe
    lone = _lone(machine, record)
    if lone is not None:
        return Row(record, lone / SCALES[record.unit], 0.0, 1)
    per_sm = probe.inflight * probe.ctas / machine.gpu.sms
    return Row(record, _simulated(machine, probe, stream_of) / SCALES[record.unit], per_sm, probe.ctas * probe.warps)


def _simulated(machine: Machine, probe: Probe, stream_of: Callable[..., StreamResult]) -> float:
    """What a stream shows, by the kind of its probe (SI)."""
    found = stream_of(machine, probe)
    if probe.kind == "loaded":
        assert found.chase_latency_s is not None
        return found.chase_latency_s
    if probe.kind == "neighbour":
        alone = stream_of(machine, Probe(kind="neighbour", neighbour=probe.neighbour))
        assert found.neighbour_round_s is not None
        assert alone.neighbour_round_s is not None
        return found.neighbour_round_s / alone.neighbour_round_s
    if probe.kind == "kept":
        assert found.neighbour_round_s is not None
        together_s = probe.rounds * found.neighbour_round_s
        left = probe.n_bytes - together_s * found.stream_bytes_per_s
        alone = stream_of(machine, probe.model_copy(update={"kind": "stream", "neighbour": None}))
        return probe.n_bytes / (together_s + left / alone.stream_bytes_per_s)
    return found.stream_bytes_per_s


def _lone(machine: Machine, record: Record) -> float | None:
    """What a probe without streams shows, in seconds; None for one with them."""
    probe, gpu = record.probe, machine.gpu
    if probe.kind == "given":
        return _given(machine, record)
    if probe.kind == "chase":
        return chase(machine, probe.footprint, probe.granule)
    if probe.kind == "cpu":
        return cpu_chase(machine, str(probe.cluster), probe.footprint)
    if probe.kind == "graph_launch":
        return gpu.graph_launch_s(probe.nodes)
    return gpu.graph_first_node_s(probe.nodes) if probe.kind == "graph_first_node" else None


def _given(machine: Machine, record: Record) -> float:
    """The number of the hardware file that a record names (SI).

    Raises:
        InputError: it has no such number.
    """
    name, field = str(record.probe.field).split(".")
    value = getattr(machine.hardware.components.get(name), field, None)
    if not isinstance(value, int | float):
        message = f"{machine.hardware.name} has no number {record.probe.field!r}"
        raise InputError(Problem(message, code="unknown_field", path=record.id))
    return value


class _Streams:
    """Streams by machine and probe; machines that differ only in what no stream reads share theirs."""

    def __init__(self, make_queue: Callable[[], MakeQueue]) -> None:
        self._make_queue = make_queue
        self._known: dict[tuple[str, Probe], StreamResult] = {}

    def __call__(self, machine: Machine, probe: Probe) -> StreamResult:
        key = machine.stream_key(), probe
        if key not in self._known:
            request = StreamRequest(
                probe.ctas, probe.inflight, probe.pattern, probe.warps, probe.footprint, is_batched=probe.batched,
                has_chase=probe.kind == "loaded", kind=probe.access, neighbour=probe.neighbour,
            )  # fmt: skip
            self._known[key] = stream(machine, request, make_queue=self._make_queue())
        return self._known[key]


@dataclass(frozen=True, slots=True)
class MicrobenchReport:
    """All comparisons. `is_whole`: no record was left aside, so counts must reach their target.

    `left_out`: why a record could not be run on this other machine, by its id.
    """

    rows: tuple[Row, ...]
    is_whole: bool = True
    left_out: dict[str, str] = field(default_factory=dict)

    def of(self, *groups: str, counted: bool = True) -> list[Row]:
        """Rows of some groups."""
        return [row for row in self.rows if row.record.group in groups and (row.is_counted or not counted)]

    def median_error(self, *groups: str) -> float | None:
        """Median absolute error of what counts."""
        errors = [abs(row.error) for row in self.of(*groups)]
        return median(errors) if errors else None

    def broken_targets(self, targets: MicrobenchTargets) -> list[str]:
        """Every target that does not hold, in a sentence each."""
        held = [row for row in self.of(STREAMS, LADDER) if row.record.quality == "high"]
        broken = []
        if self.is_whole and len(held) < targets.least_records:
            broken.append(f"{len(held)} points of bytes in flight and ladder count, target {targets.least_records}")
        middle = median(abs(row.error) for row in held) if held else 0.0
        if middle > targets.median:
            broken.append(f"bytes in flight and ladder: median {middle:.1%}, target {targets.median:.0%}")
        for row in held:
            is_below = row.record.group == STREAMS and row.bytes_per_sm < KNEE
            most = targets.below_4_kib if is_below else targets.from_4_kib
            if abs(row.error) > most:
                broken.append(f"{row.record.id} off by {row.error:+.1%}, target {most:.0%}")
        for group, most in ((LOADED, targets.loaded_median), (BARRIERS, targets.barrier_median)):
            error = self.median_error(group)
            if error is not None and error > most:
                broken.append(f"{group}: median {error:.1%}, target {most:.0%}")
        for group, most in ((LOADED, targets.loaded_point), (KEPT, targets.kept_point)):
            far = [row for row in self.of(group) if abs(row.error) > most]
            broken += [f"{row.record.id} off by {row.error:+.1%}, target {most:.0%}" for row in far]
        return broken

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        groups = list(dict.fromkeys(row.record.group for row in self.rows))
        return {
            "schema": "sparksim.microbench-validation/1",
            "comparisons": len(self.rows),
            "counted": sum(row.is_counted for row in self.rows),
            "median_error": {group: self.median_error(group) for group in groups},
            "calibrated": CALIBRATED,
            "read_off": READ_OFF,
            "left_out": self.left_out,
            "rows": [
                {
                    "id": row.record.id,
                    "group": row.record.group,
                    "unit": row.record.unit,
                    "measured": row.record.value,
                    "simulated": row.simulated,
                    "error": None if row.is_other else row.error,
                    "quality": row.record.quality,
                    "clock_mhz": row.record.clock_mhz,
                    "not_counted_because": row.why_not or None,
                }
                for row in self.rows
            ],
        }

    def to_text(self) -> str:
        """Tables for a person: every row, group by group."""
        lines = ["error = simulated / measured - 1; each measurement at the SM clock that it states"]
        for group in dict.fromkeys(row.record.group for row in self.rows):
            lines.append(f"\n{group:<40}{'measured':>10}{'simulated':>10}  {'':<5}{'error':>7}")
            for row in self.of(group, counted=False):
                mark = "" if row.is_counted else f"   not counted: {row.why_not}"
                error = f"{row.error:>+7.1%}" if not row.is_other else f"{'-':>7}"
                values = f"{row.record.value:>10.1f}{row.simulated:>10.1f}  {row.record.unit:<5}{error}"
                lines.append(f"  {row.record.id[:37]:<38}{values}{mark}")
            middle = self.median_error(group)
            if middle is not None:
                lines.append(f"  {'median error of what counts':<38}{middle:>32.1%}")
        if self.left_out:
            lines.append("\nleft out, for this machine cannot run it:")
            lines += [f"  {name:<38}{why}" for name, why in self.left_out.items()]
        for title, fields in (("chosen with these measurements", CALIBRATED), ("read off one of them", READ_OFF)):
            lines.append(f"\n{title} (all else follows):")
            lines += [f"  {name:<26}{why}" for name, why in fields.items()]
        return "\n".join(lines)


def microbench_targets() -> MicrobenchTargets:
    """What `workloads/measurements/targets.yaml` asks for."""
    return validate_model(_TargetFile, load_yaml(find("measurements", "targets"))).microbench


class _TargetFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")  # the other validations check their own sections
    microbench: MicrobenchTargets
