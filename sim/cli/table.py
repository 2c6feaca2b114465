"""A result as a person reads it; ends with what limits each phase."""

from __future__ import annotations

from sim.result.run_result import RunResult
from sim.units import format_quantity

WORDS = {
    "dram": "LPDDR5X",
    "l2": "L2",
    "translation": "address translation",
    "c2c": "the die-to-die link",
    "pcie": "PCI Express",
    "nic": "the NIC",
    "tensor": "tensor cores",
    "cuda": "CUDA cores",
    "wave_tail": "wave tails",
    "pipeline_fill": "pipelines filling",
    "dependency": "latency and kernel boundaries",
    "launch": "launches",
    "step": "host work between steps",
    "nvme": "the SSD",
}


def print_result(result: RunResult) -> None:
    """The table on stdout."""
    me, summary = result.identity, result.summary()
    if me.model:
        print(f"{me.model} ({me.quant}, KV {me.kv_dtype}) on {me.hardware}, {me.runtime}@{me.runtime_version}")
        print(f"batch {me.batch}, prompt {me.prompt_tokens}, depth {me.context_depth}, output {me.output_tokens}")
    else:
        print(f"{result.workload.name} on {me.hardware}, {me.runtime}@{me.runtime_version}")
    _print_rates(summary)
    memory = result.memory
    if memory:
        print(
            f"  memory      {memory.needed_bytes / 1e9:8.1f} GB of {memory.available_bytes / 1e9:.1f} GB available"
            f" (weights {memory.weights_bytes / 1e9:.1f}, KV {memory.kv_cache_bytes / 1e9:.1f})"
        )
        if not memory.fits:
            print(f"Does not fit: {memory.short_bytes / 1e9:.1f} GB short. Would fit: {memory.would_fit}.")
    for name, phase in summary["phases"].items():
        print(f"{name}: {_limits(phase, me.sustained_bytes_per_s)}")


def _print_rates(summary: dict) -> None:  # type: ignore[type-arg]
    lines = (
        ("prefill", "prefill_tok_s", "tok/s"),
        ("ttft", "ttft_s", "s"),
        ("decode", "decode_tok_s", "tok/s"),
        ("tpot", "tpot_s", "s"),
        ("e2e", "e2e_s", "s"),
    )
    for label, key, unit in lines:
        value = summary[key]
        if value is not None:
            shown = f"{value:12.1f} tok/s" if unit == "tok/s" else f"{format_quantity(value, 's'):>14}"
            print(f"  {label:<10}{shown}")
    for name, phase in summary["phases"].items():
        if summary["model"] is None:
            print(f"  {name:<10}{format_quantity(phase['time_s'], 's'):>14}")


def _limits(phase: dict, sustained: float) -> str:  # type: ignore[type-arg]
    """What limits a phase, in a sentence."""
    causes = sorted(phase["causes"].items(), key=lambda item: -item[1])
    parts = [f"{WORDS[cause]} {share:.0%}" for cause, share in causes if share >= 0.03][:4]
    rate = phase["dram"]["achieved_bytes_per_s"] / 1e9
    return (
        f"bound by {phase['bound']} ({', '.join(parts)}); memory at {rate:.0f} of {sustained / 1e9:.0f} GB/s sustained"
    )
