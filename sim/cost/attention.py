"""Attention as CTA programs: prefill over query tiles, decode split over the keys.

A CTA holds a tile of queries (with grouped-query packing: the query heads of one KV head together) and walks the keys
it may see, one tile per K-step: QK^T, softmax on the CUDA cores, PV. FLOPs per score: 2 x (head size + value size).
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log2, sqrt

from sim.cost.program import Grid, Kernel, Operand, Work
from sim.cost.tile_order import Shares, in_order
from sim.workload.op import Attention
from sim.workload.quant import Format
from sim.workload.runtime import KernelRule

KINDS = 4
EVEN_TILES = 64
AGAIN = "again"
"""The operand that comes from L2, where another of this kernel, or an earlier K-step, has just read it."""
SPLIT_KEYS = 64
"""Keys of a page, at which a split over the keys may begin."""


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
    return 1.0 * op.batch / op.shared_by * op.kv_heads * op.cached * seen * kv.bits_per_weight / 8


def is_split(op: Attention, rule: KernelRule) -> bool:
    """Whether the library takes the variant that splits keys at all, however few there are."""
    return not rule.split_units or op.batch * op.kv_heads <= rule.split_units


def prefill_kernel(
    op: Attention, name: str, rule: KernelRule, kv: Format, act: Format, sms: int, *, inputs_resident: float
) -> Kernel:
    """Query tiles x KV heads (or heads) x sequences; causal, so later tiles walk more keys.

    With `split_per_sm` keys are split too while tiles are fewer than CTAs; parts behind a tile's last key end at once.
    """
    packed = _packed(op, rule)
    head_groups = op.heads // packed
    rows, rule = _tile(rule, op.query * packed)
    n_q, split, seen = _parts(op, rule, rows, packed, sms)
    lengths = [end - start for start, end in seen]
    steps = [_steps_of(rule, start, end) for start, end in seen]
    tiles = n_q * split * head_groups * op.batch
    kv_bytes = op.cached * kv.bits_per_weight / 8 * sum(lengths) / sum(steps)
    query_bytes = op.query * op.heads * op.head_dim * op.batch * act.bits_per_weight / 8
    mean_steps = sum(steps) / len(steps)
    is_uniform = rule.schedule == "persistent" or len(set(steps)) == 1
    shares: Shares = ()
    if rule.launch_order != "longest" and not is_uniform and tiles <= EVEN_TILES * sms:
        is_outside = rule.launch_order == "tiles_outside"
        shares = in_order(steps, head_groups * op.batch, sms, max(1, rule.ctas_per_sm), is_outside=is_outside)
    operands = (
        Operand("inputs", split * query_bytes / (tiles * mean_steps), "bm", inputs_resident),
        Operand("kv", kv_bytes, "b", shared_by=head_groups // op.kv_heads, panel_walks=_walks(seen, split)),
        *_again(op, rule, op.query * packed / n_q, mean_steps, kv, act),
    )
    stored = query_bytes / (n_q * head_groups * op.batch) * op.values / op.head_dim
    shape = Kernel(
        name=name,
        tiles=tiles,
        n_steps=max(1, round(mean_steps)),
        grid=Grid(n_q, 1, split, batches=head_groups * op.batch),
        operands=operands,
        work=_work(op, rule, rows, kv, act),
        schedule="persistent" if rule.schedule == "persistent" else "tiles",
        kinds=() if is_uniform or shares else _kinds(steps, head_groups * op.batch, sms),
        shares=shares,
        store_bytes=stored if split == 1 else stored * rule.part_bytes / 2,
        shared_bytes=_shared(op, rule, max(kv.bits_per_weight, act.bits_per_weight), rows),
        tile=(rows, rule.tile_n, op.head_dim),
        split_k=split,
    )
    if shares:  # groups of SMs keep every K-step, but not the number of tiles: what is stored is spread over theirs
        shape = replace(shape, store_bytes=shape.store_bytes * tiles / shape.stored_tiles)
    return _timed(shape, op, rule)


def decode_kernel(
    op: Attention, name: str, rule: KernelRule, kv: Format, act: Format, slots: int, *, inputs_resident: float
) -> Kernel:
    """One query per sequence: the keys of each (sequence, KV head) are split over CTAs to fill the GPU."""
    packed = _packed(op, rule)
    rows, rule = _tile(rule, packed)
    parts = rule.output_parts
    units = op.batch * op.heads // packed * parts
    keys = op.context if op.window is None else min(op.context, op.window)
    all_steps = max(1, ceil(keys / rule.tile_n))
    wanted = max(1, min(rule.split_limit, _wanted_splits(op, rule, units, keys, slots)))
    split = max(1, min(wanted, all_steps // rule.split_steps))
    steps = ceil(all_steps / split)
    launched = max(split, _launched(op, rule, wanted))
    idle = units * (launched - split)
    kv_total = 1.0 * keys * op.cached * kv.bits_per_weight / 8
    query_bytes = packed * op.head_dim * act.bits_per_weight / 8
    readers = op.shared_by * (op.heads // packed // op.kv_heads) * parts
    operands = (
        Operand("inputs", query_bytes / steps, "b", inputs_resident),
        Operand("kv", kv_total / (split * steps), "b", access=rule.access, shared_by=readers),
        *_again(op, rule, packed, steps, kv, act),
    )
    out_bytes = query_bytes * op.values / op.head_dim / parts
    stored = out_bytes if split == 1 else packed * (op.values / parts + 2) * rule.part_bytes
    shape = Kernel(
        name=name,
        tiles=units * split + idle,
        n_steps=steps,
        grid=Grid(1, 1, split, batches=units),
        operands=operands,
        work=_work(op, rule, rows, kv, act),
        kinds=((units * split, steps), (idle, 0)) if idle else (),
        store_bytes=stored * units * split / (units * split + idle),
        shared_bytes=_shared(op, rule, max(kv.bits_per_weight, act.bits_per_weight), rows),
        tile=(rows, rule.tile_n, op.head_dim),
        split_k=launched if rule.split_keys else split,
    )
    return _timed(shape, op, rule)


def _again(
    op: Attention, rule: KernelRule, queries: float, steps: float, kv: Format, act: Format
) -> tuple[Operand, ...]:
    """What a K-step fetches besides, all from L2: queries that shared memory does not keep, latents as values.

    `queries`: rows that a CTA has, of `steps` K-steps; its first step's queries are the operand `inputs`.
    """
    n_bytes = 0.0
    if rule.reloads_queries:
        multiplied = kv if rule.unit == kv.name else act
        n_bytes += queries * op.head_dim * multiplied.bits_per_weight / 8 * (steps - 1) / steps
    if rule.rereads_values and op.is_latent:
        n_bytes += rule.tile_n * op.values / rule.output_parts * kv.bits_per_weight / 8
    return (Operand(AGAIN, n_bytes, "bm", 1.0),) if n_bytes else ()


def _launched(op: Attention, rule: KernelRule, wanted: int) -> int:
    """Parts of the keys that have a CTA, whether there are keys for it or not."""
    if not rule.split_all or not is_split(op, rule):
        return 1
    return wanted if rule.split_keys else rule.split_limit


def _wanted_splits(op: Attention, rule: KernelRule, units: int, keys: int, slots: int) -> int:
    """KV splits that the library would like where `units` CTAs take all keys, whatever its limits."""
    if rule.splits_by_length:
        return ceil(slots * max(1.0, log2(keys / SPLIT_KEYS)) / units)
    if rule.split_units:
        return rule.split_limit if is_split(op, rule) else 1
    if not rule.split_per_sm:
        return ceil(slots / units) if units < slots else 1
    wanted = rule.split_per_sm * slots // units
    if rule.split_keys:
        by_keys = (op.context if rule.split_all else keys) // rule.split_keys
        wanted = min(wanted, by_keys, round(sqrt(rule.split_root * by_keys)) if rule.split_root else by_keys)
    return wanted


def _tile(rule: KernelRule, rows: int) -> tuple[int, KernelRule]:
    """Rows of a CTA's tile (the fewest tiles, then the smallest), and the rule with what it says of that tile."""
    if not rule.variants:
        return min(rule.tile_m, key=lambda r: (ceil(rows / r), r)), rule
    one = min(rule.variants, key=lambda v: (ceil(rows / v.m), v.m))
    given = {name: getattr(one, name) for name in ("stages", "ctas_per_sm", "threads", "step_cycles")}
    given |= {"tile_n": one.n, "alu_flops_per_weight": one.alu_flops_per_weight}
    return one.m, rule.model_copy(update={name: value for name, value in given.items() if value is not None})


def _timed(shape: Kernel, op: Attention, rule: KernelRule) -> Kernel:
    """The kernel with what its rule says of every CTA."""
    return replace(
        _in_parts(shape, rule.step_parts),
        stages=rule.stages,
        threads=rule.threads,
        registers=rule.registers,
        ctas_per_sm=rule.ctas_per_sm,
        prologue_cycles=rule.prologue_cycles,
        step_cycles=rule.step_cycles,
        epilogue_cycles=rule.epilogue_cycles,
        first_cycles=rule.first_cycles,
        mma=rule.unit,
        flops=flops(op),
    )


def _in_parts(shape: Kernel, parts: int) -> Kernel:
    """The kernel with each of its K-steps cut into `parts` equal ones."""
    if parts == 1:
        return shape
    return replace(
        shape,
        n_steps=shape.n_steps * parts,
        operands=tuple(replace(one, step_bytes=one.step_bytes / parts) for one in shape.operands),
        work=tuple(replace(one, flops=one.flops / parts) for one in shape.work),
        kinds=tuple((count, steps * parts) for count, steps in shape.kinds),
        shares=tuple((count, tuple(steps * parts for steps in each)) for count, each in shape.shares),
    )


def _parts(op: Attention, rule: KernelRule, rows: int, packed: int, sms: int) -> tuple[int, int, list[tuple[int, int]]]:
    """Tiles of queries, parts of the keys, and the keys [start, end) that each part of each tile has.

    Where a prefill splits keys (FlashInfer's PrefillSplitQOKVIndptr), into as many parts as fit `split_per_sm`.
    """
    queries = rows / packed if rule.splits_groups else max(1, rows // packed)
    n_q = ceil(op.query / queries)
    tiles = [_keys_seen(op, int(i * queries), min(op.query, ceil((i + 1) * queries))) for i in range(n_q)]
    most = rule.split_per_sm * sms // (op.heads // packed) // (op.batch * n_q)
    if most <= 1:
        return n_q, 1, tiles
    seen = op.context if op.window is None else min(op.context, op.window + op.query)
    least = rule.split_keys or rule.split_steps * rule.tile_n
    part = max(least, ceil(seen / most / SPLIT_KEYS) * SPLIT_KEYS)
    split = ceil(seen / part)
    return n_q, split, [piece for tile in tiles for piece in _pieces(tile, part, split)]


def _walks(seen: list[tuple[int, int]], split: int) -> float:
    """Keys that all tiles together see, over those of a mean tile; parts of a split have panels of their own."""
    keys = max(end for _, end in seen) - min(start for start, _ in seen)
    return keys * len(seen) / sum(end - start for start, end in seen) if split == 1 else 1.0


def _steps_of(rule: KernelRule, start: int, end: int) -> int:
    """K-steps over the keys [start, end); those before a window count where they are walked too."""
    steps = _steps(start if rule.is_aligned else 0, end if rule.is_aligned else end - start, rule.tile_n)
    return steps + round(rule.skip_share * start / rule.tile_n) if rule.skip_share else steps


def _pieces(seen: tuple[int, int], part: int, split: int) -> list[tuple[int, int]]:
    """The keys that each of `split` parts of `part` keys has of those seen, [start, end); empty ones included."""
    start, end = seen
    first = start - start % part if split > 1 else start
    if split == 1:
        return [seen]
    bounds = [(first + number * part, first + (number + 1) * part) for number in range(split)]
    return [(min(max(low, start), end), min(high, end)) if high > start else (start, start) for low, high in bounds]


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
    """Tiles by their number of K-steps, longest first, keeping the sum of K-steps but for rounding.

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
    sizes = (2 ** ceil(log2(op.head_dim)), 2 ** ceil(log2(op.values))) if rule.pads_heads else (op.head_dim, op.values)
    work = [Work(rule.unit, 2.0 * pairs * (sizes[0] + sizes[1] / rule.output_parts), rule.efficiency)]
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
