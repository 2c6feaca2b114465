"""Streaming kernels (element-wise, norms, quantisation, gathers, custom totals) as CTA programs."""

from __future__ import annotations

from math import ceil

from sim.cost.program import Grid, Kernel, Operand, Work
from sim.workload.op import Custom, Elementwise

THREADS = 512
BYTES_PER_THREAD = 16
PROLOGUE_CYCLES = 200
"""Launch of a CTA to its first load: index arithmetic only."""
NORM_SYNC_CYCLES = 250
"""Two block-wide reductions of a row: five shuffle rounds, a shared-memory exchange and a barrier each."""


def streaming_kernel(op: Elementwise, name: str, bits: float, *, inputs_resident: float) -> Kernel:
    """One pass over the elements; a reduction takes a CTA per row, anything else a CTA per 8 KiB, unless it says."""
    read = float(op.read_bytes if op.read_bytes is not None else op.elements * op.reads * bits / 8)
    write = float(op.write_bytes if op.write_bytes is not None else op.elements * op.writes * bits / 8)
    tiles = op.walkers or op.rows or max(1, ceil(max(read, write) / (THREADS * BYTES_PER_THREAD)))
    resident = 0.0 if op.is_cold else inputs_resident
    return Kernel(
        name=name,
        tiles=tiles,
        n_steps=op.walk_steps,
        grid=Grid(tiles),
        operands=(
            Operand("inputs", read / tiles / op.walk_steps, "m", resident, "strided" if op.is_strided else "read"),
        ),
        work=(Work("fp32", op.elements * op.flops_per_element / tiles / op.walk_steps),),
        stages=1,
        store_bytes=write / tiles,
        threads=op.threads,
        registers=32,
        prologue_cycles=PROLOGUE_CYCLES,
        step_cycles=_row_cycles(op),
        step_trips=op.trips,
        tile=(op.elements,),
        mma="fp32",
        flops=op.elements * op.flops_per_element,
    )


def _row_cycles(op: Elementwise) -> int:
    if not op.rows:
        return op.row_cycles or 0
    return NORM_SYNC_CYCLES if op.row_cycles is None else op.row_cycles


def custom_kernel(op: Custom, name: str, *, inputs_resident: float) -> Kernel:
    """A kernel known by its totals, spread evenly over its CTAs in steps of 16 KiB."""
    steps = max(1, ceil(op.read_bytes / op.ctas / 16384))
    return Kernel(
        name=name,
        tiles=op.ctas,
        n_steps=steps,
        grid=Grid(op.ctas),
        operands=(Operand("inputs", op.read_bytes / (op.ctas * steps), "m", inputs_resident),),
        work=(Work(op.unit, op.flops / (op.ctas * steps)),),
        stages=3,
        store_bytes=op.write_bytes / op.ctas,
        threads=THREADS,
        registers=64,
        tile=(op.ctas,),
        mma=op.unit,
        flops=op.flops,
    )
