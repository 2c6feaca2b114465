"""The measurements that ship, as fields that `records:` of a calibrated number may pick by, and how many it picks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from sim.paths import find
from sim.yamlfile import WORDS, fits, load_yaml

Fields = Mapping[str, Any]
PHASES = ("prefill", "decode")
FIRST_TOKEN = "first_token"
"""Phase of a time to first token, which is not compared but may inform a number."""
MEASURED_DECODE = ("pure_decode", "e2e")
"""What a decode rate is of, where it can be compared."""


def fields_of(file: str) -> tuple[Fields, ...]:
    """Every measurement of `file` (a key of `sim.yamlfile.WORDS`), in its order.

    Of inference a record gives one for each phase that it measured, and one for a time to first token.

    Raises:
        InputError: the file is not there or cannot be read.
    """
    path = find("measurements", file)
    return _fields(file, str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _fields(file: str, path: str, _stamp: int) -> tuple[Fields, ...]:
    read = {
        "kernels": kernel_fields,
        "inference": inference_fields,
        "machines": inference_fields,
        "microbench": microbench_fields,
    }[file]
    return tuple(each for record in load_yaml(path).data["records"] for each in read(record))


def kernel_fields(row: Fields) -> Iterator[Fields]:
    """A kernel row, with its op (the table without its phase) and how many query heads share a KV head."""
    op = str(row["table"]).partition("-")[0]
    group = {"gqa": row["heads"] // row["kv_heads"]} if "kv_heads" in row else {}
    yield {**row, "op": op, **group}


def inference_fields(record: Fields) -> Iterator[Fields]:
    """Each phase that was measured, with the family of the model, and the runtime apart from its version."""
    runtime, _, version = str(record["runtime"]).partition("@")
    measured = {
        "prefill": bool(record.get("prefill_tok_s") and record.get("prompt")),
        "decode": bool(record.get("decode_tok_s") and record.get("decode_basis") in MEASURED_DECODE),
    }
    said = {"runtime": runtime, "version": version, "family": family_of(str(record["model"]))}
    for phase in PHASES:
        if measured[phase]:
            yield {**record, **said, "phase": phase}
    if record.get("ttft_s") and record.get("prompt"):
        yield {**record, **said, "phase": FIRST_TOKEN}


def microbench_fields(record: Fields) -> Iterator[Fields]:
    """A measurement with the fields of its probe."""
    yield {**record["probe"], **record}


def family_of(model: str) -> str:
    """What a model's name begins with: qwen3.5, gpt-oss, gemma-3."""
    return re.match(r"gpt-oss|[a-z]+-?\d*(?:\.\d+)?", model)[0].strip("-")  # type: ignore[index]


def count(records: Mapping[str, Any] | None) -> int:
    """How many measurements inform a number whose `records:` are these."""
    if not records:
        return 0
    return sum(fits(each, file, records) for file in WORDS if file in records for each in fields_of(file))
