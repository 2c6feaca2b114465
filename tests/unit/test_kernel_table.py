"""Does a kernel rule that is like another say what the other says but for its changes, and are mistakes placed?"""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import SpecError, WorkloadError
from sim.workload.kernel_table import expand
from sim.workload.runtime_file import load_runtime

ROOT = Path(__file__).parents[2]


def _none(name: str) -> dict[str, object]:
    raise AssertionError(name)


def test_a_rule_says_what_the_other_says_and_its_own() -> None:
    rules = expand({"a": {"tile_n": 64, "stages": 2, "m": [1, 4]}, "b": {"like": "a", "stages": 3, "m": None}}, _none)
    assert rules["b"] == {"tile_n": 64, "stages": 3}
    assert "c" not in expand({"a": {"tile_n": 64}, "c": None}, _none)
    assert rules["a"] == {"tile_n": 64, "stages": 2, "m": [1, 4]}


def test_rules_of_other_files_and_of_rules_that_are_like_others() -> None:
    other = {"x": {"like": "y", "stages": 4}, "y": {"tile_n": 8, "stages": 1}}
    assert expand({"a": {"like": "vllm/x", "tile_k": 2}}, {"vllm": other}.__getitem__) == {
        "a": {"tile_n": 8, "stages": 4, "tile_k": 2}
    }


def test_circles_and_names_that_there_are_not() -> None:
    with pytest.raises(WorkloadError) as caught:
        expand({"a": {"like": "b"}, "b": {"like": "a"}, "tiles": {}, "c": {"like": "tile"}, "d": {"like": 3}}, _none)
    said = {problem.path: problem.message for problem in caught.value.problems}
    assert said["kernels.a.like"] == "a is like b is like a: a circle"
    assert said["kernels.c.like"] == "there is no kernel 'tile'"
    assert said["kernels.d.like"] == "must be the name of a kernel"
    assert {problem.hint for problem in caught.value.problems} >= {"did you mean 'tiles'?"}


def test_a_library_says_what_no_rule_does() -> None:
    libraries = {"cutlass": {"step_cycles": 9, "stages": 4}, "all": {"stages": 2, "threads": 128}}
    kernels = {
        "a": {"tile_n": 64, "library": "cutlass"},
        "b": {"like": "a", "stages": 3},
        "c": {"like": "a", "library": ["cutlass", "all"]},
        "d": {"like": "c", "library": None},
    }
    assert expand(kernels, _none, libraries) == {
        "a": {"tile_n": 64, "step_cycles": 9, "stages": 4},
        "b": {"tile_n": 64, "step_cycles": 9, "stages": 3},
        "c": {"tile_n": 64, "step_cycles": 9, "stages": 4, "threads": 128},
        "d": {"tile_n": 64},
    }


def test_mistakes_in_libraries(tmp_path: Path) -> None:
    text = (ROOT / "workloads/runtimes/sglang.yaml").read_text()
    path = tmp_path / "mine.yaml"
    added = "    mine: {step_cycle: 3, stages: -1}\n    yours: 3\n"
    path.write_text(text.replace("  libraries:\n", f"  libraries:\n{added}", 1))
    with pytest.raises(SpecError) as caught:
        load_runtime(str(path))
    start = text.splitlines().index("  libraries:") + 1
    found = {problem.path: problem.line for problem in caught.value.problems}
    assert found == {
        "base.libraries.mine.step_cycle": start + 1,
        "base.libraries.mine.stages": start + 1,
        "base.libraries.yours": start + 2,
    }
    start = text.splitlines().index("  kernels:") + 1
    path.write_text(
        text.replace("  kernels:\n", "  kernels:\n    lost: {like: vllm/nvfp4_cutlass, library: mine}\n", 1)
    )
    with pytest.raises(SpecError, match="there is no library 'mine'") as caught:
        load_runtime(str(path))
    assert caught.value.problems[0].line == start + 1


def test_a_mistake_is_placed_in_the_file(tmp_path: Path) -> None:
    text = (ROOT / "workloads/runtimes/sglang.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("  kernels:\n", "  kernels:\n    lost: {like: vllm/nvfp4_cutlas}\n", 1))
    with pytest.raises(SpecError, match="did you mean 'nvfp4_cutlass'") as caught:
        load_runtime(str(path))
    (problem,) = caught.value.problems
    assert problem.line == text.splitlines().index("  kernels:") + 2


def test_shipped_rules_keep_what_they_are_like() -> None:
    spec, other = load_runtime("sglang").spec, load_runtime("vllm").spec
    mine, theirs = spec.kernels["fi_ragged_128"], other.kernels["fi_prefill_128"]
    assert (mine.split_per_sm, mine.launch_order, mine.threads) == (
        theirs.split_per_sm,
        theirs.launch_order,
        theirs.threads,
    )
    assert [[tile.n for tile in rule.variants if tile.m == 128] for rule in (mine, theirs)] == [[32], [64]]
