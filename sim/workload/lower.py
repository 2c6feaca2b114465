"""Model + quantisation + runtime + request -> the workload: steps of ops. No hardware and no cost in it.

A step is one forward pass; its layers are grouped into blocks of equal layers. Phases are cut into the passes that the
runtime makes; those at the knots (first, last, evenly between) are lowered, each weighted with what it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil

from sim.errors import Problem, WorkloadError
from sim.workload.graph import Block, Phase, Step, Workload
from sim.workload.layer import LayerBuilder
from sim.workload.layer_spec import LayerSpec
from sim.workload.model import ModelSpec
from sim.workload.op import Host, Op
from sim.workload.quant import QuantRecipe
from sim.workload.runtime import RuntimeSpec
from sim.workload.speculate import Speculation, draft_block, renamed

KNOTS = 3
MOST_PASSES = 200_000


@dataclass(frozen=True, slots=True)
class Request:
    """*batch* sequences, each with *depth* tokens cached, process *prompt* new tokens and generate *output*."""

    batch: int = 1
    prompt: int = 2048
    depth: int = 0
    output: int = 128
    speculation: Speculation | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass: `sequences` sequences, `query` new tokens each, `context` keys seen by the last of them.

    `padded`: tokens that its kernels work on, where a captured graph has more than these (0: no padding).
    """

    sequences: int
    query: int
    context: int
    outputs: int
    padded: int = 0


def lower(model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec, request: Request, kv_dtype: str) -> Workload:
    """The workload of `request`."""

    def build(name: str, one: Pass, weight: float) -> Step:
        return build_step(model, quant, runtime, one, kv_dtype, name, weight)

    phases = []
    if request.prompt:
        prompts = prefill_passes(runtime, request)
        knots = _knots("prefill", prompts, build)
        phases.append(Phase("prefill", tuple(_with_request(step, runtime, len(prompts)) for step in knots)))
    if steps := decode_steps(request):
        phases.append(Phase("decode", tuple(_decode(request, steps, build, model, quant, runtime, kv_dtype))))
    return Workload(model.name, tuple(phases))


def _decode(
    request: Request,
    steps: int,
    build: Callable[[str, Pass, float], Step],
    model: ModelSpec,
    quant: QuantRecipe,
    runtime: RuntimeSpec,
    kv_dtype: str,
) -> list[Step]:
    """The first and the last pass that makes tokens; with speculation they verify, and drafts come before."""
    first, guess = request.depth + request.prompt + 1, request.speculation
    query = guess.drafts + 1 if guess else 1
    tokens = request.batch * query
    padded = runtime.graph_tokens(tokens, request.batch)
    passes = [Pass(request.batch, query, context + query - 1, tokens, padded) for context in (first, first + steps - 1)]
    knots = _decode_knots(passes, steps, build)
    if guess is None:
        return knots
    drafted = [drafting_blocks(model, quant, runtime, one, kv_dtype, guess) for one in passes]
    return [
        replace(step, blocks=(*blocks, *step.blocks), weight=step.weight / guess.accepted)
        for step, blocks in zip(knots, drafted, strict=False)
    ]


def drafting_blocks(
    model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec, verify: Pass, kv_dtype: str, guess: Speculation
) -> tuple[Block, ...]:
    """What drafts the tokens that a pass verifies: a head or layer of the model's own, or another model."""
    if guess.draft is None:
        return (draft_block(model, quant, runtime, verify, kv_dtype, guess),)
    return _drafting_passes(guess, quant, runtime, verify, kv_dtype)


def _drafting_passes(
    guess: Speculation, quant: QuantRecipe, runtime: RuntimeSpec, verify: Pass, kv_dtype: str
) -> tuple[Block, ...]:
    """Passes of a drafting model, one token of every sequence each."""
    assert guess.draft is not None
    padded = runtime.graph_tokens(verify.sequences, verify.sequences)
    one = Pass(verify.sequences, 1, verify.context, verify.sequences, padded)
    step = build_step(guess.draft, guess.quant or quant, runtime, one, kv_dtype, "draft", 1.0)
    return tuple(
        replace(block, ops=tuple(renamed(op, f"draft{number}") for op in block.ops))
        for number in range(guess.drafts)
        for block in step.blocks
    )


def _with_request(step: Step, runtime: RuntimeSpec, passes: int) -> Step:
    """A prompt pass behind its share of what comes before the first one; the requests' own times overlap."""
    if not runtime.request_s:
        return step
    wait = Host(id="request", site="request", duration_s=runtime.request_s / passes)
    first = step.blocks[0].ops
    behind = replace(first[0], after=(*first[0].after, "request"))
    return replace(step, blocks=(replace(step.blocks[0], ops=(wait, behind, *first[1:])), *step.blocks[1:]))


def decode_steps(request: Request) -> int:
    """Decode passes: the prefill pass makes the first token, so one fewer than the output after a prompt."""
    return max(0, request.output - (1 if request.prompt else 0))


def prefill_passes(runtime: RuntimeSpec, request: Request) -> list[Pass]:
    """The forward passes of the prompts: whole sequences packed while they fit, long ones in pieces.

    Raises:
        WorkloadError: there are more of them than are counted through.
    """
    limit = runtime.ubatch_tokens
    count = ceil(request.batch / max(1, limit // max(1, request.prompt))) * ceil(request.prompt / limit)
    if count > MOST_PASSES:
        message = (
            f"the prompts take {count:,} forward passes of {limit:,} tokens; at most {MOST_PASSES:,} are simulated"
        )
        raise WorkloadError(Problem(message, code="too_large", path="prompt"))
    if request.prompt <= limit:
        together = max(1, limit // request.prompt)
        early = 1 if runtime.prefill_packing == "arrivals" else 0
        full, rest = divmod(request.batch - early, together)
        sizes = [1] * early + [together] * full + ([rest] if rest else [])
        return [Pass(size, request.prompt, request.depth + request.prompt, size) for size in sizes]
    pieces = []
    for start in range(0, request.prompt, limit):
        query = min(limit, request.prompt - start)
        is_last = start + query == request.prompt
        pieces.append(Pass(1, query, request.depth + start + query, 1 if is_last else 0))
    return pieces * request.batch


def _knots(name: str, passes: list[Pass], build: Callable[[str, Pass, float], Step]) -> list[Step]:
    """Group equal passes; a long run that differs only in context is represented by knots with hat-function weights."""
    counts: dict[Pass, float] = {}
    for one in passes:
        counts[one] = counts.get(one, 0.0) + 1.0
    runs: dict[tuple[int, int, int], list[Pass]] = {}
    for one in counts:
        runs.setdefault((one.sequences, one.query, one.outputs), []).append(one)
    weights: dict[Pass, float] = {}
    for run in runs.values():
        weights |= _hat_weights(run, counts)
    return [build(f"{name}@{one.context}", one, weight) for one, weight in weights.items()]


def _hat_weights(run: list[Pass], counts: dict[Pass, float]) -> dict[Pass, float]:
    if len(run) <= KNOTS:
        return {one: counts[one] for one in run}
    chosen = [run[round(i * (len(run) - 1) / (KNOTS - 1))] for i in range(KNOTS)]
    weights = dict.fromkeys(chosen, 0.0)
    for one in run:
        for left, right in pairwise(chosen):
            if left.context <= one.context <= right.context:
                at = (one.context - left.context) / (right.context - left.context)
                weights[left] += counts[one] * (1.0 - at)
                weights[right] += counts[one] * at
                break
    return weights


def _decode_knots(passes: list[Pass], steps: int, build: Callable[[str, Pass, float], Step]) -> list[Step]:
    """Decode passes differ by one token of context each: first and last pass, half of the steps each."""
    first, last = passes
    if steps == 1:
        return [build(f"decode@{first.context}", first, 1.0)]
    return [build(f"decode@{one.context}", one, steps / 2) for one in (first, last)]


def build_step(
    model: ModelSpec, quant: QuantRecipe, runtime: RuntimeSpec, one: Pass, kv_dtype: str, name: str, weight: float
) -> Step:
    """One forward pass as blocks of ops."""
    builder = LayerBuilder(model, quant, runtime, one, kv_dtype)
    tokens = one.sequences * one.query
    return Step(name, step_blocks(builder, quant, tokens), weight, tokens=tokens, context=one.context)


def step_blocks(builder: LayerBuilder, quant: QuantRecipe, tokens: int) -> tuple[Block, ...]:
    """Head, layers in cycles, tail of a pass over `tokens`; the last layer apart where not all outputs are wanted."""
    model, outputs = builder.model, builder.one.outputs
    layers = [(layer, quant.signature(index, len(model.layers))) for index, layer in enumerate(model.layers)]
    is_short = outputs < tokens and builder.runtime.logits == "last"
    blocks = [Block(tuple(builder.head_of_step()))]
    for cycle, repeat in runs_of_layers(layers[:-1] if is_short else layers):
        ops: list[Op] = []
        for position, index in enumerate(cycle):
            ops += builder.layer(model.layers[index], index, f"L{position}" if len(cycle) > 1 else "L")
        blocks.append(Block(tuple(ops), repeat))
    if is_short:
        blocks.append(Block(tuple(builder.layer(model.layers[-1], len(layers) - 1, "last", outputs=outputs))))
    blocks.append(Block(tuple(builder.tail_of_step())))
    return tuple(block for block in blocks if block.ops)


def runs_of_layers(layers: list[tuple[LayerSpec, Hashable]]) -> list[tuple[list[int], int]]:
    """Cut the layer sequence into repeating cycles of at most six layers: (indices of one cycle, repeats)."""
    runs: list[tuple[list[int], int]] = []
    start = 0
    while start < len(layers):
        best_period, best_repeat = 1, 1
        for period in (1, 2, 3, 4, 6):
            repeat = 1
            cycle = layers[start : start + period]
            while len(cycle) == period and layers[start + repeat * period : start + (repeat + 1) * period] == cycle:
                repeat += 1
            if len(cycle) == period and repeat > 1 and repeat * period > best_period * best_repeat:
                best_period, best_repeat = period, repeat
        runs.append((list(range(start, start + best_period)), best_repeat))
        start += best_period * best_repeat
    return runs


def padded(n: int, multiple: int) -> int:
    """`n` rounded up to a multiple."""
    return ceil(n / multiple) * multiple
