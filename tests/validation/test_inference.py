"""Do predictions of whole models lie as near the published measurements as we say they do?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import sim
from sim.paths import find
from sim.validation.inference import SMALL_CLASS, Report, Row, load_excluded, load_records, validate_inference
from sim.yamlfile import load_yaml

pytestmark = pytest.mark.validation

QUOTED = {"nvidia-blog-2025-10-gpt-oss-20b", "nvidia-blog-2025-10-gpt-oss-120b"}
"""llama.cpp of October 2025, 2,048 tokens read and 128 written: what everyone quotes."""


@pytest.fixture(scope="module")
def report() -> Report:
    return validate_inference(sim.run)


def test_every_target_holds(report: Report):
    assert report.broken_targets() == []


def test_every_record_that_ships_is_compared(report: Report):
    by_source = Counter((r.runtime.partition("@")[0], r.model, r.quant) for r in load_records())
    assert by_source["llama.cpp", "qwen2.5-coder-7b", "q8_0"] == 46
    assert by_source["llama.cpp", "qwen3-32b", "q4_k_m"] + by_source["llama.cpp", "qwen3-30b-a3b", "q4_k_m"] >= 34
    assert by_source["vllm", "gpt-oss-20b", "mxfp4"] >= 10
    assert by_source["tensorrt-edge-llm", "qwen3-4b", "nvfp4"] >= 3
    assert by_source["vllm", "qwen3.5-35b-a3b", "nvfp4@redhat"] >= 6
    assert {row.record.id for row in report.rows} == {record.id for record in load_records()}


def test_what_is_left_out_names_its_rule_and_is_not_compared_too():
    """A measurement is compared or left out by one rule, never both."""
    document = load_yaml(find("measurements", "inference")).data
    left_out = [each for ids in document["excluded"].values() for each in ids]
    assert len(left_out) == len(set(left_out)) == sum(load_excluded().values())
    assert not set(left_out) & {record.id for record in load_records()}


def test_no_model_at_any_batch_is_off_by_more_than_a_quarter(report: Report):
    """A mean over all would hide two errors that cancel."""
    groups = {name: f for name, f in report.groups().items() if f.count >= SMALL_CLASS}
    assert groups
    assert {name: f.bias for name, f in groups.items() if abs(f.bias) > 0.25} == {}


@pytest.mark.parametrize(("phase", "most"), [("decode", 0.08), ("prefill", 0.15)])
def test_the_cells_everyone_quotes(report: Report, phase: str, most: float):
    rows: list[Row] = [row for row in report.rows if row.record.id in QUOTED and row.phase == phase]
    assert len(rows) == len(QUOTED)
    assert {row.record.id: row.error for row in rows if abs(row.error) > most} == {}


CELLS = {
    ("qwen3-14b", "nvfp4", "tensorrt-llm"): (5929.0, 22.7),
    ("llama-3.1-8b", "nvfp4", "tensorrt-llm"): (10257.0, 38.65),
}
"""Tokens per second of prefill and decode, 2,048 read and 128 written: NVIDIA's developer blog, October 2025."""


@pytest.mark.parametrize("cell", CELLS)
def test_the_cells_of_tensorrt_llm(cell: tuple[str, str, str]):
    """Nothing was calibrated on TensorRT-LLM on this machine."""
    model, quant, runtime = cell
    result = sim.run(model=model, quant=quant, runtime=runtime, prompt=2048, output=128)
    assert result.prefill_tok_s == pytest.approx(CELLS[cell][0], rel=0.15)
    assert result.decode_tok_s == pytest.approx(CELLS[cell][1], rel=0.08)


def test_the_readme_shows_what_the_command_prints(report: Report, root: Path):
    assert report.to_markdown() in (root / "README.md").read_text(encoding="utf-8")
