"""How many more sequences and tokens fit: is it as many as do, and not one more?"""

from __future__ import annotations

import pytest

import sim
from sim.result.trace import Trace
from sim.system.memory_account import most
from sim.workload import load_model

ASKED = {"model": "qwen3-4b", "runtime": "vllm", "prompt": 2048, "output": 2, "cache": "off"}


def _fits(**changes: int) -> bool:
    memory = sim.run(**{**ASKED, "output": 1, "prompt": 2049, **changes}).memory
    assert memory is not None
    return memory.fits


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 1000])
@pytest.mark.parametrize("beyond", [0, 1, 999])
def test_the_largest_number_that_fits_is_found(n: int, beyond: int):
    assert most(lambda k: k <= n, n + beyond) == n


def test_one_sequence_more_than_there_is_room_for_does_not_fit(monkeypatch: pytest.MonkeyPatch):
    use = sim.run(**ASKED).memory
    assert use is not None
    free = use.available_bytes - use.needed_bytes
    assert 0 < use.more_sequences < free // use.kv_cache_bytes + 1  # each one needs at least its KV cache
    monkeypatch.setattr("sim.system.prediction.execute", lambda *_a, **_k: Trace((), 0))
    assert _fits(batch=1 + use.more_sequences)
    assert not _fits(batch=2 + use.more_sequences)


def test_tokens_end_at_the_models_longest_context_or_at_the_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sim.system.prediction.execute", lambda *_a, **_k: Trace((), 0))
    alone = sim.run(**ASKED).memory
    many = sim.run(**{**ASKED, "batch": 64}).memory
    assert alone is not None
    assert many is not None
    assert alone.more_tokens == load_model("qwen3-4b").max_context - 2050  # memory would hold far more
    assert many.more_tokens < alone.more_tokens
    assert (alone.is_model_limit, many.is_model_limit) == (True, False)
    assert _fits(batch=64, depth=many.more_tokens)
    assert not _fits(batch=64, depth=many.more_tokens + 1)


def test_what_does_not_fit_has_room_for_nothing():
    use = sim.run(model="llama-3.1-70b", runtime="vllm").memory
    assert use is not None
    assert (use.fits, use.more_sequences, use.more_tokens) == (False, 0, 0)
