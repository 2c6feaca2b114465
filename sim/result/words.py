"""Causes and bounds in words, and the sentence that says what limits a phase: one wording for tables and `explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.hwspec import HardwareSpec
from sim.result.trace import CAUSES

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
    "dependency": "kernel boundaries and latency",
    "launch": "launches",
    "step": "host work between steps",
    "nvme": "the SSD",
}
"""Every cause in words."""
SMALLEST_SHARE = 0.03


def words_of(hardware: HardwareSpec) -> dict[str, str]:
    """What causes are called on a machine: its kind of DRAM, and no tensor cores where compute units are coarse."""
    found: dict[str, str] = {}
    for spec in hardware.components.values():
        if technology := getattr(spec, "technology", None):
            found["dram"] = str(technology)
        if getattr(spec, "is_coarse", False):
            found["tensor"] = "matrix units"
    return found


def limits(phase: dict[str, Any], sustained_bytes_per_s: float, own: Mapping[str, str] = WORDS) -> list[str]:
    """What a phase waits for most, a sentence without its subject, and what it waits for besides.

    `sustained_bytes_per_s` of memory is what its rate is held against. `own`: the machine's words for causes.
    """
    words = {**WORDS, **own}
    causes = sorted(phase["causes"].items(), key=lambda item: (-item[1], item[0]))
    if not causes:
        return ["takes no time."]
    first, share = causes[0]
    verb = "computes on" if CAUSES[first] == "compute" else "waits for"
    rate = phase["dram"]["achieved_bytes_per_s"] / 1e9
    memory = f"{rate:.0f} of {sustained_bytes_per_s / 1e9:.0f} GB/s sustained"
    memory = memory if first == "dram" else f"{words['dram']} moves {memory}"
    lines = [f"{verb} {words[first]} {share * 100:.0f} % of the time: {memory}"]
    rest = [f"{words[cause]} {part * 100:.0f} %" for cause, part in causes[1:5] if part >= SMALLEST_SHARE]
    return lines + ([f"then {', '.join(rest)}"] if rest else [])
