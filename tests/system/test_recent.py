"""Does a process that remembers its last predictions answer as one that does not? One thing is changed at a time."""

from __future__ import annotations

from typing import Any

import pytest

import sim

BASE: dict[str, Any] = {"model": "qwen3-0.6b", "runtime": "llama.cpp", "quant": "q8_0", "prompt": 64, "output": 4}
CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "memory": {"set": ["memory.bandwidth=x2"]},
    "links": {"set": ["c2c.bandwidth=100 GB/s"]},
    "machine": {"hardware": "rtx-pro-6000-server"},
    "model": {"set": ["model.num_hidden_layers=3"]},
    "runtime": {"set": ["runtime.ubatch_tokens=32"]},
    "version": {"runtime": "llama.cpp@b6767"},
    "quant": {"quant": "q4_0"},
    "kv": {"kv_dtype": "q8_0"},
    "batch": {"batch": 2},
    "depth": {"depth": 500},
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache in which the base case was asked for already."""
    folder = str(tmp_path_factory.mktemp("profiles"))
    sim.run(**BASE, cache=folder)
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_remembered_is_what_is_simulated(cache: str, change: str):
    asked = BASE | CHANGES[change]

    first, again = sim.run(**asked, cache=cache), sim.run(**asked, cache=cache)
    simulated = sim.run(**asked, cache="off")

    assert again.trace is first.trace
    assert first.trace == simulated.trace
    assert again.summary() == simulated.summary()


def test_full_and_folded_are_remembered_apart(cache: str):
    asked = BASE | {"prompt": 8, "output": 2}

    folded, full = sim.run(**asked, cache=cache), sim.run(**asked, cache=cache, is_full=True)

    assert full.summary()["events"] > folded.summary()["events"]


def test_without_a_cache_nothing_is_remembered():
    assert sim.run(**BASE, cache="off").trace is not sim.run(**BASE, cache="off").trace
