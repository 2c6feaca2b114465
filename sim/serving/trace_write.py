"""Writes requests as the traces of others are written, so that other tools can replay them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from sim.errors import InputError, Problem
from sim.serving.trace_file import TracedRequest
from sim.serving.trace_formats import MOONCAKE_BLOCK

_START = datetime(2023, 11, 16, tzinfo=UTC)
"""Azure's times are dates: the first request comes then, for want of another."""


def write_trace(path: str | Path, kind: str, requests: Iterable[TracedRequest]) -> int:
    """Write `requests` into a new file in the format `kind` (azure, burstgpt, mooncake); how many there were.

    Raises:
        InputError: another format, a request without a time, or the file exists or cannot be written.
    """
    if kind not in _WRITERS:
        raise InputError(
            Problem(f"cannot write {kind[:40]!r}", "bad_argument", hint=f"can write {', '.join(_WRITERS)}")
        )
    try:
        with Path(path).open("x", encoding="utf-8", newline="") as stream:
            return _WRITERS[kind](stream, requests)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(Problem(f"cannot be written: {reason}", "not_writable", str(path))) from None


def _azure(stream: IO[str], requests: Iterable[TracedRequest]) -> int:
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(("TIMESTAMP", "ContextTokens", "GeneratedTokens"))
    number = 0
    for number, one in enumerate(requests, 1):  # noqa: B007 - the last number is the count
        ticks = round(_time(one) * 10**7)
        at = _START + timedelta(seconds=ticks // 10**7)
        rows.writerow((f"{at:%Y-%m-%d %H:%M:%S}.{ticks % 10**7:07d}", one.prompt, one.output))
    return number


def _burstgpt(stream: IO[str], requests: Iterable[TracedRequest]) -> int:
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(("Timestamp", "Model", "Request tokens", "Response tokens", "Total tokens", "Log Type"))
    number = 0
    for number, one in enumerate(requests, 1):  # noqa: B007 - as above
        rows.writerow((f"{_time(one):.9g}", "", one.prompt, one.output, one.prompt + one.output, "API log"))
    return number


def _mooncake(stream: IO[str], requests: Iterable[TracedRequest]) -> int:
    """Blocks whose content is not known are taken to be nobody else's."""
    names: dict[object, int] = {}
    number = 0
    for number, one in enumerate(requests, 1):
        known = [names.setdefault(name, len(names)) for name, _ in one.content]
        own = range(len(known), -(-one.prompt // MOONCAKE_BLOCK))
        known += [names.setdefault((number, block), len(names)) for block in own]
        row = {"timestamp": round(_time(one) * 1000), "input_length": one.prompt, "output_length": one.output}
        stream.write(json.dumps(row | {"hash_ids": known}) + "\n")
    return number


def _time(one: TracedRequest) -> float:
    if one.at_s is None:
        raise InputError(Problem("a request has no time", "no_times", hint="such a trace has no place for that"))
    return one.at_s


_WRITERS: dict[str, Callable[[IO[str], Iterable[TracedRequest]], int]] = {
    "azure": _azure,
    "burstgpt": _burstgpt,
    "mooncake": _mooncake,
}
