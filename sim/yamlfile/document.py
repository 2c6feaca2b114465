"""What the loaders give: plain data that knows the line of each of its parts; and how they refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from sim.errors import Problem, SpecError

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 64
MAX_NODES = 1_000_000
MAX_INTEGER = 2**63

Key = str | int
Mark = Any
"""Where a node is: its line, or (line, {key: Mark} or [Mark]) of a mapping or list."""


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None), the file it came from, and the line of each part."""

    data: Any
    file: str
    find_marks: Callable[[], Mark] = field(repr=False, compare=False)

    def line_of(self, path: Sequence[Key] = ()) -> int | None:
        """The line (from 1) of `path`, or of the nearest part around it that is there.

        For a key of a mapping it is the line of the key.
        """
        mark = self.find_marks()
        for key in path:
            if not isinstance(mark, tuple):
                break
            _, parts = mark
            inner = step_into(parts, key)
            if inner is ABSENT:
                break
            mark = inner
        line = mark[0] if isinstance(mark, tuple) else mark
        return line if isinstance(line, int) else None

    def at(self, path: Sequence[Key]) -> Any:
        """The data at `path`; None where it ends early."""
        value = self.data
        for key in path:
            value = step_into(value, key)
            if value is ABSENT:
                return None
        return value


ABSENT: Any = object()
"""What `step_into` gives where there is nothing."""


def step_into(data: Any, key: Key) -> Any:
    """The part of a mapping or list under `key`, or `ABSENT`."""
    if isinstance(data, Mapping):
        return data.get(key, ABSENT)
    if isinstance(data, (list, tuple)) and isinstance(key, int) and 0 <= key < len(data):
        return data[key]
    return ABSENT


def read_bytes(path: str | Path) -> bytes:
    """A file's content, if it is a regular file within the size limit."""
    file = str(path)
    try:
        if not Path(path).is_file():
            refuse(_not_a_file(Path(path)), file, code="no_such_file")
        with Path(path).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        refuse(f"cannot be read: {getattr(exc, 'strerror', None) or exc}", file, code="unreadable")
    return content


def _not_a_file(path: Path) -> str:
    if path.is_dir():
        return "is a folder"
    if path.is_symlink():
        return f"is a link to '{path.readlink()}', which is not there"
    return "is not a regular file" if path.exists() else "no such file"


def check_text(content: bytes, file: str) -> None:
    """Refuse what is too large or not UTF-8."""
    if len(content) > MAX_BYTES:
        refuse(f"is larger than {MAX_BYTES // 2**20} MiB", file)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as exc:
        refuse("is not UTF-8 text", file, content.count(b"\n", 0, exc.start) + 1)


def duplicate(key: str, file: str, line: int, first: Mark) -> Problem:
    """The problem of a key given twice; `first` is the mark of the first."""
    first = first[0] if isinstance(first, tuple) else first
    return Problem(f"'{key[:60]}' is given twice; the first is on line {first}", "duplicate_key", file, line)


def refuse(message: str, file: str, line: int | None = None, code: str = "bad_file") -> NoReturn:
    """Raise a `SpecError` of one problem."""
    raise SpecError(Problem(message, code, file, line))
