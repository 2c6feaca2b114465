"""The kinds of file there are, by the schema they name, and how each is read in full."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sim.errors import InputError, Problem, SpecError, gather
from sim.system.calibrated import uninformed
from sim.system.load_file import read_load
from sim.system.machine import Machine
from sim.system.plugins import load_hardware
from sim.system.scenario import OfAModel, RuntimePart, read_scenario, scenario_kind
from sim.system.serve_file import read_serve
from sim.system.serve_prepare import prepare_serve
from sim.system.study_check import check_study_file
from sim.system.tenant_demand import mover_of
from sim.system.tenant_file import ModelTenant, Tenant, read_tenants
from sim.workload.hf_config import load_model
from sim.workload.optrace import read_ops
from sim.workload.quant import FormatFile, load_quant, resolve_quant
from sim.workload.runtime_file import check_runtime, load_runtime
from sim.yamlfile import closest, load_file, validate_model

MODEL_KEYS = frozenset({"architectures", "model_type", "hidden_size", "producer", "quantization"})
OTHERS = (
    "sparksim.co-residency/1",
    "sparksim.collectors/1",
    "sparksim.kernels/1",
    "sparksim.measurements/1",
    "sparksim.memory/1",
    "sparksim.microbench/1",
    "sparksim.power/1",
    "sparksim.prices/1",
    "sparksim.published_kernels/1",
    "sparksim.serving/1",
    "sparksim.targets/1",
)
"""Files that the verb `validate` reads in full; here only their form is looked at."""


def kind_of(path: Path) -> str:
    """Read the file in `path` in full, with everything that it names; what kind of file it is.

    Raises:
        InputError: every problem with its line.
    """
    if path.suffix == ".jsonl":
        read_ops(path)
        return "op trace"
    document = load_file(path, has_words=True)
    data = document.data if isinstance(document.data, dict) else {}
    schema = data.get("schema")
    if schema is None and MODEL_KEYS & set(data):
        load_model(path)
        return "model"
    if not isinstance(schema, str) or schema not in READERS:
        guess = closest(str(schema), READERS)
        hint = f"did you mean '{guess}'?" if guess else f"known: {', '.join(READERS)}, or a model's config.json"
        line = document.line_of(("schema",))
        message = "names no schema" if schema is None else f"schema {str(schema)[:60]!r} is not known"
        raise InputError(Problem(message, "unknown_schema", str(path), line, "schema", hint))
    kind, read = READERS[schema]
    read(path)
    return kind


def _informed(read: Callable[[Path], object]) -> Callable[[Path], None]:
    """`read`, and then whether calibrated numbers that name their measurements have enough of them."""

    def both(path: Path) -> None:
        read(path)
        if problems := uninformed(path):
            raise SpecError(problems)

    return both


def _check_formats(path: Path) -> None:
    validate_model(FormatFile, load_file(path))


def _check_scenario(path: Path) -> None:
    """The scenario, and everything that it names."""
    kind = scenario_kind(path)
    if kind == "tenants":
        tenants = read_tenants(path)
        machine = Machine(load_hardware(tenants.system.hardware, tenants.system.set))
        gather(*(partial(_check_tenant, name, one, machine) for name, one in tenants.tenants.items()))
        return
    if kind == "serve":
        prepare_serve(read_serve(path), path.parent, (), (), "off")
        return
    scenario: OfAModel = read_load(path) if kind == "load" else read_scenario(path)
    gather(
        lambda: load_hardware(scenario.system.hardware, scenario.system.set),
        lambda: _check_model(scenario.model, scenario.runtime, scenario.quant),
    )


def _check_tenant(name: str, tenant: Tenant, machine: Machine) -> None:
    if isinstance(tenant, ModelTenant):
        _check_model(tenant.model, tenant.runtime, tenant.quant)
    else:
        mover_of(name, tenant, machine)


def _check_model(model_name: str, part: RuntimePart, quant: str | None) -> None:
    """A model, a runtime and a recipe that are to go together."""
    name = f"{part.name}@{part.version}" if part.version else part.name
    changes = {key: str(value) for key, value in part.set.items()}
    model, runtime = gather(lambda: load_model(model_name), lambda: load_runtime(name, overrides=changes))
    resolve_quant(model, quant, runtime.spec.family)


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "sparksim.hardware/1": ("hardware", _informed(load_hardware)),
    "sparksim.runtime/1": ("runtime", _informed(check_runtime)),
    "sparksim.ops/1": ("op trace", read_ops),
    "sparksim.quant/1": ("quantisation recipe", lambda path: load_quant(str(path))),
    "sparksim.formats/1": ("storage formats", _check_formats),
    "sparksim.scenario/1": ("scenario", _check_scenario),
    "sparksim.study/1": ("study", check_study_file),
    **{schema: (schema.partition(".")[2].partition("/")[0], load_file) for schema in OTHERS},
}
"""Schema -> what the kind is called, and what reads such a file."""
