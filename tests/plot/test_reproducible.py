"""Does the same result give the same bytes, in another process too, with labels as text and small enough?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sim import RunResult
from sim.plot import draw_all

DRAW = """
import sys
from pathlib import Path
import sim
from sim.plot import draw_all
draw_all(sim.run(model="gpt-oss-20b", runtime="llama.cpp"), Path(sys.argv[1]))
"""
LARGEST_SVG, LARGEST_PNG = 150_000, 120_000


def test_same_bytes_in_another_process(results: dict[str, RunResult], root: Path, tmp_path: Path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
    draw_all(results["both"], here)
    environment = {**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", DRAW, str(elsewhere)], check=True, env=environment, cwd=tmp_path)
    names = sorted(path.name for path in here.iterdir())
    assert len(names) == 8
    for name in names:
        first = (here / name).read_bytes()
        assert first == (elsewhere / name).read_bytes(), name
        assert len(first) < (LARGEST_SVG if name.endswith(".svg") else LARGEST_PNG), name


def test_same_bytes_again(results: dict[str, RunResult], tmp_path: Path):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        draw_all(results["prefill"], tmp_path / folder)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_labels_are_text(results: dict[str, RunResult], tmp_path: Path):
    draw_all(results["both"], tmp_path)
    for name, labels in {
        "timeline": ("gpt-oss-20b", "batch 1", "GPU", "moe_up", "time, µs", "memory (LPDDR5X, L2)", "compute"),
        "ops": ("prefill: ", "decode: ", "head", "time per step, ms", "latency, gaps"),
        "roofline": ("LPDDR5X sustained", "moe_up", "TFLOP/s", "prefill", "decode"),
        "memory": ("weights", "KV cache", "system", "runtime", "free", "GB"),
    }.items():
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert [label for label in labels if label not in text] == []
