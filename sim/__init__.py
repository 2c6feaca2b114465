"""sparksim: how fast a model runs on a DGX Spark, how full its memory is, and what limits it.

    import sim

    result = sim.run(model="gpt-oss-20b", runtime="llama.cpp")
    result.decode_tok_s

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
    Problem,
    SimError,
    SpecError,
    WiringError,
    WorkloadError,
)

if TYPE_CHECKING:
    from sim.api import list_names as list  # the public name: `sim.list("models")`
    from sim.api import register, run
    from sim.hwspec import load_hardware
    from sim.result import RunResult
    from sim.workload import load_model, load_runtime

__version__ = "0.1.0"

__all__ = [
    "DeadlockError",
    "InputError",
    "LawError",
    "MissingExtraError",
    "ModelError",
    "Problem",
    "RunResult",
    "SimError",
    "SpecError",
    "WiringError",
    "WorkloadError",
    "__version__",
    "list",
    "load_hardware",
    "load_model",
    "load_runtime",
    "register",
    "run",
]

_WHERE = {
    "RunResult": ("sim.result", "RunResult"),
    "list": ("sim.api", "list_names"),
    "load_hardware": ("sim.hwspec", "load_hardware"),
    "load_model": ("sim.workload", "load_model"),
    "load_runtime": ("sim.workload", "load_runtime"),
    "register": ("sim.api", "register"),
    "run": ("sim.api", "run"),
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
