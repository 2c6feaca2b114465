"""The ops of a model's forward passes, as a runtime launches them: what `show models NAME --graph` draws."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sim.system.text_table import text_table
from sim.workload.graph import Step
from sim.workload.lower import Pass, build_step
from sim.workload.model import ModelSpec
from sim.workload.op import Attention, Elementwise, Gemm, GroupedGemm, Op, Scan
from sim.workload.quant import QuantRecipe
from sim.workload.runtime import RuntimeSpec
from sim.workload.sites import FAMILY_SITES, SITES

CONTEXT = 2048


def op_graph(model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec) -> list[dict[str, Any]]:
    """Prefill and decode of one sequence at 2,048 tokens: steps of blocks (`repeat`: so many equal layers) of ops."""
    query = min(CONTEXT, round(runtime.ubatch_tokens))
    passes = {"prefill": Pass(1, query, CONTEXT, 1), "decode": Pass(1, 1, CONTEXT, 1)}
    steps = {name: build_step(model, quant, runtime, one, runtime.kv_dtype, name, 1.0) for name, one in passes.items()}
    return [
        {"phase": name, "tokens": step.tokens, "context": step.context, "blocks": _blocks(step)}
        for name, step in steps.items()
    ]


def _blocks(step: Step) -> list[dict[str, Any]]:
    return [
        {"repeat": block.repeat, "ops": [{"op": op.kind, "shape": shape(op), **asdict(op)} for op in block.ops]}
        for block in step.blocks
    ]


def shape(op: Op) -> str:
    """The sizes of an op in one short text."""
    if isinstance(op, Gemm):
        return f"({op.m} x {op.k}) ({op.k} x {op.n}) {op.dtype}"
    if isinstance(op, GroupedGemm):
        return f"{op.tokens} tokens x {op.top_k} of {op.experts} experts, ({op.k} x {op.n}) {op.dtype}"
    if isinstance(op, Attention):
        window = f", window {op.window}" if op.window else ""
        heads = f"{op.heads}/{op.kv_heads} heads of {op.head_dim}"
        return f"{op.batch} x {op.query} queries, {op.context} keys{window}, {heads}, KV {op.kv_dtype}"
    if isinstance(op, Scan):
        return f"{op.batch} x {op.query} tokens, {op.heads}/{op.key_heads} heads, state {op.key_dim} x {op.value_dim}"
    if isinstance(op, Elementwise):
        return f"{op.elements:,} elements, {op.read_bytes or 0:,} B in, {op.write_bytes or 0:,} B out"
    return ""


def graph_text(steps: list[dict[str, Any]], width: int) -> list[str]:
    """The graph as lines: each op with its shape and the ops that it waits for."""
    lines = []
    for step in steps:
        lines.append(f"{step['phase']}: {step['tokens']:,} tokens of one sequence, {step['context']:,} keys at the end")
        for block in step["blocks"]:
            times = f"{block['repeat']} times" if block["repeat"] > 1 else "once"
            lines.append(f"  {times}")
            rows = [
                (op["id"], op["op"], op["shape"], f"after {', '.join(op['after'])}" if op["after"] else "")
                for op in block["ops"]
            ]
            lines += text_table(rows, width, "    ")
    places = {**SITES, **FAMILY_SITES}
    sites = {op["site"] for step in steps for block in step["blocks"] for op in block["ops"]}
    lines.append("element-wise places:")
    return lines + text_table([(site, places[site]) for site in places if site in sites], width, "    ")
