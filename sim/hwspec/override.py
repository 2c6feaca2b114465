"""Overrides: `gpu.sms=96`, `memory.bandwidth=x2`, `memory.bandwidth=300 GB/s` on a description."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sim.errors import InputError, Problem, SpecError
from sim.hwspec.check import SpecTypes, check_component, show_value
from sim.hwspec.describe import Description, type_of
from sim.hwspec.field_types import ComponentSpec, Measure
from sim.hwspec.tree import Leaf, node_at, with_leaf
from sim.hwspec.walk import Spot, derived_spots, spots
from sim.units import format_quantity, parse_quantity
from sim.yamlfile import closest, resolve_scalar

_FACTOR = re.compile(r"\s*x\s*([0-9.].*)", re.DOTALL)
Overrides = Mapping[str, Any] | Iterable[str | tuple[str, Any]]


def pairs(overrides: Overrides) -> list[tuple[str, Any]]:
    """(path, value) of each override, from a mapping, pairs, or "path=value" texts."""
    if isinstance(overrides, Mapping):
        return list(overrides.items())
    listed: list[tuple[str, Any]] = []
    for each in [overrides] if isinstance(overrides, str) else overrides:
        if not isinstance(each, str):
            listed.append((str(each[0]), each[1]))
            continue
        path, equals, value = each.partition("=")
        if not equals:
            raise InputError(Problem(f"'{each[:80]}' is not PATH=VALUE, e.g. gpu.sms=96", "bad_override"))
        listed.append((path.strip(), value.strip()))
    return listed


def apply(
    description: Description, specs: dict[str, ComponentSpec], spec_types: SpecTypes, path: str, value: Any
) -> tuple[Description, dict[str, ComponentSpec], list[str]]:
    """The description and specs with `path` set to `value`, and what the user should know about it.

    Raises:
        SpecError: no such field, not such a value, or a derived field that cannot be set.
    """
    name, *rest = path.split(".")
    spec = specs.get(name)
    derived = {spot.path: (field, spot) for field, spot in derived_spots(spec)} if spec else {}
    given = {spot.path: spot for spot in spots(spec)} if spec else {}
    place = tuple(rest)
    if spec is None or (place not in given and place not in derived):
        raise SpecError(_unknown(path, specs))
    warnings: list[str] = []
    try:
        if place in derived:
            place, value, warning = _move(name, spec, *derived[place], value)
            warnings.append(warning)
        text = _text_of(given[place], value)
    except InputError as exc:
        problem = exc.problems[0]
        raise SpecError(replace(problem, path=path, code="bad_override")) from None
    branch = description.components[name]
    old = node_at(branch, place)
    measure = given[place].measure
    was = show_value(given[place].value, measure.unit if measure else None)
    source = f"set by the user in place of {was}"
    if isinstance(old, Leaf) and old.source and not old.was:
        source += f" ({old.source})"
    leaf = Leaf(text, source, "assumed", was=was)
    branch = with_leaf(branch, place, leaf)
    problems: list[Problem] = []
    changed = check_component(name, branch, spec_types[type_of(branch) or ""], problems)
    if changed is None:
        raise SpecError([replace(problem, path=path, code="bad_override") for problem in problems])
    components = description.components | {name: branch}
    return replace(description, components=components), specs | {name: changed}, warnings


def _move(name: str, spec: ComponentSpec, field: str, spot: Spot, value: Any) -> tuple[tuple[str, ...], str, str]:
    """Setting a derived field: (the input that moves, its new value, a warning that says so)."""
    derived = spec.derived_fields[field]
    inputs = ", ".join(f"{name}.{each}" for each in derived.inputs)
    if derived.moves is None:
        raise InputError(Problem(f"is derived from {inputs}: set one of those", "derived_field"))
    measure = spot.measure or Measure(derived.unit)
    wanted = _number(value, spot.value, measure)
    target = next(each for each in spots(spec) if each.path == (derived.moves,))
    unit = target.measure.unit if target.measure else ""
    ratio = wanted / spot.value
    moved = format_quantity(target.value * ratio, unit, None)
    warning = (
        f"{name}.{field} is derived from {inputs}: setting it to {format_quantity(wanted, measure.unit)} moved "
        f"{name}.{derived.moves} from {format_quantity(target.value, unit)} to "
        f"{format_quantity(target.value * ratio, unit)}"
    )
    return target.path, moved, warning


def _number(value: Any, current: Any, measure: Measure) -> float:
    """What `value` ("x2", "300 GB/s") stands for where the field is `current` now."""
    factor = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    if factor is None:
        return measure.read(_scalar(value, measure))
    if current is None:
        raise InputError("has no value to multiply")
    return measure.read(format_quantity(current * parse_quantity(factor[1], ""), measure.unit, None))


def _text_of(spot: Spot, value: Any) -> Any:
    """The override's value as a file would have it."""
    if spot.measure is None:
        return resolve_scalar(value) if isinstance(value, str) and isinstance(spot.value, bool) else value
    number = _number(value, spot.value, spot.measure)
    is_text = isinstance(value, str) and not _FACTOR.fullmatch(value)
    is_bare = spot.measure.unit == ""
    return number if is_bare else value if is_text else format_quantity(number, spot.measure.unit, None)


def _scalar(value: Any, measure: Measure) -> Any:
    """A count may come as text from a command line; any other bare number lacks its unit."""
    if isinstance(value, str) or measure.unit != "":
        return value
    return value.item() if hasattr(value, "item") else value


def _unknown(path: str, specs: dict[str, ComponentSpec]) -> Problem:
    names = [f"{name}.{'.'.join(spot.path)}" for name, spec in specs.items() for spot in spots(spec)]
    names += [f"{name}.{'.'.join(spot.path)}" for name, spec in specs.items() for _, spot in derived_spots(spec)]
    guess = closest(path, names)
    name = path.partition(".")[0]
    fields = ", ".join(each.partition(".")[2] for each in names if each.startswith(f"{name}."))
    hint = f"did you mean '{guess}'?" if guess else f"fields of {name}: {fields}" if fields else None
    hint = hint or f"components: {', '.join(specs)}"
    return Problem(f"unknown field '{path[:80]}'", "unknown_field", hint=hint)
