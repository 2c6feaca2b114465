"""Does a kernel that only moves bytes get what the narrowest hop sustains, no more, and less where latency binds?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.cost.program import Grid, Kernel, Operand, Work
from tests.device import machine, simulate, stream, sustained

SLOW_LINK = ("c2c.bandwidth=100 GB/s",)


def _latency(on: object) -> float:
    spec = on.hardware.components  # type: ignore[attr-defined]
    gpu, l2, c2c, memory = spec["gpu"], spec["l2"], spec["c2c"], spec["memory"]
    return gpu.issue_latency + l2.hit_latency + c2c.latency + memory.latency


@pytest.mark.parametrize("overrides", [(), SLOW_LINK, ("memory.sustained.read=40 %",)])
def test_a_stream_alone_reaches_the_rate_of_the_binding_hop_and_never_more(overrides: tuple[str, ...]) -> None:
    on = machine(*overrides)
    kernel = stream(48 * 64, 16, 32768.0, stages=4)
    profile, _ = simulate(kernel, on)
    n_bytes = kernel.l2_read_bytes
    rate = n_bytes / (profile.duration_ps / 1e12)
    assert profile.dram_read_bytes == pytest.approx(n_bytes)
    assert rate <= sustained(on) * (1 + 1e-6)
    # what is lost: one latency and page walk to start, and the drain of the last tiles
    lost = _latency(on) + on.hardware.components["tlb"].walk + 48 * 32768.0 * 4 / sustained(on)
    assert profile.duration_ps / 1e12 <= n_bytes / sustained(on) + lost


@pytest.mark.parametrize("stages", [1, 2, 4])
@pytest.mark.parametrize("step_bytes", [512.0, 1024.0])
def test_below_saturation_the_rate_is_bytes_in_flight_over_latency(stages: int, step_bytes: float) -> None:
    """Little's law: one CTA per SM keeps stages x bytes outstanding; a step takes a latency and its service."""
    on = machine()
    kernel = stream(48, 2000, step_bytes, stages=stages, ctas_per_sm=1)
    profile, _ = simulate(kernel, on)
    assert profile.occupancy == 1
    in_flight = 48 * stages * step_bytes
    rate = kernel.l2_read_bytes / (profile.duration_ps / 1e12)
    bound = in_flight / _latency(on)
    assert rate <= min(bound, sustained(on)) * 1.001
    # all 48 SMs ask together, so each burst also takes its own service time at memory before the latency begins
    floor = in_flight / (_latency(on) + in_flight / sustained(on))
    assert rate >= min(floor, sustained(on)) * 0.97


def test_a_resident_operand_costs_no_memory_traffic_and_runs_at_the_rate_of_l2() -> None:
    on = machine()
    kernel = stream(48 * 16, 64, 65536.0, stages=4)
    kernel = replace(kernel, operands=(Operand("inputs", 65536.0, "m", resident_share=1.0),))
    profile, _ = simulate(kernel, on)
    assert profile.dram_read_bytes == profile.dram_write_bytes == 0
    assert "dram" not in profile.causes
    rate = profile.l2_read_bytes / (profile.duration_ps / 1e12)
    assert 0.95 * on.l2.bandwidth <= rate <= on.l2.bandwidth * (1 + 1e-6)


def test_a_panel_that_all_read_again_comes_from_memory_once() -> None:
    """48 rows of tiles, 100 columns: the row panels (768 kB in all) fit L2 and are fetched in the first wave only."""
    on = machine()
    kernel = Kernel(
        "again", 4800, 8, Grid(48, 100), (Operand("inputs", 2_000.0, "m"),), (Work("fp32", 0.0),), prologue_cycles=0
    )
    profile, _ = simulate(kernel, on)
    assert profile.dram_read_bytes == pytest.approx(48 * 8 * 2_000.0)
    assert profile.l2_read_bytes == pytest.approx(4800 * 8 * 2_000.0)


def test_writes_go_to_l2_at_its_write_rate() -> None:
    on = machine()
    kernel = stream(4800, 1, 0.0, store_bytes=262144.0)
    profile, _ = simulate(kernel, on)
    assert profile.l2_write_bytes == pytest.approx(4800 * 262144.0)
    assert profile.l2_write_bytes / (profile.duration_ps / 1e12) == pytest.approx(on.l2.write_bandwidth, rel=0.01)


def test_dirty_bytes_pushed_out_take_their_time_of_the_memory_bus() -> None:
    on = machine()
    kernel = stream(48 * 64, 16, 16384.0, stages=4)
    plain, _ = simulate(kernel, on)
    flushed, run = simulate(replace(kernel, flush_bytes=200e6), on)
    bus = on.memory.bandwidth * on.memory.sustained.write
    assert flushed.dram_write_bytes == pytest.approx(200e6)
    assert (flushed.duration_ps - plain.duration_ps) / 1e12 == pytest.approx(200e6 / bus, rel=0.03)
    assert run.hops[-1].moved["write"] == pytest.approx(200e6)


def test_scattered_reads_get_the_rate_of_scattered_reads() -> None:
    on = machine()
    kernel = stream(48 * 64, 16, 32768.0, stages=4)
    kernel = replace(kernel, operands=(Operand("rows", 32768.0, "m", access="random"),))
    profile, _ = simulate(kernel, on)
    rate = profile.dram_read_bytes / (profile.duration_ps / 1e12)
    assert rate == pytest.approx(on.memory.bandwidth * on.memory.sustained.random, rel=0.01)


def test_two_halves_of_the_sms_share_fairly() -> None:
    """SMs that ask for the same get the same: they end within a tile, and what they started apart, of each other."""
    on = machine("gpu.sms=8")
    _, run = simulate(stream(8 * 40, 8, 65536.0), on, is_full=True)
    ends = sorted(slot.last_end for slot in run.slots)
    assert (ends[-1] - ends[0]) / ends[-1] <= 2 / 40
