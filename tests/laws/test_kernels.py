"""Do random kernels on random machines lose no byte or FLOP, keep within every rate, and come out folded as in full?"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.component.kernel_run import KernelRun
from sim.component.profile import Profile
from sim.cost.kernel import Lowering
from sim.cost.program import Kernel
from sim.result.trace import CAUSES
from sim.system.machine import Machine
from sim.workload import load_runtime
from sim.workload.op import Attention
from sim.workload.quant import formats
from tests.device import machine, simulate
from tests.laws.kernels import any_kernel, any_machine

SMALL = 400
"""K-steps of a small kernel."""
LARGE = 3000
BYTES = 0.01
"""What folding may be off by; in full mode bytes are exact (the next test)."""
bounded = settings(max_examples=40, deadline=None, derandomize=True)


def _drawn(seed: int, most_steps: int) -> tuple[Machine, Kernel]:
    draw = Random(seed)
    return any_machine(draw), any_kernel(draw, most_steps)


def _accesses(kernel: Kernel) -> set[str]:
    return {operand.access for operand in kernel.operands}


@given(st.integers(0, 2**32), st.booleans())
@bounded
def test_bytes_and_flops_of_every_component_are_what_the_kernel_asked(seed: int, is_full: bool) -> None:
    on, kernel = _drawn(seed, SMALL if is_full else LARGE)
    profile, run = simulate(kernel, on, is_full=is_full)
    assert profile.l2_read_bytes == pytest.approx(kernel.l2_read_bytes, rel=BYTES)
    assert profile.l2_write_bytes == pytest.approx(kernel.written_bytes, rel=BYTES)
    assert profile.flops == pytest.approx(kernel.flops, rel=1e-9)
    assert profile.missed_write_bytes == pytest.approx(kernel.flush_bytes, rel=1e-9)
    assert profile.missed_read_bytes <= kernel.l2_read_bytes * (1 + 1e-9)
    for hop in run.hops[1:]:
        reads = sum(n_bytes for access, n_bytes in hop.moved.items() if access != "write")
        assert reads == pytest.approx(profile.missed_read_bytes, rel=BYTES)
        assert hop.moved["write"] == pytest.approx(profile.missed_write_bytes, rel=BYTES)
    for access in {"read", "random"} - _accesses(kernel):
        assert run.hops[-1].moved[access] == 0


@pytest.mark.parametrize("sms", [132, 145, 188])
@pytest.mark.parametrize("is_full", [False, True])
def test_causal_attention_stores_its_output_once_on_any_large_chip(sms: int, is_full: bool) -> None:
    """2,048 queries x 32 heads x 128 elements of 2 B, whoever takes which tiles."""
    on = machine(f"gpu.sms={sms}")
    lowering = Lowering(load_runtime("vllm").spec, formats(), sms)
    same = {"query": 2048, "context": 2048, "dtype": "bf16", "kv_dtype": "bf16", "site": "attention"}
    kernel = lowering.kernel(Attention(id="a", batch=1, heads=32, kv_heads=8, head_dim=128, **same))  # type: ignore[arg-type]
    assert kernel.shares or sms == 132  # the order of the grid decides who takes which tiles, but for Hopper's kernel
    profile, _ = simulate(kernel, on, is_full=is_full)
    assert kernel.written_bytes == pytest.approx(2048 * 32 * 128 * 2, rel=1e-12)
    assert profile.l2_write_bytes == pytest.approx(2048 * 32 * 128 * 2, rel=BYTES)


@given(st.integers(0, 2**32))
@bounded
def test_what_has_to_come_at_least_once_comes(seed: int) -> None:
    """Cold operands: each panel at least once; resident ones: at most what is read at all."""
    on, kernel = _drawn(seed, SMALL)
    profile, _ = simulate(kernel, on)
    if kernel.kinds or kernel.schedule == "persistent":
        return  # tiles of different length share panels that are as long as the longest
    once = 0.0
    for operand in kernel.operands:
        panels = operand.panels(kernel.grid.place(tile) for tile in range(kernel.tiles))
        once += (1.0 - operand.resident_share) * len(panels) * operand.step_bytes * kernel.n_steps
    assert profile.missed_read_bytes >= once * (1 - 1e-9)


@given(st.integers(0, 2**32), st.booleans())
@bounded
def test_no_server_is_faster_than_its_rate_or_busier_than_time(seed: int, is_full: bool) -> None:
    on, kernel = _drawn(seed, SMALL if is_full else LARGE)
    profile, run = simulate(kernel, on, is_full=is_full)
    slack = 1.001 if not is_full else 1 + 1e-9
    for hop in run.hops:
        assert hop.load(hop.moved) * 1e12 <= profile.duration_ps * slack + 1000
    for server in run.servers:
        assert server.busy_ps <= profile.duration_ps * slack + 1000
    for sm in run.sms:
        for unit in sm.units.values():
            assert unit.busy_ps <= profile.duration_ps * slack


@given(st.integers(0, 2**32))
@bounded
def test_servers_do_not_idle_while_work_waits(seed: int) -> None:
    """In full mode a server's busy time is exactly its work, to a picosecond per wake-up."""
    on, kernel = _drawn(seed, SMALL)
    _, run = simulate(kernel, on, is_full=True)
    work: dict[int, float] = {}
    for hop in run.hops:
        for access, n_bytes in hop.moved.items():
            server = hop.server(access)
            work[id(server)] = work.get(id(server), 0.0) + n_bytes / hop.rates[access] * 1e12
    slack = 2.0 * run.engine.events
    assert all(server.busy_ps <= work[id(server)] * (1 + 1e-6) + slack for server in run.servers)
    # A hop that a slower one always holds up is only counted, so it is the one with most work that must not idle.
    busiest = max(run.servers, key=lambda server: work[id(server)])
    assert busiest.busy_ps == pytest.approx(work[id(busiest)], rel=1e-6, abs=slack)


@given(st.integers(0, 2**32), st.booleans())
@bounded
def test_causes_are_of_the_vocabulary_and_sum_to_the_time(seed: int, is_full: bool) -> None:
    on, kernel = _drawn(seed, SMALL if is_full else LARGE)
    profile, run = simulate(kernel, on, is_full=is_full)
    assert sum(profile.causes.values()) == profile.duration_ps
    assert set(profile.causes) <= set(CAUSES)
    if is_full:  # before it is fitted: the intervals of each slot tile its life
        for slot in run.slots:
            assert sum(slot.causes.values()) == slot.last_end


def _floor_ps(on: Machine, kernel: Kernel, run: KernelRun) -> float:
    """The roofline and the longest dependent chain: an SM's own work, and one CTA's own steps."""
    cycles = run.cycles
    floors = [hop.load(hop.moved) * 1e12 for hop in run.hops]
    for sm in run.sms:
        steps = sum(sm.sm_class.steps_of)
        floors += [steps * service for _, service in cycles.work]
        own = cycles.step_ps + sum(service for _, service in cycles.work)
        latency = run.hit_latency_ps if kernel.step_bytes else 0
        floors.append(cycles.prologue_ps + latency + max(sm.sm_class.steps_of) * own)
        floors.append(steps * own / len(sm.slots))
    return max(floors)


@given(st.integers(0, 2**32), st.booleans())
@bounded
def test_no_kernel_beats_its_roofline_or_its_critical_path(seed: int, is_full: bool) -> None:
    on, kernel = _drawn(seed, SMALL if is_full else LARGE)
    profile, run = simulate(kernel, on, is_full=is_full)
    assert profile.duration_ps >= _floor_ps(on, kernel, run) * 0.999 - 1000


def _differences(full: Profile, folded: Profile) -> dict[str, float]:
    time = folded.duration_ps / full.duration_ps - 1 if full.duration_ps else 0.0
    found = {"time": abs(time)}
    for name in ("l2_read_bytes", "l2_write_bytes", "dram_read_bytes", "dram_write_bytes", "flops"):
        one, other = getattr(full, name), getattr(folded, name)
        found[name] = abs(one - other) / max(one, other, 1.0)
    return found


def test_folded_is_within_one_per_cent_of_full_on_a_hundred_random_small_kernels() -> None:
    """Time and bytes. Cohorts alone are exact; what may differ is what steps and tiles were skipped by."""
    broken = {}
    for seed in range(100):
        on, kernel = _drawn(seed, SMALL)
        full, folded = simulate(kernel, on, is_full=True)[0], simulate(kernel, on)[0]
        worst = _differences(full, folded)
        if max(worst.values()) > 0.01:
            broken[seed] = (worst, kernel)
        assert folded.events <= max(full.events, 4000)
    assert broken == {}


def test_folded_is_close_to_full_on_kernels_of_many_tiles() -> None:
    """Where nothing repeats, a mean stands for the rest: bytes stay exact, time is within 1 % for nine in ten."""
    errors = []
    for seed in range(30):
        on, kernel = _drawn(1000 + seed, LARGE)
        full, folded = simulate(kernel, on, is_full=True)[0], simulate(kernel, on)[0]
        found = _differences(full, folded)
        errors.append(found.pop("time"))
        assert max(found.values()) < 1e-6
    assert sorted(errors)[26] <= 0.01
    assert max(errors) <= 0.2
