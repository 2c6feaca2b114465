"""Do tenants share GPU, memory and power as their mechanisms say: slices, max-min fair, never beyond the ceiling?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import sim
from sim.errors import InputError, LawError, SpecError
from sim.result.tenants import TenantsResult
from sim.system.machine import Machine
from sim.system.tenant_demand import Mover, mover_of, pass_with
from sim.system.tenant_file import CpuTenant, RdmaTenant, SsdTenant, read_tenants

HEAD = "schema: sparksim.scenario/1\nkind: tenants\nduration: 2 s\ntenants:\n"
CHAT = "{kind: model, model: qwen3-0.6b, quant: bf16, runtime: {name: vllm}, prompt: 64, output: 32}"
STREAM = "{kind: cpu, cluster: cpu0, access: read}"


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine(sim.load_hardware("dgx-spark"))


def scenario(tmp_path: Path, *tenants: str, head: str = HEAD) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(head + "".join(f"  {tenant}\n" for tenant in tenants), encoding="utf-8")
    return path


def run(tmp_path: Path, *tenants: str, **more: object) -> TenantsResult:
    return sim.tenants(scenario(tmp_path, *tenants), **more)  # type: ignore[arg-type]


def test_alone_a_tenant_is_as_fast_as_its_run(tmp_path: Path) -> None:
    row = run(tmp_path, f"chat: {CHAT}").row("chat")
    single = sim.run(model="qwen3-0.6b", quant="bf16", runtime="vllm", prompt=64, output=32)
    assert single.e2e_s is not None
    assert row.alone == row.together
    assert row.together.rate == pytest.approx(32 / single.e2e_s, rel=0.02)
    assert row.together.ttft_s == pytest.approx(single.ttft_s, rel=1e-6)


def test_two_equal_models_get_less_than_half_each(tmp_path: Path) -> None:
    """A round of slices is 2 x (2 ms + 45 us): 48.9 % of the GPU at most, which alone has some idle time."""
    result = run(tmp_path, f"a: {CHAT}", f"b: {CHAT}")
    kept = [row.together.rate / row.alone.rate for row in result.rows]
    assert kept[0] == pytest.approx(kept[1], rel=0.05)
    assert all(0.40 < row.together.gpu_share <= 2.0 / (2 * 2.045) + 1e-3 for row in result.rows)
    shares = [row.together.gpu_share / row.alone.gpu_share for row in result.rows]
    assert kept == pytest.approx(shares, rel=0.02)
    assert result.switches > 100
    assert sum(row.together.gpu_share for row in result.rows) <= 1.0


def test_an_idle_neighbour_costs_nothing(tmp_path: Path) -> None:
    idle = CHAT.replace("prompt: 64, output: 32", "prompt: 1, output: 1, pause: 100 s")
    row = run(tmp_path, f"chat: {CHAT}", f"idle: {idle}").row("chat")
    assert row.slowdown == pytest.approx(1.0, abs=0.02)


def test_a_stream_beside_a_decode_halves_what_memory_binds(tmp_path: Path) -> None:
    """Ten cores ask 100 GB/s, 42.5 % of the bus; a BF16 decode nearly all of it: max-min leaves it 57.5 % at most."""
    decode = CHAT.replace("qwen3-0.6b", "qwen3-8b").replace("prompt: 64", "prompt: 0, depth: 64")
    result = run(tmp_path, f"chat: {decode}", f"stream: {STREAM}")
    chat, stream = result.row("chat"), result.row("stream")
    assert stream.slowdown == pytest.approx(1.0, abs=1e-6)
    assert stream.together.memory_share == pytest.approx(100 / 235.1, rel=1e-3)
    assert chat.together.memory_share <= 1.0 - stream.together.memory_share + 1e-9
    assert chat.together.rate / chat.alone.rate == pytest.approx((1 - 100 / 235.1) / chat.alone.memory_share, rel=0.05)
    assert result.total_bytes_per_s <= result.sustained_bytes_per_s * 1.001


def test_what_is_bound_by_compute_keeps_its_speed(machine: Machine) -> None:
    """An op whose demand and the mover's fit on the bus takes as long as alone; else what its bytes need."""
    result = sim.run(model="qwen3-0.6b", quant="bf16", runtime="vllm", prompt=4096, output=2)
    assert result.trace is not None
    half = Mover("half", "cpu", 100e9, 0.5, 100e9)
    for step in result.trace.steps:
        alone, beside = pass_with(step, [], machine), pass_with(step, [half], machine)
        least = alone.gpu_s
        ops = [op for op in step.ops if op.component == "gpu"]
        buses = [min(op.duration_ps, machine.memory_ps(op.dram_read_bytes, op.dram_write_bytes)) for op in ops]
        each = zip(ops, buses, strict=True)
        more = sum(max(0, 2 * bus - op.duration_ps) * op.repeat for op, bus in each) / 1e12  # half of the bus is left
        most = alone.gpu_s + more + 0.05 * alone.gpu_s  # and latency a little longer
        assert least <= beside.gpu_s <= most
        assert beside.n_bytes == alone.n_bytes
        assert beside.moved["half"] <= 100e9 * beside.gpu_s * (1 + 1e-9)


def test_more_beside_never_makes_a_pass_faster(machine: Machine) -> None:
    result = sim.run(model="qwen3-0.6b", quant="bf16", runtime="vllm", prompt=64, output=2)
    assert result.trace is not None
    for step in result.trace.steps:
        taken = [
            pass_with(step, [Mover("m", "cpu", demand * 235e9, demand, 1.0)] if demand else [], machine).gpu_s
            for demand in (0.0, 0.1, 0.3, 0.6, 1.0)
        ]
        assert taken == sorted(taken)


def test_movers_are_bound_by_their_own_ways(machine: Machine) -> None:
    """A cluster by its 100 GB/s, one core by its 64 lines in 113 ns, the NIC by its cage, the drive by itself."""

    def of(tenant: CpuTenant | RdmaTenant | SsdTenant) -> Mover:
        return mover_of("x", tenant, machine)

    assert of(CpuTenant(kind="cpu", access="read")).wants == pytest.approx(100e9, rel=0.2)
    assert of(CpuTenant(kind="cpu", cores=1)).wants == pytest.approx(64 * 64 / 113e-9)
    assert of(CpuTenant(kind="cpu", rate="5 GB/s")).wants == 5e9
    assert of(RdmaTenant(kind="rdma")).wants == pytest.approx(25e9 * 0.95)
    assert of(SsdTenant(kind="ssd")).wants == pytest.approx(6.4e9)
    assert of(SsdTenant(kind="ssd", access="write")).wants == pytest.approx(3.41e9)


def test_what_lies_in_the_caches_asks_nothing_of_memory(machine: Machine) -> None:
    inside = mover_of("x", CpuTenant(kind="cpu", footprint="4 MiB"), machine)
    beyond = mover_of("x", CpuTenant(kind="cpu", footprint="64 MiB"), machine)
    assert (inside.wants, inside.demand) == (0.0, 0.0)
    assert inside.rate > beyond.rate
    assert beyond.wants > 50e9


def test_cores_take_their_watts_and_leave_the_gpu_the_rest(tmp_path: Path) -> None:
    """Twenty cores take 74.5 of 140 W: a prefill that wants more than the rest gets slower, without any byte moved."""
    prefill = CHAT.replace("qwen3-0.6b", "qwen3-4b").replace("prompt: 64, output: 32", "prompt: 8192, output: 0")
    jobs = [f"c{n}: {{kind: cpu, cluster: cpu{n}, footprint: 1 MiB}}" for n in (0, 1)]
    result = run(tmp_path, f"read: {prefill}", *jobs)
    assert result.row("read").slowdown > 1.05
    assert sum(row.watts for row in result.rows) == pytest.approx(74.5)
    assert result.power_w is not None
    assert result.power_w["package"] <= 140.0 * 1.02
    alone = run(tmp_path, f"read: {prefill}", jobs[0].replace("1 MiB", "1 MiB, cores: 1"))
    assert alone.row("read").slowdown == pytest.approx(1.0, abs=0.02)


def test_samples_add_up_to_what_each_got(tmp_path: Path) -> None:
    result = run(tmp_path, f"chat: {CHAT}", f"stream: {STREAM}", "ssd: {kind: ssd}")
    assert sum(one.seconds for one in result.samples) == pytest.approx(result.seconds)
    for row in result.rows:
        moved = sum(one.bytes_per_s[row.name] * one.seconds for one in result.samples)
        assert moved / result.seconds == pytest.approx(row.together.bytes_per_s)
    told = result.to_dict()
    assert sum(one["bandwidth_share"] for one in told["tenants"].values()) == pytest.approx(1.0)
    assert len(result.to_frame("bandwidth")) == len(result.samples)
    assert set(result.to_frame()["tenant"]) == {"chat", "stream", "ssd"}


def test_the_law_catches_more_than_memory_can(tmp_path: Path) -> None:
    result = run(tmp_path, f"stream: {STREAM}")
    row = result.rows[0]
    beyond = replace(row, together=replace(row.together, bytes_per_s=result.peak_bytes_per_s * 1.01))
    with pytest.raises(LawError, match="L10 broken"):
        replace(result, rows=(beyond,)).check_laws()
    busy = replace(row, together=replace(row.together, memory_share=1.01))
    with pytest.raises(LawError, match="L10 broken"):
        replace(result, rows=(busy,)).check_laws()


def test_models_that_do_not_fit_together_are_told(tmp_path: Path) -> None:
    big = CHAT.replace("qwen3-0.6b, quant: bf16", "qwen3-32b, quant: bf16").replace("output: 32", "output: 2")
    assert not run(tmp_path, f"a: {big}", f"b: {big}", f"chat: {CHAT}").fits


@pytest.mark.parametrize(
    ("tenant", "text"),
    [
        ("x: {kind: cpu, cluster: gpu}", "no cluster 'gpu'"),
        ("x: {kind: cpu, cores: 11}", "cpu0 has 10 cores"),
        ("x: {kind: rdma, adapter: nic9}", "no component 'nic9' moves data to memory"),
        (
            "x: {kind: model, model: qwen3-32b, quant: bf16, runtime: {name: vllm}, batch: 4000}",
            "does not fit even alone",
        ),
    ],
)
def test_what_the_machine_cannot_do_is_refused(tmp_path: Path, tenant: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        run(tmp_path, tenant)


def test_every_mistake_in_the_file_is_told_with_its_line(tmp_path: Path) -> None:
    tenants = ("a: {kind: cpu, rate: 5 GB}", "b: {kind: fpga}", "c: {kind: cpu, cores: 0}")
    with pytest.raises(SpecError) as caught:
        read_tenants(scenario(tmp_path, *tenants))
    assert [problem.line for problem in caught.value.problems] == [5, 6, 7]
    names = ("a: {kind: model, model: nothing, runtime: {name: none}, prompt: 0, output: 0}",)
    with pytest.raises(SpecError) as caught:
        read_tenants(scenario(tmp_path, *names))
    assert len(caught.value.problems) == 3


def test_overrides_are_of_the_machine(tmp_path: Path) -> None:
    path = scenario(tmp_path, f"stream: {STREAM}")
    slower = sim.tenants(path, set={"cpu0.bandwidth": "40 GB/s"})
    assert slower.row("stream").together.rate == pytest.approx(40e9)
    assert slower.to_dict()["overrides"] == {"cpu0.bandwidth": "40 GB/s"}
    with pytest.raises(InputError, match="which tenant's is meant"):
        sim.tenants(path, set={"runtime.ubatch_tokens": "512"})


def test_a_single_run_says_who_takes_such_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a scenario of kind tenants is no run"):
        sim.run(file=scenario(tmp_path, f"stream: {STREAM}"))
