"""How long an engine step takes: a table that fills as it is asked, each entry a simulated step taken apart.

A step's time is what all its tokens cost (dense products, and the rest), what those cost whose output is wanted, what
the sequences that decode read of their contexts, and what each piece of a prompt does. Each of these is linear between
knots (`knots.py`), in whole picoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from sim.serving.knots import (
    context_knots,
    depth_knots,
    power_knots,
    query_knots,
    sequence_knots,
    tile_knots,
    token_knots,
)
from sim.serving.line import Line, line_through

_FEW, _SHORT = 8, 1024
"""Sequences that decode, and their keys, where what they cost a prompt is looked at."""
_LEAST_CONTEXT = 64


@dataclass(frozen=True, slots=True)
class StepCost:
    """A simulated step taken apart, ps.

    All tokens' dense products and the rest of what they cost; those whose output is wanted; each part's contexts.
    """

    tiles_ps: int
    rows_ps: int
    tail_ps: int
    parts_ps: tuple[int, ...]

    @property
    def total_ps(self) -> int:
        """The whole step."""
        return self.tiles_ps + self.rows_ps + self.tail_ps + sum(self.parts_ps)


@dataclass(frozen=True, slots=True)
class Host:
    """What the host costs per step, ps; `is_hidden`: it works beside the GPU, so that only the longer one counts."""

    step_ps: int
    sequence_ps: int
    is_hidden: bool

    def with_gpu(self, gpu_ps: int, sequences: int) -> int:
        """Time of a step that keeps the GPU busy for `gpu_ps`."""
        host = self.step_ps + self.sequence_ps * sequences
        return max(gpu_ps, host) if self.is_hidden else gpu_ps + host


Group = tuple[int, int, int]
"""Like sequences of a step: how many, new tokens of each, keys that the last of these sees."""
Simulate = Callable[[tuple[Group, ...], int], StepCost]
"""(groups, outputs wanted) -> the step taken apart."""


@dataclass(frozen=True, slots=True)
class Verifying:
    """Steps of a server that speculates: each sequence has `query` tokens in a step, drafts and its own.

    It gets `accepted` of them on average. `drafts`: (sequences, keys of each) -> ps to guess them all.
    """

    query: int
    accepted: float
    drafts: Callable[[int, int], int]


@dataclass(slots=True)
class _Known:
    """A line that holds between two mean contexts, its knots."""

    least: int
    most: int
    line: Line


class StepTable:
    """Step times of one model on one runtime and machine.

    `simulate`: simulates one step. `kinks`: numbers of keys where attention's time bends (windows). `padding`: keys are
    read in multiples of this many, half of one too many in the mean. `is_unified`: all sequences share one range of
    keys, which each token is held against (llama.cpp's unified cache). `wants_all`: outputs of all tokens are computed.
    `verifying`: of a server that speculates; None where a step gives each sequence one token.
    """

    def __init__(
        self,
        simulate: Simulate,
        host: Host,
        kinks: Sequence[int] = (),
        *,
        padding: int = 1,
        is_unified: bool = False,
        wants_all: bool = False,
        verifying: Verifying | None = None,
    ) -> None:
        self.host = host
        self._kinks = tuple(kinks)
        self._padding = padding
        self._is_unified = is_unified
        self._wants_all = wants_all
        self.verifying = verifying
        self._query = verifying.query if verifying is not None else 1
        self._simulate = lru_cache(maxsize=None)(simulate)
        drafts: Callable[[int, int], int] = (lambda *_: 0) if verifying is None else verifying.drafts
        self._drafts = lru_cache(maxsize=None)(drafts)
        self._whole = lru_cache(maxsize=None)(self._whole_at)
        self._body = lru_cache(maxsize=None)(self._body_at)
        self._tail = lru_cache(maxsize=None)(self._tail_at)
        self._beside = lru_cache(maxsize=None)(self._beside_at)
        self._reading: dict[int, _Known] = {}
        self._decoding: dict[int, _Known] = {}

    def steps_simulated(self) -> int:
        """How many steps were simulated so far."""
        return self._simulate.cache_info().misses

    def decode_line(self, sequences: int, least: int, most: int) -> Line:
        """Time of a token of `sequences` that decode, by their summed context, ps; right from `least` to `most`.

        It is that of a step; where steps verify drafts, the share of it that each of the tokens they yield has.
        """
        line = self._step_line(sequences, least, most)
        return line if self.verifying is None else line.shared(self.verifying.accepted)

    def _step_line(self, sequences: int, least: int, most: int) -> Line:
        reading = self._read_line(sequences, least, most)
        known = self._decoding.get(sequences)
        if known is None or known.least > reading.least or known.most < reading.most:
            host = self.host
            alone = host.step_ps + host.sequence_ps * sequences
            line = reading.line.plus(self._whole(sequences * self._query))
            line = line.at_least(alone) if host.is_hidden else line.plus(alone)
            known = self._decoding[sequences] = _Known(reading.least, reading.most, line)
        return known.line

    def step_ps(self, sequences: int, context: int, pieces: Sequence[tuple[int, int]], outputs: int) -> int:
        """Time of a step: `sequences` decode over `context` keys in sum, `pieces` of prompts (tokens, depth) beside.

        `outputs`: tokens whose output is wanted, those that decode among them.
        """
        if not pieces:
            return self._step_line(sequences, context, context).at(context)
        tokens = sequences * self._query + sum(query for query, _ in pieces)
        outputs += sequences * (self._query - 1)
        if self._wants_all or outputs >= tokens:
            gpu = self._whole(tokens)
        else:
            gpu = self._body(tokens) + (self._tail(outputs) if outputs else 0)
        if sequences:
            gpu += self._read_line(sequences, context, context).line.at(context) + self._beside(tokens)
        for query, depth in pieces:
            gpu += self._piece(query, depth)
        return self.host.with_gpu(gpu, sequences + len(pieces))

    def _read_line(self, sequences: int, least: int, most: int) -> _Known:
        """What `sequences` that decode read of their contexts, by the summed context."""
        extra = (self._padding - 1) // 2
        low, high = least // sequences + extra, ceil(most / sequences) + extra
        known = self._reading.get(sequences)
        if known is None or low < known.least or high > known.most:
            if known is not None:
                low, high = min(low, known.least), max(high, known.most)
            knots = context_knots(low, high, self._kinks)
            shift = extra * (1 if self._is_unified else sequences)
            points = {max(0, knot * sequences - shift): self._read(sequences, knot) for knot in knots}
            known = _Known(knots[0], knots[-1], line_through(sorted(points.items())))
            self._reading[sequences] = known
        return known

    def _read(self, sequences: int, context: int) -> int:
        return _between(sequence_knots(sequences), sequences, lambda knot: self._read_knot(knot, context))

    def _read_knot(self, sequences: int, context: int) -> int:
        tokens, last = sequences * self._query, context + self._query - 1
        group = (sequences, self._query, last)
        if self._is_unified:
            group = (1, tokens, max(tokens, last * sequences))
        return self._simulate((group,), tokens).parts_ps[0] + self._drafts(sequences, context)

    def _whole_at(self, tokens: int) -> int:
        """All of a step but contexts, where every token's output is wanted."""

        def knot_ps(knot: int) -> int:
            cost = self._simulate(((knot, 1, _LEAST_CONTEXT),), knot)
            return cost.tiles_ps + cost.rows_ps + cost.tail_ps

        return _between(token_knots(tokens), tokens, knot_ps)

    def _body_at(self, tokens: int) -> int:
        """What all tokens cost where few outputs are wanted: dense products in whole tiles, the rest row by row."""

        def simulated(knot: int) -> StepCost:
            return self._simulate(((1, max(2, knot), max(2, knot)),), 1)

        knots, tiled = tile_knots(tokens)
        tiles = _between(knots, tiled, lambda knot: simulated(knot).tiles_ps)
        return tiles + _between(token_knots(tokens), tokens, lambda knot: simulated(knot).rows_ps)

    def _tail_at(self, outputs: int) -> int:
        # Of a pass of more tokens than outputs, or all of it would be its tail.
        return _between(
            token_knots(outputs), outputs, lambda knot: self._simulate(((1, 2 * knot, 2 * knot),), knot).tail_ps
        )

    def _beside_at(self, tokens: int) -> int:
        """What a piece of a prompt and sequences that decode cost each other: L2 is full of the other's tokens."""
        return _between(power_knots(tokens), tokens, self._beside_knot)

    def _beside_knot(self, tokens: int) -> int:
        few = min(_FEW, tokens // 2)
        if not few:
            return 0
        piece, decoding = (1, tokens - few, tokens - few), (few, 1, _SHORT)
        if self._is_unified:
            decoding = (1, few, few * _SHORT)
        together = self._simulate((decoding, piece), few + 1).parts_ps
        apart = self._simulate((decoding,), few).parts_ps[0]  # one token each, as beside the piece
        return sum(together) - apart - self._prompt_knot(tokens - few, 0)

    def _piece(self, query: int, depth: int) -> int:
        return _between(
            query_knots(query),
            query,
            lambda q: _between(depth_knots(depth, self._kinks), depth, lambda d: self._prompt_knot(q, d)),
        )

    def _prompt_knot(self, query: int, depth: int) -> int:
        return self._simulate(((1, query, depth + query),), 1).parts_ps[0]


def _between(knots: tuple[int, int], x: int, value: Callable[[int], int]) -> int:
    """Linear between the values at two knots, whole."""
    lower, upper = knots
    if lower == upper:
        return value(lower)
    low, high = value(lower), value(upper)
    return low + (high - low) * (x - lower) // (upper - lower)
