"""What is in one thing of a kind, as data and as text: what `show` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, Problem
from sim.hwspec import FieldInfo
from sim.paths import find
from sim.system.calibrated import calibrated
from sim.system.catalogue import FILES, entries, sourced
from sim.system.load_file import read_load
from sim.system.op_graph import graph_text, op_graph
from sim.system.plugins import load_hardware
from sim.system.scenario import read_scenario, scenario_kind
from sim.system.serve_file import read_serve
from sim.system.study import Study, read_study
from sim.system.study_axis import Axis
from sim.system.tables import TABLES
from sim.system.tenant_file import read_tenants
from sim.system.text_table import text_table
from sim.units import format_quantity
from sim.workload.hf_config import load_model
from sim.workload.model import ModelSpec
from sim.workload.quant import load_quant, resolve_quant, weights_bytes
from sim.workload.runtime_file import load_runtime
from sim.workload.sites import FAMILY_SITES, SITES
from sim.yamlfile import closest, load_file

if TYPE_CHECKING:
    from pydantic import BaseModel

RUNTIMES = ("llama.cpp", "vllm")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to show. `runtime`: whose launches a model's graph has. `width`: columns of the text."""

    kind: str
    name: str | None
    search_dirs: Sequence[str | Path] = ()
    sources: bool = False
    graph: bool = False
    runtime: str | None = None
    quant: str | None = None
    width: int = 120


@dataclass(frozen=True, slots=True)
class Shown:
    """The data (plain, for JSON), and the lines that say the same to a person."""

    data: dict[str, Any]
    lines: list[str]


def describe(wanted: Wanted) -> Shown:
    """What is in the thing that is wanted; without a name, in everything of a kind that is a table.

    Raises:
        InputError: there is none of that name, or it takes a name and none is given.
    """
    if wanted.kind not in FILES:
        return _table(wanted)
    if wanted.name is None:
        hint = f"there are: {', '.join(entry['name'] for entry in entries(wanted.kind, wanted.search_dirs))}"
        raise InputError(Problem(f"which of the {wanted.kind}?", "missing_argument", path="name", hint=hint))
    return _FILES[wanted.kind](wanted, wanted.name)


def file_text(wanted: Wanted) -> str:
    """The file of a hardware, model, runtime, recipe or scenario: it loads as it is."""
    name = wanted.name or ""
    if wanted.kind == "hardware":
        return load_hardware(name, search_dirs=wanted.search_dirs).to_yaml()
    path = find(wanted.kind, name.partition("@")[0] if wanted.kind == "runtimes" else name, wanted.search_dirs)
    path = path / "config.json" if path.is_dir() else path
    load_file(path)
    return path.read_text(encoding="utf-8")


def _hardware(wanted: Wanted, name: str) -> Shown:
    hardware = load_hardware(name, search_dirs=wanted.search_dirs)
    fields = hardware.fields()
    data = {
        "name": hardware.name,
        "title": hardware.title,
        "digest": hardware.digest,
        "aliases": list(hardware.aliases),
        "fields": [asdict(info) for info in fields],
        "links": [str(link) for link in hardware.links],
    }
    if wanted.sources:
        rows = [(f.path, _value(f), f.kind or "", f.source or "") for f in fields]
    else:
        rows = [(f.path, _value(f), f.status, f.description) for f in fields]
    head = f"{hardware.title} ({hardware.name}, {hardware.digest})"
    links = ["links:", *(f"  {link}" for link in hardware.links)]
    return Shown(data, [head, *text_table(rows, wanted.width), *([] if wanted.sources else links)])


def _value(info: FieldInfo) -> str:
    if info.value is None:
        return "-"
    is_number = isinstance(info.value, int | float) and info.unit is not None
    return format_quantity(info.value, info.unit, None if info.unit == "" else 4) if is_number else str(info.value)  # type: ignore[arg-type]


def _model(wanted: Wanted, name: str) -> Shown:
    model = load_model(name, search_dirs=wanted.search_dirs)
    data: dict[str, Any] = {
        "name": model.name,
        "title": model.title,
        "architecture": model.architecture,
        "digest": model.digest,
        "file": str(find("models", name, wanted.search_dirs)),
        "layers": len(model.layers),
        "hidden_size": model.hidden_size,
        "vocab_size": model.vocab_size,
        "dtype": model.dtype,
        "quantization": _quantization(model),
        "parameters": model.parameter_count(),
        "active_parameters": model.active_parameter_count(),
        "kv_elements_per_token": model.kv_elements(1),
        "experts": max((each.experts.experts for each in model.layers if each.experts), default=0),
        "max_context": model.max_context,
        "weights": {each: _weights(model, each, wanted) for each in RUNTIMES},
        "notes": list(model.warnings),
    }
    said = load_file(data["file"]).data.get("sparksim") if wanted.sources and Path(data["file"]).is_file() else None
    if isinstance(said, dict):
        data["source"] = said.get("source")
    rows = [
        (key, _plain(value)) for key, value in data.items() if key not in ("name", "title") and value not in ([], None)
    ]
    lines = [f"{model.title} ({model.name})", *text_table(rows, wanted.width)]
    if wanted.graph:
        runtime = load_runtime(wanted.runtime or RUNTIMES[0], search_dirs=wanted.search_dirs).spec
        quant = resolve_quant(model, wanted.quant, runtime.family, wanted.search_dirs)
        data["graph"] = op_graph(model, quant, runtime)
        lines += [
            f"as {runtime.name}@{runtime.version} launches it, {quant.name}:",
            *graph_text(data["graph"], wanted.width),
        ]
    return Shown(data, lines)


def _weights(model: Any, runtime: str, wanted: Wanted) -> str:
    try:
        recipe = resolve_quant(model, None, runtime, wanted.search_dirs)
    except InputError as error:
        return str(error)
    return f"{weights_bytes(model, recipe) / 1e9:.2f} GB as {recipe.name}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_plain(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _runtime(wanted: Wanted, name: str) -> Shown:
    spec = load_runtime(name, search_dirs=wanted.search_dirs).spec
    path = find("runtimes", name.partition("@")[0], wanted.search_dirs)
    versions = list(load_file(path).data["versions"])
    data = {**spec.model_dump(mode="json"), "versions": versions, "sources": list(sourced(load_file(path).data))}
    lines = [f"{spec.title} ({spec.name}@{spec.version})"]
    if wanted.sources:
        rows = [(each["name"], each["value"], each["kind"], each["source"]) for each in data["sources"]]
        return Shown(data, [*lines, f"  {spec.source}", *text_table(rows, wanted.width)])
    lines += text_table([("versions", ", ".join(versions)), *_scalars(spec)], wanted.width)
    lines.append("kernels, first match wins: ops, formats, unit, tile")
    lines += text_table(
        [
            (
                kernel,
                ", ".join(rule.ops),
                rule.unit,
                f"{rule.tile_m[-1]}x{rule.tile_n}x{rule.tile_k}",
                ", ".join(rule.dtypes) or "any",
            )
            for kernel, rule in spec.kernels.items()
        ],
        wanted.width,
    )
    lines.append("element-wise places and what is launched there")
    places: list[tuple[str, str, str]] = []
    for site, cases in spec.sites.items():
        launches = dict.fromkeys(launch.name for case in cases for launch in case.launches)
        places.append((site, ", ".join(launches) or "-", {**SITES, **FAMILY_SITES}.get(site, "")))
    return Shown(data, [*lines, *text_table(places, wanted.width)])


def _scalars(spec: Any) -> list[tuple[str, str]]:
    skipped = ("name", "version", "title", "sites", "kernels")
    values = {name: getattr(spec, name) for name in type(spec).model_fields if name not in skipped}
    memory = values.pop("memory")
    values |= {f"memory.{name}": getattr(memory, name) for name in type(memory).model_fields}
    return [(name, _plain(list(value) if isinstance(value, tuple) else value)) for name, value in values.items()]


def _quantization(model: ModelSpec) -> dict[str, Any] | None:
    """What the checkpoint says of its quantisation, and how many entries its exclude list has."""
    said = model.quantization
    return (
        {
            "recipe": said.recipe,
            "source": said.source,
            "excluded": len(said.excluded),
            "mixed": sum(len(names) for _, names in said.modules),
        }
        if said
        else None
    )


def _quant(wanted: Wanted, name: str) -> Shown:
    recipe = load_quant(name, wanted.search_dirs)
    data = {key: value for key, value in asdict(recipe).items() if key != "own"}  # of one checkpoint
    rows = [("everything else", recipe.default.name, f"{recipe.default.bits_per_weight:g}", "")]
    for note, group in (("", recipe.classes), ("on the layers that get more bits", recipe.more_bits)):
        rows += [(part, fmt.name, f"{fmt.bits_per_weight:g}", note) for part, fmt in group]
    runs = f"on {', '.join(recipe.runtimes)}" if recipe.runtimes else "on any runtime that has kernels for it"
    head = [f"{recipe.title} ({recipe.name}), {runs}", "  tensor class, format, bits per weight with scales"]
    return Shown(data, [*head, *text_table(rows, wanted.width)])


def _scenario(wanted: Wanted, name: str) -> Shown:
    path = find("scenarios", name, wanted.search_dirs)
    readers: dict[str | None, Callable[[Path], BaseModel]] = {
        "load": read_load,
        "serve": read_serve,
        "tenants": read_tenants,
    }
    data = readers.get(scenario_kind(path), read_scenario)(path).model_dump(mode="json", by_alias=True)
    rows = [
        (key, _plain(value) if value not in (None, {}, []) else "-") for key, value in data.items() if key != "schema"
    ]
    return Shown(data, [f"{path.stem}", *text_table(rows, wanted.width)])


def _study(wanted: Wanted, name: str) -> Shown:
    path = find("studies", name, wanted.search_dirs)
    study: Study = read_study(path, wanted.search_dirs)
    axes = [(axis.path, _values_of(axis)) for axis in study.axes]
    base = {**study.base.given, **study.base.set} | ({"file": study.base.file} if study.base.file else {})
    rows = [("base", _plain(base)), *(("axis", f"{axis}: {values}") for axis, values in axes)]
    parts = [("sample", study.sample), *(("constraint", each) for each in study.constraints)]
    parts += [("derived", each) for each in study.derive]
    rows += [(word, _plain(part.model_dump(by_alias=True, exclude_unset=True))) for word, part in parts]
    rows += [("keep", ", ".join(study.keep))] if study.keep else []
    data = {"name": path.stem, "title": study.title, "base": base, "axes": dict(axes)}
    return Shown(data, [f"{study.title} ({path.stem})", *text_table(rows, wanted.width)])


def _values_of(axis: Axis) -> str:
    if axis.interval is not None:
        return f"from {axis.interval.written(axis.interval.low)} to {axis.interval.written(axis.interval.high)}"
    return ", ".join("default" if value is None else str(value) for value in axis.values)


_FILES: dict[str, Callable[[Wanted, str], Shown]] = {
    "hardware": _hardware,
    "models": _model,
    "runtimes": _runtime,
    "quants": _quant,
    "scenarios": _scenario,
    "studies": _study,
}


def _table(wanted: Wanted) -> Shown:
    """An entry of a table of the code, or all of them."""
    if wanted.kind == "calibrated":
        found = {number.name: number.to_dict() for number in calibrated(wanted.search_dirs)}
    else:
        found = TABLES[wanted.kind]()
    if wanted.name is None:
        rows = [(name, *_columns(entry), entry["title"]) for name, entry in found.items()]
        return Shown(found, text_table(rows, wanted.width, ""))
    if wanted.name not in found:
        guess = closest(wanted.name, found)
        hint = f"did you mean '{guess}'?" if guess else f"`sparksim list {wanted.kind}` names them"
        raise InputError(Problem(f"nothing called {wanted.name[:60]!r} among {wanted.kind}", "unknown_name", hint=hint))
    entry = found[wanted.name]
    lines = text_table([(wanted.name, *_columns(entry), entry.get("text", entry["title"]))], wanted.width, "")
    for part in ("fields", "ports"):
        if entry.get(part):
            lines.append(f"{part}: {', '.join(entry[part][0])}")
            lines += text_table([tuple(_cell(cell) for cell in row.values()) for row in entry[part]], wanted.width)
    return Shown({"name": wanted.name, **entry}, lines)


def _columns(entry: dict[str, Any]) -> list[str]:
    if "exit_code" in entry:
        return [f"exit {entry['exit_code']}"]
    return [entry["unit"]] if "unit" in entry and "selector" not in entry else []


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
