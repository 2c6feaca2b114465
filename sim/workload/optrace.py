"""Op traces, `sparksim.ops/1`: read from YAML or JSONL, written as JSONL so that a workload comes back exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import MISSING, asdict, fields, replace
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem, WorkloadError
from sim.workload.graph import Block, Phase, Step, Workload
from sim.workload.op import Op
from sim.workload.op_fields import default_names, read_op
from sim.yamlfile import MAX_NODES, Document, closest, load_json_text, load_yaml

SCHEMA = "sparksim.ops/1"
HEADER = frozenset({"schema", "name", "defaults", "ops", "repeat", "phases", "steps"})
MOST_LINE_BYTES = 2**20
MOST_REPEATS = 2**31
MOST_PROBLEMS = 100


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
    try:
        if path.suffix == ".jsonl":
            header, entries = _jsonl(path)
            return _Reader(str(path), header, entries, lambda _path: 1).workload()
        document = load_yaml(path)
        header, entries = _yaml(document)
        return _Reader(str(path), header, entries, document.line_of).workload()
    except WorkloadError:
        raise
    except InputError as error:
        raise WorkloadError(error.problems) from None


Entries = list[tuple[int | None, dict[str, Any]]]
Placed = list[tuple[int | None, Op]]


def _yaml(document: Document) -> tuple[dict[str, Any], Entries]:
    data, file = document.data, document.file
    if not isinstance(data, dict):
        raise WorkloadError(Problem("an op trace is a mapping with schema, name and ops", "not_ops", file, 1))
    given = data.get("ops")
    if not isinstance(given, list):
        raise WorkloadError(Problem("must be a list", "not_ops", file, document.line_of(("ops",)), "ops"))
    lines = [document.line_of(("ops", index)) for index in range(len(given))]
    problems = [
        Problem("an op is a mapping", "not_ops", file, line, f"ops.{index}")
        for index, (line, entry) in enumerate(zip(lines, given, strict=True))
        if not isinstance(entry, dict)
    ]
    if problems:
        raise WorkloadError(problems[:MOST_PROBLEMS])
    return data, list(zip(lines, given, strict=True))


def _jsonl(path: Path) -> tuple[dict[str, Any], Entries]:
    """Line by line: the header, then an op each."""
    file = str(path)
    entries: Entries = []
    try:
        if not path.is_file():
            raise WorkloadError(Problem("is a folder" if path.is_dir() else "no such file", "no_such_file", file))
        with path.open("rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(MOST_LINE_BYTES + 1), b""), 1):
                if len(line) > MOST_LINE_BYTES:
                    raise WorkloadError(
                        Problem(f"a line is longer than {MOST_LINE_BYTES:,} bytes", file=file, line=number)
                    )
                if number > MAX_NODES:
                    raise WorkloadError(Problem(f"holds more than {MAX_NODES:,} lines", "bad_file", file))
                if line.strip():
                    entries.append((number, _line(line, file, number)))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WorkloadError(Problem(f"cannot be read: {reason}", "unreadable", file)) from None
    if not entries:
        raise WorkloadError(Problem("is empty: the first line is the header", "not_ops", file))
    return entries[0][1], entries[1:]


def _line(text: bytes, file: str, number: int) -> dict[str, Any]:
    try:
        data = load_json_text(text, file).data
    except InputError as error:
        raise WorkloadError([replace(problem, line=number) for problem in error.problems]) from None
    if not isinstance(data, dict):
        raise WorkloadError(Problem("a line holds one JSON object", "not_ops", file, number))
    return data


class _Reader:
    """Checks and builds; collects every problem."""

    def __init__(
        self, file: str, header: dict[str, Any], entries: Entries, line_of: Callable[[tuple[str, ...]], int | None]
    ) -> None:
        self._file = file
        self._line_of = line_of
        self._header = header
        self._entries = entries
        self._problems: list[Problem] = []

    def workload(self) -> Workload:
        """The workload, or every reason why not."""
        header = self._header
        if header.get("schema") != SCHEMA:
            self._refuse_header(f"must be {SCHEMA}, not {str(header.get('schema'))[:60]!r}", "schema")
        for key in header:
            if key not in HEADER:
                self._refuse_header(f"unknown field {key[:60]!r}", key[:60], closest(key, HEADER))
        defaults = header.get("defaults") or {}
        if not isinstance(defaults, dict):
            self._refuse_header("must be a mapping", "defaults")
            defaults = {}
        for key in sorted(set(defaults) - (known := default_names())):
            self._refuse_header(f"unknown field {key[:60]!r}", "defaults", closest(key, known))
        if not isinstance(header.get("name", ""), str):
            self._refuse_header("must be text", "name")
        if not self._entries:
            self._refuse_header("there are no ops", "ops")
        ops = [(line, entry, self._op(line, entry, defaults)) for line, entry in self._entries]
        self._raise()
        placed = [(line, entry, op) for line, entry, op in ops if op is not None]
        workload = self._stepped(placed) if "steps" in header else self._flat([(line, op) for line, _, op in placed])
        self._raise()
        return workload

    def _refuse(self, line: int | None, message: str, path: str | None = None, guess: str | None = None) -> None:
        hint = f"did you mean {guess!r}?" if guess else None
        self._problems.append(Problem(message, code="bad_op", file=self._file, line=line, path=path, hint=hint))
        if len(self._problems) >= MOST_PROBLEMS:
            self._raise()

    def _refuse_header(self, message: str, path: str, guess: str | None = None) -> None:
        self._refuse(self._line_of(tuple(path.split("."))), message, path, guess)

    def _raise(self) -> None:
        if self._problems:
            raise WorkloadError(self._problems)

    def _op(self, line: int | None, entry: dict[str, Any], defaults: dict[str, Any]) -> Op | None:
        name = entry.get("id")
        shown = name[:60] if isinstance(name, str) else None
        given = entry.get("op")
        if not isinstance(given, str):
            self._refuse(line, "an op says which: op: gemm, attention, ...", shown)
            return None
        return read_op(given, entry, defaults, lambda message, guess: self._refuse(line, message, shown, guess))

    def _flat(self, ops: Placed) -> Workload:
        """One list of ops, repeated; phases say how often."""
        repeat = self._count("repeat", self._header.get("repeat", 1), 1)
        phases = self._header.get("phases", {"run": {"repeat": 1}})
        is_mapping = isinstance(phases, dict) and phases
        if not is_mapping or not all(isinstance(each, dict) and set(each) <= {"repeat"} for each in phases.values()):
            self._refuse_header("must be a mapping of names to {repeat: N}", "phases")
            self._raise()
        block = Block(tuple(self._ordered(ops)), repeat)
        built = []
        for phase, value in phases.items():
            weight = float(self._count(f"phases.{phase[:60]}.repeat", value.get("repeat", 1), 1))
            built.append(Phase(phase, (Step(phase, (block,), weight),)))
        return Workload(self._header.get("name", "ops"), tuple(built))

    def _count(self, path: str, value: Any, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST_REPEATS:
            self._refuse_header(
                f"must be a whole number from {least} to {MOST_REPEATS:,}, not {str(value)[:40]!r}", path
            )
            return 1
        return value

    def _stepped(self, ops: list[tuple[int | None, dict[str, Any], Op]]) -> Workload:
        """The exact form that `write_ops` writes."""
        blocks: dict[tuple[int, int], Placed] = {}
        for line, entry, op in ops:
            place = entry.get("step"), entry.get("block")
            if not all(type(part) is int for part in place):
                self._refuse(line, "needs step and block, two numbers, because the header lists steps", op.id)
            blocks.setdefault(place, []).append((line, op))  # type: ignore[arg-type]
        self._raise()
        given = self._header["steps"]
        if not isinstance(given, list) or not given:
            self._refuse_header("must be a list, as --out writes it", "steps")
            self._raise()
        phases: dict[str, list[Step]] = {}
        for number, each in enumerate(given):
            phase, step = self._step(number, each, blocks)
            phases.setdefault(phase, []).append(step)
        for (number, position), placed in blocks.items():
            self._refuse(placed[0][0], f"there is no block {position} in step {number}", placed[0][1].id)
        name = self._header.get("name", "ops")
        return Workload(name, tuple(Phase(name, tuple(steps)) for name, steps in phases.items()))

    def _step(self, number: int, given: Any, blocks: dict[tuple[int, int], Placed]) -> tuple[str, Step]:
        """One step of the exact form; takes its blocks out of `blocks`."""
        path = f"steps.{number}"
        is_right = isinstance(given, dict) and isinstance(given.get("repeats"), list) and given["repeats"]
        texts = [given.get(key) for key in ("phase", "name")] if is_right else [None]
        weight = given.get("weight") if is_right else None
        is_weight = isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight <= MOST_REPEATS
        if not is_weight or not all(isinstance(text, str) for text in texts):
            self._refuse_header("is not as --out writes it: phase, name, weight, tokens, context, repeats", path)
            self._raise()
        made = []
        for position, repeat in enumerate(given["repeats"]):
            count = self._count(f"{path}.repeats.{position}", repeat, 1)
            placed = blocks.pop((number, position), [])
            if not placed:
                self._refuse_header(f"block {position} has no ops", path)
            made.append(Block(tuple(self._ordered(placed)), count))
        tokens, context = (self._count(f"{path}.{key}", given.get(key, 0), 0) for key in ("tokens", "context"))
        return given["phase"], Step(given["name"], tuple(made), float(given["weight"]), tokens, context)

    def _ordered(self, ops: Placed) -> Iterator[Op]:
        """In an order that respects `after`, stable by the file's; names what stands in a circle.

        In the exact form the order is the file's, and `after` may name an op of an earlier block.
        """
        places: dict[str, int] = {}
        for place, (line, op) in enumerate(ops):
            if op.id in places:
                self._refuse(line, f"id {op.id[:60]!r} is used twice", op.id[:60])
            places[op.id] = place
        if "steps" in self._header:
            yield from (op for _, op in ops)
            return
        followers: dict[int, list[int]] = {}
        waiting = [0] * len(ops)
        for place, (line, op) in enumerate(ops):
            for name in dict.fromkeys(op.after):
                if name not in places:
                    message = f"after names {name[:60]!r}, which is no op"
                    self._refuse(line, message, op.id[:60], closest(name, places))
                    continue
                followers.setdefault(places[name], []).append(place)
                waiting[place] += 1
        ready = [place for place, count in enumerate(waiting) if not count]
        heapify(ready)
        while ready:
            place = heappop(ready)
            yield ops[place][1]
            for follower in followers.get(place, ()):
                waiting[follower] -= 1
                if not waiting[follower]:
                    heappush(ready, follower)
        stuck = [ops[place] for place, count in enumerate(waiting) if count]
        if stuck:
            circle = ", ".join(repr(op.id[:60]) for _, op in stuck[:10])
            self._refuse(stuck[0][0], f"these ops wait for each other in a circle: {circle}", stuck[0][1].id[:60])
