"""Hardware files to a frozen `HardwareSpec`: typed, checked, every number with its source.

    hardware = load_hardware("dgx-spark", SPEC_TYPES, overrides=["memory.bandwidth=x2"])
    hardware.components["gpu"].sms

The spec classes are written beside the components they describe (`sim/component`) and handed in as `spec_types`.
"""

from __future__ import annotations

from sim.hwspec.check import SpecTypes
from sim.hwspec.describe import Link
from sim.hwspec.field_types import (
    Bytes,
    BytesPerSecond,
    Celsius,
    ComponentSpec,
    Count,
    Derived,
    Dollars,
    FlopPerSecond,
    Fraction,
    Hertz,
    Joules,
    KelvinPerWatt,
    Measure,
    Number,
    Seconds,
    SpecGroup,
    TransfersPerSecond,
    Watts,
)
from sim.hwspec.hardware import FieldInfo, HardwareSpec, load_hardware
from sim.hwspec.override import Overrides
from sim.hwspec.schema import json_schema
from sim.hwspec.walk import measure_of
from sim.yamlfile import KINDS

__all__ = [
    "KINDS",
    "Bytes",
    "BytesPerSecond",
    "Celsius",
    "ComponentSpec",
    "Count",
    "Derived",
    "Dollars",
    "FieldInfo",
    "FlopPerSecond",
    "Fraction",
    "HardwareSpec",
    "Hertz",
    "Joules",
    "KelvinPerWatt",
    "Link",
    "Measure",
    "Number",
    "Overrides",
    "Seconds",
    "SpecGroup",
    "SpecTypes",
    "TransfersPerSecond",
    "Watts",
    "json_schema",
    "load_hardware",
    "measure_of",
]
