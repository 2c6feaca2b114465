"""Attention as CTA programs: prefill over query tiles, decode split over the keys.

A CTA holds a tile of queries (with grouped-query packing: the query heads of one KV head together) and walks the keys
it may see, one tile per K-step: QK^T, softmax on the CUDA cores, PV. FLOPs per score: 2 x (head size + value size).
"""

from __future__ import annotations

from math import ceil

from sim.cost.program import Grid, Kernel, Operand, Work
from sim.workload.op import Attention
from sim.workload.quant import Format
from sim.workload.runtime import KernelRule

KINDS = 4
EVEN_TILES = 64


def scores(op: Attention) -> float:
    """Query-key pairs that are not masked, per query head and sequence."""
    first = op.context - op.query + 1
    if op.window is None:
        return op.query * (first + op.context) / 2
    ramp = max(0, min(op.query, op.window - first + 1))
    return ramp * (2 * first + ramp - 1) / 2 + (op.query - ramp) * op.window


def flops(op: Attention) -> float:
    """Useful FLOPs: QK^T and PV over unmasked scores."""
    return 2.0 * op.batch * op.heads * (op.head_dim + op.values) * scores(op)


def kv_bytes(op: Attention, kv: Format) -> float:
    """Bytes of keys and values that the op has to see at least once."""
    seen = op.context if op.window is None else min(op.context, op.window + op.query - 1)
    return 1.0 * op.batch * op.kv_heads * op.cached * seen * kv.bits_per_weight / 8


def prefill_kernel(
    op: Attention, name: str, rule: KernelRule, kv: Format, act: Format, sms: int, *, inputs_resident: bool
) -> Kernel:
    """Query tiles x KV heads (or heads) x sequences; causal, so later tiles walk more keys."""
    packed = _packed(op, rule)
    head_groups = op.heads // packed
    rows = min(rule.tile_m, key=lambda r: (ceil(op.query * packed / r), r))
    queries = max(1, rows // packed)
    n_q = ceil(op.query / queries)
    tiles_seen = [_keys_seen(op, i * queries, min(op.query, (i + 1) * queries)) for i in range(n_q)]
    lengths = [end - start for start, end in tiles_seen]
    steps = [
        _steps(start if rule.is_aligned else 0, end if rule.is_aligned else end - start, rule.tile_n)
        for start, end in tiles_seen
    ]
    tiles = n_q * head_groups * op.batch
    kv_step = 1.0 * rule.tile_n * op.cached * kv.bits_per_weight / 8
    query_bytes = op.query * op.heads * op.head_dim * op.batch * act.bits_per_weight / 8
    mean_steps = sum(steps) / n_q
    is_uniform = rule.schedule == "persistent" or len(set(steps)) == 1
    operands = (
        Operand("inputs", query_bytes / (tiles * mean_steps), "bm", inputs_resident),
        Operand("kv", kv_step * sum(lengths) / (sum(steps) * rule.tile_n), "b", shared_by=head_groups // op.kv_heads),
    )
    return Kernel(
        name=name,
        tiles=tiles,
        n_steps=max(1, round(mean_steps)),
        grid=Grid(n_q, batches=head_groups * op.batch),
        operands=operands,
        work=_work(op, rule, rows, kv, act),
        stages=rule.stages,
        schedule="persistent" if rule.schedule == "persistent" else "tiles",
        kinds=() if is_uniform else _kinds(steps, head_groups * op.batch, sms),
        store_bytes=query_bytes / tiles * op.values / op.head_dim,
        threads=rule.threads,
        shared_bytes=_shared(op, rule, max(kv.bits_per_weight, act.bits_per_weight), rows),
        registers=rule.registers,
        ctas_per_sm=rule.ctas_per_sm,
        prologue_cycles=rule.prologue_cycles,
        step_cycles=rule.step_cycles,
        epilogue_cycles=rule.epilogue_cycles,
        first_cycles=rule.first_cycles,
        tile=(rows, rule.tile_n, op.head_dim),
        mma=rule.unit,
        flops=flops(op),
    )


def decode_kernel(
    op: Attention, name: str, rule: KernelRule, kv: Format, act: Format, slots: int, *, inputs_resident: bool
) -> Kernel:
    """One query per sequence: the keys of each (sequence, KV head) are split over CTAs to fill the GPU."""
    packed = _packed(op, rule)
    units = op.batch * op.heads // packed
    keys = op.context if op.window is None else min(op.context, op.window)
    all_steps = max(1, ceil(keys / rule.tile_n))
    wanted = rule.split_per_sm * slots // units if rule.split_per_sm else ceil(slots / units) if units < slots else 1
    split = max(1, min(rule.split_limit, wanted, all_steps // rule.split_steps))
    steps = ceil(all_steps / split)
    kv_total = 1.0 * keys * op.cached * kv.bits_per_weight / 8
    query_bytes = packed * op.head_dim * act.bits_per_weight / 8
    operands = (
        Operand("inputs", query_bytes / steps, "b", inputs_resident),
        Operand("kv", kv_total / (split * steps), "b", access=rule.access, shared_by=op.heads // packed // op.kv_heads),
    )
    rows = min(rule.tile_m, key=lambda r: (ceil(packed / r), r))
    out_bytes = query_bytes * op.values / op.head_dim
    stored = out_bytes if split == 1 else packed * (op.values + 2) * 4.0
    return Kernel(
        name=name,
        tiles=units * split,
        n_steps=steps,
        grid=Grid(1, 1, split, batches=units),
        operands=operands,
        work=_work(op, rule, rows, kv, act),
        stages=rule.stages,
        store_bytes=stored,
        threads=rule.threads,
        shared_bytes=_shared(op, rule, max(kv.bits_per_weight, act.bits_per_weight), rows),
        registers=rule.registers,
        ctas_per_sm=rule.ctas_per_sm,
        prologue_cycles=rule.prologue_cycles,
        step_cycles=rule.step_cycles,
        epilogue_cycles=rule.epilogue_cycles,
        first_cycles=rule.first_cycles,
        tile=(rows, rule.tile_n, op.head_dim),
        split_k=split,
        mma=rule.unit,
        flops=flops(op),
    )


def _packed(op: Attention, rule: KernelRule) -> int:
    """Query heads that one CTA takes together, so that they share their KV tiles."""
    shared = op.heads // op.kv_heads
    return max((pack for pack in rule.gqa_packs if shared % pack == 0), default=1) if rule.gqa_packs else shared


def _steps(start: int, end: int, tile_n: int) -> int:
    """Tiles of keys, beginning at multiples of `tile_n`, that hold the keys [start, end)."""
    return max(1, ceil(end / tile_n) - start // tile_n)


def _keys_seen(op: Attention, first_query: int, end_query: int) -> tuple[int, int]:
    """The keys [start, end) that the queries [first_query, end_query) of a sequence see together."""
    end = op.context - op.query + end_query
    start = 0 if op.window is None else max(0, op.context - op.query + first_query - op.window + 1)
    return start, end


def _kinds(steps: list[int], per_tile: int, sms: int) -> tuple[tuple[int, int], ...]:
    """Tiles by their number of K-steps, longest first, keeping the sum of K-steps.

    At most `KINDS` lengths; only the mean length (rounded up and down) where an SM takes so many tiles that their
    lengths even out.
    """
    if len(steps) * per_tile > EVEN_TILES * sms:
        total = sum(steps) * per_tile
        whole, more = divmod(total, len(steps) * per_tile)
        kinds = [(more, whole + 1), (len(steps) * per_tile - more, whole)]
        return tuple((count, length) for count, length in kinds if count and length)
    ordered = sorted(steps, reverse=True)
    size = max(1, ceil(len(ordered) / KINDS))
    parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return tuple((len(part) * per_tile, max(1, round(sum(part) / len(part)))) for part in parts)


def _work(op: Attention, rule: KernelRule, rows: int, kv: Format, act: Format) -> tuple[Work, ...]:
    pairs = rows * rule.tile_n
    work = [Work(rule.unit, 2.0 * pairs * (op.head_dim + op.values), rule.efficiency)]
    alu = rule.alu_flops_per_score * pairs
    if kv.bits_per_weight < act.bits_per_weight:
        alu += rule.alu_flops_per_weight * rule.tile_n * op.cached
    if alu:
        work.append(Work("fp32", alu))
    return tuple(work)


def _shared(op: Attention, rule: KernelRule, bits: float, rows: int) -> int:
    """Shared memory of a CTA; matrix units read keys and values in their own format, whatever the cache has."""
    if rule.shared_bytes is not None:
        return rule.shared_bytes
    tile = rule.stages * rule.tile_n * op.cached * bits / 8
    return round(tile + rows * op.head_dim * 2)
