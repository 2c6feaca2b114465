"""Rows as text: columns as wide as they need to be, the last one wrapped to the width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

NARROWEST = 24


def text_table(rows: Iterable[Sequence[object]], width: int, indent: str = "  ") -> list[str]:
    """One line per row, or more where the last column is longer than what is left of `width`."""
    texts = [[str(cell) if cell is not None else "" for cell in row] for row in rows]
    if not texts:
        return []
    sizes = [_column(sorted(len(row[column]) for row in texts)) for column in range(len(texts[0]) - 1)]
    start = len(indent) + sum(size + 2 for size in sizes)
    lines = []
    for row in texts:
        head = indent + "".join(f"{cell:<{size}}  " for cell, size in zip(row, sizes, strict=False))
        wrapped = textwrap.wrap(row[-1], max(NARROWEST, width - start), break_on_hyphens=False) or [""]
        if len(head) > start and wrapped[0]:
            lines.append(head.rstrip())
            head = " " * start
        lines += [f"{head}{wrapped[0]}".rstrip(), *(" " * start + rest for rest in wrapped[1:])]
    return lines


def _column(lengths: list[int]) -> int:
    """The width of a column: of its longest cell, unless few are much longer than the rest."""
    usual = lengths[len(lengths) * 19 // 20]
    return lengths[-1] if lengths[-1] <= 2 * usual else usual
