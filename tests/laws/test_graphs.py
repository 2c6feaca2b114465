"""Do random graphs of ops tile time, keep order, lose nothing, and give the same bytes however they are run?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.component import COMPONENTS
from sim.result.run_result import RunResult
from sim.result.trace import CAUSES, Span, StepTrace, Trace
from sim.system import prediction
from sim.system.machine import Machine
from sim.system.prediction import execute, launch_costs
from sim.workload.graph import Block, Phase, Step, Workload
from sim.workload.op import Attention, Copy, Custom, Elementwise, Gemm, GroupedGemm, Host, Op
from sim.workload.optrace import read_ops, write_ops
from sim.workload.runtime_file import load_runtime
from tests.device import hardware

bounded = settings(max_examples=25, deadline=None, derandomize=True)
HARDWARE = ("gpu.sms=6",)


def any_op(draw: Random, number: int) -> Op:
    """A small op that may read any of the ones before it."""
    before = tuple(sorted({f"op{draw.randrange(number)}" for _ in range(draw.randint(0, 2))})) if number else ()
    same = {"id": f"op{number}", "after": before}
    m, n, k = draw.choice((1, 3, 17, 64)), draw.choice((64, 97, 256)), draw.choice((64, 101, 512))
    kinds: list[Op] = [
        Gemm(m=m, n=n, k=k, dtype="bf16", **same),
        GroupedGemm(tokens=m, experts=8, top_k=2, n=n, k=k, dtype="bf16", skew=0.5, **same),
        Attention(batch=2, heads=4, kv_heads=2, head_dim=64, query=draw.choice((1, 33)), context=200, **same),
        Elementwise(elements=m * n * k, rows=draw.choice((0, m)), **same),
        Copy(size_bytes=m * n * k, source=draw.choice(("cpu", "nvme")), target="gpu", **same),
        Host(duration_s=draw.choice((0.0, 1e-6, 2e-4)), **same),
        Custom(flops=1e6 * m, read_bytes=n * k, write_bytes=m * n, ctas=m, **same),
    ]
    return draw.choice(kinds)


def any_workload(seed: int) -> Workload:
    """One or two phases of a step of up to three blocks that repeat."""
    draw = Random(seed)
    phases = []
    for name in ("prefill", "decode")[: draw.randint(1, 2)]:
        blocks = tuple(
            Block(tuple(any_op(draw, number) for number in range(draw.randint(1, 6))), draw.choice((1, 2, 5, 40)))
            for _ in range(draw.randint(1, 3))
        )
        phases.append(Phase(name, (Step(name, blocks, float(draw.randint(1, 9)), tokens=4, context=200),)))
    return Workload("random", tuple(phases))


def _execute(workload: Workload, runtime: str = "vllm", cache: str | Path | None = "off") -> Trace:
    return execute(workload, Machine(hardware(*HARDWARE)), load_runtime(runtime).spec, cache)


def _lives(step: StepTrace) -> dict[tuple[int, int, str], list[Span]]:
    lives: dict[tuple[int, int, str], list[Span]] = {}
    for span in step.all_spans():
        lives.setdefault((span.block, span.iteration, span.op), []).append(span)
    return lives


SEEDS = st.integers(0, 2**32)
RUNTIMES = st.sampled_from(["vllm", "llama.cpp"])


@given(SEEDS, RUNTIMES)
@bounded
def test_spans_tile_the_life_of_every_op_with_one_cause_each(seed: int, runtime: str) -> None:
    workload = any_workload(seed)
    for step, phase in zip(_execute(workload, runtime).steps, workload.phases, strict=True):
        lives = _lives(step)
        for spans in lives.values():
            assert all(one.end_ps == two.start_ps for one, two in pairwise(spans))
            assert all(span.start_ps < span.end_ps and span.cause in CAUSES for span in spans)
        for op in step.ops:
            wall = sum(
                spans[-1].end_ps - spans[0].start_ps
                for (block, _, name), spans in lives.items()
                if (block, name) == (op.block, op.op)
            )
            assert wall == pytest.approx(op.wall_ps * op.repeat, abs=1)
            assert sum(op.causes.values()) == pytest.approx(op.wall_ps)
        ran = Counter((block, name) for block, _, name in lives)
        for op in step.ops:
            if op.duration_ps:  # an op that takes no time leaves no span
                assert ran[op.block, op.op] == op.repeat == phase.steps[0].blocks[op.block].repeat


@given(SEEDS, RUNTIMES)
@bounded
def test_components_do_one_thing_at_a_time_and_nothing_starts_before_what_it_reads(seed: int, runtime: str) -> None:
    workload = any_workload(seed)
    for step, phase in zip(_execute(workload, runtime).steps, workload.phases, strict=True):
        lives = _lives(step)
        by_component: dict[str, list[tuple[int, int]]] = {}
        for spans in lives.values():
            by_component.setdefault(spans[0].component, []).append((spans[0].start_ps, spans[-1].end_ps))
        for intervals in by_component.values():
            ordered = sorted(intervals)
            assert all(one[1] <= two[0] for one, two in pairwise(ordered))
        durations = {(op.block, op.op): op.duration_ps for op in step.ops}
        after = {(n, op.id): op.after for n, block in enumerate(phase.steps[0].blocks) for op in block.ops}
        for (block, iteration, name), spans in lives.items():
            assert spans[0].start_ps >= 0
            for earlier in after[block, name]:
                read = lives.get((block, iteration, earlier))
                if read:
                    assert spans[-1].end_ps - durations[block, name] >= read[-1].end_ps
        assert step.duration_ps >= max(spans[-1].end_ps for spans in lives.values())


@given(SEEDS, RUNTIMES)
@bounded
def test_a_step_is_no_shorter_than_its_work_and_its_longest_chain(seed: int, runtime: str) -> None:
    workload = any_workload(seed)
    on, spec = Machine(hardware(*HARDWARE)), load_runtime(runtime).spec
    for step, phase in zip(_execute(workload, runtime).steps, workload.phases, strict=True):
        duration = {(op.block, op.op): op.duration_ps for op in step.ops}
        gap = launch_costs(on, spec, phase.name, 4).boundary_ps
        component = {(op.block, op.op): op.component for op in step.ops}
        chain, work = 0, dict.fromkeys(component.values(), 0)
        for number, block in enumerate(phase.steps[0].blocks):
            ends: dict[str, int] = {}
            for op in block.ops:
                own = duration[number, op.id] + (gap if component[number, op.id] == "gpu" else 0)
                ends[op.id] = own + max((ends[name] for name in op.after), default=0)
                work[component[number, op.id]] += own * block.repeat
            chain += max(ends.values()) * block.repeat
        assert step.duration_ps >= max(chain, *work.values())


@given(SEEDS)
@bounded
def test_a_written_op_trace_replays_to_the_same_spans(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    workload = any_workload(seed)
    path = tmp_path_factory.mktemp("ops") / "ops.jsonl"
    write_ops(workload, path)
    assert _execute(read_ops(path)) == _execute(workload)


def _summary(**arguments: object) -> str:
    result = sim.run(model="qwen3-0.6b", runtime="llama.cpp", prompt=600, output=4, **arguments)  # type: ignore[arg-type]
    assert isinstance(result, RunResult)
    assert result.trace is not None
    return json.dumps([result.summary(), [list(step.all_spans()) for step in result.trace.steps]])


def test_cache_cold_warm_and_off_give_the_same_bytes(tmp_path: Path) -> None:
    cold = _summary(cache=tmp_path)
    prediction._STORES.clear()  # as in a new process
    warm = _summary(cache=tmp_path)
    assert cold == warm == _summary(cache="off")


def test_hash_seeds_and_processes_do_not_matter(root: Path) -> None:
    code = (
        "import json, sim; r = sim.run(model='gpt-oss-20b', runtime='vllm', prompt=300, output=3, cache='off');"
        "print(json.dumps([r.summary(), [list(s.all_spans()) for s in r.trace.steps]]))"
    )
    outputs = set()
    for seed in ("0", "1", "4711"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", code]
        outputs.add(subprocess.run(command, cwd=root, env=environment, capture_output=True, check=True).stdout)
    assert len(outputs) == 1


def test_every_component_of_the_table_has_a_spec_that_says_what_it_is() -> None:
    for name, component in COMPONENTS.items():
        assert component.Spec.__doc__, name
