"""Is what a kernel executes counted as its CTAs execute it: whole tiles, weights unpacked once per fetch?"""

from __future__ import annotations

import pytest

from sim.cost.activity import activity, unpacking
from sim.cost.kernel import Lowering
from sim.cost.program import Grid, Kernel, Operand, Work
from sim.workload.op import Gemm
from sim.workload.quant import formats
from sim.workload.runtime_file import load_runtime


def _kernel(unit: str, rows: int, **fields: object) -> Kernel:
    """Four tiles of `rows` x 128 over 512 weights deep, in K-steps of 64; weights of one byte."""
    operands = (Operand("inputs", rows * 64.0, "m"), Operand("weights", 128 * 64.0, "n"))
    work = (Work(unit, 2.0 * rows * 128 * 64, efficiency=0.5),)
    known: dict[str, object] = {"mma": unit, "flops": 2.0 * 1 * 512 * 512}
    return Kernel("k", 4, 8, Grid(1, 4), operands, work, **(known | fields))  # type: ignore[arg-type]


OP = Gemm(id="a", m=1, n=512, k=512, dtype="fp8")


def test_a_matrix_unit_multiplies_the_padding_too() -> None:
    """One row of a tile of 16 is real: 16 times the useful FLOPs are executed, whatever the efficiency."""
    done = activity(OP, _kernel("fp8", 16), formats())
    assert done.matrix_flops == {"fp8": 2.0 * 16 * 512 * 512}
    assert done.instructions == 0.0


@pytest.mark.parametrize(("unit", "per_instruction"), [("fp32", 2.0), ("int8_dp4a", 8.0)])
def test_cuda_cores_execute_instructions(unit: str, per_instruction: float) -> None:
    """A lane's instruction is a multiply-add, or a dot product of four pairs; and every weight is unpacked once."""
    done = activity(OP, _kernel(unit, 1), formats())
    assert done.matrix_flops == {}
    unpacked = 512 * 512 * formats()["fp8"].unpack_instructions
    assert done.instructions == pytest.approx(2.0 * 512 * 512 / per_instruction + unpacked)


def test_weights_are_unpacked_for_every_tile_that_fetches_them() -> None:
    """Two rows of tiles fetch every weight twice; a unit that takes the format as it is stored needs no unpacking."""
    twice = Kernel("k", 8, 8, Grid(2, 4), (Operand("weights", 128 * 64.0, "n"),), (Work("bf16", 1.0),), mma="bf16")
    assert unpacking(twice, formats()["fp8"]) == pytest.approx(2 * 512 * 512 * formats()["fp8"].unpack_instructions)
    assert unpacking(_kernel("fp8", 16), formats()["fp8"]) == 0.0


def test_q5_k_takes_more_instructions_per_weight_than_q8_0() -> None:
    """The fifth bit of a weight lies apart from the four others, and scales and minima have six bits (vecdotq.cuh)."""
    lowering = Lowering(load_runtime("llama.cpp").spec, formats(), 48)
    counts = {}
    for dtype in ("q8_0", "q4_k", "q5_k"):
        op = Gemm(id="a", m=1, n=4096, k=4096, dtype=dtype)
        counts[dtype] = activity(op, lowering.kernel(op), formats()).instructions / 4096**2
    assert counts["q8_0"] < counts["q4_k"] < counts["q5_k"]
    assert counts["q8_0"] == pytest.approx(formats()["q8_0"].unpack_instructions + 2 / 8)
