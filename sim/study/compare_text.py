"""A comparison as a person reads it: a sentence, the waterfall by cause, and the same by op."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, log10
from typing import Any

from sim.result.trace import BOUNDS

MOST_NAMED = 3
SMALLEST_NAMED = 0.1
SCALES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def to_text(data: Mapping[str, Any]) -> str:
    """The lines of `sparksim.compare/1`."""
    a, b = data["a"], data["b"]
    lines = [*_heading(a, b, data["differs"])]
    for side in (a, b):
        memory = side["memory"]
        if memory is not None and not memory["fits"]:
            lines.append(f"  {side['label']} does not fit: short by {memory['short_bytes'] / 1e9:.1f} GB;"
                         f" would fit: {memory['would_fit']}")  # fmt: skip
    for phase, found in data["phases"].items():
        lines += ["", *_phase(phase, found, a["label"], b["label"])]
    return "\n".join(lines)


def _heading(a: Mapping[str, Any], b: Mapping[str, Any], differs: Mapping[str, Any]) -> list[str]:
    lines = [f"A: {_of(a)}", f"B: {_of(b)}"]
    names = [key.removesuffix("_tokens").replace("_", " ") for key in differs]
    return [*lines, f"they differ in {', '.join(names)}" if names else "they do not differ"]


def _of(side: Mapping[str, Any]) -> str:
    software = f"{side['runtime']}@{side['runtime_version']} on {side['hardware']}"
    changed = "".join(f", {path}={value}" for path, value in side["overrides"].items())
    if side["model"] is None:
        return f"{side['label']} (op trace, {software}{changed})"
    asked = f"batch {side['batch']}, prompt {side['prompt_tokens']:,}, depth {side['context_depth']:,}, "
    asked += f"output {side['output_tokens']:,}"
    return f"{side['label']} ({side['model']} {side['quant']}, {software}; {asked}{changed})"


def verdict(phase: str, found: Mapping[str, Any]) -> str:
    """Who is faster by how much, and the largest reason, in a sentence."""
    ratio = found["speedup"]
    if abs(ratio - 1.0) < 5e-4:
        return f"{phase}: both are equally fast"
    faster, times = ("B", ratio) if ratio > 1 else ("A", 1 / ratio)
    scale, unit = _scale(found)
    digits = _digits(found)
    causes = _largest(found["by_bound"], found["difference_s"], scale, digits)
    ops = _largest({name: parts["all"] for name, parts in found["by_op"].items()}, found["difference_s"], scale, digits)
    return f"{phase}: {faster} is {times:.2f} times as fast: {causes} {unit} per {found['per']} in B; by op {ops}"


def _largest(steps: Mapping[str, float], difference: float, scale: float, digits: int) -> str:
    """The steps that make at least a tenth of the difference, largest first."""
    ranked = sorted(steps.items(), key=lambda item: (-abs(item[1]), item[0]))
    named = [item for item in ranked[:MOST_NAMED] if abs(item[1]) >= SMALLEST_NAMED * abs(difference)]
    return ", ".join(f"{name} {step / scale:+.{digits}f}" for name, step in named)


def _scale(found: Mapping[str, Any]) -> tuple[float, str]:
    most = max(found["a_s"], found["b_s"])
    return next((each for each in SCALES if most >= each[0]), SCALES[-1])


def _digits(found: Mapping[str, Any]) -> int:
    """Decimals that show four digits of the larger time."""
    return max(0, 3 - floor(log10(max(found["a_s"], found["b_s"]) / _scale(found)[0])))


def _phase(phase: str, found: Mapping[str, Any], a: str, b: str) -> list[str]:
    (scale, unit), digits, shown = _scale(found), _digits(found), _shown(found)
    lines = [verdict(phase, found), ""]
    lines.append(f"  {unit + ' per ' + found['per']:<26}" + "".join(f"{name:>10}" for name in ("all", *shown)))
    lines.append(f"  {'A: ' + a[:22]:<26}{found['a_s'] / scale:>10.{digits}f}")
    rows = [(name, [parts["all"], *(parts[bound] for bound in shown)]) for name, parts in found["by_op"].items()]
    rows.append(("all ops", [found["difference_s"], *(found["by_bound"][bound] for bound in shown)]))
    for name, cells in rows:
        texts = [_cell(cell / scale, digits) for cell in cells]
        if name == "all ops" or any(text.strip() != "." for text in texts):
            lines.append(f"    {name:<24}{''.join(texts)}")
    lines.append(f"  {'B: ' + b[:22]:<26}{found['b_s'] / scale:>10.{digits}f}")
    return lines


def _shown(found: Mapping[str, Any]) -> list[str]:
    """The bounds that have a step that can be seen, in the order of the vocabulary."""
    least = 0.5 * 10 ** -_digits(found) * _scale(found)[0]
    return [bound for bound in BOUNDS if any(abs(parts[bound]) >= least for parts in found["by_op"].values())]


def _cell(step: float, digits: int) -> str:
    return f"{step:>+10.{digits}f}" if abs(step) >= 0.5 * 10**-digits else f"{'.':>10}"
