"""The SM clock at which a collector's loop runs: it repeats one call for seconds, so that power decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.paths import find
from sim.validation.kernel_data import Measured
from sim.workload.runtime_fields import Number
from sim.yamlfile import load_yaml, validate_model

STEP_HZ = 20e6
"""Clocks are told apart by so much: a kernel is simulated once for each."""
EXPONENT = 1.0 / 3.0
"""Power beyond idle goes with f x V^2, and V with f."""


class Collectors(BaseModel):
    """The clocks that loops hold, by "machine runtime"."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["sparksim.collectors/1"] = Field(alias="schema")
    sustained_clocks_mhz: dict[str, Annotated[Number, Field(gt=0)]]


def sustained_clocks() -> Mapping[str, float]:
    """Sustained clocks in Hz by "machine runtime"; see the head of `workloads/measurements/collectors.yaml`."""
    file = validate_model(Collectors, load_yaml(find("measurements", "collectors")))
    return {name: mhz * 1e6 for name, mhz in file.sustained_clocks_mhz.items()}


def loop_clock(clock_hz: float, sustained_hz: float | None, utilisation: float) -> float:
    """The clock (Hz) of a loop that takes a share `utilisation` of the tensor cores at `clock_hz`."""
    if sustained_hz is None or utilisation <= 0.0 or sustained_hz >= clock_hz:
        return clock_hz
    held: float = sustained_hz / pow(min(1.0, utilisation), EXPONENT)
    return min(clock_hz, round(held / STEP_HZ) * STEP_HZ)


def useful_flops(row: Measured) -> float:
    """FLOPs of a row's products; those on padding left out, they multiply zeros, which draw little. 0: not counted."""
    sizes: Mapping[str, float] = row.sizes
    if row.op == "gemm":
        return 2.0 * sizes["m"] * sizes["n"] * sizes["k"]
    if row.op != "attention":
        return 0.0
    query, context = sizes["query"], sizes["context"]
    first = context - query + 1
    window = min(sizes.get("window", context), context)
    ramp = min(query, max(0, window - first + 1))
    pairs = ramp * (2 * first + ramp - 1) / 2 + (query - ramp) * window
    return 4.0 * sizes["batch"] * sizes["heads"] * sizes["head_dim"] * pairs


def unit_of(row: Measured) -> str:
    """The matrix rate that a row's products are counted against."""
    if row.op == "attention":
        return "bf16"
    return {"nvfp4": "fp4", "fp8": "fp8", "fp8_block": "fp8"}.get(row.dtype, "bf16")
