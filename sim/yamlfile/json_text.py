"""Strict JSON, under the rules of `yaml_text`: fast first, and lines only when somebody asks for one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from sim.errors import Problem, SpecError
from sim.yamlfile.document import MAX_DEPTH, MAX_NODES, Document, Mark, check_text, duplicate, read_bytes, refuse
from sim.yamlfile.yaml_text import resolve_scalar

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\n{}\[\]:,]|[^\s{}\[\]:,"]+')


def load_json(path: str | Path, *, has_words: bool = False) -> Document:
    """Read a JSON file, under the same rules. `has_words`: see `load_json_text`.

    Raises:
        SpecError: unreadable, not JSON, over a limit; names the line.
    """
    return load_json_text(read_bytes(path), str(path), has_words=has_words)


class _DuplicateKeyError(Exception):
    """Raised from inside `json.loads`, which knows no lines."""


def load_json_text(text: str | bytes, file: str = "<text>", *, has_words: bool = False) -> Document:
    """As `load_json`, from memory. Lines are looked for when somebody asks for one.

    `has_words`: the words Infinity, -Infinity and NaN, which Python's writer makes of such numbers and JSON lacks, are
    taken as text: harmless in a key that is not read, and no number in one that is. Otherwise they are refused.
    """
    content = text.encode("utf-8", "replace") if isinstance(text, str) else text
    check_text(content, file)
    decoded = content.decode("utf-8-sig")
    if content.count(b",") > MAX_NODES and re.sub(rb'"(?:[^"\\]|\\.)*"', b"", content).count(b",") > MAX_NODES:
        refuse(f"holds more than {MAX_NODES:,} nodes", file)
    try:
        data = json.loads(
            decoded, object_pairs_hook=_unique, parse_constant=str if has_words else _not_finite, parse_int=_parse_int
        )
    except _DuplicateKeyError:
        raise SpecError(_scan_json(decoded, file)[1]) from None
    except RecursionError:
        refuse(f"is nested deeper than {MAX_DEPTH} levels", file)
    except json.JSONDecodeError as exc:
        refuse(f"not JSON: {exc.msg}", file, exc.lineno)
    except ValueError as exc:
        message = str(exc)
        refuse(message, file, _line_of_token(decoded, lambda token: message.startswith(token[:24])))
    _check_json(data, file, decoded)
    found: list[Mark] = []

    def find_marks() -> Mark:
        if not found:
            found.append(_scan_json(decoded, file)[0])
        return found[0]

    return Document(data, file, find_marks)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise _DuplicateKeyError
    return data


def _not_finite(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed: numbers must be finite")


def _parse_int(text: str) -> int | float | str | bool | None:
    return resolve_scalar(text) if len(text) > 18 else int(text)


def _line_of_token(text: str, is_it: Callable[[str], bool]) -> int | None:
    """The line of the first number or word for which `is_it` holds."""
    line = 1
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "\n":
            line += 1
        elif token[0] not in '"{}[]:,' and is_it(token):
            return line
        else:
            line += token.count("\n")
    return None


def _is_infinite(token: str) -> bool:
    try:
        return not isfinite(float(token))
    except (ValueError, OverflowError):
        return False


def _check_json(data: Any, file: str, text: str) -> None:
    """Nesting, node count, finite numbers and encodable text of parsed JSON."""
    nodes, level = 0, [data]
    for depth in range(MAX_DEPTH + 1):
        nodes += len(level)
        if nodes > MAX_NODES:
            refuse(f"holds more than {MAX_NODES:,} nodes", file)
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                following.extend(value)
                following.extend(value.values())
            elif isinstance(value, list):
                following.extend(value)
            elif isinstance(value, float) and not isfinite(value):
                refuse("a number is too large: numbers must be finite", file, _line_of_token(text, _is_infinite))
            elif isinstance(value, str) and not value.isascii() and value.encode("utf-8", "ignore").decode() != value:
                refuse("holds half of a surrogate pair: not text", file)
        if depth == MAX_DEPTH and any(isinstance(value, (dict, list)) for value in level):
            refuse(f"is nested deeper than {MAX_DEPTH} levels", file)
        level = following


def _scan_json(text: str, file: str) -> tuple[Mark, list[Problem]]:
    """The marks of valid JSON, and its duplicate keys."""
    problems: list[Problem] = []
    root: list[Mark] = []
    stack: list[Any] = [root]
    keys: list[str] = [""]
    line = 1
    last = ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        top = stack[-1]
        if token == "\n":
            line += 1
        elif token in "}]":
            stack.pop()
            keys.pop()
        elif token == ":":
            keys[-1] = json.loads(last)
            if keys[-1] in top:
                problems.append(duplicate(keys[-1], file, line, top[keys[-1]]))
            top[keys[-1]] = line
        elif token != ",":
            parts: Any = {} if token == "{" else [] if token == "[" else None
            mark = line if parts is None else (line, parts)
            if isinstance(top, list):
                top.append(mark)
            elif parts is not None:
                top[keys[-1]] = (top[keys[-1]], parts)
            if parts is not None:
                stack.append(parts)
                keys.append("")
            last = token
    return (root[0] if root else 1), problems
