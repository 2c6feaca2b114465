"""Does every mechanism earn its place: each is switched off in turn, and the errors of a sample are looked at again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from math import inf
from statistics import mean
from typing import Any

from sim.component import kernel_run
from sim.component.panel_cache import PanelCache
from sim.component.stream import MakeQueue
from sim.component.stream_warp import Ports, WarpQueue
from sim.cost.kernel import Lowering
from sim.cost.program import Kernel
from sim.hwspec import HardwareSpec
from sim.system.machine import Machine
from sim.system.plugins import load_hardware
from sim.validation import microbench
from sim.validation.inference import Record, compare, load_records
from sim.validation.regimes import MACHINE, regime_errors

NOTICED = 0.001
"""An error that moves by less than a tenth of a per cent has not changed."""
MANY_STAGES = 64
DEEP_PIECES = 16
STREAMS = (
    "in-flight-random-w1-d1-c1", "in-flight-random-w4-d2-c1", "in-flight-tile-w4-d1-c1", "in-flight-tile-w4-d4-c1",
    "in-flight-flat-w4-d1-c2", "loaded-48", "loaded-192", "bw_fleet_copy_cont_p50_rank_0", "gpu_lat_dram_128",
    "gpu_lat_dram_2m", "barrier-tile-w4-d4-c4",
)  # fmt: skip
"""The sample of microbenchmarks: below and at the knee, each pattern, loaded latency, copy, ladder, barriers."""
Off = Callable[[], AbstractContextManager[None]]
Errors = dict[str, float]


@dataclass(frozen=True, slots=True)
class Mechanism:
    """What is switched off, and how: fields of the hardware, or code that is replaced while the sample runs.

    `streams`: whether microbenchmarks know it; `kernels`: whether predictions do; `regimes`: whether single kernels do,
    by what binds them. `make_queue`, `is_deep`: see `_rows`.
    """

    name: str
    instead: str
    fields: Callable[[HardwareSpec], Mapping[str, str]] = lambda hardware: {}
    off: Off = nullcontext
    streams: bool = False
    kernels: bool = True
    regimes: bool = False
    make_queue: Callable[[], MakeQueue] = lambda: WarpQueue
    is_deep: bool = False


def one_queue() -> MakeQueue:
    """The wrong arbitration, for one run: whoever comes first is served first, in one line for all SMs."""
    shared: Ports = {}
    return lambda engine, _room, _ports: WarpQueue(engine, inf, shared)


def by_warp() -> MakeQueue:
    """The other wrong arbitration: servers go round the warps, as if each had a way of its own."""
    return lambda engine, room, _ports: WarpQueue(engine, room, {})


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    old = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, old)


def _kernels(change: Callable[[Kernel], Kernel]) -> Off:
    """Every kernel is changed after it is lowered."""
    lower = Lowering.kernel
    return lambda: _replaced(Lowering, "kernel", lambda self, op, **options: change(lower(self, op, **options)))


def _is_uneven(kernel: Kernel) -> bool:
    """Whether tiles differ, so that who takes which is more than a count."""
    return bool(kernel.kinds or kernel.loads or kernel.shares)


def _all_missing(cache: PanelCache, kernel: Kernel, tiles: list[int], steps: int) -> list[float]:
    return [operand.step_bytes * len(tiles) for operand in kernel.operands]


def _without(mechanism: str) -> Callable[[HardwareSpec], Mapping[str, str]]:
    """Shares of the peak as the channel model has them without one of its mechanisms, relative to those with it."""

    def fields(hardware: HardwareSpec) -> Mapping[str, str]:
        from sim.component.lpddr5x.rates import parts_of, rate_of  # noqa: PLC0415 - loads numpy
        from sim.component.lpddr5x.traffic import Traffic  # noqa: PLC0415

        memory = Machine(hardware).memory
        parts = parts_of(memory)
        rates = [
            {kind: rate_of(parts, kind, Traffic(), off) for kind in ("read", "random", "copy")}
            for off in (mechanism, None)
        ]
        for each in rates:
            each["write"] = 1 / (2 / each["copy"] - 1 / each["read"])
            each["strided"] = each["read"]
        share = {kind: getattr(memory.sustained, kind) * rates[0][kind] / rates[1][kind] for kind in _SHARES}
        return {f"memory.sustained.{kind}": f"{100 * min(1.0, value):.4f} %" for kind, value in share.items()}

    return fields


_SHARES = ("read", "random", "write", "strided")


def _given(**fields: str) -> Callable[[HardwareSpec], Mapping[str, str]]:
    return lambda hardware: {name.replace("__", "."): value for name, value in fields.items()}


def _read_like_any(hardware: HardwareSpec) -> Mapping[str, str]:
    return {"memory.sustained.strided": f"{100 * Machine(hardware).memory.sustained.read:.4f} %"}


MECHANISMS = (
    Mechanism("refresh", "the channels never refresh", _without("refresh"), streams=True),
    Mechanism("turnaround", "reads and writes follow each other at once", _without("turnaround"), streams=True),
    Mechanism("fairness", "one first-come queue for all", streams=True, kernels=False, make_queue=one_queue),
    Mechanism("SM ports", "arbitration by warp", streams=True, kernels=False, make_queue=by_warp),
    Mechanism("translation", "no page walk", _given(tlb__walk="0 ns"), streams=True),
    Mechanism(
        "bytes-in-flight limit", "16 pieces a warp, 64 stages a CTA", streams=True, is_deep=True, regimes=True,
        off=_kernels(lambda kernel: replace(kernel, stages=max(kernel.stages, MANY_STAGES))),
    ),
    Mechanism(
        "C2C", "memory on the GPU's die", _given(c2c__latency="0 ns", c2c__bandwidth="x100"), streams=True
    ),
    Mechanism("drift of SMs", "all SMs in step", off=lambda: _replaced(kernel_run, "LONG_STEPS", 1 << 60)),
    Mechanism(
        "L2 reuse", "every tile comes from memory", regimes=True,
        off=lambda: _replaced(PanelCache, "wave", _all_missing),
    ),
    Mechanism(
        "a CTA's start and end", "it takes K-steps only", regimes=True,
        off=_kernels(
            lambda kernel: replace(kernel, prologue_cycles=0, first_cycles=0, epilogue_cycles=0, epilogue_bytes=0)
        ),
    ),
    Mechanism(
        "chain of products", "a K-step takes what its units take", regimes=True,
        off=_kernels(lambda kernel: replace(kernel, step_cycles=0, chain_cycles=0)),
    ),
    Mechanism(
        "inner loop's efficiency", "every issue slot is filled", regimes=True,
        off=_kernels(lambda kernel: replace(kernel, work=tuple(replace(w, efficiency=1.0) for w in kernel.work))),
    ),
    Mechanism(
        "L2's rate", "L2 gives whatever is asked for", _given(l2__bytes_per_clock="x100"), regimes=True
    ),
    Mechanism(
        "memory's sustained rate", "memory at its peak",
        _given(memory__sustained__read="100 %", memory__sustained__write="100 %"), regimes=True,
    ),
    Mechanism(
        "wave quantisation", "tiles shared out evenly", regimes=True,
        off=_kernels(
            lambda kernel: kernel if _is_uneven(kernel) else replace(kernel, schedule="persistent", ctas=0)
        ),
    ),
    Mechanism(
        "launch boundaries", "kernels follow each other at once",
        _given(gpu__kernel_boundary="0 us", gpu__kernel_boundary_eager="0 us"), regimes=True,
    ),
    Mechanism("strided reads", "rows of a tile read like anything else", _read_like_any),
    Mechanism("empty-tile sharing", "all CTAs have equal work", off=_kernels(lambda kernel: replace(kernel, loads=()))),
)  # fmt: skip
"""In the order of the path from the DRAM to the launch."""


def sample() -> tuple[Record, ...]:
    """Of each runtime, model and quantisation the smallest and the largest batch (then depth, then name)."""
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in load_records():
        groups[record.runtime.partition("@")[0], record.model, record.quant].append(record)
    chosen: dict[str, Record] = {}
    for records in groups.values():
        ordered = sorted(records, key=lambda record: (record.batch, record.depth, record.id))
        chosen |= {record.id: record for record in (ordered[0], ordered[-1])}
    return tuple(chosen.values())


@dataclass(frozen=True, slots=True)
class Ablation:
    """Mean absolute error by class: with everything (`base`), and without each mechanism (None: it has no part)."""

    base: Errors
    without: dict[str, dict[str, float | None]]

    def changes(self, name: str) -> Errors:
        """By how much each class gets worse without the mechanism (negative: better), those that change."""
        moved = {key: error - self.base[key] for key, error in self.without[name].items() if error is not None}
        return {key: by for key, by in moved.items() if abs(by) >= NOTICED}

    @property
    def useless(self) -> list[str]:
        """Mechanisms that change nothing in the sample."""
        return [name for name in self.without if not self.changes(name)]

    @property
    def harmful(self) -> list[str]:
        """Mechanisms without which the sample's errors get smaller on the whole."""
        return [name for name in self.without if sum(self.changes(name).values()) < 0]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "schema": "sparksim.ablation/1",
            "base": self.base,
            "without": self.without,
            "changes_nothing": self.useless,
            "better_without": self.harmful,
        }

    def to_text(self) -> str:
        """For each mechanism the classes that it changes, worst first."""
        lines = ["mean absolute error of a fixed sample, and by how much it grows without a mechanism"]
        lines += [f"  {key:<54}{error:>7.1%}" for key, error in self.base.items()]
        for mechanism in MECHANISMS:
            changes = self.changes(mechanism.name)
            lines.append(f"\nwithout {mechanism.name} ({mechanism.instead})")
            lines += [f"  {key:<54}{by:>+7.1%}" for key, by in sorted(changes.items(), key=lambda item: -item[1])]
            if not changes:
                lines.append("  changes nothing")
        lines.append(f"\nchanges nothing in this sample: {', '.join(self.useless) or 'none'}")
        lines.append(f"smaller errors without it:      {', '.join(self.harmful) or 'none'}")
        return "\n".join(lines)


def ablate(
    predict: Callable[..., Any],
    hardware: HardwareSpec,
    *,
    mechanisms: Iterable[Mechanism] = MECHANISMS,
    records: Sequence[Record] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Ablation:
    """Switch off one mechanism after the other. `predict`: `sim.run`; `hardware`: what was measured, dgx-spark."""
    chosen = sample() if records is None else records
    everything = Mechanism("everything on", "", streams=True, regimes=True)
    found: dict[str, dict[str, float | None]] = {}
    for mechanism in (everything, *mechanisms):
        if progress is not None:
            progress(f"without {mechanism.name}")
        fields = mechanism.fields(hardware)
        with mechanism.off():
            kernels = _inference(predict, chosen, fields) if mechanism.kernels else {}
            streams = _streams(hardware, fields, mechanism) if mechanism.streams else {}
            regimes = _regimes(fields) if mechanism.regimes else {}
        found[mechanism.name] = {**kernels, **streams, **regimes}
    base = {key: error for key, error in found.pop(everything.name).items() if error is not None}
    return Ablation(base, {name: {key: errors.get(key) for key in base} for name, errors in found.items()})


def _inference(predict: Callable[..., Any], records: Sequence[Record], fields: Mapping[str, str]) -> Errors:
    """Mean absolute error by class; nothing is cached, for profiles do not know what is replaced."""

    def changed(**arguments: Any) -> Any:
        return predict(**{**arguments, "set": {**arguments["set"], **fields}, "cache": "off"})

    rows = [row for record in records for row in compare(record, changed)]
    return _by_class((row.label, row.error) for row in rows)


def _regimes(fields: Mapping[str, str]) -> Errors:
    """Mean absolute error of single kernels by what binds them, on the machine that they were measured on."""
    return _by_class(regime_errors(load_hardware(MACHINE, dict(fields))))


def _streams(hardware: HardwareSpec, fields: Mapping[str, str], mechanism: Mechanism) -> Errors:
    """Mean absolute error by group of microbenchmarks."""

    def machine_at(clock_mhz: int | None) -> Machine:
        changed = hardware
        for path, value in {**fields, **({"gpu.clock": f"{clock_mhz} MHz"} if clock_mhz else {})}.items():
            changed = changed.override(path, value)
        return Machine(changed)

    records = tuple(record for record in microbench.load_microbench().records if record.id in STREAMS)
    if mechanism.is_deep:
        records = tuple(_deep(record) for record in records)
    report = microbench.validate_microbench(machine_at, records=records, make_queue=mechanism.make_queue)
    return _by_class((f"microbench, {row.record.group}", row.error) for row in report.rows)


def _deep(record: microbench.Record) -> microbench.Record:
    if record.probe.kind in ("chase", "given"):
        return record
    inflight = max(record.probe.inflight, record.probe.warps * 512 * DEEP_PIECES)
    return record.model_copy(update={"probe": record.probe.model_copy(update={"inflight": inflight})})


def _by_class(errors: Iterable[tuple[str, float]]) -> Errors:
    groups: dict[str, list[float]] = defaultdict(list)
    for name, error in errors:
        groups[name].append(abs(error))
    return {name: mean(group) for name, group in sorted(groups.items())}
