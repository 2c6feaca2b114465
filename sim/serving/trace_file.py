"""Request traces as others write them, read line by line (`.gz` too), each bad line named."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sim.errors import InputError, Problem, WorkloadError
from sim.serving import trace_formats as formats
from sim.serving.request import Content

MOST_SHOWN = 20
LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """A request of a trace: seconds since its first one, None where the trace has no times."""

    at_s: float | None
    prompt: int
    output: int
    content: Content = ()


@dataclass(frozen=True, slots=True)
class _Format:
    """`lines`: makes the reader of a line's text from the header line (None: there is none to read)."""

    line: Callable[[str | None], Callable[[str], formats.Row]]
    has_header: bool


FORMATS: dict[str, _Format] = {
    "azure": _Format(formats.azure, has_header=True),
    "burstgpt": _Format(formats.burstgpt, has_header=True),
    "mooncake": _Format(formats.mooncake, has_header=False),
    "aiperf": _Format(formats.aiperf, has_header=False),
}
"""Formats with a request on each line."""
WHOLE: dict[str, Callable[[str, str], Iterator[formats.Row]]] = {
    "sharegpt": formats.sharegpt,
    "vllm_bench": formats.vllm_bench,
}
"""Formats that are one JSON document: (text, file name) -> rows."""


class RequestTrace:
    """The requests of a file, in its order; can be gone through again. `skipped`: bad lines left out the last time."""

    def __init__(self, path: Path, kind: str, *, is_lenient: bool) -> None:
        self._path = path
        self._kind = kind
        self._is_lenient = is_lenient
        self.skipped = 0

    def __iter__(self) -> Iterator[TracedRequest]:
        """Every request.

        Raises:
            WorkloadError: bad lines (with `is_lenient` they are left out), or no request at all; at the end, so that
                all are told.
        """
        self.skipped = 0
        problems: list[Problem] = []
        found, start, last = 0, None, None
        for line, row in self._rows():
            complaint = row if isinstance(row, str) else _complaint(row, last)
            if complaint is not None:
                self.skipped += 1
                if len(problems) < MOST_SHOWN:
                    problems.append(Problem(complaint, "bad_line", str(self._path), line))
                continue
            assert not isinstance(row, str)
            found += 1
            start, last = row.at_s if start is None else start, row.at_s
            at_s = None if row.at_s is None or start is None else row.at_s - start
            if self._is_lenient or not problems:
                yield TracedRequest(at_s, row.prompt, row.output, row.content)
        if problems and not self._is_lenient:
            more = self.skipped - len(problems)
            if more:
                problems.append(Problem(f"{more} more bad lines", "bad_line", str(self._path)))
            raise WorkloadError(problems)
        if not found:
            raise WorkloadError([*problems, Problem("has no request", "empty", str(self._path))])

    def _rows(self) -> Iterator[tuple[int | None, formats.Row | str]]:
        """(line, row or what is wrong with it)."""
        try:
            with _open(self._path) as stream:
                if self._kind in WHOLE:
                    for row in WHOLE[self._kind](formats.limited(stream, str(self._path)), str(self._path)):
                        yield None, row
                else:
                    yield from self._line_rows(stream)
        except (OSError, EOFError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise InputError(Problem(f"cannot be read: {reason}", "unreadable", str(self._path))) from None

    def _line_rows(self, stream: IO[str]) -> Iterator[tuple[int | None, formats.Row | str]]:
        form = FORMATS[self._kind]
        number, read = 0, None if form.has_header else form.line(None)
        while text := stream.readline(LONGEST_LINE):
            number += 1
            if not text.strip():
                continue
            try:
                if read is None:
                    read = form.line(text)
                    continue
                yield number, read(text)
            except formats.BadHeaderError as error:
                problem = Problem(str(error), "bad_header", str(self._path), number)
                raise WorkloadError(problem) from None
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                yield number, formats.said(error)


def open_trace(path: Path, kind: str = "auto", *, is_lenient: bool = False) -> RequestTrace:
    """The trace in `path`; `kind`: a format, or auto to tell it from its first line. Nothing is read but that.

    Raises:
        InputError: unreadable, or a format that is not known.
    """
    if kind == "auto":
        kind = _guess(path)
    return RequestTrace(path, kind, is_lenient=is_lenient)


def _open(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _guess(path: Path) -> str:
    """A format from how the file begins."""
    try:
        with _open(path) as stream:
            head = stream.read(4096)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(Problem(f"cannot be read: {reason}", "unreadable", str(path))) from None
    first = head.partition("\n")[0]
    for kind, marks in formats.MARKS.items():
        if all(mark in (first if kind in FORMATS else head) for mark in marks):
            return kind
    known = ", ".join([*FORMATS, *WHOLE])
    raise InputError(Problem("is no request trace that is known", "unknown_trace", str(path), hint=f"known: {known}"))


def _complaint(row: formats.Row, last: float | None) -> str | None:
    """What is wrong with a row that could be read."""
    if not 1 <= row.prompt <= formats.MOST_TOKENS:
        return f"a prompt of {row.prompt} tokens"
    if not 1 <= row.output <= formats.MOST_TOKENS:
        return f"an output of {row.output} tokens"
    if row.at_s is not None and last is not None and row.at_s < last:
        return f"comes {last - row.at_s:.6g} s before the request above it"
    return None
