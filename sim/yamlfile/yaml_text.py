"""Strict YAML: nothing executed, every limit named.

No tags, anchors, aliases, directives or second documents; no duplicate keys. Plain scalars follow YAML 1.2: only `true`
and `false` are booleans; `on`, `yes`, `12:30` and `2026-01-01` stay text. Keys are always text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

import yaml

from sim.errors import Problem, SpecError
from sim.yamlfile.document import (
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_NODES,
    Document,
    Mark,
    check_text,
    duplicate,
    read_bytes,
    refuse,
)

_MOST_KEPT_BYTES = 256 * 1024
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DIRECTIVE = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])%")
_NUMBER = re.compile(
    r"[-+]?(?:(0|[1-9][0-9]*)|(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?)", re.ASCII
)
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}


def load_yaml(path: str | Path) -> Document:
    """Read a YAML file.

    Raises:
        SpecError: unreadable, not YAML, over a limit; names the line.
    """
    content = read_bytes(path)
    return _load(content, str(path)) if len(content) <= _MOST_KEPT_BYTES else load_yaml_text(content, str(path))


@lru_cache(maxsize=64)
def _load(content: bytes, file: str) -> Document:
    """What a file holds, remembered by its very content: runs of one process read the same few files."""
    return load_yaml_text(content, file)


def load_yaml_text(text: str | bytes, file: str = "<text>") -> Document:
    """As `load_yaml`, from memory. `file` is the name that problems give."""
    content = text.encode("utf-8", "replace") if isinstance(text, str) else text
    check_text(content, file)
    if directive := _DIRECTIVE.search(content):
        refuse("YAML directives (%) are not allowed", file, content.count(b"\n", 0, directive.end()) + 1)
    builder = _YamlBuilder(file)
    try:
        builder.read(_LOADER(content))
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else None
        if "maximum nesting depth" in str(exc.problem):  # the scanner looks ahead and may be the first to count
            refuse(f"is nested deeper than {MAX_DEPTH} levels", file, line)
        refuse(" ".join(str(part) for part in (exc.context, exc.problem) if part) or "not YAML", file, line)
    except (yaml.YAMLError, ValueError) as exc:
        refuse(f"not YAML: {' '.join(str(exc).split())[:120]}", file)
    if builder.problems:
        raise SpecError(builder.problems)
    marks = builder.marks
    return Document(builder.data, file, lambda: marks)


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """What a plain YAML scalar stands for under our rules.

    Raises:
        ValueError: an integer beyond 2^63 or a number that is not finite.
    """
    if not text or text[0] not in "0123456789+-.":
        return _WORDS.get(text, text)
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if match[1] is not None:
        number = int(text) if len(text) <= 20 else MAX_INTEGER
        if not -MAX_INTEGER <= number < MAX_INTEGER:
            raise ValueError(f"{text[:24]} is too large: integers go to 2^63")
        return number
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text[:24]} is too large: numbers must be finite")
    return value


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not been seen."""

    data: Any
    parts: Any
    key: str | None = None


class _YamlBuilder:
    """Builds data and marks from parse events in one pass, so that nesting is counted before anything recurses."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.data: Any = None
        self.marks: Mark = 1
        self.problems: list[Problem] = []
        self._stack: list[_Open] = []

    def read(self, parser: Any) -> None:
        """Consume the parser's events up to the end of the stream."""
        next_event = parser.get_event
        nodes = documents = 0
        while True:
            event = next_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind is yaml.MappingStartEvent:
                self._start(event, {}, {})
            elif kind is yaml.SequenceStartEvent:
                self._start(event, [], [])
            elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
                self._stack.pop()
            elif kind is yaml.AliasEvent:
                self._fail(event, "YAML aliases (*) are not allowed")
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self._fail(event, "holds more than one YAML document")
            elif kind is yaml.StreamEndEvent:
                return
            nodes += 1
            if nodes > MAX_NODES:
                self._fail(event, f"holds more than {MAX_NODES:,} nodes")

    def _fail(self, event: Any, message: str) -> NoReturn:
        refuse(message, self.file, event.start_mark.line + 1)

    def _check(self, event: Any) -> int:
        if event.anchor is not None:
            self._fail(event, "YAML anchors (&) are not allowed")
        if event.tag is not None:
            self._fail(event, f"YAML tags (!) are not allowed: {event.tag[:60]}")
        return int(event.start_mark.line) + 1

    def _scalar(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if event.anchor is not None or event.tag is not None:
            self._check(event)
        value: Any = event.value
        top = self._stack[-1] if self._stack else None
        is_mapping = top is not None and type(top.data) is dict
        if is_mapping and top is not None and top.key is None:
            top.key = value
            if value in top.data:
                self.problems.append(duplicate(value, self.file, line, top.parts[value]))
            return
        if event.implicit[0]:
            try:
                value = resolve_scalar(value)
            except ValueError as exc:
                self._fail(event, str(exc))
        if top is None:
            self.data, self.marks = value, line
        elif is_mapping:
            self._put(top, value, line)
        else:
            top.data.append(value)
            top.parts.append(line)

    def _start(self, event: Any, data: Any, parts: Any) -> None:
        line = self._check(event)
        stack = self._stack
        if len(stack) >= MAX_DEPTH:
            self._fail(event, f"is nested deeper than {MAX_DEPTH} levels")
        if stack and stack[-1].key is None and type(stack[-1].data) is dict:
            self._fail(event, "a key must be text")
        if not stack:
            self.data, self.marks = data, (line, parts)
        else:
            self._put(stack[-1], data, (line, parts))
        stack.append(_Open(data, parts))

    @staticmethod
    def _put(top: _Open, value: Any, mark: Mark) -> None:
        if top.key is None:
            top.data.append(value)
            top.parts.append(mark)
        else:
            top.data[top.key] = value
            top.parts[top.key] = mark
            top.key = None
