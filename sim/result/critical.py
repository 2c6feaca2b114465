"""Where the time of a step went when several components worked side by side: each moment counts once.

A moment belongs to an op that works rather than to one that waits for it; of several that work, to the one that ends
last, because the others being faster would not shorten the step.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import NamedTuple

from sim.result.trace import Span, StepTrace

OpKey = tuple[int, str]
"""Block and op id."""


class _Piece(NamedTuple):
    """A span, when its op ends, and how often it happens."""

    span: Span
    op_end_ps: int
    times: int


def elapsed(step: StepTrace) -> dict[OpKey, dict[str, float]]:
    """Picoseconds of a step by op and cause, all repeats together; they sum to the step's time."""
    if len({op.component for op in step.ops}) <= 1:
        return {(op.block, op.op): {cause: ps * op.repeat for cause, ps in op.causes.items()} for op in step.ops}
    totals: dict[OpKey, dict[str, float]] = {(op.block, op.op): {} for op in step.ops}
    for piece, ps in _moments(_lanes(step)):
        causes = totals[piece.span.block, piece.span.op]
        causes[piece.span.cause] = causes.get(piece.span.cause, 0.0) + ps * piece.times
    return totals


def _lanes(step: StepTrace) -> list[list[_Piece]]:
    """Spans of each component in time order."""
    times = [1] * len(step.spans)
    for fold in step.folded:
        times[fold.first : fold.end] = [1 + fold.copies] * (fold.end - fold.first)
    lanes: dict[str, list[tuple[Span, int]]] = {}
    for span, n in zip(step.spans, times, strict=True):
        lanes.setdefault(span.component, []).append((span, n))
    found = []
    for lane in lanes.values():
        pieces: list[_Piece] = []
        for _, group in groupby(lane, key=lambda entry: (entry[0].block, entry[0].iteration, entry[0].op)):
            life = list(group)
            pieces += [_Piece(span, life[-1][0].end_ps, n) for span, n in life]
        found.append(pieces)
    return found


def _moments(lanes: list[list[_Piece]]) -> Iterator[tuple[_Piece, int]]:
    """The piece that each stretch of time belongs to, and the length of the stretch."""
    marks = sorted({at for lane in lanes for piece in lane for at in (piece.span.start_ps, piece.span.end_ps)})
    positions = [0] * len(lanes)
    for begin, end in pairwise(marks):
        active = []
        for number, lane in enumerate(lanes):
            while positions[number] < len(lane) and lane[positions[number]].span.end_ps <= begin:
                positions[number] += 1
            if positions[number] < len(lane) and lane[positions[number]].span.start_ps <= begin:
                active.append(lane[positions[number]])
        if active:
            yield max(active, key=lambda piece: (piece.span.cause != "dependency", piece.op_end_ps)), end - begin
