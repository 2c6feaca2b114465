"""The calibrated numbers of hardware and runtime files, each where it is written, and what informs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.errors import Problem
from sim.paths import available, find
from sim.system.measurements import count
from sim.yamlfile import LEAST_RECORDS, Document, load_file

Folders = Sequence[str | Path]
UNITS = {"_s": "s", "_cycles": "cycles", "_bytes": "B", "efficiency": "share", "_share": "share"}
"""What the end of a runtime's field says of its unit; the name of any other says it in full (flops_per_score)."""


@dataclass(frozen=True, slots=True)
class CalibratedNumber:
    """One number. `name`: its file's name and its place there. `bounds`: the range, None where none is given.

    `records`: what its `records:` picks by, None where it says nothing; `count`: how many measurements that are.
    """

    name: str
    value: Any
    unit: str
    bounds: tuple[Any, Any] | None
    source: str
    records: dict[str, Any] | None
    count: int
    file: str
    line: int | None
    place: tuple[str | int, ...]

    @property
    def why_not(self) -> str:
        """Why it cannot be refitted from what ships; empty where it can."""
        if self.records is None:
            return "no records named"
        return f"{self.count} of {LEAST_RECORDS} records" if self.count < LEAST_RECORDS else ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "name": self.name,
            "title": self.title,
            "value": self.value,
            "unit": self.unit,
            "range": list(self.bounds) if self.bounds else None,
            "records": self.count,
            "selector": self.records,
            "is_reproducible": not self.why_not,
            "source": self.source,
        }

    @property
    def title(self) -> str:
        """One line for people."""
        unit = f" {self.unit}" if self.unit and not isinstance(self.value, str) else ""
        bounds = f"{self.bounds[0]} to {self.bounds[1]}" if self.bounds else "no range"
        informed = f"NOT REPRODUCIBLE: {self.why_not}" if self.why_not else f"{self.count} records"
        return f"{self.value}{unit} ({bounds}; {informed}): {self.source}"


def calibrated(search_dirs: Folders = ()) -> list[CalibratedNumber]:
    """Every number of hardware and runtime files that is marked calibrated, in the order of the files.

    A number that others inherit (`extends`, `like`, libraries) stands here once.
    """
    found = []
    for kind in ("hardware", "runtimes"):
        for name in available(kind, search_dirs):
            document = load_file(find(kind, name, search_dirs))
            found += [
                _number(name, document, place, said)
                for place, said in long_forms(document.data)
                if said.get("kind") == "calibrated"
            ]
    return found


def uninformed(path: str | Path) -> list[Problem]:
    """What is wrong with `records:` of the file in `path`: they name too few measurements for a calibrated number."""
    document = load_file(path)
    return [
        Problem(
            f"{number.count} measurements inform it; a calibrated number needs {LEAST_RECORDS}",
            "few_records",
            document.file,
            number.line,
            ".".join(map(str, number.place)),
            "`sparksim list calibrated` counts what `records:` picks",
        )
        for place, said in long_forms(document.data)
        if said.get("kind") == "calibrated" and said.get("records")
        for number in [_number("", document, place, said)]
        if number.why_not
    ]


def _number(name: str, document: Document, place: tuple[str | int, ...], said: dict[str, Any]) -> CalibratedNumber:
    bounds, records = said.get("range"), said.get("records")
    return CalibratedNumber(
        ".".join(map(str, (name, *place))),
        said["value"],
        _unit(said["value"], str(place[-1])),
        tuple(bounds) if bounds else None,
        str(said.get("source", "")),
        records,
        count(records),
        document.file,
        document.line_of(place),
        place,
    )


def _unit(value: Any, field: str) -> str:
    if isinstance(value, str):
        return value.partition(" ")[2]
    return next((unit for end, unit in UNITS.items() if field.endswith(end)), "")


def long_forms(data: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Every number in the long form below `data`, with its place."""
    if isinstance(data, list):
        for index, part in enumerate(data):
            yield from long_forms(part, (*place, index))
    if not isinstance(data, dict):
        return
    if "value" in data and "source" in data:
        yield place, data
        return
    for key, value in data.items():
        yield from long_forms(value, (*place, key))
