"""Op traces, `sparksim.ops/1`: read from YAML or JSONL, written as JSONL so that a workload comes back exactly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem, WorkloadError
from sim.units import parse_quantity
from sim.workload.graph import Block, Phase, Step, Workload
from sim.workload.op import OP_KINDS, Op
from sim.yamlfile import Document, closest, load_json_text, load_yaml

SCHEMA = "sparksim.ops/1"
KIND_ALIASES = {"moe": "grouped_gemm", "norm": "elementwise", "quantize": "elementwise"}
FIELD_ALIASES = {
    "copy": {"size": "size_bytes", "from": "source", "to": "target"},
    "host": {"duration": "duration_s"},
    "custom": {"read": "read_bytes", "write": "write_bytes"},
}
UNITS = {"size_bytes": "B", "duration_s": "s", "read_bytes": "B", "write_bytes": "B", "flops": "FLOP"}
MAY_BE_ZERO = frozenset(
    {"flops", "read_bytes", "write_bytes", "duration_s", "skew", "reads", "writes", "flops_per_element", "rows"}
)
HEADER = frozenset({"schema", "name", "defaults", "ops", "repeat", "phases", "steps"})


def write_ops(workload: Workload, path: Path) -> None:
    """Write `workload` as JSONL: a header with the phases' steps and blocks, then an op per line."""
    steps = [
        {
            "phase": phase.name,
            "name": step.name,
            "weight": step.weight,
            "tokens": step.tokens,
            "context": step.context,
            "repeats": [block.repeat for block in step.blocks],
        }
        for phase in workload.phases
        for step in phase.steps
    ]
    lines = [json.dumps({"schema": SCHEMA, "name": workload.name, "steps": steps})]
    number = 0
    for phase in workload.phases:
        for step in phase.steps:
            for position, block in enumerate(step.blocks):
                lines += [
                    json.dumps({"step": number, "block": position, "op": op.kind, **_plain(op)}) for op in block.ops
                ]
            number += 1
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _plain(op: Op) -> dict[str, Any]:
    """The fields of an op that differ from their defaults."""
    values = asdict(op)
    return {f.name: values[f.name] for f in fields(op) if f.default is MISSING or values[f.name] != f.default}


def read_ops(path: Path) -> Workload:
    """The workload of an op trace.

    Raises:
        WorkloadError: everything that is wrong with it, each with its line.
    """
    if not path.is_file():
        raise WorkloadError(Problem("no such file", code="no_file", file=str(path)))
    try:
        return _Reader(str(path), *(_jsonl(path) if path.suffix == ".jsonl" else _yaml(load_yaml(path)))).workload()
    except WorkloadError:
        raise
    except InputError as error:
        raise WorkloadError(error.problems) from None


Entries = list[tuple[int | None, dict[str, Any]]]


def _yaml(document: Document) -> tuple[dict[str, Any], Entries]:
    data = document.data
    if not isinstance(data, dict):
        raise WorkloadError(
            Problem("an op trace is a mapping with schema, name and ops", code="not_ops", file=document.file, line=1)
        )
    given = data.get("ops")
    if not isinstance(given, list):
        raise WorkloadError(
            Problem(
                "ops must be a list", code="not_ops", file=document.file, line=document.line_of(("ops",)), path="ops"
            )
        )
    entries: Entries = []
    for index, entry in enumerate(given):
        line = document.line_of(("ops", index))
        if not isinstance(entry, dict):
            raise WorkloadError(
                Problem("an op is a mapping", code="not_ops", file=document.file, line=line, path=f"ops.{index}")
            )
        entries.append((line, entry))
    return data, entries


def _jsonl(path: Path) -> tuple[dict[str, Any], Entries]:
    entries: Entries = []
    header: dict[str, Any] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            data = load_json_text(text, str(path)).data
            if not isinstance(data, dict):
                raise WorkloadError(
                    Problem("a line holds one JSON object", code="not_ops", file=str(path), line=number)
                )
            if not header:
                header = data
            else:
                entries.append((number, data))
    return header, entries


class _Reader:
    """Checks and builds; collects every problem."""

    def __init__(self, file: str, header: dict[str, Any], entries: Entries) -> None:
        self._file = file
        self._header = header
        self._entries = entries
        self._problems: list[Problem] = []

    def workload(self) -> Workload:
        """The workload, or every reason why not."""
        if self._header.get("schema") != SCHEMA:
            self._refuse(1, f"schema must be {SCHEMA}, not {str(self._header.get('schema'))[:60]!r}", "schema")
        for key in self._header:
            if key not in HEADER:
                self._refuse(1, f"unknown field {str(key)[:60]!r}", str(key), closest(str(key), HEADER))
        defaults = self._header.get("defaults") or {}
        if not isinstance(defaults, dict):
            self._refuse(1, "defaults must be a mapping", "defaults")
            defaults = {}
        built = [(line, entry, self._op(line, entry, defaults)) for line, entry in self._entries]
        self._raise()
        ops = [(line, entry, op) for line, entry, op in built if op is not None]
        workload = self._stepped(ops) if "steps" in self._header else self._flat(ops)
        self._raise()
        return workload

    def _refuse(self, line: int | None, message: str, path: str | None = None, guess: str | None = None) -> None:
        hint = f"did you mean {guess!r}?" if guess else None
        self._problems.append(Problem(message, code="bad_op", file=self._file, line=line, path=path, hint=hint))

    def _raise(self) -> None:
        if self._problems:
            raise WorkloadError(self._problems)

    def _op(self, line: int | None, entry: dict[str, Any], defaults: dict[str, Any]) -> Op | None:
        given = str(entry.get("op"))
        kind = KIND_ALIASES.get(given, given)
        cls = OP_KINDS.get(kind)
        name = str(entry.get("id", "?"))[:60]
        if cls is None:
            self._refuse(line, f"unknown op {given[:60]!r}", name, closest(given, [*OP_KINDS, *KIND_ALIASES]))
            return None
        known = {f.name: f for f in fields(cls)}
        names = FIELD_ALIASES.get(kind, {})
        values: dict[str, Any] = {key: value for key, value in defaults.items() if key in known}
        before = len(self._problems)
        for key, value in entry.items():
            field = names.get(str(key), str(key))
            if key in ("op", "step", "block", "phase"):
                continue
            if field not in known:
                self._refuse(
                    line, f"unknown field {str(key)[:60]!r} of {given}", name, closest(str(key), [*known, *names])
                )
                continue
            values[field] = self._value(line, name, field, str(known[field].type), value)
        for field, spec in known.items():
            if field not in values and spec.default is MISSING:
                self._refuse(line, f"{given} needs {field!r}", name)
        return None if len(self._problems) > before else cls(**values)

    def _value(self, line: int | None, name: str, field: str, kind: str, value: Any) -> Any:
        if field == "after":
            is_list = isinstance(value, list) and all(isinstance(part, str) for part in value)
            if not is_list:
                self._refuse(line, "after must be a list of ids", name)
            return tuple(value) if is_list else ()
        if value is None and "None" in kind:
            return None
        for start, cls, wanted in (("str", str, "text"), ("bool", bool, "true or false")):
            if kind.startswith(start):
                if not isinstance(value, cls):
                    self._refuse(line, f"{field} must be {wanted}, not {str(value)[:40]!r}", name)
                return value
        return self._number(line, name, field, kind, value)

    def _number(self, line: int | None, name: str, field: str, kind: str, value: Any) -> Any:
        if isinstance(value, str) and field in UNITS:
            try:
                value = parse_quantity(value, UNITS[field])
            except InputError as error:
                self._refuse(line, f"{field} {error.problems[0].message}", name)
                return 1
            value = round(value) if kind.startswith("int") else value
        least = 0 if field in MAY_BE_ZERO else 1
        is_number = isinstance(value, int) if kind.startswith("int") else isinstance(value, int | float)
        if isinstance(value, bool) or not is_number:
            self._refuse(line, f"{field} must be a number, not {str(value)[:40]!r}", name)
        elif not (least if kind.startswith("int") else 0) <= value <= 2**53:
            self._refuse(line, f"{field} must be {least} or more and at most 2^53, not {value}", name)
        return value

    def _flat(self, ops: list[tuple[int | None, dict[str, Any], Op]]) -> Workload:
        """One list of ops, repeated; phases say how often."""
        name, repeat = str(self._header.get("name", "ops")), self._count("repeat", self._header.get("repeat", 1))
        phases = self._header.get("phases") or {"run": {"repeat": 1}}
        if not isinstance(phases, dict) or not all(isinstance(value, dict) for value in phases.values()):
            self._refuse(1, "phases must be a mapping of names to {repeat: N}", "phases")
            self._raise()
        block = Block(tuple(self._ordered([(line, op) for line, _, op in ops])), repeat)
        built = [
            Phase(
                str(phase), (Step(str(phase), (block,), float(self._count(f"phases.{phase}", value.get("repeat", 1)))),)
            )
            for phase, value in phases.items()
        ]
        return Workload(name, tuple(built))

    def _count(self, path: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**31:
            self._refuse(1, f"repeat must be a whole number of 1 or more, not {str(value)[:40]!r}", path)
            return 1
        return value

    def _stepped(self, ops: list[tuple[int | None, dict[str, Any], Op]]) -> Workload:
        """The exact form that `write_ops` writes."""
        blocks: dict[tuple[int, int], list[tuple[int | None, Op]]] = {}
        for line, entry, op in ops:
            blocks.setdefault((entry.get("step", 0), entry.get("block", 0)), []).append((line, op))
        phases: dict[str, list[Step]] = {}
        try:
            for number, given in enumerate(self._header["steps"]):
                made = tuple(
                    Block(tuple(self._ordered(blocks.get((number, position), []))), int(repeat))
                    for position, repeat in enumerate(given["repeats"])
                )
                step = Step(
                    str(given["name"]), made, float(given["weight"]), int(given["tokens"]), int(given["context"])
                )
                phases.setdefault(str(given["phase"]), []).append(step)
        except (KeyError, TypeError, ValueError) as error:
            self._refuse(1, f"steps are not as written by --out: {error}", "steps")
        return Workload(
            str(self._header.get("name", "ops")), tuple(Phase(name, tuple(steps)) for name, steps in phases.items())
        )

    def _ordered(self, ops: list[tuple[int | None, Op]]) -> Iterator[Op]:
        """In an order that respects `after`, stable by the file's; names what stands in a circle."""
        is_exact = "steps" in self._header
        ids: dict[str, int | None] = {}
        for line, op in ops:
            if op.id in ids:
                self._refuse(line, f"id {op.id!r} is used twice", op.id)
            ids[op.id] = line
        for line, op in ops:
            for name in op.after:
                if name not in ids and not is_exact:
                    self._refuse(line, f"after names {name!r}, which is no op", op.id, closest(name, ids))
        done: set[str] = set()
        waiting = [op for _, op in ops]
        while waiting:
            ready = next((op for op in waiting if all(n in done or n not in ids or is_exact for n in op.after)), None)
            if ready is None:
                circle = ", ".join(repr(op.id) for op in waiting[:10])
                self._refuse(ids[waiting[0].id], f"these ops wait for each other in a circle: {circle}", waiting[0].id)
                return
            waiting.remove(ready)
            done.add(ready.id)
            yield ready
