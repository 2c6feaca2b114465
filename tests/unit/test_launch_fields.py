"""Does a launch of a site become the op that its file describes: walkers, phases, reads that wait for each other?"""

from __future__ import annotations

import pytest

import sim
from sim.cost.elementwise import streaming_kernel
from sim.workload.launch import Launch
from sim.workload.op import Elementwise
from tests.device import machine, simulate


@pytest.mark.parametrize(
    ("rows", "width", "ctas", "steps"), [(1, 512, 64, 1), (64, 513, 128, 1), (65, 512, 64, 2), (1000, 4096, 512, 16)]
)
def test_walkers_take_the_rows_in_turn_for_each_group_of_columns(rows: int, width: int, ctas: int, steps: int) -> None:
    launch = Launch(read=2, write=1, walkers=64, walk_columns=512)
    fields = launch.fields(rows * width, rows)
    assert (fields["walkers"], fields["walk_steps"]) == (ctas, steps)
    kernel = streaming_kernel(Elementwise(id="e", dtype="bf16", **fields), "e", 16.0, inputs_resident=True)
    assert (kernel.tiles, kernel.n_steps) == (ctas, steps)
    assert kernel.l2_read_bytes == pytest.approx(2 * rows * width)
    assert kernel.written_bytes == pytest.approx(rows * width)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_read_that_waits_for_another_takes_the_latency_of_l2_once_a_step(steps: int) -> None:
    on = machine()
    ops = [
        Elementwise(id="e", elements=4096, dtype="bf16", walkers=1, walk_steps=steps, trips=trips) for trips in (0, 3)
    ]
    before, after = (simulate(streaming_kernel(op, "e", 16.0, inputs_resident=True), on)[0].duration_ps for op in ops)
    latency = on.l2.hit_latency + on.gpu.issue_latency
    assert after - before == pytest.approx(3 * steps * latency * 1e12, abs=10 * steps)


def test_phases_are_those_of_the_runtime() -> None:
    spec = sim.load_runtime("vllm").spec
    waits = [launch.row_cycles for launch in spec.launches("moe_sort_cutlass", 1)]
    assert waits == [None, *(2 * spec.phase_cycles,) * 4]
