"""Speculative decoding with the model's own drafting layer (multi-token prediction).

A step drafts tokens one by one, each with a pass of the drafting layer and the head, and verifies them in one pass of
the model over the drafts and the last token. How many tokens a step yields, the acceptance length, is the text's and
the model's, not the machine's: an input. Published ones: 2.7 to 2.9 for Qwen3.6 35B-A3B, 2.6 for Qwen3.5 4B and 2.1
for 0.8B on MT-Bench and image captions (benchmarks of TensorRT-Edge-LLM 0.10); 2.0 to 2.3 for two drafts on mixed
prompts (vLLM 0.26).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.errors import InputError, Problem
from sim.workload.graph import Block
from sim.workload.layer import LayerBuilder
from sim.workload.model import ModelSpec
from sim.workload.op import Op
from sim.workload.op_builder import PassShape
from sim.workload.quant import QuantRecipe
from sim.workload.runtime import RuntimeSpec

MOST_DRAFTS = 16


@dataclass(frozen=True, slots=True)
class Speculation:
    """`drafts` tokens are guessed per step, which yields `accepted` tokens on average (its own one counted)."""

    drafts: int
    accepted: float


def read_speculation(drafts: str | None, accepted: str | None, model: ModelSpec) -> Speculation | None:
    """What `workload.draft_tokens` and `workload.acceptance_length` say; None without them.

    Raises:
        InputError: one of them is missing or no sane number, or the model has no drafting layer.
    """
    if drafts is None and accepted is None:
        return None
    problems = []
    count, length = _number(drafts), _number(accepted)
    if count is None or count != int(count) or not 1 <= count <= MOST_DRAFTS:
        message = f"must be a whole number from 1 to {MOST_DRAFTS}, beside workload.acceptance_length"
        problems.append(Problem(message, "bad_override", path="workload.draft_tokens"))
    elif length is None or not 1.0 <= length <= count + 1:
        message = f"must lie between 1 and {int(count) + 1}, what {int(count)} drafts can yield"
        problems.append(Problem(message, "bad_override", path="workload.acceptance_length"))
    if model.drafter is None:
        message, hint = f"{model.name} has no drafting layer", "draft models and EAGLE heads are not modelled"
        problems.append(Problem(message, "unsupported_feature", path="workload.draft_tokens", hint=hint))
    if problems or count is None or length is None:
        raise InputError(problems)
    return Speculation(int(count), length)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _DraftPass:
    """One token of every sequence through the drafting layer."""

    sequences: int
    context: int
    padded: int
    query: int = 1

    @property
    def outputs(self) -> int:
        return self.sequences


def draft_block(
    model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec, verify: PassShape, kv_dtype: str, drafts: int
) -> Block:
    """The ops of one draft, `drafts` times: embedding, joining projection, layer, head and choice of a token."""
    assert model.drafter is not None
    small = replace(model, layers=(model.drafter,), extra=())
    formats = replace(quant, default=quant.format_of("mtp", None, 1), more_bits=(), own=frozenset())
    formats = replace(formats, classes=(("head", quant.format_of("head", None, len(model.layers))),))
    one = _DraftPass(verify.sequences, verify.context, runtime.graph_tokens(verify.sequences, verify.sequences))
    build = LayerBuilder(small, formats, runtime, one, kv_dtype)
    ops = list(build.head_of_step())
    build.begin("join")
    build.gemm("mtp_join", "mtp", one.sequences, model.hidden_size, 2 * model.hidden_size, 0)
    ops += build.ops
    ops += build.layer(model.drafter, 0, "L")
    ops += build.tail_of_step()
    return Block(tuple(_renamed(op) for op in ops), drafts)


def _renamed(op: Op) -> Op:
    return replace(op, id=f"draft.{op.id}", after=tuple(f"draft.{name}" for name in op.after))
