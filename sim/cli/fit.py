"""`sparksim fit`: what fits: a model, its quantisations, how long, how many, and which models side by side."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.load import unused
from sim.cli.parser import add_model, add_plot, add_shared, plot_target
from sim.errors import InputError, Problem

if TYPE_CHECKING:
    from sim.result.fit_result import FitResult, ModelFit

HELP = "say what fits in memory: context, batch, quantisation, models side by side"
EXAMPLE = """Exit code 0: it fits; 3: it does not. A verdict within 3 % of the capacity is said to be marginal.
--beside MODEL[,KEY=VALUE...] puts another model on the machine; what it does not say is as for the first.

examples:
  sparksim fit --model llama-3.1-70b --runtime vllm
  sparksim fit --model qwen3-32b --runtime vllm --quant fp8 --batch 16 --prompt 30000
  sparksim fit --model gpt-oss-120b --runtime llama.cpp --plot fits
  sparksim fit --model gpt-oss-120b --runtime llama.cpp --beside qwen3-4b,quant=fp8,runtime=vllm"""
ARGUMENTS = ("file", "model", "runtime", "hardware", "quant", "kv_dtype", "batch", "prompt", "depth", "output")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument("file", nargs="?", help="a scenario of kind run: path or name")
    add_model(parser)
    parser.add_argument(
        "--beside", action="append", default=[], metavar="MODEL[,KEY=VALUE...]", help="another model (repeatable)"
    )
    parser.add_argument("--out", metavar="DIR", help="write summary and picture into DIR")
    add_plot(parser, "what fits")
    add_shared(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Fit; 0 it does, 3 it does not."""
    from sim import questions  # noqa: PLC0415 - `sparksim --help` need not load the simulator

    target = plot_target(arguments.plot, force=arguments.force) if arguments.plot else None
    if arguments.force and target is None and not arguments.out:
        raise InputError(Problem("goes with --plot or --out", "usage", path="--force"))
    if arguments.out:
        from sim.result.export import check_target  # noqa: PLC0415

        check_target(Path(arguments.out), force=arguments.force)
    given: dict[str, Any] = {name: getattr(arguments, name) for name in ARGUMENTS}
    result = questions.fit(**given, beside=arguments.beside, set=arguments.set, spec_dirs=tuple(arguments.spec_dir))
    if not arguments.quiet:
        for note in (*result.warnings, *unused(arguments)):
            print(f"note: {note}", file=sys.stderr)
    print(json.dumps(result.to_dict(), indent=2, allow_nan=False) if arguments.json else text(result))
    if target is not None:
        from sim.plot import draw_fit  # noqa: PLC0415 - matplotlib is slow to load

        written = ", ".join(str(path) for path in draw_fit(result, target))
        if not arguments.quiet:
            print(f"wrote {written}", file=sys.stderr)
    if arguments.out:
        result.write(arguments.out, force=arguments.force)
    return 0 if result.fits else 3


def text(result: FitResult) -> str:
    """What a person reads: the verdict, what the model may grow to, its quantisations, what would fit."""
    lines = _together(result) if result.together else []
    for one in result.models:
        lines += [*([""] if lines else []), *_model(result, one)]
        if result.together is None:
            lines += ["", *_quants(one)]
    return "\n".join(lines)


def _together(result: FitResult) -> list[str]:
    together = result.together
    assert together is not None
    word = "left" if together.margin_bytes >= 0 else "missing"
    names = " and ".join(one.model for one in result.models)
    lines = [f"{names} side by side on {result.hardware}: {result.verdict}, {_gb(abs(together.margin_bytes))} {word}"]
    for one in result.models:
        need = f"{_gb(one.memory.needed_bytes)} and {_gb(one.memory.host_bytes)} on the CPU"
        share = f"; start it with a share of {one.share:.2f}" if one.memory.when_full != "refuse" else ""
        lines.append(f"  {one.model:<24}{need}{share}")
    lines += [f"  {'would fit' if number == 0 else '':<24}{each}" for number, each in enumerate(together.would_fit)]
    return lines


def _model(result: FitResult, one: ModelFit) -> list[str]:
    use = one.memory
    left = f"{_gb(use.margin_bytes)} left" if use.fits else f"{_gb(use.short_bytes)} short"
    may_use = (
        f"needs {_gb(use.needed_bytes)}, may use {_gb(use.available_bytes)}" if use.refusal is None else use.refusal
    )
    lines = [
        f"{one.model} ({one.quant}, KV {one.kv_dtype}) on {one.runtime}@{one.runtime_version}, {result.hardware}",
        f"  verdict         {use.verdict}: {may_use}" + (f", {left}" if use.refusal is None else ""),
        f"  asked           {one.batch:,} of {one.context:,} tokens",
        f"  KV cache        {_gb(use.kv_cache_bytes)}, and {one.kv_bytes_per_token:,.0f} B for each further token",
        f"  longest         {_longest(one)}",
        f"  most            {one.largest_batch:,} sequences of {one.context:,} tokens",
    ]
    if not use.fits and use.when_full != "refuse" and use.at_once:
        lines.append(f"  meanwhile       {one.runtime} runs {use.at_once:,} at once, and the others wait")
    lines += [f"  {'would fit' if number == 0 else '':<16}{each}" for number, each in enumerate(one.would_fit)]
    return lines


def _quants(one: ModelFit) -> list[str]:
    lines = ["  quantisation     bits    weights      needs       left"]
    for each in one.quants:
        mark = ("fits" if each.fits else "no") + (", marginally" if each.is_marginal else "")
        sizes = f"{_gb(each.weights_bytes):>11}{_gb(each.needed_bytes):>11}{_gb(each.margin_bytes):>11}"
        best = "   best that fits" if each.quant == one.best_quant else ""
        lines.append(f"  {each.quant:<16}{each.bits_per_weight:5.2f}{sizes}   {mark}{best}")
    return lines


def _longest(one: ModelFit) -> str:
    if not one.largest_context:
        return f"not even one token of {one.batch:,}"
    what = f"{one.largest_context:,} tokens in each of {one.batch:,}"
    return what + (", as many as the model takes" if one.context_limit == "model" else "")


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
