"""The kernel measurements that ship: a draw from the half that numbers may be calibrated on, and its file.

The rule: by chip, table, format, runtime and size class (attention: and head size) so many rows as `DRAWN` says, at
random with a seed of its own for each of these, from the rows whose sizes fall into the calibration half
(`Measured.is_calibrated`). GEMMs of n*k below 2^20, which no target judges but which tell of launches, are a class of
their own. Rows that no number rests on are never here: `tests/validation/kernel_rows.yaml` has some, in the same form.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.errors import Problem, SpecError
from sim.validation.kernel_data import READERS, Measured
from sim.validation.kernels import Compared, is_counted
from sim.yamlfile import Document, load_yaml

FILE = "workloads/measurements/kernels.yaml"
SCHEMA = "sparksim.kernels/1"
DRAWN: Mapping[str, Mapping[str, int]] = {
    "rtx-pro-6000-server": {"gemm": 3, "attention": 2, "moe": 1, "mla": 5, "gdn": 5, "quantize": 8},
    "h100-sxm": {"gemm": 1, "attention": 1},
    "l40s": {"gemm": 1, "attention": 1},
}
"""Rows by chip and op, of each class."""
VERSIONS = {"vllm": "0.24.0", "sglang": "0.5.14", "tensorrt-llm": "1.3.0rc20"}
"""Of each runtime, the version whose rows are drawn."""
SEED = "sparksim"
DIGITS = 4
"""Significant digits of a latency: rounded by far less than kernels scatter."""
NAMED = ("chip", "runtime", "version", "table", "dtype", "copies", "us")
HEAD = f"""schema: {SCHEMA}
# Measured kernels that calibrated numbers rest on: rows of aiconfigurator-core 0.12 (Apache-2.0;
# https://github.com/ai-dynamo/aiconfigurator), facts as its collectors measured them. us: microseconds of one call in a
# CUDA graph; copies: sets of weights taken in turn (1). Drawn by sim/validation/kernel_records.py, which says how;
# `sparksim validate kernels --write-records` draws them again from the package. All are from the half of sizes that may
# be calibrated on (crc32 of "n,k" and the like is even): no target is held against them.
records:
"""


def draw(rows: Iterable[Measured]) -> list[Measured]:
    """The rows of `rows` that ship, in their order."""
    groups: dict[tuple[str, ...], list[Measured]] = defaultdict(list)
    for row in rows:
        if row.op in DRAWN.get(row.chip, {}) and row.version == VERSIONS[row.runtime] and row.is_calibrated:
            size_class = Compared(row, row.latency_s, "").size_class if is_counted(row) else "small"
            head_dim = row.sizes["head_dim"] if row.op == "attention" and row.chip == next(iter(DRAWN)) else ""
            groups[row.chip, row.table, row.dtype, row.runtime, size_class, str(head_dim)].append(row)
    chosen = []
    for key, group in groups.items():
        wanted = min(len(group), DRAWN[key[0]][group[0].op])
        picked = random.Random(f"{SEED} {' '.join(key)}").sample(range(len(group)), wanted)
        chosen += [group[index] for index in sorted(picked)]
    return chosen


def to_text(rows: Sequence[Measured]) -> str:
    """The file's text, a row a line."""
    lines = []
    for row in rows:
        values = (row.chip, row.runtime, row.version, row.table, row.dtype, row.copies)
        said = dict(zip(NAMED, values, strict=False)) | {"us": float(f"{row.latency_s * 1e6:.{DIGITS}g}")} | row.sizes
        if row.copies == 1:
            del said["copies"]
        lines.append("  - {" + ", ".join(f"{name}: {_plain(value)}" for name, value in said.items()) + "}\n")
    return HEAD + "".join(lines)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def write(rows: Iterable[Measured], root: Path) -> Path:
    """Draw from `rows` and write the file below `root`, the folder with `workloads/`; its path."""
    path = root / FILE
    path.write_text(to_text(draw(rows)), encoding="utf-8")
    return path


def read_records(path: Path) -> tuple[Measured, ...]:
    """The rows of a file of this form, in its order.

    Raises:
        SpecError: every row that is not one, with its line.
    """
    document = load_yaml(path)
    data = document.data if isinstance(document.data, dict) else {}
    problems: list[Problem] = []
    if data.get("schema") != SCHEMA:
        problems.append(
            Problem(f"must be {SCHEMA}", "unknown_schema", document.file, document.line_of(("schema",)), "schema")
        )
    listed = data.get("records")
    if not isinstance(listed, list) or not listed:
        problems.append(Problem("must be a list of rows", "bad_value", document.file, None, "records"))
        listed = []
    rows = [_row(document, index, row, problems) for index, row in enumerate(listed)]
    if problems:
        raise SpecError(problems)
    return tuple(row for row in rows if row is not None)


def _row(document: Document, index: int, row: Any, problems: list[Problem]) -> Measured | None:
    """One row; None and its problem where it is none."""
    complaint = _complaint(row)
    if complaint:
        line = document.line_of(("records", index))
        problems.append(Problem(complaint, "bad_value", document.file, line, f"records.{index}"))
        return None
    shape = tuple((name, value) for name, value in row.items() if name not in NAMED)
    chip, runtime, version, table, dtype, copies, us = (row.get(name, 1) for name in NAMED)
    return Measured(chip, runtime, version, READERS[table].op, dtype, shape, float(us) * 1e-6, copies, table)


def _complaint(row: Any) -> str | None:
    if not isinstance(row, dict):
        return "must be a mapping of fields"
    missing = [name for name in NAMED if name not in row and name != "copies"]
    if missing:
        return f"lacks {', '.join(missing)}"
    if row["table"] not in READERS:
        return f"unknown table {str(row['table'])[:40]!r}; there are {', '.join(READERS)}"
    words = [name for name in ("chip", "runtime", "version", "dtype") if not isinstance(row[name], str)]
    if words:
        return f"{words[0]} must be text"
    numbers = {name: value for name, value in row.items() if name not in NAMED[:5]}
    wrong = [name for name, value in numbers.items() if type(value) not in (int, float) or value < 0]
    if wrong or row["us"] <= 0:
        return f"{wrong[0] if wrong else 'us'} must be a number above 0"
    return None
