"""`sparksim kernel`: one op on a runtime's kernels: how long, what it moves, what limits it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from sim.cli.parser import add_plot, add_shared, plot_target

if TYPE_CHECKING:
    from sim.result.kernel_result import KernelResult

HELP = "predict one kernel: how long it takes, what it moves, what limits it"
EXAMPLE = """examples:
  sparksim kernel gemm --dtype bf16 --m 4096 --n 4096 --k 4096
  sparksim kernel attention --dtype bf16 --batch 4 --heads 32 --kv-heads 8 --head-dim 128 --query 1 --context 8192
  sparksim kernel moe --dtype mxfp4 --tokens 64 --hidden 2880 --intermediate 2880 --experts 32 --top-k 4 --plot moe"""
SIZES = {
    "gemm": ("m", "n", "k"),
    "attention": ("batch", "heads", "kv_heads", "head_dim", "query", "context", "window"),
    "moe": ("tokens", "hidden", "intermediate", "experts", "top_k", "skew", "power", "gated"),
    "mla": ("kv_rank", "rope_dim", "nope_dim", "value_dim"),
    "gdn": ("key_heads", "value_heads", "key_dim"),
    "mamba2": ("groups", "state"),
    "all_reduce": ("ranks", "algorithm"),
    "norm, quantize": ("rows", "width"),
    "elementwise": ("elements", "reads", "writes"),
    "copy, all_reduce": ("size",),
}
REAL = frozenset({"skew", "power", "reads", "writes"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument(
        "op", help="gemm, attention, moe, mla, gdn, kda, mamba2, norm, elementwise, quantize, all_reduce or copy"
    )
    parser.add_argument("--hardware", default="dgx-spark", help="machine (default dgx-spark)")
    parser.add_argument("--runtime", default="vllm", help="NAME[@VERSION] whose kernels run it (default vllm)")
    parser.add_argument("--dtype", help="format of the weights; attention: of the KV cache")
    for op, names in SIZES.items():
        group = parser.add_argument_group(f"sizes of {op}")
        for name in names:
            kind = str if name == "algorithm" else float if name in REAL else int
            group.add_argument(f"--{name.replace('_', '-')}", type=kind)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--full", action="store_true", help="simulate every CTA and K-step")
    mode.add_argument("--folded", action="store_true", help="advance steady states in closed form (default)")
    add_plot(parser, "what the CTAs wait for")
    add_shared(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Predict; 0 done."""
    from sim import api  # noqa: PLC0415 - `sparksim --help` need not load the simulator

    target = plot_target(arguments.plot, force=arguments.force) if arguments.plot else None
    shape = {
        name: value for names in SIZES.values() for name in names if (value := getattr(arguments, name)) is not None
    }
    result = api.kernel(
        arguments.op,
        hardware=arguments.hardware,
        runtime=arguments.runtime,
        dtype=arguments.dtype,
        set=arguments.set,
        spec_dirs=tuple(arguments.spec_dir),
        is_full=arguments.full,
        has_lanes=target is not None,
        **shape,
    )
    if not arguments.quiet:
        for note in result.warnings:
            print(f"note: {note}", file=sys.stderr)
    print(json.dumps(result.to_dict(), indent=2, allow_nan=False) if arguments.json else text(result))
    if target is not None:
        from sim.plot import draw_kernel  # noqa: PLC0415 - matplotlib is slow to load

        written = ", ".join(str(path) for path in draw_kernel(result, target))
        if not arguments.quiet:
            print(f"wrote {written}", file=sys.stderr)
    return 0


def text(result: KernelResult) -> str:
    """What a person reads."""
    from sim.units import format_quantity  # noqa: PLC0415

    longest, data = result.longest, result.to_dict()
    tile = " x ".join(str(size) for size in longest.tile)
    shape = ", ".join(
        f"{name} {value if isinstance(value, str) else f'{value:,.12g}'}" for name, value in result.shape.items()
    )
    where = f"{result.runtime}@{result.runtime_version} on {result.hardware} at {result.clock_hz / 1e6:,.0f} MHz"
    lines = [
        f"{result.op} {result.dtype}: {shape}; {where}",
        "",
        _row("takes", format_quantity(result.duration_s, "s"), f"and {format_quantity(result.launch_s, 's')} of "
             f"kernel boundaries, {len(result.launches)} launch{'es' if len(result.launches) > 1 else ''}"),
        *(_grid(result, tile) if longest.mma else [_row("way", longest.kernel, "")]),
        _row("memory", f"{data['achieved']['dram_bytes_per_s'] / 1e9:,.0f} GB/s",
             f"of {result.sustained_bytes_per_s / 1e9:,.0f} sustained; {result.bytes['dram'] / 1e6:,.1f} MB"),
        _row("L2", f"{data['achieved']['l2_bytes_per_s'] / 1e9:,.0f} GB/s", f"{result.bytes['l2'] / 1e6:,.1f} MB"),
        "",
        _limits(result),
    ]  # fmt: skip
    if len(result.launches) > 1:
        lines += ["", "launches"]
        lines += [_row(one.site, format_quantity(one.duration_ps / 1e12, "s"), one.kernel) for one in result.launches]
    return "\n".join(lines)


def _grid(result: KernelResult, tile: str) -> list[str]:
    """The kernel and its CTAs."""
    longest, achieved = result.longest, result.to_dict()["achieved"]["flops_per_s"]
    made_of = f"tile {tile} on {longest.mma}, {longest.stages} stages, split-K {longest.split_k}"
    held = f"{longest.waves:.2f} waves, {longest.occupancy} per SM at once"
    return [
        _row("kernel", longest.kernel, made_of),
        _row("grid", f"{longest.ctas:,} CTAs", held),
        _row("computes", f"{achieved / 1e12:.1f} TFLOP/s", _peak(result)),
    ]


def _row(name: str, value: str, more: str) -> str:
    return f"  {name:<16}{value:>18}   {more}".rstrip()


def _peak(result: KernelResult) -> str:
    peak = result.peaks.get(result.longest.mma)
    if not peak or not result.flops:
        return ""
    share = result.flops / result.duration_s / peak
    return f"{share:.0%} of the {peak / 1e12:,.1f} of {result.longest.mma}"


def _limits(result: KernelResult) -> str:
    """A sentence: what limits it and by how much, then the other causes."""
    from sim.result.words import WORDS  # noqa: PLC0415 - loaded only for text

    causes: list[tuple[str, Any]] = sorted(result.causes.items(), key=lambda item: (-item[1], item[0]))
    if not causes:
        return "limited by nothing: it takes no time"
    first, share = causes[0]
    rest = ", ".join(f"{_word(cause, WORDS)} {part:.0%}" for cause, part in causes[1:5] if part >= 0.03)
    return f"limited by {result.bound} ({result.bound_share[result.bound]:.0%}): {_word(first, WORDS)} {share:.0%}" + (
        f", then {rest}" if rest else ""
    )


def _word(cause: str, words: dict[str, str]) -> str:
    return "memory" if cause == "dram" else "latency" if cause == "dependency" else words[cause]
