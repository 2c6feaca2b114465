"""Does every device-level field of a machine change a kernel that uses it, and no field one that does not?

No answer may bypass the simulation: a field that changes nothing is not simulated.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.component.profile import Profile
from sim.cost.program import Grid, Kernel, Operand, Work
from sim.system.microbench import stream as run_stream
from sim.system.prediction import launch_costs
from sim.system.stream_request import StreamRequest
from sim.workload.runtime_file import load_runtime
from tests.device import machine, simulate, stream

GEMM = Kernel(
    "gemm", 600, 40, Grid(20, 30),
    (Operand("inputs", 16384.0, "m"), Operand("weights", 16384.0, "n")),
    (Work("fp32", 20_000.0), Work("bf16", 2.0 * 128 * 128 * 64)),
    stages=2, store_bytes=32768.0, threads=256, registers=96, shared_bytes=40_000, step_cycles=50,
)  # fmt: skip
READ = stream(2000, 8, 32768.0, stages=3)
CHASE = stream(48, 200, 128.0, stages=1)
RANDOM = replace(READ, operands=(Operand("rows", 32768.0, "m", access="random"),))
STRIDED = replace(READ, operands=(Operand("rows", 32768.0, "m", access="strided"),))
TIGHT = replace(GEMM, operands=(Operand("inputs", 65536.0, "m"), Operand("weights", 16384.0, "n")))
FLUSH = replace(READ, flush_bytes=50e6)
WAITING = stream(4000, 20, 256.0, stages=1)
SMALL_CTAS = replace(WAITING, threads=32, registers=16)
HUNGRY = replace(WAITING, registers=255, threads=64)
INT8 = replace(GEMM, work=(Work("int8", 4e6),))

FIELDS = [
    ("gpu.sms", "24", GEMM),
    ("gpu.clock", "1240 MHz", GEMM),
    ("gpu.flop_per_clock_per_sm.bf16", "512", GEMM),
    ("gpu.flop_per_clock_per_sm.fp32", "128", GEMM),
    ("gpu.flop_per_clock_per_sm.int8", "1024", INT8),
    ("gpu.shared_memory_per_sm", "50 KiB", GEMM),
    ("gpu.registers_per_sm", "32768", HUNGRY),
    ("gpu.max_threads_per_sm", "512", WAITING),
    ("gpu.max_ctas_per_sm", "2", SMALL_CTAS),
    ("gpu.issue_latency", "500 ns", CHASE),
    ("l2.capacity", "1 MiB", GEMM),
    ("l2.clock", "500 MHz", GEMM),
    ("l2.hit_latency", "400 ns", CHASE),
    ("l2.bytes_per_clock", "100", GEMM),
    ("l2.write_bytes_per_clock", "10", GEMM),
    ("tlb.walk", "10 us", CHASE),
    ("c2c.bandwidth", "100 GB/s", READ),
    ("c2c.latency", "500 ns", CHASE),
    ("memory.channels", "8", READ),
    ("memory.data_rate", "4000 MT/s", READ),
    ("memory.latency", "500 ns", CHASE),
    ("memory.sustained.read", "40 %", READ),
    ("memory.sustained.write", "10 %", FLUSH),
    ("memory.sustained.random", "40 %", RANDOM),
    ("memory.sustained.strided", "40 %", STRIDED),
    ("l2.ways", "1", TIGHT),
]
IGNORED = {
    "gpu.shared_memory_per_cta": "bounds what a kernel may ask for; kernels come with their shared memory",
    "gpu.threads_per_warp": "CTAs are not cut into warps",
    "gpu.l1_capacity": "L1 is not simulated: tiles go through shared memory",
    "gpu.l1_bytes_per_clock": "L1 is not simulated",
    "gpu.sustained_clock": "slows products before they get there; tests/system/test_sustained_clock.py",
    "gpu.sparsity_factor": "no rate includes sparsity",
    "l2.line": "L2 counts panel segments, not lines",
    "l2.banks": "a kernel's tiles are spread over all banks",
    "l2.requester_queue": "a kernel's tile streams have one fetch each under service",
    "tlb.page": "translation costs one walk per CTA slot",
    "tlb.reach": "translation costs one walk per CTA slot, whatever the footprint",
    "memory.capacity": "checked by the memory check, not by the device level",
    "memory.technology": "a word",
    "memory.rates": "a choice: tests/system/test_memory_rates.py holds what it changes",
    "memory.channel_width": "tied to the address mapping of the channel model, so it is not set alone",
}
"""Fields of what the device level is made of that no kernel's time depends on today, and why."""
BESIDE = StreamRequest(96, 8192, has_chase=True)
FAR = StreamRequest(48, 2048, "flat", footprint=4 << 30)
HELD = StreamRequest(4, 2048, "random", footprint=8 << 20)
STREAMED = [
    ("l2.banks", "4", HELD),
    ("l2.line", "1 KiB", HELD),
    ("l2.requester_queue", "4 KiB", BESIDE),
    ("tlb.page", "64 KiB", FAR),
    ("tlb.reach", "8 GiB", FAR),
    ("tlb.walk", "20 us", FAR),
]
"""Fields that streams read besides what kernels read."""
LAUNCHING = {
    "kernel_boundary",
    "kernel_boundary_eager",
    "kernel_boundary_pdl",
    "graph_launch",
    "graph_launch_per_node",
    "graph_first_node",
    "graph_first_node_per_node",
    "eager_launch",
    "eager_first_node",
    "copy_engines",
}


def _time(kernel: Kernel, *overrides: str) -> Profile:
    return simulate(kernel, machine(*overrides))[0]


@pytest.mark.parametrize(("path", "value", "kernel"), FIELDS, ids=[path for path, _, _ in FIELDS])
def test_a_device_field_changes_the_time_of_a_kernel_that_uses_it(path: str, value: str, kernel: Kernel) -> None:
    plain, changed = _time(kernel), _time(kernel, f"{path}={value}")
    assert changed.duration_ps != plain.duration_ps
    assert abs(changed.duration_ps / plain.duration_ps - 1) > 1e-3


@pytest.mark.parametrize(("path", "value", "kernel"), FIELDS, ids=[path for path, _, _ in FIELDS])
def test_a_device_field_is_part_of_the_key_of_profiles(path: str, value: str, kernel: Kernel) -> None:
    assert machine(f"{path}={value}").device_key() != machine().device_key()


def test_every_field_of_the_device_level_is_used_or_listed_as_ignored() -> None:
    on = machine()
    components = {"gpu", "l2", "tlb", "c2c", "memory"}
    given = {info.path for info in on.hardware.fields() if info.path.split(".")[0] in components}
    given = {path for path in given if on.hardware.provenance[path].status != "derived"}
    launching = {f"gpu.{name}" for name in LAUNCHING}
    given = {path for path in given if not path.startswith("memory.dram.")}  # the burst-level channel's own
    units = {path for path in given if path.startswith("gpu.flop_per_clock_per_sm.")}
    assert given - units - launching - {path for path, _, _ in FIELDS} == set(IGNORED)


@pytest.mark.parametrize("path", ["gpu.threads_per_warp", "gpu.l1_bytes_per_clock", "tlb.page", "tlb.reach"])
def test_what_is_listed_as_ignored_is_ignored(path: str) -> None:
    """A field that comes to be simulated leaves the list."""
    for kernel in (GEMM, READ, CHASE):
        assert _time(kernel, f"{path}=x2").duration_ps == _time(kernel).duration_ps


@pytest.mark.parametrize("path", ["gpu.kernel_boundary", "gpu.graph_first_node"])
def test_a_launch_field_changes_what_launching_costs(path: str) -> None:
    runtime = load_runtime("vllm").spec
    costs = [launch_costs(machine(*change), runtime, "decode", 1) for change in ((), (f"{path}=50 us",))]
    assert costs[0] != costs[1]


@pytest.mark.parametrize(("path", "value", "request_"), STREAMED, ids=[path for path, _, _ in STREAMED])
def test_every_field_of_a_stream_changes_it(path: str, value: str, request_: StreamRequest) -> None:
    plain, changed = (run_stream(on, request_) for on in (machine(), machine(f"{path}={value}")))
    assert plain.stream_bytes_per_s != changed.stream_bytes_per_s
