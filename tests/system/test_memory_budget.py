"""Is a runtime's share of the memory what its documentation says, and are verdicts near the limit called marginal?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import sim
from sim.result.memory import MARGIN
from sim.system.memory_account import Budget
from sim.workload.runtime_memory import MemoryRules

GB = 10**9
VISIBLE, RESERVED, HOST = 100 * GB, 4 * GB, 3 * GB
CONFIG = """\
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 12288, "intermediate_size": 40960,
 "num_hidden_layers": LAYERS, "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128,
 "vocab_size": 16384, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "torch_dtype": "bfloat16",
 "tie_word_embeddings": false, "rope_theta": 500000.0}
"""


def budget(others: int = 0, **rules: object) -> Budget:
    made = MemoryRules.model_validate({"context_bytes": 1 * GB, "when_full": "preempt", **rules})
    return Budget(110 * GB, VISIBLE, RESERVED, others, HOST, made)


def test_vllm_has_its_share_of_all_there_is():
    """gpu_memory_utilization x total, less weights and activations (v1/worker/gpu_worker.py)."""
    made = budget(fraction=0.9, share="everything")
    assert made.room(50 * GB, 2 * GB) == 90 * GB - 52 * GB
    assert made.claimed(50 * GB, 2 * GB, 1 * GB) == RESERVED + HOST + 90 * GB
    assert budget(fraction=0.98, share="everything").refusal is not None  # 98 GB of 96 that are free
    assert budget(fraction=0.96, share="everything").refusal is None
    assert "at most 0.86" in str(budget(others=10 * GB, fraction=0.9, share="everything").refusal)


def test_a_runtime_that_takes_what_it_needs_refuses_nothing_beforehand():
    made = budget(fraction=1.0, share="everything", when_full="refuse")
    assert made.refusal is None
    assert made.room(50 * GB, 2 * GB) == VISIBLE - RESERVED - HOST - 52 * GB
    assert made.claimed(50 * GB, 2 * GB, 1 * GB) == RESERVED + HOST + 53 * GB


def test_sglang_leaves_activations_outside_of_its_share():
    """mem_fraction_static of what is free at the start holds weights and cache (model_runner.py)."""
    made = budget(fraction=0.8, share="static")
    free = VISIBLE - RESERVED
    assert made.room(50 * GB, 2 * GB) == round(free * 0.8) - 50 * GB  # what is left holds the activations
    assert made.room(50 * GB, 30 * GB) == free - HOST - 80 * GB  # they do not fit into the rest


def test_tensorrt_llm_shares_out_what_is_left():
    """free_gpu_memory_fraction of what is free once weights and activations are there."""
    made = budget(fraction=0.9, share="rest")
    left = VISIBLE - RESERVED - HOST - 52 * GB
    assert made.room(50 * GB, 2 * GB) == round(left * 0.9)
    assert made.room(120 * GB, 2 * GB) < 0


@pytest.mark.parametrize(("margin", "is_marginal"), [(0.02, True), (-0.02, True), (0.04, False), (-0.04, False)])
def test_a_verdict_within_three_percent_is_marginal(margin: float, is_marginal: bool):
    made = budget(fraction=0.5)
    assert made.is_marginal(round(margin * made.capacity), 0) is is_marginal


def test_a_share_that_leaves_the_machine_little_is_marginal():
    made = budget(fraction=0.9)
    enough = 40 * GB
    assert made.is_marginal(enough, made.visible - round(MARGIN * made.capacity))
    assert not made.is_marginal(enough, made.visible - round(MARGIN * made.capacity) - 1)


def large(tmp_path: Path) -> tuple[Path, float]:
    """A config of close to 200 billion parameters, and how many it has."""
    path = tmp_path / "large_config.json"
    path.write_text(CONFIG.replace("LAYERS", "109"))
    return path, sim.load_model(path).parameter_count()


def test_two_hundred_billion_parameters_at_4_25_bits_fit_and_run(tmp_path: Path):
    """NVIDIA's claim for one DGX Spark; MXFP4 has 4.25 bits a weight, which is 106 GB."""
    path, parameters = large(tmp_path)
    assert parameters == pytest.approx(200e9, rel=0.01)
    found = sim.fit(model=path, runtime="llama.cpp", quant="q4_0", prompt=512, output=2)
    bits = 8 * found.models[0].memory.weights_bytes / parameters
    assert bits == pytest.approx(4.5, abs=0.05)  # Q4_0: 18 bytes for 32 weights, a little more than MXFP4
    assert found.fits
    smaller = sim.fit(model=path, runtime="llama.cpp", quant="iq4_xs", prompt=512, output=2)  # 4.25 bits
    assert 8 * smaller.models[0].memory.weights_bytes / parameters == pytest.approx(4.25, abs=0.06)
    assert smaller.fits
    ran = sim.run(model=path, runtime="llama.cpp", quant="iq4_xs", prompt=0, output=2)
    assert ran.fits
    # Every weight is read once for a token: no faster than the memory's peak allows.
    assert 0.6 < ran.decode_tok_s * ran.memory.weights_bytes / 273e9 < 1.0


def test_at_nvfp4_they_leave_less_than_8_gb_and_that_is_said(tmp_path: Path):
    path, _ = large(tmp_path)
    found = sim.fit(model=path, runtime="vllm", quant="nvfp4", prompt=512, output=2)
    use = found.models[0].memory
    assert use.weights_bytes == pytest.approx(112.5e9, rel=0.02)  # 4.5 bits each; embedding and head in BF16
    assert 0 < use.available_bytes - use.weights_bytes < 8e9
    assert found.is_marginal
    assert found.verdict == "fits, marginally"


def test_seventy_billion_at_16_bits_do_not_fit():
    found = sim.fit(model="llama-3.1-70b", runtime="vllm")
    assert not found.fits
    assert not found.is_marginal  # 27 GB short
    assert str(found.models[0].best_quant).startswith("fp8")


def test_what_others_have_is_not_there():
    asked = {"model": "qwen3-32b", "runtime": "llama.cpp", "prompt": 512}
    alone, beside = (sim.fit(**asked, set=each).models[0].memory for each in ({}, {"os.others": "20 GiB"}))
    assert alone.available_bytes - beside.available_bytes == 20 * 2**30
    assert replace(beside, available_bytes=0).other_bytes == 20 * 2**30


def test_a_share_that_is_not_free_is_refused_before_anything_is_loaded():
    found = sim.fit(model="qwen3-0.6b", runtime="vllm", set={"os.others": "20 GiB"})
    assert not found.fits
    assert "at most 0.80" in found.models[0].would_fit[0]
    smaller = {"os.others": "20 GiB", "runtime.gpu_memory_utilization": 0.8}
    assert sim.fit(model="qwen3-0.6b", runtime="vllm", set=smaller).fits
