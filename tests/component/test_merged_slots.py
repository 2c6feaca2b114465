"""Do CTAs that one slot stands for fetch from memory exactly what each of them misses in L2?"""

from __future__ import annotations

import pytest

from sim.component.kernel_run import MOST_SLOTS
from sim.cost.program import Grid, Kernel, Operand, Work
from tests.device import machine, simulate


@pytest.mark.parametrize("columns", [31, 47])
def test_merged_slots_move_what_their_tiles_miss(columns: int) -> None:
    """Weights that fit into L2 are read by 20 rows of tiles, not a divisor of 48 SMs: only first visits miss them."""
    rows, steps = 20, 128
    operands = (Operand("inputs", 4096.0, "m", resident_share=1.0), Operand("weights", 2048.0, "n"))
    kernel = Kernel(
        "tiles", rows * columns, steps, Grid(rows, columns), operands, (Work("fp32", 65536.0),), stages=2,
        threads=128, shared_bytes=8192,
    )  # fmt: skip
    profile, run = simulate(kernel, machine("l2.capacity=96 MiB"))
    assert run.slots_per_sm > MOST_SLOTS, "nothing is merged"
    assert run.most_slots == MOST_SLOTS
    weights = 2048.0 * steps * columns
    assert profile.missed_read_bytes == pytest.approx(weights, rel=1e-3)
    for name, moved in profile.moved_bytes.items():
        assert moved == pytest.approx(weights, rel=5e-3), name
