"""What is looked up in tables of the code, not in files: ops, components, laws, errors, keys of the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from inspect import getdoc
from typing import Any

from sim import errors
from sim.component import COMPONENTS
from sim.hwspec import SpecGroup, measure_of
from sim.result.keys import RESULT_KEYS
from sim.result.laws import LAWS
from sim.result.serve_keys import SERVE_KEYS
from sim.result.trace import CAUSES
from sim.units import EXAMPLES
from sim.workload.op import OP_KINDS
from sim.workload.op_fields import FIELD_ALIASES, KIND_ALIASES, LIMITS, MEANINGS, UNITS, fields_of

Entry = dict[str, Any]


def _summary(documented: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((getdoc(documented) or "").split("\n\n")[0].split())


def _ops() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for kind, cls in OP_KINDS.items():
        aliases = {name: alias for alias, name in FIELD_ALIASES.get(kind, {}).items()}
        rows = [
            {
                "field": aliases.get(name, name),
                "unit": "B" if UNITS.get(name) == "B" else MEANINGS[name][0],
                "default": "needed" if field.default is MISSING else _shown(field.default),
                "most": LIMITS.get(name),
                "meaning": MEANINGS[name][1],
            }
            for name, field in fields_of(kind).items()
        ]
        text = " ".join((getdoc(cls) or "").split())
        also = [alias for alias, meant in KIND_ALIASES.items() if meant == kind]
        found[kind] = {"title": _summary(cls), "text": text, "also_called": also, "fields": rows}
    return found


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return "none" if value in ("", ()) else str(value)


def _components() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for name, component in COMPONENTS.items():
        spec = component.Spec
        ports = [
            {"port": port, "speaks": speaks, "role": "answers" if port in spec.serves else "asks"}
            for port, speaks in spec.ports.items()
        ]
        rows = [*_spec_fields(spec), *_derived_fields(spec)]
        found[name] = {
            "title": _summary(spec),
            "text": " ".join((getdoc(spec) or "").split()),
            "fields": rows,
            "ports": ports,
        }
    return found


def _spec_fields(spec: type[SpecGroup], prefix: str = "") -> list[Entry]:
    rows: list[Entry] = []
    for name, info in spec.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, SpecGroup):
            rows += _spec_fields(kind, f"{prefix}{name}.")
            continue
        measure = measure_of(kind, info.metadata)
        unit = measure.unit if measure else None
        example = EXAMPLES[unit] if unit is not None else ""
        status = "given"
        meaning = info.description or ""
        rows.append({"field": f"{prefix}{name}", "unit": unit, "status": status, "e.g.": example, "meaning": meaning})
    return rows


def _derived_fields(spec: Any) -> list[Entry]:
    rows = []
    for name, derived in spec.derived_fields.items():
        moves = f"; setting it moves {derived.moves}" if derived.moves else "; cannot be set"
        meaning = f"{_summary(getattr(spec, name))} From {', '.join(derived.inputs)}{moves}."
        rows.append({"field": name, "unit": derived.unit, "status": "derived", "e.g.": "", "meaning": meaning})
    return rows


def _errors() -> dict[str, Entry]:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.SimError)]
    return {each.__name__: {"title": _summary(each), "exit_code": each.exit_code} for each in classes}


def _result() -> dict[str, Entry]:
    """Keys of a run's result, its causes, and behind `serve.` the keys that only a server's result has."""
    keys: dict[str, Entry] = {key: {"title": meaning, "unit": unit} for key, (unit, meaning) in RESULT_KEYS.items()}
    causes = {
        name: {"title": f"a cause of time; counts towards the bound {bound}", "unit": "share"}
        for name, bound in CAUSES.items()
    }
    served: dict[str, Entry] = {
        f"serve.{key}": {"title": meaning, "unit": unit} for key, (unit, meaning) in SERVE_KEYS.items()
    }
    return keys | {f"causes.{name}": entry for name, entry in causes.items()} | served


TABLES: dict[str, Callable[[], dict[str, Entry]]] = {
    "ops": _ops,
    "components": _components,
    "laws": lambda: {name: {"title": text} for name, text in LAWS.items()},
    "errors": _errors,
    "result": _result,
}
"""Kind -> its entries by name, each with a `title`."""
