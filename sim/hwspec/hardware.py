"""A machine as the simulator sees it: typed component specs, links, and where every number comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem, SpecError
from sim.hwspec.check import SpecTypes, check
from sim.hwspec.describe import SCHEMA, Description, Link, describe, type_of
from sim.hwspec.field_types import ComponentSpec
from sim.hwspec.override import Overrides, apply, pairs
from sim.hwspec.tree import Branch, Leaf, Node, node_at
from sim.hwspec.walk import Spot, derived_spots, spots
from sim.paths import find
from sim.yamlfile import dump_yaml


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One number (or word) of a machine and where it comes from.

    `value` is SI, `unit` a key of `units.EXAMPLES` ("%" for a fraction; None for words). `status`: given, derived or
    overridden. `range`: as written in the file. `inputs`: what a derived field is computed from. `date`: of its source.
    """

    path: str
    value: Any
    unit: str | None
    kind: str | None
    source: str | None
    status: str
    file: str | None = None
    line: int | None = None
    description: str = ""
    range: tuple[Any, ...] | None = None
    inputs: tuple[str, ...] = ()
    date: str | None = None


@dataclass(frozen=True)
class HardwareSpec:
    """A machine, frozen: what a hardware file and the overrides say, checked.

    `components`: spec of each component by its name. `digest`: 16 hex digits of every resolved value and link; names
    and sources do not count. `overrides`: as the user gave them. `warnings`: what an override did besides. `base`: the
    machine before all overrides; None if there are none.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    components: dict[str, ComponentSpec]
    links: tuple[Link, ...]
    digest: str
    overrides: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    base: HardwareSpec | None = field(default=None, repr=False, compare=False)
    description: Description = field(repr=False, compare=False, kw_only=True)
    spec_types: SpecTypes = field(repr=False, compare=False, kw_only=True)

    def override(self, path: str, value: Any) -> HardwareSpec:
        """A copy with one field changed: `override("gpu.sms", 96)`, `override("memory.bandwidth", "x2")`.

        A quantity is text with its unit. Setting a derived field moves one of its inputs and adds a warning.

        Raises:
            SpecError: no such field, or not such a value.
        """
        description, specs, warnings = apply(self.description, self.components, self.spec_types, path, value)
        changed = _build(
            description, specs, self.spec_types, self.overrides | {path: value}, (*self.warnings, *warnings)
        )
        return replace(changed, base=self.base or self)

    @property
    def types(self) -> dict[str, str]:
        """The `type:` of each component by its name."""
        return {name: type_of(self.description.components[name]) or "" for name in self.components}

    def fields(self) -> list[FieldInfo]:
        """Every field with its value, unit, source and status, in the order of the components."""
        return [info for name in self.components for info in self._fields(name)]

    @property
    def provenance(self) -> dict[str, FieldInfo]:
        """The fields by their path."""
        return {info.path: info for info in self.fields()}

    def _fields(self, name: str) -> Iterator[FieldInfo]:
        spec, branch = self.components[name], self.description.components[name]
        for spot in spots(spec):
            leaf = node_at(branch, spot.path)
            if isinstance(leaf, Leaf):
                yield _given(name, spot, leaf)
        for field_name, spot in derived_spots(spec):
            inputs = tuple(f"{name}.{each}" for each in spec.derived_fields[field_name].inputs)
            path = ".".join((name, *spot.path))
            source = f"computed from {', '.join(inputs)}"
            unit = spot.measure.unit if spot.measure else None
            text = spot.description
            yield FieldInfo(path, spot.value, unit, "derived", source, "derived", description=text, inputs=inputs)

    def to_yaml(self) -> str:
        """The whole machine as one file that loads again as it is, nothing extended, every value with its source."""
        head = {"schema": SCHEMA, "name": self.name, "title": self.title, "aliases": list(self.aliases)}
        components = {}
        for name, branch in self.description.components.items():
            parts = {key: part for key, part in branch.parts.items() if key != "type"}
            components[name] = {"type": type_of(branch), **_written(Branch(parts))}
        return dump_yaml(head | {"components": components, "links": [str(link) for link in self.links]})


def load_hardware(
    ref: str | Path, spec_types: SpecTypes, overrides: Overrides = (), search_dirs: Sequence[str | Path] = ()
) -> HardwareSpec:
    """The machine that `ref`, a name or a path, stands for.

    `spec_types`: the spec class of each `type:` a component may have. `overrides`: "gpu.sms=96" texts, pairs or a
    mapping, applied one after the other.

    Raises:
        SpecError: the file, or what it extends, is wrong; holds every problem with file and line.
        InputError: nothing of that name, or an override that cannot be applied.
    """
    hardware = _as_described(find("hardware", str(ref), search_dirs), spec_types, search_dirs)
    problems: list[Problem] = []
    for path, value in pairs(overrides):
        try:
            hardware = hardware.override(path, value)
        except InputError as exc:
            problems += exc.problems
    if problems:
        raise SpecError(problems)
    return hardware


_DESCRIBED: dict[tuple[Any, ...], tuple[tuple[tuple[int, int], ...], HardwareSpec]] = {}
"""Machines as their files describe them, with the time and size of those files when they were read."""


def _as_described(path: Path, spec_types: SpecTypes, search_dirs: Sequence[str | Path]) -> HardwareSpec:
    """The machine without overrides; read and checked once while its files stay as they are."""
    key = (path.resolve(), tuple(map(str, search_dirs)), tuple(spec_types.items()))
    stamps, hardware = _DESCRIBED.get(key, ((), None))
    if hardware is not None and stamps == _stamps(hardware.description.files):
        return hardware
    problems: list[Problem] = []
    description = describe(path, search_dirs, problems)
    specs = check(description, spec_types, problems)
    if any(problem.code == "bad_extends" for problem in problems):
        problems = [problem for problem in problems if problem.code != "missing_field"]  # it may be in what is extended
    if problems:
        raise SpecError(sorted(problems, key=lambda problem: (problem.file or "", problem.line or 0)))
    hardware = _build(description, specs, spec_types, {}, ())
    _DESCRIBED[key] = _stamps(description.files), hardware
    return hardware


def _stamps(files: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Time and size of each file; what is not there is 0 bytes at no time."""
    found = [Path(file).stat() if Path(file).is_file() else None for file in files]
    return tuple((stat.st_mtime_ns, stat.st_size) if stat else (0, 0) for stat in found)


def _build(
    description: Description,
    specs: dict[str, ComponentSpec],
    spec_types: SpecTypes,
    overrides: dict[str, Any],
    warnings: tuple[str, ...],
) -> HardwareSpec:
    return HardwareSpec(
        description.name,
        description.title,
        description.aliases,
        specs,
        description.links,
        _digest(description, specs),
        overrides,
        warnings,
        description=description,
        spec_types=spec_types,
    )


def _digest(description: Description, specs: dict[str, ComponentSpec]) -> str:
    values = {
        name: [type_of(description.components[name]), spec.model_dump(mode="python")] for name, spec in specs.items()
    }
    links = sorted(str(link) for link in description.links)
    text = json.dumps([values, links], sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:16]


def _given(name: str, spot: Spot, leaf: Leaf) -> FieldInfo:
    return FieldInfo(
        ".".join((name, *spot.path)),
        spot.value,
        spot.measure.unit if spot.measure else None,
        leaf.kind,
        leaf.source,
        "overridden" if leaf.was is not None else "given",
        leaf.file,
        leaf.line,
        spot.description,
        leaf.range,
        date=leaf.date,
    )


def _written(node: Node) -> Any:
    """A tree in the form of a file, every value with its source."""
    if isinstance(node, Branch):
        if node.is_list:
            return [_written(part) for part in node.parts.values()]
        return {name: _written(part) for name, part in node.parts.items()}
    extras = {"range": list(node.range) if node.range else None, "date": node.date, "records": node.records}
    known = {"value": node.value, "source": node.source, "kind": node.kind}
    return known | {name: value for name, value in extras.items() if value is not None}
