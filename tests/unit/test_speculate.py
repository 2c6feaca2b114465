"""What does a step with drafts read, and how many such steps does a text take?"""

from __future__ import annotations

import pytest

import sim
from sim.errors import InputError
from sim.workload.acceptance import chance_of, length_of
from sim.workload.hf_config import load_model
from sim.workload.lower import Request, lower
from sim.workload.op import Attention, Gemm, GroupedGemm
from sim.workload.quant import resolve_quant
from sim.workload.runtime_file import load_runtime
from sim.workload.speculate import Speculation, read_speculation, with_head

DRAFTS, ACCEPTED = 3, 2.5


def _decode(model_name: str, batch: int = 2):
    model, runtime = load_model(model_name), load_runtime("vllm").spec
    request = Request(batch, 0, 500, 100, Speculation(DRAFTS, ACCEPTED))
    return model, lower(model, resolve_quant(model, None, "vllm"), runtime, request, "bf16").phases[0]


def test_a_text_takes_as_many_steps_as_its_acceptance_length_says() -> None:
    _, phase = _decode("qwen3.5-4b")
    assert phase.step_count == pytest.approx(100 / ACCEPTED)


@pytest.mark.parametrize("model_name", ["qwen3.5-4b", "qwen3.5-35b-a3b"])
def test_a_draft_reads_the_drafting_layer_and_the_head_once(model_name: str) -> None:
    model, phase = _decode(model_name)
    draft = phase.steps[0].blocks[0]
    assert draft.repeat == DRAFTS
    held = sum(
        op.n * op.k * (op.experts if isinstance(op, GroupedGemm) else 1)
        for op in draft.ops
        if isinstance(op, Gemm | GroupedGemm)
    )
    layer = sum(t.elements for t in model.extra if t.tensor_class == "mtp")
    assert held == pytest.approx(layer + model.hidden_size * model.vocab_size, rel=1e-3)  # without its norms


def test_the_drafts_and_the_last_token_are_verified_together() -> None:
    _, phase = _decode("qwen3.5-4b", batch=2)
    step = phase.steps[0]
    queries = {op.query for block in step.blocks[1:] for op in block.ops if isinstance(op, Attention)}
    heads = [op.m for block in step.blocks[1:] for op in block.ops if isinstance(op, Gemm) and op.site == "head"]
    assert (step.tokens, queries, heads) == (2 * (DRAFTS + 1), {DRAFTS + 1}, [2 * (DRAFTS + 1)])
    names = [op.id for op in step.ops()]
    assert len(names) == len(set(names))


def test_a_longer_acceptance_length_is_that_much_faster() -> None:
    """The same steps, fewer of them."""
    given = {"model": "qwen3.5-0.8b", "runtime": "vllm", "prompt": 0, "depth": 64, "output": 9}
    rates = [
        sim.run(**given, set={"workload.draft_tokens": "2", "workload.acceptance_length": length}).decode_tok_s
        for length in ("1.2", "2.4")
    ]
    assert rates[1] == pytest.approx(2 * rates[0])


@pytest.mark.parametrize(
    ("model_name", "drafts", "accepted", "message"),
    [
        ("qwen3.5-4b", "3", "4.5", "must lie between 1 and 4, what 3 drafts can yield"),
        ("qwen3.5-4b", None, "2", "must be a whole number from 1 to 16"),
        ("qwen3.5-4b", "2.5", "2", "must be a whole number from 1 to 16"),
        ("qwen3-4b", "2", "2", "qwen3-4b has no drafting layer"),
    ],
)
def test_what_cannot_be_is_refused(model_name: str, drafts: str | None, accepted: str | None, message: str) -> None:
    given = {"draft_tokens": drafts, "acceptance_length": accepted}
    with pytest.raises(InputError, match=message):
        read_speculation({name: text for name, text in given.items() if text}, load_model(model_name))


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("drafts", [1, 3, 7])
def test_the_length_is_the_geometric_sum_of_the_chance(chance: float, drafts: int) -> None:
    """(1 - a^(k+1)) / (1 - a), k + 1 where every draft is accepted: arXiv 2211.17192, equation 1; and back."""
    length = length_of(chance, drafts)
    assert length == pytest.approx(drafts + 1 if chance == 1.0 else (1 - chance ** (drafts + 1)) / (1 - chance))
    assert chance_of(length, drafts) == pytest.approx(chance, abs=1e-9)


@pytest.mark.parametrize(("content", "low", "high"), [("chat", 2.63, 3.20), ("code", 2.43, 3.01), ("math", 3.0, 3.65)])
def test_what_is_not_given_is_the_middle_of_what_is_published(content: str, low: float, high: float) -> None:
    """EAGLE-3 heads of gpt-oss-20b at seven drafts (nebius/EAGLE3-gpt-oss-20b): the length lies in their range."""
    guess = read_speculation(
        {"draft": "eagle3", "draft_tokens": "7", "draft_content": content}, load_model("gpt-oss-20b")
    )
    assert guess
    assert low < guess.accepted < high
    assert guess.note
    assert f"{low:.2f} to {high:.2f}" in guess.note


def test_content_without_figures_takes_those_of_chat_and_says_so() -> None:
    said = {"draft": "eagle", "draft_tokens": "2", "draft_content": "math"}
    guess = read_speculation(said, load_model("qwen3-8b"))
    assert guess
    assert guess.note
    assert "nothing is published of math" in guess.note


def test_a_runtime_says_how_many_drafts_its_own_layer_makes() -> None:
    model = load_model("qwen3.5-4b")
    defaults = {name: load_runtime(name).spec.draft_tokens for name in ("vllm", "sglang", "llama.cpp", "ollama")}
    assert defaults == {"vllm": 1, "sglang": 3, "llama.cpp": 3, "ollama": 3}
    guess = read_speculation({"draft": "mtp"}, model, defaults["sglang"])
    assert guess
    assert guess.drafts == 3
    assert read_speculation({}, model, 3) is None  # nothing speculates unless asked for


def test_everything_wrong_is_said_at_once() -> None:
    said = {"draft": "no-such-model", "draft_tokens": "0", "acceptance_length": "99", "draft_content": "poems"}
    with pytest.raises(InputError) as caught:
        read_speculation(said, load_model("qwen3-8b"), 0, load_model)
    paths = {problem.path for problem in caught.value.problems}
    assert paths == {f"workload.{name}" for name in said}


def test_an_eagle3_head_reads_its_layer_three_states_and_its_own_head() -> None:
    """Llama 3.1 8B: the published head has fc 3h -> h, a layer whose projections read 2h, and 32,000 tokens."""
    model, runtime = with_head(load_model("llama-3.1-8b"), "eagle3"), load_runtime("vllm").spec
    request = Request(1, 0, 100, 10, Speculation(3, 2.0, "eagle3"))
    draft = lower(model, resolve_quant(model, None, "vllm"), runtime, request, "bf16").phases[0].steps[0].blocks[0]
    held = sum(op.n * op.k for op in draft.ops if isinstance(op, Gemm))
    h, kv, ffn = 4096, 8 * 128, 14336
    assert held == 3 * h * h + 2 * h * (h + 2 * kv) + h * h + 3 * h * ffn + 32_000 * h
    (mtp,) = (tensor.elements for tensor in model.extra if tensor.tensor_class == "mtp")
    assert mtp == pytest.approx(held, rel=1e-3)  # without its norms


def test_a_drafting_model_runs_whole_once_for_every_draft() -> None:
    model, draft, runtime = load_model("qwen3-8b"), load_model("qwen3-0.6b"), load_runtime("vllm").spec
    recipe = resolve_quant(model, None, "vllm")
    step = (
        lower(model, recipe, runtime, Request(2, 0, 100, 10, Speculation(3, 2.0, "draft model", draft, recipe)), "bf16")
        .phases[0]
        .steps[0]
    )
    drafted = [
        op for block in step.blocks for _ in range(block.repeat) for op in block.ops if op.id.startswith("draft")
    ]
    read = sum(op.n * op.k for op in drafted if isinstance(op, Gemm))
    weights = sum(t.elements for t in draft.tensor_inventory() if t.tensor_class not in ("norm", "bias"))
    assert read == 3 * weights  # its embedding is its head
    assert {op.batch for op in drafted if isinstance(op, Attention)} == {2}
    assert len({op.id for op in step.ops()}) == len(list(step.ops()))


def test_verification_reads_the_experts_that_all_its_tokens_choose() -> None:
    """Four sequences and three drafts: 16 tokens choose experts, not 4."""
    model = load_model("qwen3.5-35b-a3b")
    request = Request(4, 0, 100, 10, Speculation(3, 2.0))
    phase = lower(model, resolve_quant(model, None, "vllm"), load_runtime("vllm").spec, request, "bf16").phases[0]
    verified = {op.tokens for block in phase.steps[0].blocks[1:] for op in block.ops if isinstance(op, GroupedGemm)}
    assert verified == {16}


@pytest.mark.parametrize(
    ("model_name", "draft", "runtime", "quant"),
    [
        ("qwen3.5-4b", "mtp", "vllm", None),
        ("qwen3-8b", "eagle3", "vllm", "nvfp4"),
        ("qwen3-8b", "qwen3-0.6b", "vllm", "fp8"),
        ("qwen3-4b", "qwen3-0.6b", "llama.cpp", "q4_k_m"),
    ],
)
def test_drafts_that_are_never_accepted_only_cost(model_name: str, draft: str, runtime: str, quant: str | None) -> None:
    """An acceptance length of 1 is no faster than no drafts; the steps are the same, fewer with a longer one.

    Not so in BF16 on vLLM, where cuBLAS' product of one row (gemv) streams weights more slowly than that of a few.
    """
    given = {"model": model_name, "runtime": runtime, "prompt": 0, "depth": 64, "output": 9, "quant": quant}
    said = {"workload.draft": draft, "workload.draft_tokens": "2"}
    plain = sim.run(**given)
    never, always = (sim.run(**given, set={**said, "workload.acceptance_length": x}) for x in ("1", "3"))
    assert never.decode_tok_s < plain.decode_tok_s
    assert always.decode_tok_s == pytest.approx(3 * never.decode_tok_s)
    assert always.decode_tok_s < 3 * plain.decode_tok_s
    said = never.summary()["speculation"]
    assert (said["draft_tokens"], said["acceptance_length"], said["is_default"]) == (2, 1.0, False)


def test_a_drafting_models_weights_and_keys_are_in_memory() -> None:
    given = {"model": "qwen3-8b", "runtime": "vllm", "prompt": 0, "depth": 64, "output": 2}
    said = {"workload.draft": "qwen3-0.6b", "workload.draft_tokens": "3"}
    plain, drafted = sim.run(**given), sim.run(**given, set=said)
    draft = load_model("qwen3-0.6b")
    grown = drafted.memory.weights_bytes - plain.memory.weights_bytes
    assert grown == 2 * draft.parameter_count()
    assert drafted.memory.kv_cache_bytes - plain.memory.kv_cache_bytes == 2 * draft.kv_elements(80)
    assert any("acceptance length" in note for note in drafted.summary()["warnings"])
