"""Predicted kernels beside measured ones: errors by size class, the runtimes' own disagreement, the worst and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict

from sim.errors import InputError
from sim.hwspec import HardwareSpec
from sim.paths import available, find
from sim.system.kernel_prediction import KernelBench, Start
from sim.system.kernel_shapes import launches_of
from sim.system.machine import Machine
from sim.system.plugins import load_hardware
from sim.system.profiles import ProfileStore
from sim.validation.collector import launched_first, start_of
from sim.validation.collector_clock import loop_clock, sustained_clocks, unit_of, useful_flops
from sim.validation.kernel_data import Measured
from sim.validation.kernel_holdouts import own_kernels, set_apart
from sim.workload.quant import formats
from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_file import load_runtime
from sim.yamlfile import load_yaml, validate_model

Folders = Sequence[str | Path]
LARGE_WEIGHTS = 2**24
SMALLEST_COUNTED = 2**20
WEIGHT_BOUND_ROWS = 64
WIDE_ROWS = 128
MOST_BIAS = 0.05
FIRST_FITTED = "vllm"
"""The runtime whose file the others extend: its kernels' numbers are its own."""
FEWEST_JUDGED = 50
"""Comparisons that a set needs to be held to its target: fewer say more of the draw than of the kernel."""
FEWEST = 5
"""Comparisons from which on a class tells of a bias."""
CEILING_BYTES = 600_000_000
LEAST_SHARE = 0.7
WORST = 10
M_CLASSES = (
    (1, 1, "m 1"),
    (2, 16, "m 2-16"),
    (17, 128, "m 17-128"),
    (129, 1024, "m 129-1,024"),
    (1025, 2**62, "m above"),
)


@dataclass(frozen=True, slots=True)
class Compared:
    """A measured row beside its prediction. `regime`: the longest launch's kernel and what most of its time goes to."""

    row: Measured
    predicted_s: float
    regime: str
    kernel: str = ""

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted_s / self.row.latency_s - 1.0

    @property
    def size_class(self) -> str:
        """By rows of activations, and by weights below or above 2^24 elements."""
        sizes = self.row.sizes
        if self.row.op == "attention":
            seen = sizes["batch"] * sizes["context"]
            return f"keys {'up to 2^12' if seen <= 2**12 else 'up to 2^16' if seen <= 2**16 else 'above'}"
        if self.row.op == "all_reduce":
            return f"{sizes['ranks']} ranks, {'up to 2^20 B' if sizes['size'] <= 2**20 else 'above'}"
        if self.row.op in ("mla", "gdn", "kda"):
            tokens = sizes["batch"] * sizes["query"]
            return f"tokens {'up to 2^8' if tokens <= 2**8 else 'up to 2^12' if tokens <= 2**12 else 'above'}"
        if self.row.op == "quantize":
            return "elements up to 2^20" if sizes["rows"] * sizes["width"] <= 2**20 else "elements above 2^20"
        if self.row.op == "moe":
            rows = next(name for low, high, name in M_CLASSES if low <= sizes["tokens"] <= high)
            return f"{rows.replace('m', 'tokens', 1)}, {'equal' if sizes['power'] == 0 else 'power law'}"
        rows = next(name for low, high, name in M_CLASSES if low <= sizes["m"] <= high)
        return f"{rows}, n*k {'below' if sizes['n'] * sizes['k'] < LARGE_WEIGHTS else 'from'} 2^24"


@dataclass(frozen=True, slots=True)
class Figures:
    """Errors of a set of rows: median and 90th percentile of the absolute, and the mean with its sign."""

    count: int
    median: float
    p90: float
    bias: float


def figures(errors: Sequence[float]) -> Figures:
    """The figures of `errors`, which are not empty. p90: nearest rank."""
    size = sorted(abs(error) for error in errors)
    return Figures(len(size), median(size), size[min(len(size) - 1, int(0.9 * len(size)))], sum(errors) / len(errors))


class KernelValidator:
    """Predicts rows on one chip with one runtime. `sustained_hz`: what the collector's loop leaves of the clock.

    `stores`: the profiles that a machine has already, where they are shared.
    """

    def __init__(
        self,
        hardware: HardwareSpec,
        runtime: RuntimeSpec,
        sustained_hz: float | None = None,
        stores: Callable[[Machine], ProfileStore] | None = None,
    ) -> None:
        self._hardware = hardware
        self._runtime = runtime
        self._sustained_hz = sustained_hz
        self._stores = stores
        self._machine = Machine(hardware)
        self._benches = {self._machine.gpu.clock: self._bench(self._machine)}

    def _bench(self, machine: Machine) -> KernelBench:
        return KernelBench(machine, self._runtime, store=self._stores(machine) if self._stores else None)

    def compare(self, row: Measured) -> Compared:
        """The row's op as the collector runs it: bringing activations into the GEMM's format, then the GEMM."""
        gpu = self._machine.gpu
        found = self._at(gpu.clock, row)
        share = useful_flops(row) / (gpu.peak.get(unit_of(row), float("inf")) * found.predicted_s)
        clock = loop_clock(gpu.clock, self._sustained_hz, share)
        return found if clock == gpu.clock else self._at(clock, row)

    def _at(self, clock_hz: float, row: Measured) -> Compared:
        if clock_hz not in self._benches:
            slower = self._hardware.override("gpu.clock", f"{clock_hz / 1e6:g} MHz")
            self._benches[clock_hz] = self._bench(Machine(slower))
        bench = self._benches[clock_hz]
        ops = launches_of(row.op, self._runtime, row.dtype, row.sizes)
        before = launched_first(row, ops, self._runtime, bench)
        start = start_of(row, float(self._machine.l2.capacity), is_quantized=bool(before))
        launches = bench.run(before, Start(activations=start.activations)) if before else ()
        launches += bench.run(ops, Start(None if before else start.activations, start.streams, start.other_bytes))
        total = sum(launch.duration_ps + launch.boundary_ps for launch in launches) / 1e12
        longest = max(launches, key=lambda launch: launch.duration_ps)
        cause, ps = max(longest.causes.items(), key=lambda item: item[1])
        tile = "x".join(str(size) for size in longest.tile)
        regime = f"{longest.kernel} {tile}, {longest.waves:.1f} waves, {cause} {ps / longest.duration_ps:.0%}"
        return Compared(row, total, regime, longest.kernel)


def ceilings(rows: Iterable[Measured]) -> dict[str, float]:
    """Bytes per second, per chip, of the fastest GEMM that must read at least `CEILING_BYTES` of weights.

    A collector that runs one set of weights over and over leaves a part of it in L2, so that its rows do not tell.
    """
    found: dict[str, float] = {}
    for row in rows:
        sizes = row.sizes
        if row.op != "gemm" or row.copies == 1 or sizes["m"] > WEIGHT_BOUND_ROWS:
            continue
        weights = sizes["n"] * sizes["k"] * formats()[row.dtype].bits_per_weight / 8
        if weights >= CEILING_BYTES:
            found[row.chip] = max(found.get(row.chip, 0.0), weights / row.latency_s)
    return found


def disagreement(rows: Iterable[Measured]) -> dict[tuple[str, str, str], Figures]:
    """By chip, table and format: how far each runtime's latency of a shape lies from the median of all that have it."""
    groups: dict[tuple[object, ...], list[Measured]] = defaultdict(list)
    for row in rows:
        groups[row.chip, row.table, row.dtype, row.shape].append(row)
    apart: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for group in groups.values():
        if len({row.runtime for row in group}) > 1:
            middle = median(row.latency_s for row in group)
            apart[group[0].chip, group[0].table, group[0].dtype] += [row.latency_s / middle - 1.0 for row in group]
    return {key: figures(errors) for key, errors in sorted(apart.items())}


class _Target(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    median: float
    p90: float


class _TargetFile(BaseModel):
    """The part of the file that is ours."""

    model_config = ConfigDict(frozen=True)
    kernels: dict[str, _Target] = {}


def kernel_targets() -> dict[str, _Target]:
    """What sets of kernels are held to, by chip, table, format, runtime (GEMMs: and rows)."""
    return validate_model(_TargetFile, load_yaml(find("measurements", "targets"))).kernels


@dataclass(frozen=True, slots=True)
class KernelReport:
    """All comparisons, what the data say of each chip's memory, and shapes that no kernel is described for."""

    compared: tuple[Compared, ...]
    ceilings: Mapping[str, tuple[float, float | None]]
    apart: Mapping[tuple[str, str, str], Figures]
    undescribed: Mapping[str, int]

    def held_out(self) -> list[Compared]:
        """Those that no number of ours rests on, of n*k from 2^20 on."""
        return [one for one in self.compared if not one.row.is_calibrated and is_counted(one.row)]

    def groups(self, key: Callable[[Compared], str]) -> dict[str, Figures]:
        """Figures of the held-out comparisons by `key`."""
        found: dict[str, list[float]] = defaultdict(list)
        for one in self.held_out():
            found[key(one)].append(one.error)
        return {name: figures(errors) for name, errors in sorted(found.items())}

    def set_apart(self) -> dict[str, Figures]:
        """Figures of what no number rests on, by hold-out: see `kernel_holdouts`."""
        own: dict[str, frozenset[str]] = {}
        found: dict[str, list[float]] = defaultdict(list)
        for one in self.held_out():
            runtime = one.row.runtime
            known = own.setdefault(runtime, own_kernels(runtime))
            for name in set_apart(one.row, one.kernel, known | {one.kernel} if runtime == FIRST_FITTED else known):
                found[name].append(one.error)
        return {name: figures(errors) for name, errors in sorted(found.items())}

    def broken_targets(self) -> list[str]:
        """Every target that does not hold, in a sentence each; targets of sets that were not asked for are left out."""
        targets = kernel_targets()
        broken = [] if self.held_out() else ["no kernel was compared"]
        for name, found in self.groups(target_class).items():
            target = targets.get(name)
            if target is None or found.count < FEWEST_JUDGED:
                continue
            for what, value, limit in (("median", found.median, target.median), ("p90", found.p90, target.p90)):
                if value > limit:
                    broken.append(f"{name}: {what} {value:.1%}, target {limit:.0%}")
        return broken

    def worst(self) -> list[Compared]:
        """The held-out comparisons that are furthest off."""
        return sorted(self.held_out(), key=lambda one: -abs(one.error))[:WORST]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "schema": "sparksim.kernel_validation/1",
            "comparisons": len(self.compared),
            "held_out": len(self.held_out()),
            "ceilings": {c: {"implied_bytes_per_s": a, "peak_bytes_per_s": b} for c, (a, b) in self.ceilings.items()},
            "disagreement": {" ".join(key): _plain(f) for key, f in self.apart.items()},
            "sets": {name: _plain(f) for name, f in self.groups(_set).items()},
            "targets": {name: _plain(f) for name, f in self.groups(target_class).items()},
            "apart": {name: _plain(f) for name, f in self.set_apart().items()},
            "classes": {name: _plain(f) for name, f in self.groups(_class).items()},
            "undescribed": dict(self.undescribed),
            "worst": [
                {**one.row.sizes, "set": _set(one), "measured_s": one.row.latency_s, "predicted_s": one.predicted_s,
                 "error": one.error, "regime": one.regime} for one in self.worst()
            ],
        }  # fmt: skip

    def to_text(self) -> str:
        """Tables for a person."""
        lines = [_ceiling(chip, *rates) for chip, rates in self.ceilings.items()]
        lines.append(
            f"\n{len(self.compared)} kernels, {len(self.held_out())} of them held out (n*k from 2^20, half by CRC)"
        )
        lines.append("error = predicted / measured - 1")
        if self.apart:
            lines += [
                "",
                _head("the runtimes' own disagreement"),
                *(_line(" ".join(k), f) for k, f in self.apart.items()),
            ]
        for title, key in (("chip, op, format, runtime", _set), ("m from 128 on, and below", target_class)):
            lines += ["", _head(title), *(_line(name, f) for name, f in self.groups(key).items())]
        lines += ["", _head("apart"), *(_line(name, f) for name, f in self.set_apart().items())]
        lines += ["", _head(f"size class; * large m, bias above {MOST_BIAS:.0%}")]
        lines += [_line(name, f) + ("  *" if _is_biased(name, f) else "") for name, f in self.groups(_class).items()]
        lines += ["", f"the {WORST} worst"]
        for one in self.worst():
            sizes = " ".join(f"{name}={size}" for name, size in one.row.shape)
            took = f"{one.row.latency_s * 1e6:,.1f} us, predicted {one.predicted_s * 1e6:,.1f}"
            lines.append(f"  {_set(one)} {sizes}: {took} ({one.error:+.0%}): {one.regime}")
        lines += [f"not described: {name}: {count} shapes" for name, count in self.undescribed.items()]
        return "\n".join(lines)


def is_counted(row: Measured) -> bool:
    """Whether a row is judged: GEMMs of fewer weights say more of launches than of kernels."""
    return row.op != "gemm" or row.sizes["n"] * row.sizes["k"] >= SMALLEST_COUNTED


def _set(one: Compared) -> str:
    row = one.row
    return f"{row.chip} {row.table} {row.dtype} {row.runtime}@{row.version}"


def target_class(one: Compared) -> str:
    """What a target is named after: the set, and whether there are 128 rows or more."""
    if one.row.op != "gemm":
        return _set(one)
    return f"{_set(one)} {'m>=128' if one.row.sizes.get('m', 0) >= 128 else 'm<128'}"


def _class(one: Compared) -> str:
    return f"{_set(one)}, {one.size_class}"


def _is_biased(name: str, f: Figures) -> bool:
    """Whether a class of GEMMs with more than 128 rows is off to one side."""
    is_large = any(f", {rows}, n*k" in name for low, _, rows in M_CLASSES if low > WIDE_ROWS)
    return is_large and f.count >= FEWEST and abs(f.bias) > MOST_BIAS


def _plain(f: Figures) -> dict[str, float]:
    return {"count": f.count, "median": f.median, "p90": f.p90, "bias": f.bias}


def _head(title: str) -> str:
    return f"{title:<84}{'n':>7}{'median':>9}{'p90':>9}{'bias':>9}"


def _line(name: str, f: Figures) -> str:
    return f"{name:<84}{f.count:>7}{f.median:>9.1%}{f.p90:>9.1%}{f.bias:>+9.1%}"


def _ceiling(chip: str, implied: float, peak: float | None) -> str:
    if peak is None:
        return f"{chip}: the data imply {implied / 1e9:,.0f} GB/s of reads; no spec is described"
    share = implied / peak
    verdict = "" if LEAST_SHARE <= share <= 1.0 else "  WRONG SPEC until explained"
    spec = f"{share:.0%} of the spec's {peak / 1e9:,.0f}"
    return f"{chip}: the data imply {implied / 1e9:,.0f} GB/s of reads, {spec}{verdict}"


def described(chip: str, runtime: str, version: str, search_dirs: Folders = ()) -> KernelValidator | None:
    """The validator of a chip and a runtime's version (or the newest described before it); None without either."""
    if runtime not in available("runtimes", search_dirs) or chip not in available("hardware", search_dirs):
        return None
    try:
        spec = load_runtime(f"{runtime}@{version}", search_dirs=search_dirs).spec
    except InputError as refused:
        if all(problem.code == "unknown_version" for problem in refused.problems):
            return None  # older than any that is described
        raise
    return KernelValidator(
        load_hardware(chip, search_dirs=search_dirs), spec, sustained_clocks().get(f"{chip} {runtime}")
    )


def validate_kernels(
    rows: Sequence[Measured], everything: Sequence[Measured] = (), search_dirs: Folders = ()
) -> KernelReport:
    """Compare `rows`. `everything`: unsampled rows, for ceilings and disagreement (default: `rows`)."""
    validators: dict[tuple[str, str, str], KernelValidator | None] = {}
    compared: list[Compared] = []
    missing: dict[str, int] = defaultdict(int)
    for row in rows:
        key = (row.chip, row.runtime, row.version)
        if key not in validators:
            validators[key] = described(*key, search_dirs)
        validator = validators[key]
        try:
            if validator is not None:
                compared.append(validator.compare(row))
                continue
        except InputError as refused:
            if any(problem.code != "no_kernel" for problem in refused.problems):
                raise
        missing[f"{row.chip} {row.table} {row.dtype} {row.runtime}@{row.version}"] += 1
    all_rows = everything or rows
    rates = {chip: (rate, _peak(chip, search_dirs)) for chip, rate in ceilings(all_rows).items()}
    return KernelReport(tuple(compared), rates, disagreement(all_rows), dict(missing))


def _peak(chip: str, search_dirs: Folders) -> float | None:
    if chip not in available("hardware", search_dirs):
        return None
    return Machine(load_hardware(chip, search_dirs=search_dirs)).memory.bandwidth
