"""Linear recurrences with a state (gated delta net, Kimi delta attention, Mamba2) as CTA programs.

A CTA holds a slice of one head's state: all its rows and `tile_n` of its columns. Decode reads the slice, updates it
and writes it back. Prefill reads it once and walks the tokens in chunks of `tile_k`, one K-step each, because a chunk
needs the state that the one before it left: few CTAs, many steps. The products inside of a chunk do not depend on the
state; they are launches of their own (site `linear_chunk`).
"""

from __future__ import annotations

from math import ceil

from sim.cost.program import Grid, Kernel, Operand, Work
from sim.workload.op import Scan
from sim.workload.quant import Format
from sim.workload.runtime import KernelRule


def flops(op: Scan) -> float:
    """Decay, outer product, read-out, and for the delta rule what the state says of the key: per element and token."""
    per_element = 7.0 if op.is_delta else 5.0
    return per_element * op.batch * op.heads * op.key_dim * op.value_dim * op.query


def state_bytes(op: Scan, state: Format) -> float:
    """Bytes of all states, once."""
    return op.batch * op.heads * op.key_dim * op.value_dim * state.bits_per_weight / 8


def input_bytes(op: Scan, act: Format) -> float:
    """Bytes of queries, keys and values, and of the gates where each row of a state has its own (f32)."""
    keys = op.batch * op.query * op.key_heads * op.key_dim
    values = op.batch * op.query * op.heads * op.value_dim
    gates = 4.0 * keys if op.has_channel_decay else 0.0
    return (2 * keys + values) * act.bits_per_weight / 8 + gates


def _work(op: Scan, rule: KernelRule) -> float:
    """FLOPs of the pass on `rule.unit`: token by token on CUDA cores, with a wait each; on matrix units by chunks.

    A chunk of the delta rule is two products with the state, what it says of the keys and what new values change in it:
    4 per element and token.
    """
    if op.is_delta and rule.unit != "fp32":
        return 4.0 * op.batch * op.heads * op.key_dim * op.value_dim * op.query
    return flops(op)


def scan_kernel(op: Scan, name: str, rule: KernelRule, state: Format, act: Format, *, inputs_resident: float) -> Kernel:
    """The pass over the states: a CTA per head and slice of its columns, a K-step per chunk of tokens."""
    columns = ceil(op.value_dim / rule.tile_n)
    tiles = op.batch * op.heads * columns
    chunk = min(rule.tile_k, op.query)
    steps = ceil(op.query / chunk)
    per_step = tiles * steps
    once = state_bytes(op, state)
    return Kernel(
        name=name,
        tiles=tiles,
        n_steps=steps,
        grid=Grid(1, columns, batches=op.batch * op.heads),
        operands=(
            Operand("inputs", input_bytes(op, act) / per_step, "bn", inputs_resident),
            Operand("state", once / per_step, "bn"),
        ),
        work=(Work(rule.unit, _work(op, rule) / per_step, rule.efficiency),),
        stages=rule.stages,
        store_bytes=(
            once * (rule.state_bytes or state.bits_per_weight / 8) * 8 / state.bits_per_weight
            + op.batch * op.query * op.heads * op.value_dim * act.bits_per_weight / 8
        )
        / tiles,
        threads=rule.threads,
        shared_bytes=rule.shared_bytes or 0,
        registers=rule.registers,
        ctas_per_sm=rule.ctas_per_sm,
        prologue_cycles=rule.prologue_cycles,
        step_cycles=rule.step_cycles * (chunk if rule.unit == "fp32" else 1),
        epilogue_cycles=rule.epilogue_cycles,
        first_cycles=rule.first_cycles,
        tile=(chunk, rule.tile_n, op.key_dim),
        mma=rule.unit,
        flops=flops(op),
    )
