"""Every field of a spec or of a spec type, with its path, unit and description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from inspect import getdoc
from typing import Any, get_args

from sim.hwspec.field_types import ComponentSpec, Measure, SpecGroup


@dataclass(frozen=True, slots=True)
class Spot:
    """One field: its path within the component, its value (SI; None if not given), what it measures."""

    path: tuple[str, ...]
    value: Any
    measure: Measure | None
    description: str


def spots(spec: SpecGroup, path: tuple[str, ...] = ()) -> Iterator[Spot]:
    """The given and givable fields of `spec`, in the order of its class."""
    for name, info in type(spec).model_fields.items():
        yield from _spots(getattr(spec, name), (*path, name), info.annotation, info.metadata, info.description or "")


def _spots(value: Any, path: tuple[str, ...], kind: Any, metadata: Iterable[Any], description: str) -> Iterator[Spot]:
    if isinstance(value, SpecGroup):
        yield from spots(value, path)
    elif isinstance(value, dict):
        inner = get_args(kind)[1:]
        for key, part in value.items():
            yield from _spots(part, (*path, str(key)), inner, (), description)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _spots(part, (*path, str(index)), get_args(kind)[:1], (), description)
    else:
        yield Spot(path, value, measure_of(kind, metadata), description)


def derived_spots(spec: ComponentSpec) -> Iterator[tuple[str, Spot]]:
    """(name of the derived field, spot) for each; one whose value is a mapping gives a spot per entry."""
    for name, derived in spec.derived_fields.items():
        value = getattr(spec, name)
        measure = Measure(derived.unit)
        text = " ".join((getdoc(getattr(type(spec), name)) or "").split())
        if isinstance(value, dict):
            for key, part in value.items():
                yield name, Spot((name, str(key)), part, measure, text)
        else:
            yield name, Spot((name,), value, measure, text)


def measure_of(kind: Any, metadata: Iterable[Any] = ()) -> Measure | None:
    """The `Measure` in an annotation (or a tuple of annotations), if it is a quantity."""
    for item in metadata:
        if isinstance(item, Measure):
            return item
    parts = kind if isinstance(kind, tuple) else get_args(kind)
    for part in parts:
        found = measure_of(part, getattr(part, "__metadata__", ()))
        if found is not None:
            return found
    return None
