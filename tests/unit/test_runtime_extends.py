"""Is a runtime that extends another one what that one is, but for what it says itself?"""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import InputError, SpecError
from sim.workload.hf_config import load_model
from sim.workload.quant import resolve_quant
from sim.workload.runtime_file import check_runtime, load_runtime
from sim.workload.sites import FAMILY_SITES, SITES

HEAD = """schema: sparksim.runtime/1
name: mine
extends: {parent}
base:
{base}
versions: {{"1.0": {{date: "2026-01-01"}}}}
"""
OWN = """  host_step_s: 7 ms
  kernels:
    mmq_k: {efficiency: 0.25}
    first: {ops: [gemm], dtypes: [q4_k], m: [1, 1], unit: fp32}"""


def _file(folder: Path, parent: str, base: str = "  ubatch_tokens: 256") -> Path:
    path = folder / "mine.yaml"
    path.write_text(HEAD.format(parent=parent, base=base), encoding="utf-8")
    return path


def test_what_it_says_lies_over_the_version_that_it_extends(tmp_path: Path) -> None:
    old, new = load_runtime("llama.cpp@b6989").spec, load_runtime("llama.cpp").spec
    path = _file(tmp_path, "llama.cpp@b6989", OWN.replace("7 ms", "7.0e-3"))
    spec = load_runtime(str(path)).spec
    assert (spec.name, spec.version, spec.family) == ("mine", "1.0", "llama.cpp")
    assert spec.host_step_s == 7e-3
    assert spec.sites == old.sites != new.sites
    assert spec.kernels["mmq_k"].efficiency == 0.25
    assert spec.kernels["mmq_k"].tile_n == old.kernels["mmq_k"].tile_n


def test_its_own_kernels_are_tried_before_those_that_it_inherits(tmp_path: Path) -> None:
    """A kernel that it only changes stays where it was."""
    spec = load_runtime(str(_file(tmp_path, "llama.cpp@b6989", OWN.replace("7 ms", "7.0e-3")))).spec
    assert list(spec.kernels) == ["first", *load_runtime("llama.cpp@b6989").spec.kernels]


def test_it_reads_the_formats_of_its_family() -> None:
    model = load_model("gpt-oss-20b")
    for name in ("ollama", "llama.cpp"):
        spec = load_runtime(name).spec
        assert resolve_quant(model, None, spec.family).name == "mxfp4_gguf"


@pytest.mark.parametrize("name", ["ollama", "sglang", "tensorrt-llm", "tensorrt-edge-llm"])
def test_the_runtimes_that_extend_list_every_site_of_their_family(name: str) -> None:
    spec = load_runtime(name).spec
    assert set(spec.sites) >= set(SITES) | set(FAMILY_SITES)


def test_a_runtime_that_extends_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"mine\.yaml:3: extends: mine\.yaml extends itself"):
        check_runtime(_file(tmp_path, "./mine.yaml"))


@pytest.mark.parametrize("parent", ["nonesuch", "llama.cpp@b1"])
def test_a_parent_that_is_not_described_is_refused(parent: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown runtime 'nonesuch'|no version 'b1'"):
        load_runtime(str(_file(tmp_path, parent)))
