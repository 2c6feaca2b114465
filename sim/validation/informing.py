"""Measurements that calibrated numbers rest on, predicted anew with other values of those numbers.

Nothing is written anywhere: runtimes are loaded with other numbers in memory (`load_runtime(numbers=...)`), machines
are overridden (`HardwareSpec.override`), and every kernel that does not change is simulated once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log
from typing import Any

from sim.errors import InputError
from sim.hwspec import FieldInfo, HardwareSpec
from sim.paths import find
from sim.system.calibrated import CalibratedNumber
from sim.system.machine import Machine
from sim.system.measurements import FIRST_TOKEN, PHASES, Fields, inference_fields, kernel_fields, microbench_fields
from sim.system.plugins import load_hardware
from sim.system.profiles import ProfileStore
from sim.units import format_quantity, parse_quantity
from sim.validation.collector_clock import sustained_clocks
from sim.validation.inference import Record, compare, load_records
from sim.validation.kernel_data import Measured
from sim.validation.kernel_records import read_records
from sim.validation.kernels import KernelValidator
from sim.validation.machines import load_machine_records
from sim.validation.microbench import Record as Point
from sim.validation.microbench import load_microbench, validate_microbench
from sim.validation.residuals import MACHINE
from sim.validation.search import Scale
from sim.workload.hf_config import CONTENTS, TYPICAL_SKEW, load_model
from sim.workload.runtime_file import LoadedRuntime, load_runtime
from sim.yamlfile import fits

Values = Mapping[str, float]
"""Values of calibrated numbers by name, SI; what is not in it is as it ships."""
Run = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement. `fields`: what `records:` may pick by. `label`: the class it counts in."""

    file: str
    index: int
    fields: Fields
    label: str
    what: Measured | Record | Point

    @property
    def group(self) -> tuple[str, str, str]:
        """Its family (of models), source and runtime; empty where it has none."""
        return tuple(str(self.fields.get(name, "")) for name in ("family", "source", "runtime"))  # type: ignore[return-value]


def cases() -> tuple[Case, ...]:
    """Every measurement that ships."""
    found: list[Case] = []

    def add(file: str, fields: Fields, label: str, what: Measured | Record | Point) -> None:
        found.append(Case(file, len(found), fields, label, what))

    for row in read_records(find("measurements", "kernels")):
        said: dict[str, Any] = {"chip": row.chip, "runtime": row.runtime, "version": row.version, "table": row.table}
        said |= {"dtype": row.dtype, "copies": row.copies, **row.sizes}
        for fields in kernel_fields(said):
            add("kernels", fields, f"{row.chip} {row.table} {row.dtype} {row.runtime}", row)
    for record in load_records():
        for fields in inference_fields(record.model_dump()):
            phase = fields["phase"]
            one = record.model_copy(update={f"{other}_tok_s": None for other in PHASES if other != phase})
            if phase == FIRST_TOKEN:  # prompts of so many tokens in this time
                assert record.prompt is not None
                assert record.ttft_s is not None
                one = one.model_copy(update={"prefill_tok_s": record.batch * record.prompt / record.ttft_s})
            add("inference", fields, f"{record.runtime} {record.model} {record.quant} {phase}", one)
    for machine in load_machine_records():
        for fields in inference_fields(machine.model_dump()):
            phase = fields["phase"]
            one = machine.model_copy(update={f"{other}_tok_s": None for other in PHASES if other != phase})
            add("machines", fields, f"{machine.hardware} {machine.runtime} {machine.model} {phase}", one)
    for point in load_microbench().records:
        for fields in microbench_fields(point.model_dump()):
            add("microbench", fields, point.group, point)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Number:
    """A calibrated number with its range as plain numbers (SI) and the measurements that inform it."""

    said: CalibratedNumber
    value: float
    low: float
    high: float
    is_whole: bool
    cases: tuple[Case, ...]

    @property
    def scale(self) -> Scale:
        """Its range as 0 to 1."""
        return Scale(self.low, self.high, self.is_whole)

    @property
    def name(self) -> str:
        """As `sparksim list calibrated` prints it."""
        return self.said.name


class Predictor:
    """Log errors, ln(predicted / measured), of measurements under other values of numbers.

    `run`: `sim.run`. `numbers`: all calibrated numbers of hardware files. `cache`: folder of kernel profiles, or "off".
    """

    def __init__(self, run: Run, numbers: Sequence[CalibratedNumber], cache: str = "off") -> None:
        self._run = run
        self._hardware_numbers = [number for number in numbers if number.place[0] == "components"]
        self._cache = cache
        self._machines: dict[object, Machine] = {}
        self._stores: dict[str, ProfileStore] = {}
        self._validators: dict[object, KernelValidator] = {}
        self._known: dict[tuple[int, Any], float | None] = {}

    def log_error(self, case: Case, values: Values) -> float | None:
        """ln(predicted / measured); None where the measurement's shape is not described."""
        key = case.index, tuple(sorted(values.items()))
        if key not in self._known:
            self._known[key] = self._log_error(case, values)
        return self._known[key]

    def _log_error(self, case: Case, values: Values) -> float | None:
        what = case.what
        if isinstance(what, Measured):
            try:
                return log(self._validator(what, values).compare(what).predicted_s / what.latency_s)
            except InputError as refused:
                if all(problem.code == "no_kernel" for problem in refused.problems):
                    return None
                raise
        if isinstance(what, Record):
            (row,) = compare(what, lambda **given: self.run_with(values, given))
            return log(row.predicted / row.measured)
        (point,) = validate_microbench(lambda clock: self._machine(MACHINE, values, clock), records=(what,)).rows
        return log(point.simulated / point.record.value)

    def run_with(self, values: Values, given: dict[str, Any], *, is_typical: bool = False) -> Any:
        """A run with other numbers; `given`: arguments of `sim.run` as `compare` gives them.

        `is_typical`: experts are picked as by models that have no number of their own for it.
        """
        settings = given.pop("set")
        own = {name.removeprefix("runtime."): value for name, value in settings.items() if name.startswith("runtime.")}
        rest = {name: value for name, value in settings.items() if not name.startswith("runtime.")}
        if is_typical:
            content = rest.pop("workload.content", CONTENTS[0])
            model = load_model(given["model"], content=content)
            given["model"] = replace(model, expert_skew=TYPICAL_SKEW[content])
        given["runtime"] = load_runtime(given["runtime"], overrides=own, numbers=values)
        hardware = self._hardware(given.pop("hardware", MACHINE), values)
        return self._run(hardware=hardware, set=rest, cache=self._cache, **given)

    def _validator(self, row: Measured, values: Values) -> KernelValidator:
        key = row.chip, row.runtime, row.version, tuple(sorted(values.items()))
        if key not in self._validators:
            hardware = self._hardware(row.chip, values)
            loaded: LoadedRuntime = load_runtime(f"{row.runtime}@{row.version}", numbers=values)
            if len(self._validators) > MOST_KEPT:
                self._validators.clear()
            sustained_hz = sustained_clocks().get(f"{row.chip} {row.runtime}")
            self._validators[key] = KernelValidator(hardware, loaded.spec, sustained_hz, self._store)
        return self._validators[key]

    def _store(self, machine: Machine) -> ProfileStore:
        device = machine.device_key()
        if device not in self._stores:
            self._stores[device] = ProfileStore(machine.device, device, None, is_full=False)
        return self._stores[device]

    def _machine(self, name: str, values: Values, clock_mhz: int | None) -> Machine:
        own = {number.name: values[number.name] for number in self._hardware_numbers if number.name in values}
        key = name, clock_mhz, tuple(sorted(own.items()))
        if key not in self._machines:
            hardware = self._hardware(name, own)
            if clock_mhz is not None:
                hardware = hardware.override("gpu.clock", f"{clock_mhz} MHz")
            self._machines[key] = Machine(hardware)
        return self._machines[key]

    def _hardware(self, name: str, values: Values) -> HardwareSpec:
        """The machine with those of the values that are written in its file or in one that it extends."""
        hardware = load_hardware(name)
        known = hardware.provenance
        for number in self._hardware_numbers:
            path = ".".join(map(str, number.place[1:]))
            if number.name in values and path in known and known[path].file == number.file:
                unit = known[path].unit or ""
                value = values[number.name]
                hardware = hardware.override(path, format_quantity(value, unit, None) if unit else value)
        return hardware


MOST_KEPT = 64
"""Runtimes with their kernels that are kept loaded; profiles stay in any case."""


def plain_value(number: CalibratedNumber, text: Any) -> float:
    """A value or bound of `number` as a plain number, SI."""
    if not isinstance(text, str):
        return float(text)
    return parse_quantity(text, _field_of(number).unit or "")


def written_value(number: CalibratedNumber, value: float) -> Any:
    """A plain number as the file would have it, to four digits."""
    if isinstance(number.value, str):
        return format_quantity(value, _field_of(number).unit or "", 4)
    return round(value) if isinstance(number.value, int) else float(f"{value:.4g}")


def _field_of(number: CalibratedNumber) -> FieldInfo:
    """A hardware file's number as the machine has it."""
    return load_hardware(number.file).provenance[".".join(map(str, number.place[1:]))]


class Informing:
    """Which measurements inform which number; read once."""

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """Every measurement."""
        return cases()

    def numbers(self, said: Sequence[CalibratedNumber]) -> list[Number]:
        """Those that name their measurements."""
        return [self.number(each) for each in said if each.records]

    def number(self, said: CalibratedNumber) -> Number:
        """A number that names its measurements and its range."""
        assert said.bounds is not None
        picked = tuple(case for case in self.cases if fits(case.fields, case.file, said.records or {}))
        low, high = (plain_value(said, bound) for bound in said.bounds)
        exact = _field_of(said).value if said.place[0] == "components" else said.value
        return Number(said, plain_value(said, said.value), low, high, isinstance(exact, int), picked)
