"""A description against the types of its components: fields, units, sources, derived fields, links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from sim.errors import Problem
from sim.hwspec.describe import Description, Link, type_of
from sim.hwspec.field_types import ComponentSpec
from sim.hwspec.tree import Branch, Leaf, leaves, locate, plain
from sim.units import format_quantity
from sim.yamlfile import closest, problems_of, records_complaint, source_complaint

SpecTypes = Mapping[str, type[ComponentSpec]]


def check(description: Description, spec_types: SpecTypes, problems: list[Problem]) -> dict[str, ComponentSpec]:
    """The spec of each component that has no problem; the others' problems are appended."""
    specs: dict[str, ComponentSpec] = {}
    for name, branch in description.components.items():
        kind = type_of(branch) or ""
        if kind not in spec_types:
            file, line = locate(branch, ("type",))
            guess = closest(kind, spec_types)
            hint = f"did you mean '{guess}'?" if guess else f"there are: {', '.join(sorted(spec_types))}"
            problems.append(Problem(f"unknown type '{kind[:60]}'", "unknown_type", file, line, f"{name}.type", hint))
            continue
        spec = check_component(name, branch, spec_types[kind], problems)
        if spec is not None:
            specs[name] = spec
    _check_links(description, spec_types, problems)
    return specs


def check_component(
    name: str, branch: Branch, spec_type: type[ComponentSpec], problems: list[Problem]
) -> ComponentSpec | None:
    """The spec of one component, or None and its problems."""
    found = _check_derived(name, branch, spec_type)
    refused = {"type", *spec_type.derived_fields}
    branch = replace(branch, parts={key: part for key, part in branch.parts.items() if key not in refused})
    data = plain(branch)
    spec: ComponentSpec | None = None
    try:
        spec = spec_type.model_validate(data, context={"from_file": True})
    except ValidationError as exc:
        found += problems_of(exc, spec_type, data, lambda place: locate(branch, place), (name,))
    wrong = {problem.path or "" for problem in found}
    for path, leaf in leaves(branch):
        full = ".".join((name, *path))
        if not any(full == other or full.startswith(f"{other}.") for other in wrong if other != name):
            found += _check_source(full, leaf)
    problems += found
    return None if found else spec


def _check_derived(name: str, branch: Branch, spec_type: type[ComponentSpec]) -> list[Problem]:
    found = []
    for field, derived in spec_type.derived_fields.items():
        if field in branch.parts:
            file, line = locate(branch, (field,))
            message = f"is derived from {', '.join(derived.inputs)}: give those instead"
            found.append(Problem(message, "derived_field", file, line, f"{name}.{field}"))
    return found


def _check_source(path: str, leaf: Leaf) -> list[Problem]:
    """Where a value comes from: every one has a source and a kind; what is assumed says why."""
    message = None
    source, kind = leaf.source, leaf.kind
    if leaf.extra:
        message = f"unknown field '{leaf.extra[0]}' beside 'value'; there may be source, kind, range, date, records"
    elif complaint := source_complaint(source, kind):
        is_bare = complaint.startswith("needs a source")
        message = f"{complaint}, or `source:` for the whole component" if is_bare else complaint
    elif kind == "calibrated" and leaf.range is None:
        message = "is calibrated, so it needs a range: [low, high]"
    elif isinstance(leaf.value, (dict, list)):
        message = "value must be one value, not a mapping or a list"
    elif leaf.range is not None and len(leaf.range) != 2:
        message = "range must be [low, high]"
    elif leaf.date is not None and not isinstance(leaf.date, str):
        message = "date must be text, e.g. 2025-10"
    else:
        message = records_complaint(leaf.records, kind, leaf.range)
    return [Problem(message, "bad_source", leaf.file, leaf.line, path)] if message else []


def _check_links(description: Description, spec_types: SpecTypes, problems: list[Problem]) -> None:
    taken: dict[str, Link] = {}
    for link in description.links:
        interfaces = []
        for end, is_target in ((link.source, False), (link.target, True)):
            message = _check_end(end, description, spec_types, is_target=is_target)
            if isinstance(message, str):
                problems.append(Problem(message, "bad_link", link.file, link.line, str(link)))
                continue
            interfaces.append(message[0])
            other = taken.setdefault(end, link)
            if other is not link:
                message = f"{end} is already linked: {other} (line {other.line})"
                problems.append(Problem(message, "bad_link", link.file, link.line, str(link)))
        if len(set(interfaces)) > 1 and all(interfaces):
            message = f"{link.source} speaks {interfaces[0]}, {link.target} speaks {interfaces[1]}"
            problems.append(Problem(message, "bad_link", link.file, link.line, str(link)))


def _check_end(end: str, description: Description, spec_types: SpecTypes, *, is_target: bool) -> str | tuple[str]:
    """What is wrong with one end of a link, or (the interface it speaks,)."""
    name, _, port = end.partition(".")
    branch = description.components.get(name)
    if branch is None:
        guess = closest(name, description.components)
        return f"there is no component '{name}'" + (f"; did you mean '{guess}'?" if guess else "")
    kind = spec_types.get(type_of(branch) or "")
    if kind is None:
        return ("",)  # its type is a problem of its own
    ports = kind.ports
    declared = port if port in ports else "*"
    if declared not in ports:
        names = ", ".join(sorted(ports)) or "none"
        return f"{name} has no port '{port}'; its ports: {names}"
    if (declared in kind.serves) is not is_target:
        role = "answers, so it stands on the right" if declared in kind.serves else "asks, so it stands on the left"
        return f"{end} {role} of '->'"
    return (ports[declared],)


def show_value(value: Any, unit: str | None) -> str:
    """A field's value as text: a quantity with its unit, anything else as it is."""
    if unit is None or value is None:
        return str(value).lower() if isinstance(value, bool) else str(value)
    return format_quantity(value, unit)
