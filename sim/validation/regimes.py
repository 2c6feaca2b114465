"""Measured GEMMs by what binds them: the sample on which `validate ablation` takes a kernel's mechanisms away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sim.hwspec import HardwareSpec
from sim.paths import find
from sim.validation.kernel_data import Measured
from sim.validation.kernel_records import read_records
from sim.validation.kernels import KernelValidator
from sim.workload.runtime_file import load_runtime

MACHINE, RUNTIME, VERSION = "rtx-pro-6000-server", "vllm", "0.24.0"
EACH = 6
"""Rows of a regime."""
Sizes = Mapping[str, float]
REGIMES: Mapping[str, Callable[[Sizes], bool]] = {
    "launch": lambda s: s["n"] * s["k"] <= 2**19 and s["m"] <= 256,
    "latency": lambda s: s["m"] <= 128 and s["n"] <= 1024 and s["k"] >= 4096,
    "waves": lambda s: 256 <= s["m"] <= 2048 and 1024 <= s["n"] <= 4096 and s["k"] >= 1024,
    "compute": lambda s: s["m"] >= 1024 and s["n"] >= 4096 and s["k"] >= 4096,
    "bandwidth": lambda s: s["m"] <= 32 and s["n"] * s["k"] >= 2**27,
}
"""What binds a GEMM on RTX PRO 6000 (188 SMs, 1.5 TB/s), by its sizes; see `sim/README.md`, What a kernel waits for."""


def regime_rows() -> dict[str, list[Measured]]:
    """Of the kernel records that ship the first `EACH` GEMMs of every regime, one pair of sizes once."""
    records = read_records(find("measurements", "kernels"))
    gemms = [row for row in records if (row.chip, row.runtime, row.op) == (MACHINE, RUNTIME, "gemm")]
    found: dict[str, list[Measured]] = {}
    for name, belongs in REGIMES.items():
        rows = {(row.dtype, row.sizes["n"], row.sizes["k"]): row for row in reversed(gemms) if belongs(row.sizes)}
        found[name] = list(rows.values())[::-1][:EACH]
    return found


def regime_errors(hardware: HardwareSpec) -> Iterator[tuple[str, float]]:
    """Predicted / measured - 1 of every row of the sample on `hardware`, with its regime."""
    validator = KernelValidator(hardware, load_runtime(f"{RUNTIME}@{VERSION}").spec)
    for name, rows in regime_rows().items():
        for row in rows:
            yield f"kernels, {name}", validator.compare(row).error
