"""What kept a server busy: time by how many sequences decode, and by how many tokens of prompts a step has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Decoding:
    """Steps in which so many sequences decode: their time, and time x keys that they see in sum."""

    ps: int = 0
    context_ps: int = 0


@dataclass(slots=True)
class Prefilling:
    """Steps with pieces of prompts: how many, their time, and sums over them."""

    steps: int = 0
    ps: int = 0
    tokens: int = 0
    seen: int = 0
    """Keys that the last token of each piece sees, times the piece's tokens."""
    decoding: int = 0
    context: int = 0
    """Keys that those who decode beside see in sum."""


@dataclass(slots=True)
class Activity:
    """Fills while a server runs. `decoding`: by sequences; `prefilling`: by tokens of prompts, as powers of two."""

    decoding: dict[int, Decoding] = field(default_factory=dict)
    prefilling: dict[int, Prefilling] = field(default_factory=dict)

    def decode(self, sequences: int, context: int, steps: int, total_ps: int) -> None:
        """`steps` steps, `context` keys in sum in the first one and one more per sequence in each next one."""
        found = self.decoding.get(sequences)
        if found is None:
            found = self.decoding[sequences] = Decoding()
        found.ps += total_ps
        found.context_ps += (context + sequences * (steps - 1) // 2) * total_ps

    def prefill(self, pieces: Sequence[tuple[int, int]], sequences: int, context: int, total_ps: int) -> None:
        """A step with `pieces` of prompts (tokens, keys before them), while `sequences` decode over `context` keys."""
        tokens = sum(query for query, _ in pieces)
        size = tokens.bit_length()
        found = self.prefilling.get(size)
        if found is None:
            found = self.prefilling[size] = Prefilling()
        found.steps += 1
        found.ps += total_ps
        found.tokens += tokens
        found.seen += sum(query * (query + depth) for query, depth in pieces)
        found.decoding += sequences
        found.context += context
