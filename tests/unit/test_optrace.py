"""Does an op trace come back exactly as it was written, and is the hand-written form what it says?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import WorkloadError
from sim.workload.graph import Block, Phase, Step, Workload
from sim.workload.hf_config import load_model
from sim.workload.lower import Request, lower
from sim.workload.op import Attention, Copy, Custom, Elementwise, Gemm, GroupedGemm, Host, Op
from sim.workload.optrace import read_ops, write_ops
from sim.workload.quant import resolve_quant
from sim.workload.runtime_file import load_runtime

SIZES = st.integers(1, 2**20)
NAMES = st.sampled_from(["bf16", "q8_0", "mxfp4"])


def _op(number: int) -> st.SearchStrategy[Op]:
    same = {"id": st.just(f"op{number}"), "site": st.sampled_from(["", "head", "moe_up"])}
    if number:
        same["after"] = st.lists(st.integers(0, number - 1), max_size=3, unique=True).map(
            lambda ids: tuple(f"op{i}" for i in ids)
        )
    return st.one_of(
        st.builds(Gemm, m=SIZES, n=SIZES, k=SIZES, dtype=NAMES, outputs=NAMES, is_gated=st.booleans(), **same),
        st.builds(
            GroupedGemm, tokens=SIZES,
            experts=st.integers(8, 999), top_k=st.integers(1, 8), n=SIZES, k=SIZES, dtype=NAMES,
            skew=st.floats(0, 4), **same,
        ),
        st.builds(
            Attention, batch=SIZES,
            heads=st.sampled_from([8, 64]), kv_heads=st.sampled_from([1, 8]), head_dim=st.integers(1, 256),
            query=st.integers(1, 999), context=st.integers(999, 2**20),
            window=st.none() | SIZES, **same,
        ),
        st.builds(
            Elementwise, elements=SIZES, reads=st.floats(0, 9), read_bytes=st.none() | SIZES, is_cold=st.booleans(),
            **same,
        ),
        st.builds(Copy, size_bytes=SIZES, source=st.just("cpu"), target=st.just("gpu"), **same),
        st.builds(Host, duration_s=st.floats(0, 1), **same),
        st.builds(Custom, flops=st.floats(0, 1e15), read_bytes=SIZES, write_bytes=SIZES, ctas=SIZES, **same),
    )  # fmt: skip


BLOCKS = st.builds(
    Block, st.integers(1, 4).flatmap(lambda n: st.tuples(*(_op(number) for number in range(n)))), st.integers(1, 99)
)
STEPS = st.builds(
    Step,
    st.sampled_from(["decode@1", "own"]),
    st.lists(BLOCKS, min_size=1, max_size=3).map(tuple),
    st.floats(0.25, 1e6),
    st.integers(0, 9999),
    st.integers(0, 9999),
)


@given(st.lists(STEPS, min_size=1, max_size=3), st.lists(STEPS, max_size=2))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_what_is_written_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, one: list[Step], two: list[Step]
) -> None:
    path = tmp_path_factory.mktemp("ops") / "ops.jsonl"
    phases = tuple(Phase(name, tuple(steps)) for name, steps in (("prefill", one), ("decode", two)) if steps)
    workload = Workload("mine", phases)
    write_ops(workload, path)
    assert read_ops(path) == workload


@pytest.mark.parametrize("runtime_name", ["llama.cpp", "vllm"])
@pytest.mark.parametrize("model_name", ["qwen3-0.6b", "gpt-oss-20b"])
def test_the_workload_of_a_model_comes_back_exactly(tmp_path: Path, model_name: str, runtime_name: str) -> None:
    model, runtime = load_model(model_name), load_runtime(runtime_name).spec
    quant = resolve_quant(model, None, runtime_name)
    workload = lower(model, quant, runtime, Request(2, 3000, 100, 20), runtime.kv_dtype)
    write_ops(workload, tmp_path / "ops.jsonl")
    assert read_ops(tmp_path / "ops.jsonl") == workload


def test_the_hand_written_form_is_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        """\
schema: sparksim.ops/1
name: net
defaults: {dtype: bf16}
ops:
  - {id: own, op: custom, flops: 1.2 GFLOP, read: 3 MiB, write: 1 MiB, ctas: 96, after: [up]}
  - {id: up, op: gemm, m: 8, n: 14336, k: 4096, dtype: nvfp4}
  - {id: h2d, op: copy, size: 2 MiB, from: cpu, to: gpu}
  - {id: wait, op: host, duration: 50 us, after: [own, h2d]}
repeat: 60
phases: {decode: {repeat: 128}}
""",
        encoding="utf-8",
    )
    step = Step(
        "decode",
        (
            Block(
                (
                    Gemm(id="up", m=8, n=14336, k=4096, dtype="nvfp4"),
                    Custom(id="own", after=("up",), flops=1.2e9, read_bytes=3 * 2**20, write_bytes=2**20, ctas=96),
                    Copy(id="h2d", size_bytes=2 * 2**20, source="cpu", target="gpu"),
                    Host(id="wait", after=("own", "h2d"), duration_s=50e-6),
                ),
                60,
            ),
        ),
        128.0,
    )
    assert read_ops(path) == Workload("net", (Phase("decode", (step,)),))


def test_a_circle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        "schema: sparksim.ops/1\nops:\n"
        "  - {id: a, op: host, duration: 1 us, after: [b]}\n  - {id: b, op: host, duration: 1 us, after: [a]}\n",
        encoding="utf-8",
    )
    with pytest.raises(WorkloadError, match="wait for each other in a circle: 'a', 'b'"):
        read_ops(path)
