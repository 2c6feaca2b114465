"""Does a number that is set in memory reach everything that inherits it, and nothing else?"""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import InputError
from sim.system.calibrated import calibrated
from sim.workload.runtime_file import load_runtime

MINE = """
schema: sparksim.runtime/1
name: mine
extends: vllm
base:
  host_step_s: {value: 1.0e-3, kind: assumed, source: "a toy, of which nothing is known"}
  libraries:
    toys: {step_cycles: {value: 100, kind: assumed, source: "a toy, of which nothing is known"}, stages: 3}
  kernels:
    first: {ops: [gemm], unit: bf16, library: toys}
    second: {like: first, stages: 4}
    third: {like: second, step_cycles: 7}
versions:
  "1.0": {}
  "1.5":
    host_step_s: {value: 5.0e-4, kind: assumed, source: "a toy, of which nothing is known"}
"""
CHILD = """
schema: sparksim.runtime/1
name: child
extends: ./mine.yaml
base:
  kernels:
    fourth: {like: first}
versions:
  "2": {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "workloads" / "runtimes"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(MINE.lstrip())
    (folder / "child.yaml").write_text(CHILD.lstrip())
    return folder


def test_what_inherits_follows(folder: Path) -> None:
    name = "mine.base.libraries.toys.step_cycles"
    for file in ("mine", "child"):
        spec = load_runtime(str(folder / f"{file}.yaml"), numbers={name: 250.0}).spec  # whole, whatever its type
        steps = {kernel: spec.kernels[kernel].step_cycles for kernel in ("first", "second", "third")}
        assert steps == {"first": 250, "second": 250, "third": 7}
        assert spec.kernels["second"].stages == 4
    assert spec.kernels["fourth"].step_cycles == 250


def test_nothing_else_changes_and_nothing_stays(folder: Path) -> None:
    path = str(folder / "mine.yaml")
    before = load_runtime(path).spec
    assert load_runtime(path, numbers={"other.base.host_step_s": 1.0}).spec == before
    changed = load_runtime(path, numbers={"mine.base.libraries.toys.step_cycles": 250}).spec
    same = {name for name in changed.kernels if changed.kernels[name] == before.kernels[name]}
    assert set(before.kernels) - same == {"first", "second"}
    assert load_runtime(path).spec == before


def test_versions_have_numbers_of_their_own(folder: Path) -> None:
    """Keys hold dots; a number of the base does not reach a version that says its own."""
    where = {"search_dirs": (folder.parent.parent,)}
    base, own = {"mine.base.host_step_s": 0.5}, {"mine.versions.1.5.host_step_s": 0.25}
    found = {
        (version, which): load_runtime(f"mine@{version}", numbers=numbers, **where).spec.host_step_s
        for version in ("1.0", "1.5")
        for which, numbers in (("base", base), ("own", own))
    }
    assert found == {("1.0", "base"): 0.5, ("1.0", "own"): 1e-3, ("1.5", "base"): 5e-4, ("1.5", "own"): 0.25}


def test_lists_are_counted() -> None:
    """The second of what is launched at a site."""
    site = "quantize_fp8_dynamic"
    name = next(each.name for each in calibrated() if each.name.startswith(f"tensorrt-llm.base.sites.{site}.1."))
    launches = load_runtime("tensorrt-llm", numbers={name: 4321}).spec.sites[site][0].launches
    assert [launch.row_cycles == 4321 for launch in launches].index(True) == 1
    assert sum(launch.row_cycles == 4321 for launch in launches) == 1


def test_every_number_that_is_listed_can_be_set() -> None:
    for number in calibrated():
        runtime = number.name.partition(".base.")[0].partition(".versions.")[0]
        if number.place[0] != "components":
            load_runtime(runtime, numbers={number.name: number.value})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mine.base.host_stepp_s", "did you mean 'host_step_s'?"),
        ("mine.base.kernels.first.stages", "there are: ops, unit, library"),
        ("mine.base.libraries.toys", "a number in the long form"),
        ("mine.base.libraries.toys.stages", "a number in the long form"),
        ("mine.versions.1.6.host_step_s", "there are: 1.0, 1.5"),
    ],
)
def test_what_is_no_number_is_refused(name: str, hint: str, folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_runtime(str(folder / "mine.yaml"), numbers={name: 1})
    (problem,) = caught.value.problems
    assert (problem.path, problem.code) == (name, "unknown_number")
    assert hint in str(problem.hint)
