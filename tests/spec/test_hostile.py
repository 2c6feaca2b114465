"""Does every loader survive anything: arbitrary bytes and broken files give a result or one of our errors, soon?

The contract's bounds are 2 s and 300 MB per file. Files that a mutation left valid must also be answered by `run`.
"""

from __future__ import annotations

import json
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sim.cli import main
from sim.component import spec_types
from sim.errors import InputError, Problem, SimError
from sim.hwspec import load_hardware
from sim.system.scenario import read_scenario
from sim.workload.hf_config import load_model
from sim.workload.optrace import read_ops
from sim.workload.quant import load_quant
from sim.workload.runtime_file import check_runtime
from sim.yamlfile import dump_yaml, load_file, load_yaml

SECONDS, BYTES = 2.0, 300 * 2**20
LOADERS: dict[str, Callable[[Path], object]] = {
    "any.yaml": load_file,
    "any.json": load_file,
    "hardware.yaml": lambda path: load_hardware(path, spec_types()),
    "model.json": load_model,
    "model.yaml": load_model,
    "quant.yaml": lambda path: load_quant(str(path)),
    "runtime.yaml": check_runtime,
    "scenario.yaml": read_scenario,
    "ops.yaml": read_ops,
    "ops.jsonl": read_ops,
}
TRACE = """schema: sparksim.ops/1
name: all-kinds
defaults: {dtype: bf16}
ops:
  - {id: up, op: gemm, m: 8, n: 1024, k: 512, dtype: nvfp4}
  - {id: act, op: elementwise, elements: 4096, reads: 2, after: [up]}
  - {id: moe, op: moe, tokens: 8, experts: 32, top_k: 4, n: 512, k: 512, dtype: bf16, skew: 1.0, after: [up]}
  - {id: att, op: attention, batch: 2, heads: 8, kv_heads: 2, head_dim: 128, query: 1, context: 512, after: [act]}
  - {id: own, op: custom, flops: 1.2 MFLOP, read: 3 MiB, write: 1 MiB, ctas: 96, after: [att]}
  - {id: h2d, op: copy, size: 2 MiB, from: cpu, to: gpu}
  - {id: wait, op: host, duration: 50 us, after: [own, h2d]}
repeat: 6
phases: {decode: {repeat: 8}}
"""
pytestmark = pytest.mark.filterwarnings("error")


def _loads_or_refuses(load: Callable[[Path], object], path: Path) -> None:
    """Anything but a result or our own refusal, or one that comes late, fails the test."""
    begun = time.process_time()
    problems: tuple[Problem, ...] | None = None
    try:
        load(path)
    except InputError as error:
        problems = error.problems
    assert time.process_time() - begun < SECONDS
    assert problems is None or (problems and all(problem.message for problem in problems))


@pytest.mark.parametrize("name", LOADERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@example(content=b"")
@example(content=b"\xff\xfe\x00")
@example(content=b"[" * 100_000)
@example(content=b'{"a":' * 100_000)
@example(content=b"- " * 100_000)
@example(content=b"a: &a [*a]")
@example(content=b"? {x: 1}\n: 2")
@example(content=b'{"\\ud800": 1}')
@example(content=b"schema: sparksim.ops/1\nops: [{id: a, op: gemm}]")
def test_arbitrary_bytes(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    _loads_or_refuses(LOADERS[name], path)


@pytest.mark.parametrize("name", LOADERS)
def test_no_file_at_all(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / name).mkdir()
    (tmp_path / f"link-{name}").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / name, tmp_path / f"link-{name}", tmp_path / "folder" / name):
        with pytest.raises(InputError) as caught:
            LOADERS[name](path)
        assert caught.value.problems[0].file in (str(path), None)


def test_a_million_nodes_and_more_are_refused_within_the_bounds(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    many = tmp_path / "many.json"
    many.write_text(json.dumps([0] * 1_100_000))
    with pytest.raises(SimError, match=r"more than 1,000,000 nodes"):
        load_file(many)
    deep = tmp_path / "deep.yaml"
    deep.write_text("".join(" " * depth + "- \n" for depth in range(100)))
    with pytest.raises(SimError, match="nested deeper than 64 levels"):
        load_file(deep)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < BYTES


def test_a_file_beyond_64_mib_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(SimError, match="is larger than 64 MiB"):
        load_file(path)


def test_a_long_chain_of_ops_is_ordered_in_linear_time(tmp_path: Path) -> None:
    """20,000 ops, each after the next in the file: the worst order for a scan; quadratic code would take minutes."""
    n = 20_000
    lines = [{"schema": "sparksim.ops/1", "name": "chain"}]
    lines += [
        {"id": f"o{i}", "op": "host", "duration_s": 1e-6, "after": [f"o{i + 1}"] if i + 1 < n else []} for i in range(n)
    ]
    path = tmp_path / "chain.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    begun = time.process_time()
    workload = read_ops(path)
    assert [op.id for op in workload.phases[0].steps[0].ops()] == [f"o{i}" for i in reversed(range(n))]
    assert time.process_time() - begun < 2 * SECONDS


def _commands(root: Path) -> dict[str, tuple[list[Any], list[list[str]]]]:
    """Kind -> (data of what ships, commands that take a FILE)."""
    short = ["--prompt", "32", "--output", "3", "--cache", "off"]
    data = {
        "model": sorted((root / "workloads/models").glob("*.yaml")),
        "hardware": sorted((root / "hwspecs").glob("*.yaml")),
        "runtime": sorted((root / "workloads/runtimes").glob("*.yaml")),
        "scenario": sorted((root / "workloads/scenarios").glob("*.yaml")),
        "study": sorted((root / "workloads/studies").glob("*.yaml")),
        "quant": sorted((root / "workloads/quants").glob("q*.yaml")),
    }
    tiny = ["run", "--model", "qwen3-0.6b"]
    commands = {
        "model": [["run", "--model", "FILE", "--runtime", runtime, *short] for runtime in ("vllm", "llama.cpp")],
        "hardware": [["check", "FILE"], [*tiny, "--runtime", "vllm", "--hardware", "FILE", *short]],
        "runtime": [["check", "FILE"], [*tiny, "--runtime", "FILE", *short]],
        "scenario": [["check", "FILE"], ["run", "FILE", "--model", "qwen3-0.6b", *short]],
        "study": [["check", "FILE"]],
        "quant": [["check", "FILE"], [*tiny, "--runtime", "llama.cpp", "--quant", "FILE", *short]],
        "trace": [["check", "FILE"], ["run", "FILE", "--runtime", "vllm", "--cache", "off"]],
    }
    loaded: dict[str, list[Any]] = {kind: [load_yaml(path).data for path in paths] for kind, paths in data.items()}
    return {kind: (loaded.get(kind, []), lines) for kind, lines in commands.items()}


def _survives(data: Any, path: Path, lines: list[list[str]], capsys: pytest.CaptureFixture[str]) -> set[int]:
    path.write_text(dump_yaml(data), encoding="utf-8")
    codes = set()
    for line in lines:
        begun = time.process_time()
        code = main([str(path) if word == "FILE" else word for word in line])
        took = time.process_time() - begun
        printed = capsys.readouterr()
        shown = f"{line}: exit {code} in {took:.1f} s\n{printed.err}\n{path.read_text()}"
        assert code in (0, 2, 3), shown
        assert "Traceback" not in printed.err, shown
        assert took < 5 * SECONDS, shown
        codes.add(code)
    return codes


@pytest.mark.parametrize(
    ("kind", "count"),
    [("model", 12), ("hardware", 12), ("runtime", 12), ("scenario", 12), ("study", 12), ("quant", 12), ("trace", 25)],
)
def test_mutations(
    kind: str, count: int, root: Path, tmp_path: Path, mutate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _mutations(kind, count, 1, root, tmp_path, mutate, capsys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count"),
    [("model", 200), ("hardware", 60), ("runtime", 90), ("scenario", 40), ("study", 60), ("quant", 40), ("trace", 100)],
)
def test_five_hundred_mutations(
    kind: str, count: int, root: Path, tmp_path: Path, mutate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = _mutations(kind, count, 2, root, tmp_path, mutate, capsys)
    assert {0, 2} <= codes  # some are still valid, some are not: the mutations try something


def _mutations(
    kind: str, count: int, seed: int, root: Path, tmp_path: Path, mutate: Any, capsys: pytest.CaptureFixture[str]
) -> set[int]:
    rng = random.Random(f"{kind} {seed}")
    data, lines = _commands(root)[kind]
    if kind == "trace":
        path = tmp_path / "trace.yaml"
        path.write_text(TRACE)
        data = [load_yaml(path).data]
    codes: set[int] = set()
    for _ in range(count):
        codes |= _survives(mutate(rng.choice(data), rng), tmp_path / "mutated.yaml", lines, capsys)
    return codes


@pytest.mark.slow
def test_mutated_bytes(root: Path, tmp_path: Path) -> None:
    """Bytes changed, dropped, doubled: nothing but our own refusals."""
    rng = random.Random(3)
    kinds = {"model.yaml": "workloads/models", "hardware.yaml": "hwspecs", "runtime.yaml": "workloads/runtimes"}
    for name, folder in kinds.items():
        contents = [path.read_bytes() for path in sorted((root / folder).glob("*.yaml"))]
        for _ in range(60):
            content = bytearray(rng.choice(contents))
            for _ in range(rng.randrange(1, 6)):
                at = rng.randrange(len(content))
                content[at : at + rng.choice((0, 1, 9))] = rng.choice(
                    (b"", b"\x00", b":", b"[", b"\n\t", b"9" * 30, b"\xc3")
                )
            path = tmp_path / name
            path.write_bytes(bytes(content))
            _loads_or_refuses(LOADERS[name], path)
