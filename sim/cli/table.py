"""A result as a person reads it: what was asked, does it fit, how fast, and what limits it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from sim.result.memory import MemoryUse
from sim.result.ranges import RateRange, digits_of, rounded
from sim.result.run_result import RunResult
from sim.result.words import limits, words_of
from sim.units import format_quantity

BAR_WIDTH = 40
MOST_PHASES = 3
"""So many have their watts told."""
CLASSES = (
    ("weights", "weights_bytes"),
    ("KV cache", "kv_cache_bytes"),
    ("activations", "activation_bytes"),
    ("runtime", "runtime_bytes"),
)


class Look:
    """How text looks: bold headings on a terminal, unless NO_COLOR is set or TERM is dumb; plain text otherwise."""

    def __init__(self, stream: TextIO) -> None:
        is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._has_colour = stream.isatty() and not is_plain

    def bold(self, text: str) -> str:
        """A heading."""
        return f"\x1b[1m{text}\x1b[0m" if self._has_colour else text


def print_result(result: RunResult) -> None:
    """The table on stdout."""
    for line in table(result, Look(sys.stdout)):
        print(line)


def table(result: RunResult, look: Look) -> list[str]:
    """The lines of the table."""
    lines = _asked(result, look)
    if result.memory:
        lines += ["", *_memory(result.memory, look)]
    if result.trace is not None and result.trace.steps:
        summary = result.summary()
        lines += ["", *_rates(result, summary, look)]
        lines += ["", look.bold("What limits it?")]
        sustained = result.identity.sustained_bytes_per_s
        for name, phase in summary["phases"].items():
            first, *rest = limits(phase, sustained, words_of(result.hardware))
            lines += [f"  {name} {first}", *(f"  {'':<{len(name)}} {line}" for line in rest)]
        lines += _draws(summary["energy"], look)
    return lines


def _draws(energy: dict[str, Any] | None, look: Look) -> list[str]:
    """What it draws; nothing for a machine whose rails are not described."""
    if energy is None:
        return []
    lines = ["", look.bold("What does it draw?")]
    watts = energy["power_w"]
    for name, rail in (("GPU rail", "gpu"), ("wall", "wall")):
        lines.append(f"  {name:<12}" + _some(f"{each[rail]:.0f} W in {phase}" for phase, each in watts.items()))
    clocks = _some(f"{_clock(hz)} in {phase}" for phase, hz in energy["clock_hz"].items())
    lines.append(f"  {'SM clock':<12}{clocks}: what limits of power and heat leave")
    each = energy["joules_per_output_token"]
    if each is not None:
        text = f"{_joules(each['gpu'])} J per token written on the GPU's rail, {_joules(each['wall'])} J at the wall"
        lines.append(f"  {'energy':<12}{text}")
    return lines


def _some(texts: Iterable[str]) -> str:
    """The first few, for a trace has many phases."""
    listed = list(texts)
    return ", ".join(listed[:MOST_PHASES]) + (", ..." if len(listed) > MOST_PHASES else "")


def _joules(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _asked(result: RunResult, look: Look) -> list[str]:
    me = result.identity
    title = f"{me.model or result.workload.name} on {me.hardware}, {me.runtime}@{me.runtime_version}"
    if me.model is None:
        return [look.bold(title), f"  {'asked':<12}the ops of a trace, GPU at {_clock(me.clock_hz)}"]
    batch = f"{_count(me.batch or 0, 'sequence')}, each with {me.context_depth or 0:,} tokens cached"
    return [
        look.bold(title),
        f"  {'asked':<12}{batch}, {me.prompt_tokens or 0:,} new ones to read, {me.output_tokens or 0:,} to write",
        f"  {'formats':<12}weights {me.quant}, KV cache {me.kv_dtype}; GPU at {_clock(me.clock_hz)}",
    ]


def _clock(hz: float) -> str:
    return f"{hz / 1e6:,.0f} MHz"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _memory(use: MemoryUse, look: Look) -> list[str]:
    needed, available = use.needed_bytes / 1e9, use.available_bytes / 1e9
    answer = ("yes" if use.fits else "no") + (", marginally" if use.is_marginal else "")
    may_use = f"the runtime may use {available:.1f} GB" if use.refusal is None else "the runtime refuses to start"
    lines = [look.bold(f"Does it fit? {answer}: it needs {needed:.1f} GB, {may_use}")]
    most = max(use.needed_bytes, use.available_bytes)
    for name, field in CLASSES:
        lines.append(_size(name, getattr(use, field), most))
    if use.fits:
        lines.append(_size("free", use.available_bytes - use.needed_bytes, most, "."))
    apart = (("system", use.reserved_bytes), ("others", use.other_bytes), ("on the CPU", use.host_bytes))
    lines += [_size(name, size, 0) + "   kept back, not counted above" for name, size in apart if size]
    if use.fits:
        more = f"{_count(use.more_sequences, 'more sequence')} like these"
        tokens = f"{_count(use.more_tokens, 'more token')} in each"
        limit = " (the model's own limit)" if use.is_model_limit else ""
        lines.append(f"  {'room for':<12}{more}, or {tokens}{limit}")
    else:
        if use.refusal is None:
            lines.append(f"  {'short by':<12}{use.short_bytes / 1e9:8.1f} GB")
        lines.append(f"  {'would fit':<12}{use.would_fit}")
    return lines


def _size(name: str, n_bytes: int, most: int, mark: str = "#") -> str:
    bar = mark * round(BAR_WIDTH * n_bytes / most) if most else ""
    return f"  {name:<12}{n_bytes / 1e9:8.1f} GB   {bar}".rstrip()


def _rates(result: RunResult, summary: dict[str, Any], look: Look) -> list[str]:
    lines = [look.bold("How fast?")]
    if result.identity.model is None:
        times = {name: format_quantity(phase["time_s"], "s") for name, phase in summary["phases"].items()}
        width = max(12, *(len(name) + 2 for name in times))
        return lines + [f"  {name:<{width}}{time:>12}" for name, time in times.items()]
    rows = (
        ("prefill", "prefill_tok_s", "prompt tokens read, all sequences together"),
        ("ttft", "ttft_s", "until the first token of the last sequence"),
        ("decode", "decode_tok_s", "tokens written, all sequences together"),
        ("tpot", "tpot_s", "per further token of a sequence"),
        ("e2e", "e2e_s", "from start to the last token"),
    )
    ranges = result.ranges()
    digits = {phase: digits_of(summary[f"{phase}_tok_s"], one.low, one.high) for phase, one in ranges.items()}
    for name, key, meaning in rows:
        value = summary[key]
        if value is None:
            continue
        if name in ranges:
            rate, low, high = rounded(value, ranges[name].low, ranges[name].high)
            lines.append(f"  {name:<12}{rate + ' tok/s':>16}   {meaning}; {low} to {high}")
        else:
            lines.append(f"  {name:<12}{format_quantity(value, 's', _digits_of_time(name, digits)):>16}   {meaning}")
    if ranges:
        lines.append(_basis(result, ranges))
    return lines


def _digits_of_time(name: str, digits: dict[str, int]) -> int:
    """A time has as many digits as the rate it comes from."""
    of = {"ttft": ("prefill",), "tpot": ("decode",)}.get(name, tuple(digits))
    return min((digits[phase] for phase in of if phase in digits), default=4)


def _basis(result: RunResult, ranges: dict[str, RateRange]) -> str:
    """What the ranges rest on."""
    records = " and ".join(f"{each.records:,} {phase}" for phase, each in ranges.items())
    inside = f"{records} measurements like it: 4 of 5 by others lie in these ranges"
    words = {
        "measured": f"this very run was measured; {inside}",
        "class": inside,
        "extrapolated": "extrapolated: nothing like it was measured; ranges are those of the nearest kind",
    }
    return f"  {'rests on':<12}{words[result.validated or 'extrapolated']}"
