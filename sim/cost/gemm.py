"""GEMM, GEMV and grouped GEMM as CTA programs.

An (m, k) x (k, n) product is a grid of output tiles; each K-step a CTA fetches one activation tile and one weight tile
and multiplies them. Bytes are exact over the grid (edges averaged in); matrix units work on whole tiles when the rule
says so, which is where small batches lose FLOPs but not time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil, sqrt

from sim.cost.program import Grid, Kernel, Loads, Operand, Work
from sim.workload.op import Gemm, GroupedGemm
from sim.workload.popularity import route
from sim.workload.quant import Format
from sim.workload.runtime import KernelRule

MMA_BITS = {"bf16": 16, "fp8": 8, "int8": 8, "fp4": 4}
"""Bits of an operand's element in a matrix unit."""
MMA_DEPTH_BYTES = 32
"""Depth of one mma.sync of 16 x 8: k16 in BF16, k32 in FP8 and INT8, k64 in FP4 (PTX ISA, mma)."""
SUM_BYTES = 4
"""A sum, before it becomes an output."""
MARLIN_FILL = 0.9
"""vllm/model_executor/layers/fused_moe/fused_marlin_moe.py, fused_marlin_moe: `M * topk / E / block_size_m < 0.9`."""
GOLDEN = (sqrt(5.0) - 1.0) / 2.0
LOAD_SHARES = (0.125, 0.125, 0.1875, 0.1875, 0.1875, 0.1875)
"""Shares of the CTAs that are told apart by their load, most first: the busiest ones decide when a kernel ends."""


@dataclass(frozen=True, slots=True)
class Formats:
    """Storage of a GEMM's three matrices."""

    weights: Format
    inputs: Format
    outputs: Format


def flops(op: Gemm | GroupedGemm) -> float:
    """Useful FLOPs, a multiply-add counted as 2."""
    rows = op.m if isinstance(op, Gemm) else op.tokens * op.top_k
    return 2.0 * rows * op.n * op.k


def tile_rows(rule: KernelRule, m: int) -> int:
    """The rule's tile height for `m` rows: the fewest tiles, then the smallest tile that gives as few."""
    return min(rule.tile_m, key=lambda rows: (ceil(m / rows), rows))


def _expert_tile_rows(rule: KernelRule, tokens: int, mean_rows: float) -> int:
    """The tile height of a grouped GEMM whose experts have `mean_rows` rows each on average."""
    if rule.tile_m_by == "spare_rows":
        return next((rows for rows in sorted(rule.tile_m) if mean_rows < MARLIN_FILL * rows), max(rule.tile_m))
    return tile_rows(rule, tokens if rule.tile_m_by == "tokens" else ceil(mean_rows))


def gemm_kernel(
    op: Gemm,
    name: str,
    rule: KernelRule,
    formats: Formats,
    slots: int,
    *,
    inputs_resident: float,
    split: int | None = None,
) -> Kernel:
    """The kernel of a dense GEMM; `slots` = CTAs that the GPU holds at once (for the choice of K-splits).

    `split`: K-splits, where they are chosen already.
    """
    rows = tile_rows(rule, op.m)
    n, k = _stored(op.n, rule.pad_n), _stored(op.k, rule.pad_k)
    n_m, n_n = ceil(op.m / rows), ceil(n / rule.tile_n)
    depth = min(rule.tile_k, k)
    steps = ceil(k / depth)
    split = min(split, steps) if split else _splits(rule, n_m * n_n, steps, slots)
    per_split = ceil(steps / split)
    weight_bytes = n * k * formats.weights.bits_per_weight / 8
    input_bytes = op.m * op.k * formats.inputs.bits_per_weight / 8
    visits = split * per_split
    operands = (
        Operand("inputs", input_bytes / (n_m * visits), "m", inputs_resident),
        Operand("weights", weight_bytes / (n_n * visits), "n", access=rule.access),
    )
    beyond = (n_m * rows - op.m) / n_m * depth * formats.inputs.bits_per_weight / 8 if rule.fills_rows else 0.0
    stored = op.m * (op.n / 2 if op.is_gated else op.n) * formats.outputs.bits_per_weight / 8
    if split > 1:
        stored = split * op.m * op.n * 4.0
    order = rule.order if rule.order != "short" else "bnm" if n_n > n_m else "bmn"
    grid = Grid(n_m, n_n, split, rule.swizzle if rule.swizzle > 1 else 0, order)
    return _kernel(
        name,
        rule,
        formats,
        tile=(rows, rule.tile_n, depth),
        tiles=n_m * n_n * split,
        steps=per_split,
        grid=grid,
        operands=operands,
        real_rows=op.m / n_m,
        store_bytes=stored / (n_m * n_n * split),
        flops=flops(op),
        fill_bytes=beyond,
    )


def grouped_kernel(
    op: GroupedGemm, name: str, rule: KernelRule, formats: Formats, sms: int, *, inputs_resident: float
) -> Kernel:
    """The kernel of one GEMM per active expert: expected experts and row tiles from the routing's popularity."""
    rows_total = op.tokens * op.top_k
    rows = _expert_tile_rows(rule, op.tokens, rows_total / op.experts)
    routing = route(op.tokens, op.experts, op.top_k, op.skew, rows, op.power)
    n, k = _stored(op.n, rule.pad_n), _stored(op.k, rule.pad_k)
    n_n, steps = ceil(n / rule.tile_n), ceil(k / rule.tile_k)
    per_expert = max(1, round(routing.row_tiles / routing.active))
    experts = routing.row_tiles / per_expert
    tiles = max(1, round(routing.row_tiles * n_n))
    weight_bytes = routing.active * n * k * formats.weights.bits_per_weight / 8
    input_bytes = rows_total * op.k * formats.inputs.bits_per_weight / 8
    operands = (
        Operand("inputs", input_bytes / (routing.row_tiles * steps), "bm", inputs_resident),
        Operand("weights", weight_bytes / (experts * n_n * steps), "bn", access=rule.access),
    )
    grid = Grid(per_expert, n_n, order=rule.order, batches=max(1, round(experts)))
    stored = rows_total * (op.n / 2 if op.is_gated else op.n) * formats.outputs.bits_per_weight / 8
    return _kernel(
        name,
        rule,
        formats,
        tile=(rows, rule.tile_n, rule.tile_k),
        tiles=tiles,
        steps=steps,
        grid=grid,
        operands=operands,
        real_rows=rows_total / routing.row_tiles,
        store_bytes=stored / tiles,
        flops=flops(op),
        groups=op.experts,
        loads=_loads(routing.tiles_of, ceil(op.tokens / rows), n_n, sms) if rule.shares_empty_tiles else (),
    )


def _loads(tiles_of: tuple[float, ...], most: int, columns: int, workers: int) -> Loads:
    """Work of `workers` CTAs that share out `most` tiles per expert and column though an expert has only `tiles_of`.

    Columns are outermost, then experts, then row tiles. Popular experts may have any number: here their ranks are
    spread by the golden ratio. Returns groups of CTAs, most loaded first: (how many, load relative to the mean of all).
    """
    ranks = sorted(range(len(tiles_of)), key=lambda rank: rank * GOLDEN % 1.0)
    real = [tiles_of[rank] for rank in ranks]
    before = [0.0, *accumulate(real)]

    def work_until(place: float) -> float:
        column, within = divmod(place, len(real) * most)
        expert = min(int(within // most), len(real) - 1)
        return column * before[-1] + before[expert] + min(within - expert * most, real[expert])

    share = columns * len(real) * most / workers
    work = sorted((work_until((w + 1) * share) - work_until(w * share) for w in range(workers)), reverse=True)
    ends = [0, *(round(end * workers) for end in accumulate(LOAD_SHARES))]
    groups = [work[start:end] for start, end in pairwise(ends) if end > start]
    return tuple((len(group), round(sum(group) * workers / len(group) / sum(work), 6)) for group in groups)


def _stored(size: int, multiple: int) -> int:
    """A dimension of the weights as the kernel's layout stores it."""
    return ceil(size / multiple) * multiple


def _splits(rule: KernelRule, tiles: int, steps: int, slots: int) -> int:
    """K-splits that fill the GPU once, within what the rule allows."""
    if rule.schedule != "split_k" or tiles >= slots:
        return 1
    return max(1, min(rule.split_limit, slots // tiles, steps // rule.split_steps))


def _kernel(
    name: str,
    rule: KernelRule,
    formats: Formats,
    *,
    tile: tuple[int, int, int],
    tiles: int,
    steps: int,
    grid: Grid,
    operands: tuple[Operand, ...],
    real_rows: float,
    store_bytes: float,
    flops: float,
    loads: Loads = (),
    fill_bytes: float = 0.0,
    groups: int = 0,
) -> Kernel:
    rows, columns, depth = tile
    charged = rows if rule.is_padded else real_rows
    work = [Work(rule.unit, 2.0 * charged * columns * depth, rule.efficiency)]
    if unpacking := rule.alu_flops_per_weight * columns * depth + rule.alu_flops_per_sum * rows * columns:
        work.insert(0, Work("fp32", unpacking))
    return Kernel(
        name=name,
        tiles=tiles,
        n_steps=steps,
        grid=grid,
        operands=operands,
        work=tuple(work),
        stages=rule.stages,
        schedule="persistent" if rule.schedule == "persistent" else "tiles",
        ctas_per_sm=rule.ctas_per_sm,
        store_bytes=store_bytes,
        threads=rule.threads,
        shared_bytes=_shared(rule, formats, tile),
        registers=rule.registers,
        prologue_cycles=rule.prologue_cycles,
        step_cycles=rule.step_cycles,
        first_cycles=rule.first_cycles + rule.group_cycles * groups,
        epilogue_cycles=rule.epilogue_cycles,
        epilogue_bytes=_staged_bytes(rows * columns, grid.splits) if rule.stages_output else 0.0,
        chain_cycles=rule.mma_cycles * depth * MMA_BITS.get(rule.unit, 0) / 8 / MMA_DEPTH_BYTES,
        tile=tile,
        split_k=grid.splits,
        mma=rule.unit,
        flops=flops,
        loads=loads,
        fill_bytes=fill_bytes,
    )


def _staged_bytes(sums: int, splits: int) -> float:
    """What the sums of a tile move through shared memory: written and read as outputs, parts of K read too."""
    return float(SUM_BYTES * sums * (2 + (splits if splits > 1 else 0)))


def _shared(rule: KernelRule, formats: Formats, tile: tuple[int, int, int]) -> int:
    """Shared memory of a CTA: what the rule says, else a tile of each operand per stage."""
    if rule.shared_bytes is not None:
        return rule.shared_bytes
    rows, columns, depth = tile
    bits = rows * formats.inputs.bits_per_weight + columns * formats.weights.bits_per_weight
    return round(rule.stages * depth * bits / 8)
