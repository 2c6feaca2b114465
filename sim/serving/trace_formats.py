"""One function per format of request traces: from a line, or a document, to a row."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from math import isfinite
from typing import IO, Any, NamedTuple

from sim.errors import Problem, WorkloadError
from sim.serving.request import Content
from sim.yamlfile import load_json_text

MOST_TOKENS = 2**27
MOST_BYTES = 64 << 20
MOONCAKE_BLOCK = 512
CHARACTERS_PER_TOKEN = 4
"""Of English text with today's vocabularies, where a trace holds text and no counts."""
MARKS: dict[str, tuple[str, ...]] = {
    "azure": ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    "burstgpt": ("Timestamp", "Request tokens", "Response tokens"),
    "mooncake": ('"timestamp"', '"input_length"', '"output_length"'),
    "aiperf": ('"metadata"', '"metrics"', "request_start_ns"),
    "sharegpt": ('"conversations"',),
    "vllm_bench": ('"total_input_tokens"', '"request_throughput"'),
}
"""What a file of each format has in its first line, or near its beginning."""


class Row(NamedTuple):
    """A request as a file has it."""

    at_s: float | None
    prompt: int
    output: int
    content: Content = ()


class BadHeaderError(Exception):
    """A file's first line lacks columns."""


def azure(header: str | None) -> Callable[[str], Row]:
    """Azure LLM inference traces 2023 and 2024: TIMESTAMP, ContextTokens, GeneratedTokens."""
    places = _columns(header, MARKS["azure"])

    def read(text: str) -> Row:
        cells = _cells(text, places)
        return Row(_time(cells[0]), _count(cells[1]), _count(cells[2]))

    return read


def burstgpt(header: str | None) -> Callable[[str], Row]:
    """BurstGPT: Timestamp in seconds, Request tokens, Response tokens."""
    places = _columns(header, MARKS["burstgpt"])

    def read(text: str) -> Row:
        cells = _cells(text, places)
        return Row(_seconds(cells[0]), _count(cells[1]), _count(cells[2]))

    return read


def mooncake(_header: str | None) -> Callable[[str], Row]:
    """Mooncake: timestamp in ms, lengths, and a hash for each block of 512 tokens and all before it."""

    def read(text: str) -> Row:
        data = _object(text)
        prompt = _whole(data["input_length"])
        hashes = data.get("hash_ids", [])
        if not isinstance(hashes, list) or not all(isinstance(each, int) for each in hashes):
            raise ValueError("hash_ids must be a list of whole numbers")
        content = tuple(
            (("block", each), min(MOONCAKE_BLOCK, prompt - number * MOONCAKE_BLOCK))
            for number, each in enumerate(hashes)
            if prompt > number * MOONCAKE_BLOCK
        )
        return Row(_seconds(data["timestamp"]) / 1000, prompt, _whole(data["output_length"]), content)

    return read


def aiperf(_header: str | None) -> Callable[[str], Row]:
    """The per-request export of aiperf (profile_export.jsonl)."""

    def read(text: str) -> Row:
        data = _object(text)
        metrics = data["metrics"]
        start = _seconds(data["metadata"]["request_start_ns"]) / 1e9
        return Row(
            start, _whole(metrics["input_sequence_length"]["value"]), _whole(metrics["output_sequence_length"]["value"])
        )

    return read


def sharegpt(text: str, file: str) -> Iterator[Row]:
    """Conversations: of each its first question and answer, their tokens guessed from their length; no times."""
    document = load_json_text(text, file)
    if not isinstance(document.data, list):
        raise WorkloadError(Problem("must be a list of conversations", "bad_trace", file, 1))
    problems: list[Problem] = []
    for number, one in enumerate(document.data):
        turns = one.get("conversations") if isinstance(one, dict) else None
        texts = [turn.get("value") for turn in turns[:2] if isinstance(turn, dict)] if isinstance(turns, list) else []
        if len(texts) == 2 and all(isinstance(each, str) and each for each in texts):
            prompt, output = (max(1, round(len(each) / CHARACTERS_PER_TOKEN)) for each in texts if each)
            yield Row(None, prompt, output)
        elif len(problems) < 20:
            line = document.line_of((number,))
            problems.append(Problem("has no question with an answer", "bad_line", file, line, f"[{number}]"))
    if problems:
        raise WorkloadError(problems)


def vllm_bench(text: str, file: str) -> Iterator[Row]:
    """What `vllm bench serve --save-result --save-detailed` writes."""
    document = load_json_text(text, file)
    data = document.data if isinstance(document.data, dict) else {}
    inputs, outputs, starts = (data.get(key) for key in ("input_lens", "output_lens", "start_times"))
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        hint = "write it with --save-detailed"
        raise WorkloadError(Problem("has no input_lens and output_lens", "bad_trace", file, 1, hint=hint))
    times = starts if isinstance(starts, list) and len(starts) == len(inputs) else [None] * len(inputs)
    order = sorted(range(len(inputs)), key=lambda i: _sortable(times[i]))
    for i in order:
        try:
            at_s = None if times[i] is None else _seconds(times[i])
            row = Row(at_s, _whole(inputs[i]), _whole(outputs[i]))
        except (ValueError, TypeError) as error:
            line = document.line_of(("input_lens", i))
            raise WorkloadError(Problem(said(error), "bad_line", file, line, f"[{i}]")) from None
        if row.output:  # failed requests have none
            yield row


def limited(stream: IO[str], file: str) -> str:
    """All of a document.

    Raises:
        WorkloadError: it is too large to be read in one.
    """
    text = stream.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        message = f"is larger than {MOST_BYTES >> 20} MiB"
        raise WorkloadError(Problem(message, "too_large", file, hint="formats with a line per request are streamed"))
    return text


def said(error: BaseException) -> str:
    """What an exception of reading a line says, in our words."""
    if isinstance(error, KeyError):
        return f"has no {error.args[0]}"
    if isinstance(error, json.JSONDecodeError):
        return f"is no JSON: {error.msg}"
    if isinstance(error, RecursionError):
        return "is nested too deep"
    return str(error)


def _columns(header: str | None, wanted: tuple[str, ...]) -> tuple[int, ...]:
    names = [name.strip() for name in next(csv.reader([header or ""]), [])]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise BadHeaderError(f"has no column {', '.join(missing)}; it has {', '.join(names)[:200]}")
    return tuple(names.index(name) for name in wanted)


def _cells(text: str, places: tuple[int, ...]) -> list[str]:
    row = next(csv.reader([text]), [])
    if max(places) >= len(row):
        raise ValueError(f"has {len(row)} columns")
    return [row[place].strip() for place in places]


def _time(text: str) -> float:
    """Seconds since 1970 of `2023-11-16 18:17:03.9799600`, of any number of digits, with or without a zone."""
    whole, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        at = datetime.fromisoformat(whole + rest[len(digits) :])
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no time") from None
    if dot and not digits:
        raise ValueError(f"{text[:40]!r} is no time")
    fraction = int(digits[:12]) / 10 ** len(digits[:12]) if digits else 0.0
    return at.replace(tzinfo=at.tzinfo or UTC).timestamp() + fraction


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 12:
        raise ValueError(f"{text[:40]!r} is no number of tokens")
    return int(text)


def _seconds(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{str(value)[:40]!r} is no time") from None
    if isinstance(value, bool) or not isfinite(found) or found < 0:
        raise ValueError(f"{str(value)[:40]!r} is no time")
    return found


def _sortable(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise ValueError(f"{str(value)[:40]!r} is no number of tokens")
    return int(value)


def _object(text: str) -> dict[str, Any]:
    data = json.loads(text)
    if not isinstance(data, dict):
        raise TypeError("is no JSON object")
    return data
