"""sparksim: how fast a model runs on a DGX Spark, how full its memory is, and what limits it.

    import sim

    result = sim.run(model="gpt-oss-20b", runtime="llama.cpp")
    result.decode_tok_s

A block of hardware of your own: subclass `Component` and `ComponentSpec`, answer ops with a `Share`, carry bytes with a
`Hop`, and `register` it; the types of a spec's fields (`Bytes`, `FlopPerSecond`...) are those of `sim.hwspec`.

`__all__` is the public API. Names load when they are first used (PEP 562), so `import sim` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sim.errors import (
    DeadlockError,
    InputError,
    LawError,
    MissingExtraError,
    ModelError,
    PluginError,
    Problem,
    SimError,
    SpecError,
    WiringError,
    WorkloadError,
)

if TYPE_CHECKING:
    from sim.api import kernel, load, load_hardware, register, run, serve, tenants
    from sim.api import list_names as list  # the public name: `sim.list("models")`
    from sim.component import Component
    from sim.component.profile import Share
    from sim.component.transfer import Hop
    from sim.hwspec import ComponentSpec
    from sim.questions import compare, compare_machines, draw, explain, fit, sensitivity, sweep
    from sim.result import RunResult
    from sim.workload import load_model, load_runtime
    from sim.workload.op import Op
    from sim.workload.quant import load_quant

__version__ = "0.1.0"

__all__ = [
    "Component",
    "ComponentSpec",
    "DeadlockError",
    "Hop",
    "InputError",
    "LawError",
    "MissingExtraError",
    "ModelError",
    "Op",
    "PluginError",
    "Problem",
    "RunResult",
    "Share",
    "SimError",
    "SpecError",
    "WiringError",
    "WorkloadError",
    "__version__",
    "compare",
    "compare_machines",
    "draw",
    "explain",
    "fit",
    "kernel",
    "list",
    "load",
    "load_hardware",
    "load_model",
    "load_quant",
    "load_runtime",
    "register",
    "run",
    "sensitivity",
    "serve",
    "sweep",
    "tenants",
]

_WHERE = {
    "Component": ("sim.component", "Component"),
    "ComponentSpec": ("sim.hwspec", "ComponentSpec"),
    "Hop": ("sim.component.transfer", "Hop"),
    "Op": ("sim.workload.op", "Op"),
    "RunResult": ("sim.result", "RunResult"),
    "Share": ("sim.component.profile", "Share"),
    "compare": ("sim.questions", "compare"),
    "compare_machines": ("sim.questions", "compare_machines"),
    "draw": ("sim.questions", "draw"),
    "explain": ("sim.questions", "explain"),
    "fit": ("sim.questions", "fit"),
    "kernel": ("sim.api", "kernel"),
    "list": ("sim.api", "list_names"),
    "load": ("sim.api", "load"),
    "load_hardware": ("sim.api", "load_hardware"),
    "load_model": ("sim.workload", "load_model"),
    "load_quant": ("sim.workload.quant", "load_quant"),
    "load_runtime": ("sim.workload", "load_runtime"),
    "register": ("sim.api", "register"),
    "run": ("sim.api", "run"),
    "sensitivity": ("sim.questions", "sensitivity"),
    "serve": ("sim.api", "serve"),
    "sweep": ("sim.questions", "sweep"),
    "tenants": ("sim.api", "tenants"),
}


def __getattr__(name: str) -> object:
    """Loads a public name at its first use and keeps it."""
    if name not in _WHERE:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> tuple[str, ...]:
    return tuple(sorted({*globals(), *__all__}))
