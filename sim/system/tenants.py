"""Tenants of one machine, each alone and all together: the GPU in time slices, memory's bus shared fairly, one package.

Models are processes of their own without MPS: the driver gives the GPU to one at a time. A request is its prompt's
passes, then a pass per token, with the host's part between; which process has the GPU when is simulated event by
event, how long a pass takes beside movers comes in closed form (`tenant_demand.py`). CPU jobs take their watts first:
what they leave of the package is the GPU's limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sim.component.os import OsSpec
from sim.engine import Behaviour, Engine, SlicedServer
from sim.errors import InputError, Problem, gather
from sim.hwspec import HardwareSpec
from sim.result.run_result import RunResult
from sim.result.tenants import TenantRow, TenantSample, TenantsResult, TenantUse
from sim.system.arguments import refuse_beside_tenants, split_overrides
from sim.system.contention import max_min_shares
from sim.system.energy import other_watts, power_of
from sim.system.machine import Machine
from sim.system.plugins import load_hardware
from sim.system.prepared import prepare
from sim.system.tenant_demand import Mover, PassUse, mover_of, pass_with
from sim.system.tenant_file import ModelTenant, TenantFile
from sim.units import ps_from_seconds

BINS = 240
"""Stretches of time that the bandwidth is told in."""
OF_A_RUN = ("model", "quant", "kv_dtype", "batch", "prompt", "depth", "output")
Overrides = Mapping[str, object] | Iterable[str]
Progress = Callable[[str], None]


@dataclass(slots=True)
class _Model:
    """A model at work: its passes beside the movers, and what it has done so far."""

    name: str
    tenant: ModelTenant
    result: RunResult
    prompt: PassUse | None
    decode: tuple[PassUse, PassUse] | None
    n_passes: int
    tokens: float = 0.0
    last_ps: int = 0
    requests: int = 0
    ttft_ps: list[int] = field(default_factory=list)
    now: PassUse | None = None
    phase: str = ""
    n_bytes: float = 0.0
    bus_s: float = 0.0


def run_tenants(
    file: TenantFile,
    set: Overrides = (),
    search_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> TenantsResult:
    """Every tenant alone, then all together. `set`: overrides of the machine, over those of the file.

    Raises:
        InputError: an override that cannot be, or a tenant that this machine cannot hold or run; every problem.
        LawError: more bytes would have moved than memory can.
    """
    changes = split_overrides(file.system.set).with_later(split_overrides(set))
    changes.check()
    refuse_beside_tenants(changes)
    hardware = load_hardware(file.system.hardware, changes.hardware, search_dirs)
    predict = partial(_predicted, search_dirs=search_dirs, cache=cache)
    machine = Machine(hardware)
    others = {name: one for name, one in file.tenants.items() if not isinstance(one, ModelTenant)}
    movers = gather(*(lambda name=name, one=one: mover_of(name, one, machine) for name, one in others.items()))
    models = {name: one for name, one in file.tenants.items() if isinstance(one, ModelTenant)}
    _tell(progress, "each alone")
    alone = {name: predict(name, one, hardware) for name, one in models.items()}
    squeezed = _less_power(hardware, sum(mover.watts for mover in movers))
    beside = {
        name: alone[name] if squeezed is hardware else predict(name, one, squeezed) for name, one in models.items()
    }
    uses = {name: _Sharing(file.duration, machine, {name: alone[name]}, models, []).run() for name in models}
    uses |= {mover.name: _Sharing(file.duration, machine, {}, models, [mover]).run() for mover in movers}
    _tell(progress, "all together")
    together = _Sharing(file.duration, machine, beside, models, list(movers))
    shared = together.run()
    watts = {mover.name: mover.watts for mover in movers}
    rows = tuple(
        TenantRow(name, one.kind, uses[name][name], shared[name], watts.get(name, 0.0))
        for name, one in file.tenants.items()
    )
    return _result(file, hardware, machine, rows, together, alone, changes.given)


def _tell(progress: Progress | None, text: str) -> None:
    if progress is not None:
        progress(text)


def _predicted(
    name: str, tenant: ModelTenant, hardware: HardwareSpec, search_dirs: Sequence[str | Path], cache: str | Path | None
) -> RunResult:
    version = f"@{tenant.runtime.version}" if tenant.runtime.version else ""
    given = {field: getattr(tenant, field) for field in OF_A_RUN}
    given |= {"runtime": f"{tenant.runtime.name}{version}", "hardware": hardware}
    set = {f"runtime.{key}": str(value) for key, value in tenant.runtime.set.items()}
    result = prepare(given, set, None, search_dirs, cache).run()
    if result.trace is None:
        short = (result.memory.short_bytes if result.memory else 0) / 1e9
        raise InputError(
            Problem(f"does not fit even alone: {short:.1f} GB short", "does_not_fit", path=f"tenants.{name}")
        )
    return result


def _less_power(hardware: HardwareSpec, watts: float) -> HardwareSpec:
    """The machine with `watts` of its package taken by CPU cores, beyond those that a runtime keeps busy anyway."""
    power = power_of(hardware)
    if power is None or not watts:
        return hardware
    name = next(name for name, spec in hardware.components.items() if spec is power)
    return hardware.override(f"{name}.package_limit", f"{power.package_limit - watts:.3f} W")


class _Sharing:
    """Some tenants on one machine for a while."""

    def __init__(
        self,
        seconds: float,
        machine: Machine,
        results: Mapping[str, RunResult],
        tenants: Mapping[str, ModelTenant],
        movers: list[Mover],
    ) -> None:
        self._window_ps = ps_from_seconds(seconds)
        self._machine = machine
        self._movers = movers
        self._models = {name: _model(name, tenants[name], one, movers, machine) for name, one in results.items()}
        self._engine = Engine()
        system = next((s for s in machine.hardware.components.values() if isinstance(s, OsSpec)), None)
        slice_s, switch_s = (system.gpu_time_slice, system.gpu_switch) if system else (0.002, 0.0)
        self.gpu = SlicedServer(self._engine, ps_from_seconds(slice_s), ps_from_seconds(switch_s), self._watch)
        self._bin_ps = max(1, -(-self._window_ps // BINS))
        self._bytes = {name: [0.0] * BINS for name in (*self._models, *(mover.name for mover in movers))}
        self._taken_ps = [0] * BINS
        self.joules = 0.0
        self._busy_ps = dict.fromkeys(self._models, 0)
        self._quiet = max_min_shares([mover.demand for mover in movers])

    def run(self) -> dict[str, TenantUse]:
        """Simulate; what each of them got."""
        engine = self._engine
        end = engine.timeout(self._window_ps)
        for model in self._models.values():
            engine.spawn(self._requests(model), model.name)
        engine.run(end)
        for number, mover in enumerate(self._movers):
            for index in range(BINS):
                self._bytes[mover.name][index] += mover.at(self._quiet[number]) * self._idle_ps(index) / 1e12
        seconds = self._window_ps / 1e12
        found = {name: self._of_model(model, seconds) for name, model in self._models.items()}
        for mover in self._movers:
            per_second = sum(self._bytes[mover.name]) / seconds
            rate = mover.rate if not mover.demand else per_second
            share = mover.demand * per_second / mover.wants if mover.wants else 0.0
            found[mover.name] = TenantUse(rate, per_second, share)
        return found

    def _idle_ps(self, index: int) -> int:
        """Time of a bin in which no model has the GPU."""
        length = min(self._bin_ps, self._window_ps - index * self._bin_ps)
        return max(0, length - self._taken_ps[index])

    def _of_model(self, model: _Model, seconds: float) -> TenantUse:
        rate = model.tokens / (model.last_ps / 1e12) if model.last_ps else 0.0
        ttft = sum(model.ttft_ps) / len(model.ttft_ps) / 1e12 if model.ttft_ps else None
        return TenantUse(
            rate,
            sum(self._bytes[model.name]) / seconds,
            model.bus_s / seconds,
            self._busy_ps[model.name] / self._window_ps,
            ttft,
            model.requests,
        )

    def _requests(self, model: _Model) -> Behaviour:
        """One request after the other, until the window ends."""
        engine, tenant = self._engine, model.tenant
        while True:
            begin = engine.now
            if model.prompt is not None:
                yield from self._pass(model, model.prompt, "prefill")
                model.ttft_ps.append(engine.now - begin)
                self._count(model, tenant.batch if tenant.output else tenant.batch * tenant.prompt)
            per_pass = model.result.decode_steps * tenant.batch / model.n_passes if model.n_passes else 0.0
            for number in range(model.n_passes):
                yield from self._pass(model, _between(model, number), "decode")
                self._count(model, per_pass)
            model.requests += 1
            if tenant.pause:
                yield engine.timeout(ps_from_seconds(tenant.pause))

    def _count(self, model: _Model, tokens: float) -> None:
        model.tokens += tokens
        model.last_ps = self._engine.now

    def _pass(self, model: _Model, use: PassUse, phase: str) -> Behaviour:
        if use.host_s:
            yield self._engine.timeout(ps_from_seconds(use.host_s))
        model.now, model.phase = use, phase
        yield self.gpu.run(model.name, max(1, ps_from_seconds(use.gpu_s)))

    def _watch(self, owner: str, start: int, end: int) -> None:
        """A model had the GPU from `start` to `end`: its bytes and those of the movers meanwhile, bin by bin."""
        model, end = self._models[owner], min(end, self._window_ps)
        use = model.now
        if use is None or end <= start:
            return
        self._busy_ps[owner] += end - start
        model.bus_s += use.bus_s / use.gpu_s * (end - start) / 1e12
        energy = model.result.energy
        self.joules += energy.watts("gpu", model.phase) * (end - start) / 1e12 if energy else 0.0
        rates = {owner: use.n_bytes / use.gpu_s} | {name: moved / use.gpu_s for name, moved in use.moved.items()}
        at = start
        while at < end:
            index = at // self._bin_ps
            until = min(end, (index + 1) * self._bin_ps)
            self._taken_ps[index] += until - at
            for name, rate in rates.items():
                self._bytes[name][index] += rate * (until - at) / 1e12
            at = until

    def samples(self) -> tuple[TenantSample, ...]:
        """Bytes per second of each tenant, bin by bin."""
        found = []
        for index in range(BINS):
            start = index * self._bin_ps
            seconds = min(self._bin_ps, self._window_ps - start) / 1e12
            if seconds > 0:
                rates = {name: values[index] / seconds for name, values in self._bytes.items()}
                found.append(TenantSample(start / 1e12, seconds, rates))
        return tuple(found)

    def gpu_watts(self, context_w: float) -> float:
        """Mean power of the GPU's rail; `context_w` while no model has it."""
        idle = 1.0 - sum(self._busy_ps.values()) / self._window_ps
        return self.joules / (self._window_ps / 1e12) + max(0.0, idle) * context_w


def _model(name: str, tenant: ModelTenant, result: RunResult, movers: list[Mover], machine: Machine) -> _Model:
    assert result.trace is not None
    prompt = _total([(pass_with(s, movers, machine), s.weight) for s in result.trace.of("prefill")])
    steps = result.trace.of("decode")
    passes = [pass_with(step, movers, machine) for step in steps]
    n_passes = max(1, round(sum(step.weight for step in steps))) if steps else 0
    return _Model(name, tenant, result, prompt, (passes[0], passes[-1]) if passes else None, n_passes)


def _total(passes: Sequence[tuple[PassUse, float]]) -> PassUse | None:
    """All passes of a prompt as one piece of work; it is cut into time slices anyway."""
    if not passes:
        return None
    moved: dict[str, float] = {}
    for use, weight in passes:
        for name, n_bytes in use.moved.items():
            moved[name] = moved.get(name, 0.0) + n_bytes * weight
    sums = (
        sum(getattr(use, name) * weight for use, weight in passes) for name in ("gpu_s", "host_s", "n_bytes", "bus_s")
    )
    gpu_s, host_s, n_bytes, bus_s = sums
    return PassUse(gpu_s, host_s, n_bytes, bus_s, moved)


def _between(model: _Model, number: int) -> PassUse:
    """The `number`-th decode pass: between the first and the last, linear in the context."""
    assert model.decode is not None
    first, last = model.decode
    at = number / (model.n_passes - 1) if model.n_passes > 1 else 0.0

    def mean(a: float, b: float) -> float:
        return a + (b - a) * at

    return PassUse(
        mean(first.gpu_s, last.gpu_s),
        mean(first.host_s, last.host_s),
        mean(first.n_bytes, last.n_bytes),
        mean(first.bus_s, last.bus_s),
        {name: mean(moved, last.moved[name]) for name, moved in first.moved.items()},
    )


def _result(
    file: TenantFile,
    hardware: HardwareSpec,
    machine: Machine,
    rows: tuple[TenantRow, ...],
    together: _Sharing,
    alone: Mapping[str, RunResult],
    overrides: Mapping[str, str],
) -> TenantsResult:
    memories = [one.memory for one in alone.values() if one.memory is not None]
    reserved = max((memory.reserved_bytes for memory in memories), default=0)
    result = TenantsResult(
        title=file.title,
        hardware=hardware,
        seconds=file.duration,
        rows=rows,
        samples=together.samples(),
        peak_bytes_per_s=machine.memory.bandwidth,
        sustained_bytes_per_s=machine.memory.bandwidth * machine.memory.sustained.read,
        switches=together.gpu.switches,
        needed_bytes=sum(memory.needed_bytes for memory in memories) + reserved,
        capacity_bytes=machine.memory.capacity,
        power_w=_power(hardware, rows, together, alone),
        overrides=dict(overrides),
        warnings=tuple(_warnings(hardware, rows, file)),
    )
    result.check_laws()
    return result


def _warnings(hardware: HardwareSpec, rows: tuple[TenantRow, ...], file: TenantFile) -> list[str]:
    idle = [row.name for row in rows if not row.together.rate]
    late = [f"{name} finishes nothing within {file.duration:g} s: give a longer duration" for name in idle]
    return [*hardware.warnings, *late]


def _power(
    hardware: HardwareSpec, rows: tuple[TenantRow, ...], together: _Sharing, alone: Mapping[str, RunResult]
) -> dict[str, float] | None:
    """Mean watts of all together: the GPU's rail, the package, the wall; None where rails are not described."""
    power = power_of(hardware)
    if power is None or power.box is None or power.gpu is None:
        return None
    cores = max((sample.cpu_w for one in alone.values() if one.energy for sample in one.energy.samples), default=0.0)
    gpu = together.gpu_watts(power.gpu.context if alone else power.gpu_idle)
    package = gpu + power.box.fabric + cores * len(alone) + sum(row.watts for row in rows)
    memory = sum(row.together.bytes_per_s for row in rows) * power.box.memory_byte
    busy = {row.kind for row in rows}
    rest = other_watts(hardware, drive_busy=1.0 if "ssd" in busy else 0.0, uses_nic="rdma" in busy)
    wall = ((package + memory) / power.box.regulators + power.box.board + rest) / power.box.supply_efficiency
    return {"gpu": gpu, "package": package, "wall": wall}
