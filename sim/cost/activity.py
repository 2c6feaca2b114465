"""What a kernel makes the SMs do, beyond its useful work: what energy is counted on. Pure functions.

Matrix units multiply whole tiles, padding included. CUDA cores issue instructions: for products of their own, and to
bring weights into the form that a matrix unit takes (unpack them) wherever a CTA fetches a tile of them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sim.cost.program import Kernel
from sim.workload.op import Gemm, GroupedGemm, Op
from sim.workload.quant import Format

FLOP_PER_INSTRUCTION = {"fp32": 2.0, "int8_dp4a": 8.0}
"""Of a lane of the CUDA cores: a multiply-add, a dot product of four integers. All other units are matrix units."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Work of one launch. `matrix_flops`: by unit, padding included. `instructions`: of single CUDA-core lanes."""

    matrix_flops: dict[str, float] = field(default_factory=dict)
    instructions: float = 0.0


def activity(op: Op, kernel: Kernel, formats: Mapping[str, Format]) -> Activity:
    """What `kernel`, which does `op`, executes on the matrix units and on the CUDA cores.

    Products count as the kernel's CTAs do them, whole tiles; an efficiency below 1 is waiting, which takes no energy.
    """
    matrix: dict[str, float] = {}
    instructions = 0.0
    for work in kernel.work:
        done = work.flops * kernel.total_steps
        per_instruction = FLOP_PER_INSTRUCTION.get(work.unit)
        if per_instruction is None:
            matrix[work.unit] = matrix.get(work.unit, 0.0) + done
        else:
            instructions += done / per_instruction
    if isinstance(op, Gemm | GroupedGemm):
        instructions += unpacking(kernel, formats[op.dtype])
    return Activity(matrix, instructions)


def unpacking(kernel: Kernel, weights: Format) -> float:
    """Instructions of single lanes that bring the weights of every fetched tile into the form the kernel multiplies."""
    if kernel.mma in weights.native:
        return 0.0
    fetched = sum(each.step_bytes for each in kernel.operands if each.name == "weights") * kernel.total_steps
    return fetched * 8.0 / weights.bits_per_weight * weights.unpack_instructions
