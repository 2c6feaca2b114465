"""A forward pass over sequences that are not alike: some decode, others are given a piece of their prompt.

All tokens go through the same products; what looks at contexts (attention, recurrent states, latents) is done part by
part, as vLLM's and SGLang's attention backends do. The ops of a part, and those of the tail that only works on tokens
whose output is wanted, can be told by their ids, so that a step's time can be taken apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.workload.graph import Step
from sim.workload.layer import LayerBuilder
from sim.workload.layer_spec import LayerSpec
from sim.workload.lower import Pass, step_blocks
from sim.workload.model import ModelSpec
from sim.workload.quant import QuantRecipe
from sim.workload.runtime import RuntimeSpec

PART, TAIL = "part", "tail"
"""Begin the last piece of the prefix of an op's id: of a part, of the tail."""


@dataclass(frozen=True, slots=True)
class MixedPass:
    """Sequences in groups of like ones; `outputs` of all tokens are wanted. `padded`: as of a `Pass`."""

    parts: tuple[Pass, ...]
    outputs: int
    padded: int = 0

    @property
    def tokens(self) -> int:
        """New tokens of the pass."""
        return sum(one.sequences * one.query for one in self.parts)

    @property
    def sequences(self) -> int:
        """Sequences of the pass."""
        return sum(one.sequences for one in self.parts)

    @property
    def query(self) -> int:
        """Most new tokens of a sequence."""
        return max(one.query for one in self.parts)

    @property
    def context(self) -> int:
        """Most keys that a token sees."""
        return max(one.context for one in self.parts)


class MixedBuilder(LayerBuilder):
    """Builds the layers of a mixed pass."""

    def __init__(
        self, model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec, mixed: MixedPass, kv_dtype: str
    ) -> None:
        super().__init__(model, quant, runtime, mixed, kv_dtype)
        self._mixed = mixed
        self.tokens = max(mixed.padded, mixed.tokens)

    def parts(self) -> Iterator[None]:
        """The parts one after the other; what pads a step of one part is worked on in it too."""
        prefix, tokens, parts = self._prefix, self.tokens, self._mixed.parts
        for number, part in enumerate(parts):
            self.one, self._prefix = part, f"{prefix}.{PART}{number}"
            self.tokens = part.sequences * part.query if len(parts) > 1 else tokens
            yield
        self.one, self.tokens, self._prefix = self._mixed, tokens, prefix

    def _project(self, layer: LayerSpec, index: int, tokens: int) -> None:
        if self._is_tail(tokens):
            self._prefix = f"{self._prefix}.{TAIL}"
        super()._project(layer, index, tokens)

    def _is_tail(self, tokens: int) -> bool:
        return self._prefix == "last" and tokens == self._mixed.outputs


def part_of(op_id: str) -> int | None:
    """Which part an op belongs to; None: all of the pass, or the tail."""
    for piece in op_id.split(".")[:-1]:
        if piece.startswith(PART) and piece[len(PART) :].isdigit():
            return int(piece[len(PART) :])
    return None


def is_of_tail(op_id: str) -> bool:
    """Whether an op only works on the tokens whose output is wanted."""
    pieces = op_id.split(".")
    return pieces[0] == "out" or TAIL in pieces[1:-1]


def build_mixed_step(
    model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec, mixed: MixedPass, kv_dtype: str, name: str
) -> Step:
    """One forward pass over unlike sequences as blocks of ops."""
    builder = MixedBuilder(model, quant, runtime, mixed, kv_dtype)
    return Step(name, step_blocks(builder, quant, mixed.tokens), 1.0, tokens=mixed.tokens, context=mixed.context)
