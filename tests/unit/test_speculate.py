"""What does a step with drafts read, and how many such steps does a text take?"""

from __future__ import annotations

import pytest

import sim
from sim.errors import InputError
from sim.workload.hf_config import load_model
from sim.workload.lower import Request, lower
from sim.workload.op import Attention, Gemm, GroupedGemm
from sim.workload.quant import resolve_quant
from sim.workload.runtime_file import load_runtime
from sim.workload.speculate import Speculation, read_speculation

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
        ("qwen3.5-4b", "3", None, "must lie between 1 and 4"),
        ("qwen3.5-4b", None, "2", "must be a whole number from 1 to 16"),
        ("qwen3.5-4b", "2.5", "2", "must be a whole number from 1 to 16"),
        ("qwen3-4b", "2", "2", "qwen3-4b has no drafting layer"),
    ],
)
def test_what_cannot_be_is_refused(model_name: str, drafts: str | None, accepted: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_speculation(drafts, accepted, load_model(model_name))
