"""Speculative decoding: drafts by the model's own layer (multi-token prediction), an EAGLE head or another model.

A step drafts tokens one by one, each with a pass of the drafter and a head, and verifies them in one pass of the model
over the drafts and the last token: batch x (drafts + 1) tokens, whose experts are all read. How many tokens a step
yields, the acceptance length, is the text's and the model's, not the machine's: an input (`acceptance`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sim.errors import InputError, Problem
from sim.workload.acceptance import CONTENTS, length_of, published
from sim.workload.graph import Block
from sim.workload.layer import LayerBuilder
from sim.workload.layer_spec import AttentionSpec, DenseFfn, LayerSpec
from sim.workload.model import ModelSpec, Tensor
from sim.workload.op import Op
from sim.workload.op_builder import PassShape
from sim.workload.quant import QuantRecipe
from sim.workload.runtime import RuntimeSpec
from sim.yamlfile import closest

MOST_DRAFTS = 16
HEADS = ("mtp", "eagle", "eagle3")
"""Drafters that work on the model's hidden states; any other name is that of a model."""
SETTINGS = ("draft", "draft_tokens", "acceptance_length", "draft_content")
"""What `workload.` may say of it."""
EAGLE3_VOCAB = 32_000
"""Tokens that EAGLE-3 heads draft from (`draft_vocab_size` of the published ones)."""
EAGLE3_WIDTH = 6
"""Width of the dense part of heads for models with experts, in hidden sizes (nvidia/gpt-oss-120b-Eagle3: 17,280)."""
ROWS_OF_DEPTH = {"mtp": 2, "eagle": 2, "eagle3": 3}
"""Hidden sizes that the joining projection reads: state and embedding, or three layers' states (EAGLE-3)."""


@dataclass(frozen=True, slots=True)
class Speculation:
    """`drafts` tokens are guessed per step, which yields `accepted` tokens on average (its own one counted).

    `draft`, `quant`: the model that guesses, where it is another one. `note`: where the acceptance length comes from,
    unless it was given.
    """

    drafts: int
    accepted: float
    method: str = "mtp"
    draft: ModelSpec | None = None
    quant: QuantRecipe | None = None
    note: str | None = None


def read_speculation(
    said: Mapping[str, str], model: ModelSpec, default_drafts: int = 0, load: Callable[[str], ModelSpec] | None = None
) -> Speculation | None:
    """What `workload.draft`, `.draft_tokens`, `.acceptance_length` and `.draft_content` say; None without them.

    `default_drafts`: of the runtime, for a drafting layer (0: must be given). `load`: finds a drafting model.

    Raises:
        InputError: no sane number, no such drafter or content: every problem at once.
    """
    given = {name: said[name] for name in SETTINGS if said.get(name) is not None}
    if not given:
        return None
    problems: list[Problem] = []
    name, content = given.get("draft", "mtp"), given.get("draft_content", CONTENTS[0])
    draft = _drafter(name, model, load, problems)
    method = name if name in HEADS else "draft model"
    drafts = _drafts(given.get("draft_tokens"), default_drafts if method == "mtp" else 0, problems)
    if content not in CONTENTS:
        guess = closest(content, CONTENTS)
        hint = f"did you mean {guess!r}?" if guess else f"one of {', '.join(CONTENTS)}"
        problems.append(
            Problem(f"unknown content {content[:40]!r}", "bad_override", path="workload.draft_content", hint=hint)
        )
    length = _length(given.get("acceptance_length"), drafts, problems)
    if problems:
        raise InputError(problems)
    assert drafts is not None
    if length is not None:
        return Speculation(drafts, length, method, draft)
    found, of = published(method, content)
    length = length_of(found.middle, drafts)
    low, high = (length_of(each, drafts) for each in (found.low, found.high))
    other = f" (nothing is published of {content})" if of != content else ""
    note = (
        f"acceptance length {length:.2f} of {drafts + 1} is not given: the middle of {low:.2f} to {high:.2f}, "
        f"published for {method} on {of}{other}: {found.source}; --set workload.acceptance_length=... says another"
    )
    return Speculation(drafts, length, method, draft, note=note)


def _drafter(
    name: str, model: ModelSpec, load: Callable[[str], ModelSpec] | None, problems: list[Problem]
) -> ModelSpec | None:
    """The model that drafts; None where it is a head or layer of the model's own."""
    path = "workload.draft"
    if name == "mtp":
        if model.drafter is None:
            hint = "workload.draft may also be eagle, eagle3 or the name of a smaller model"
            problems.append(Problem(f"{model.name} has no drafting layer", "unsupported_feature", path=path, hint=hint))
    elif name not in HEADS and load is not None:
        try:
            draft = load(name)
        except InputError as error:
            problems += [replace(each, path=path) for each in error.problems]
            return None
        if draft.vocab_size < model.vocab_size * 0.9 or draft.vocab_size > model.vocab_size * 1.1:
            message = f"{draft.name} has {draft.vocab_size:,} tokens, {model.name} {model.vocab_size:,}"
            problems.append(Problem(message, "contradiction", path=path, hint="a draft model shares the tokenizer"))
        return draft
    return None


def _drafts(text: str | None, default: int, problems: list[Problem]) -> int | None:
    count = _number(text) if text is not None else float(default) if default else None
    if count is None or count != int(count) or not 1 <= count <= MOST_DRAFTS:
        message = f"must be a whole number from 1 to {MOST_DRAFTS}"
        problems.append(Problem(message, "bad_override", path="workload.draft_tokens"))
        return None
    return int(count)


def _length(text: str | None, drafts: int | None, problems: list[Problem]) -> float | None:
    if text is None:
        return None
    length, most = _number(text), (drafts or MOST_DRAFTS) + 1
    if length is None or not 1.0 <= length <= most:
        message = f"must lie between 1 and {most}, what {most - 1} drafts can yield"
        problems.append(Problem(message, "bad_override", path="workload.acceptance_length"))
    return length


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def with_head(model: ModelSpec, method: str) -> ModelSpec:
    """The model with an EAGLE head's layer and weights; itself for other methods.

    The layer has the model's heads without their extras; EAGLE-3's reads embedding and state side by side, joins the
    states of three layers, and has a head of its own for the most frequent tokens (arXiv 2503.01840).
    """
    if method not in ("eagle", "eagle3"):
        return model
    hidden = model.hidden_size
    usual = AttentionSpec(max(1, hidden // 128), max(1, hidden // 1024), 128)
    first = next((layer.mixer for layer in model.layers if isinstance(layer.mixer, AttentionSpec)), usual)
    widths = [layer.ffn.intermediate for layer in model.layers if isinstance(layer.ffn, DenseFfn)]
    has_experts = any(layer.experts for layer in model.layers)
    width = EAGLE3_WIDTH * hidden if has_experts or not widths else max(widths)
    layer = LayerSpec(AttentionSpec(first.heads, first.kv_heads, first.head_dim), DenseFfn(width))
    size = sum(size for _, size in layer.sizes(hidden)) + ROWS_OF_DEPTH[method] * hidden**2
    if method == "eagle3":
        size += (first.q_width + 2 * first.kv_width) * hidden + EAGLE3_VOCAB * hidden + 2 * hidden
    kept = tuple(tensor for tensor in model.extra if tensor.tensor_class != "mtp")
    return replace(model, drafter=layer, extra=(*kept, Tensor("mtp", None, size)))


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
    model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec, verify: PassShape, kv_dtype: str, guess: Speculation
) -> Block:
    """The ops of one draft by a head, repeated for each: embedding, joining projection, layer, head and choice."""
    assert model.drafter is not None
    is_eagle3 = guess.method == "eagle3"
    small = replace(
        model, layers=(model.drafter,), extra=(), vocab_size=EAGLE3_VOCAB if is_eagle3 else model.vocab_size
    )
    own = quant.format_of("mtp", None, 1)
    formats = replace(quant, default=own, more_bits=(), own=frozenset())
    head = own if is_eagle3 else quant.format_of("head", None, len(model.layers))
    formats = replace(formats, classes=(("head", head),))
    one = _DraftPass(verify.sequences, verify.context, runtime.graph_tokens(verify.sequences, verify.sequences))
    build = LayerBuilder(small, formats, runtime, one, kv_dtype)
    ops = list(build.head_of_step())
    build.begin("join")
    hidden = model.hidden_size
    build.gemm("mtp_join", "mtp", one.sequences, hidden, ROWS_OF_DEPTH[guess.method] * hidden, 0)
    if is_eagle3 and isinstance(model.drafter.mixer, AttentionSpec):
        mixer = model.drafter.mixer  # the other half of what its projections read
        build.gemm("mtp_join", "mtp", one.sequences, mixer.q_width + 2 * mixer.kv_width, hidden, 0)
    ops += build.ops
    ops += build.layer(model.drafter, 0, "L")
    ops += build.tail_of_step()
    return Block(tuple(renamed(op, "draft") for op in ops), guess.drafts)


def renamed(op: Op, prefix: str) -> Op:
    """The op under a name of a drafting pass."""
    return replace(op, id=f"{prefix}.{op.id}", after=tuple(f"{prefix}.{name}" for name in op.after))
