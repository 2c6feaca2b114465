"""Does the same result give the same bytes, in another process too, with labels as text and small enough?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim import RunResult
from sim.plot import draw_all

DRAW = """
import sys
from pathlib import Path
import sim
from sim.plot import draw_all
draw_all(sim.run(model="gpt-oss-20b", runtime="llama.cpp", prompt=512, output=16), Path(sys.argv[1]))
"""
LARGEST_SVG, LARGEST_PNG = 150_000, 120_000


@pytest.fixture(scope="module")
def here(results: dict[str, RunResult], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of one result, drawn in this process."""
    folder = tmp_path_factory.mktemp("here")
    draw_all(results["both"], folder)
    return folder


def test_same_bytes_in_another_process(here: Path, root: Path, tmp_path: Path):
    environment = {**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", DRAW, str(tmp_path)], check=True, env=environment, cwd=tmp_path)
    names = sorted(path.name for path in here.iterdir())
    assert len(names) == 12
    for name in names:
        assert (here / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_same_bytes_again(results: dict[str, RunResult], tmp_path: Path):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        draw_all(results["no-flops"], tmp_path / folder)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_files_are_small(here: Path):
    for path in here.iterdir():
        assert path.stat().st_size < (LARGEST_SVG if path.suffix == ".svg" else LARGEST_PNG), path.name


def test_labels_are_text(here: Path):
    for name, labels in {
        "timeline": ("gpt-oss-20b", "batch 1", "GPU", "moe_up", "time, µs", "memory, L2", "compute"),
        "ops": ("prefill: ", "decode: ", "head", "time per step, ms", "latency, gaps"),
        "roofline": ("memory sustained", "moe_up", "TFLOP/s", "prefill", "decode"),
        "memory": ("weights", "KV cache", "system", "runtime", "free", "GB"),
        "power": ("SM clock", "GPU temperature", "board, NIC, losses", "prefill", "decode", "MHz"),
    }.items():
        text = (here / f"{name}.svg").read_text(encoding="utf-8")
        assert [label for label in labels if label not in text] == []
