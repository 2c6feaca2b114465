"""One model on several machines: rates, memory, watts, price, and what a token costs, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sim.component.compute_units import ComputeUnitsSpec
from sim.component.machine import MachineSpec
from sim.component.memory import MemorySpec
from sim.component.power import PowerSpec
from sim.errors import InputError, Problem, gather
from sim.hwspec import FieldInfo, HardwareSpec
from sim.result.run_result import RunResult
from sim.study.machines_text import to_text
from sim.system.generation import box_of, gpu_of, suitable
from sim.system.plugins import load_hardware
from sim.system.prepared import Asked, Prepared
from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_file import load_runtime

SCHEMA = "sparksim.machines/1"
HOURS_A_YEAR = 8766.0
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Price:
    """What a box costs, as of when, and who says so; None where nobody does."""

    usd: float | None
    date: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Costs:
    """What turns a price and a kilowatt-hour into a token's cost; `prices`: by machine, instead of the files'."""

    years: float = 3.0
    usd_per_kwh: float = 0.15
    prices: Mapping[str, float] = field(default_factory=dict)

    def per_million(self, price_usd: float, watts: float, tok_s: float) -> float:
        """USD per million tokens of a machine that writes at `tok_s` all its years long, drawing `watts`."""
        per_hour = price_usd / (self.years * HOURS_A_YEAR) + watts / 1e3 * self.usd_per_kwh
        return per_hour / (tok_s * 3600.0) * 1e6

    def price_of(self, row: MachineRow) -> Price:
        """What the reader says, else the machine's file with its date and source."""
        if row.hardware.name in self.prices:
            return Price(self.prices[row.hardware.name], source="given")
        if row.price is None or row.price.value is None:
            return Price(None, source=row.price.source if row.price is not None else None)
        return Price(float(row.price.value), row.price.date, row.price.source)

    def check(self) -> None:
        """Refuses what is no time or price.

        Raises:
            InputError: every problem.
        """
        problems = []
        if not 0.0 < self.years <= 100.0:
            problems.append(
                Problem(f"must be more than 0 and at most 100, not {self.years:g}", "bad_value", path="years")
            )
        if not 0.0 <= self.usd_per_kwh <= 100.0:
            problems.append(Problem(f"must be 0 to 100 USD, not {self.usd_per_kwh:g}", "bad_value", path="electricity"))
        problems += [
            Problem(f"must be 0 to 1e9 USD, not {price:g}", "bad_value", path=f"price of {name}")
            for name, price in self.prices.items()
            if not 0.0 <= price <= 1e9
        ]
        if problems:
            raise InputError(problems)


@dataclass(frozen=True, slots=True)
class Draw:
    """Watts while tokens are written. `basis`: counted from the run, measured at the wall by owners, or at_most."""

    watts: float
    basis: str


@dataclass(frozen=True, slots=True)
class MachineRow:
    """One machine. `result`: None where it is refused; `price`: of the box, with its date and source."""

    hardware: HardwareSpec
    runtime: str | None
    result: RunResult | None
    refused: str | None
    price: FieldInfo | None

    @property
    def box(self) -> MachineSpec | None:
        """What belongs to the machine as a whole."""
        return box_of(self.hardware)

    @property
    def gpus(self) -> int:
        """GPUs of the box, of which one is simulated."""
        return self.box.gpus if self.box else 1

    @property
    def fits(self) -> bool:
        """Whether it runs the model at all."""
        return self.result is not None and self.result.memory is not None and self.result.memory.fits

    @property
    def most_watts(self) -> float | None:
        """Most that the box draws: all its GPUs; of one without such a figure, what its supply gives."""
        power = next((spec for spec in self.hardware.components.values() if isinstance(spec, PowerSpec)), None)
        told = self.box.box_power if self.box is not None else None
        return told if told is not None else power.supply if power is not None else None

    def draw(self) -> Draw | None:
        """Watts of what is simulated while it writes tokens; of a box of several GPUs, one GPU's part."""
        energy = self.result.energy if self.fits and self.result is not None else None
        if energy is not None and "decode" in energy.phases:
            return Draw(energy.watts("wall", "decode"), "counted")
        if self.box is not None and self.box.load_power is not None:
            return Draw(self.box.load_power / self.gpus, "measured")
        return Draw(self.most_watts / self.gpus, "at_most") if self.most_watts is not None else None

    def to_dict(self, costs: Costs) -> dict[str, Any]:
        """Plain data, SI units; None where nothing applies."""
        memory = next(spec for spec in self.hardware.components.values() if isinstance(spec, MemorySpec))
        rates = self.result.rates() if self.fits and self.result is not None else {}
        decode, draw = rates.get("decode_tok_s"), self.draw()
        price = costs.price_of(self)
        share = price.usd / self.gpus if price.usd is not None else None
        has_cost = decode and share is not None and draw is not None
        use = self.result.memory if self.result is not None else None
        return {
            "hardware": self.hardware.name,
            "title": self.hardware.title,
            "runtime": self.runtime,
            "refused": self.refused,
            "fits": self.fits,
            "is_coarse": isinstance(gpu_of(self.hardware), ComputeUnitsSpec),
            "short_bytes": use.short_bytes if use is not None and not use.fits else None,
            "prefill_tok_s": rates.get("prefill_tok_s"),
            "decode_tok_s": decode,
            "ttft_s": rates.get("ttft_s"),
            "bound": {name: part["bound"] for name, part in self.result.phases.items()} if self.result else {},
            "memory_bytes": memory.capacity,
            "bandwidth_bytes_per_s": memory.bandwidth,
            "gpus": self.gpus,
            "box_memory_bytes": (self.box.box_memory if self.box else None) or memory.capacity,
            "box_power_w": self.most_watts,
            "power_w": draw.watts if draw else None,
            "power_basis": draw.basis if draw else None,
            "tokens_per_joule": decode / draw.watts if decode and draw else None,
            "price_usd": price.usd,
            "price_date": price.date,
            "price_source": price.source,
            "price_share_usd": share,
            "usd_per_million_tokens": costs.per_million(share, draw.watts, decode) if has_cost else None,  # type: ignore[arg-type, union-attr]
            "warnings": list(self.result.identity.warnings) if self.result is not None else [],
        }


@dataclass(frozen=True, slots=True)
class MachineTable:
    """One model on several machines, in the order asked for."""

    rows: tuple[MachineRow, ...]
    costs: Costs
    asked: Mapping[str, Any]

    @property
    def runs_anywhere(self) -> bool:
        """Whether some machine runs the model."""
        return any(row.fits for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.machines/1`: SI units, finite numbers, None where nothing applies."""
        costs = {"years": self.costs.years, "usd_per_kwh": self.costs.usd_per_kwh}
        return {"schema": SCHEMA, **self.asked, **costs, "machines": [row.to_dict(self.costs) for row in self.rows]}

    def to_text(self) -> str:
        """What a person reads."""
        return to_text(self.to_dict())


def compare_machines(
    machines: Sequence[str | Path | HardwareSpec], asked: Asked, costs: Costs, progress: Progress | None = None
) -> MachineTable:
    """The same run on every machine. Where a GPU needs other kernels, the runtime's builds for it are taken.

    A machine that no build of the runtime runs on, and one that the model does not fit on, have a row that says so.

    Raises:
        InputError: fewer than two machines, one twice, or what is wrong with the run on every one of them.
    """
    costs.check()
    _check(machines)
    known = [partial(load_hardware, machine, None, asked.search_dirs) for machine in machines]
    *boxes, base = gather(*known, partial(_runtime, asked))
    rows = [row for box in boxes for row in _rows(box, base, asked, progress)]
    strange = sorted(set(costs.prices) - {row.hardware.name for row in rows})
    if strange:
        raise InputError([Problem(f"{name[:80]!r} is not compared", "bad_argument", path="price") for name in strange])
    told = next((row.result.identity for row in rows if row.result is not None), None)
    if told is None:
        raise InputError([Problem(str(row.refused), "unsuitable_runtime", path=row.hardware.name) for row in rows])
    names = ("model", "quant", "kv_dtype", "batch", "prompt_tokens", "context_depth", "output_tokens")
    return MachineTable(tuple(rows), costs, {name: getattr(told, name) for name in names})


def _runtime(asked: Asked) -> RuntimeSpec | None:
    """The runtime that is asked for by name; None where it is given otherwise."""
    runtime = asked.arguments.get("runtime")
    return load_runtime(str(runtime), search_dirs=asked.search_dirs).spec if isinstance(runtime, str | Path) else None


def _check(machines: Sequence[str | Path | HardwareSpec]) -> None:
    names = [machine.name if isinstance(machine, HardwareSpec) else str(machine) for machine in machines]
    problems = [Problem(f"{name[:80]!r} is given twice", "bad_argument", path="hardware") for name in _twice(names)]
    if len(names) < 2:
        hint = "--hardware A --hardware B, or two sides"
        problems.append(Problem("wants two machines at least", "missing_argument", path="hardware", hint=hint))
    if problems:
        raise InputError(problems)


def _twice(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _rows(
    hardware: HardwareSpec, base: RuntimeSpec | None, asked: Asked, progress: Progress | None
) -> list[MachineRow]:
    """A row, or one for each build of the runtime where the machine's GPU needs others than the one asked for."""
    told = None if progress is None else lambda text: progress(f"{hardware.name}: {text}")
    builds = _builds_for(hardware, base, asked)
    if not builds:
        assert base is not None
        return [MachineRow(hardware, None, None, f"{base.name} has no kernels for its GPU", _price_of(hardware))]
    return [_row(asked.prepare({"hardware": hardware} | ({"runtime": name} if name else {})), told) for name in builds]


def _row(prepared: Prepared, progress: Progress | None) -> MachineRow:
    """A run; a machine that lacks what a kernel works on is refused, and the others stay."""
    price = _price_of(prepared.hardware)
    try:
        result = prepared.run(progress)
    except InputError as error:
        if {problem.code for problem in error.problems} != {"unknown_unit"}:
            raise
        return MachineRow(prepared.hardware, None, None, error.problems[0].message, price)
    name = f"{result.identity.runtime}@{result.identity.runtime_version}"
    return MachineRow(prepared.hardware, name, result, None, price)


def _builds_for(hardware: HardwareSpec, base: RuntimeSpec | None, asked: Asked) -> list[str | None]:
    """Runtimes of the same family with kernels for the machine's GPU; None: the one that was asked for has them."""
    gpu = gpu_of(hardware)
    if base is None or gpu is None or gpu.generation in base.generations:
        return [None]
    names = suitable(gpu.generation, base.family, asked.search_dirs)
    return [name for name in names if load_runtime(name, search_dirs=asked.search_dirs).spec.family == base.family]


def _price_of(hardware: HardwareSpec) -> FieldInfo | None:
    return next((info for info in hardware.fields() if info.path.endswith(".price")), None)
