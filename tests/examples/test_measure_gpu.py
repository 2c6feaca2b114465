"""Does the script that measures a real GPU refuse politely without one, and write files that the simulator reads?

No GPU is needed: a fake one answers with times that follow from a latency and a bandwidth, so the numbers that come out
are known: Little's law up to the ceiling.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sim.cli import main
from sim.validation.microbench import load_microbench

LATENCY_S, BYTES_PER_S = 500e-9, 200e9


class FakeGpu:
    """Answers with the time that `LATENCY_S` and `BYTES_PER_S` give for what was started."""

    name, sms, software = "Fake GPU", 48, "none"

    def __init__(self) -> None:
        self._seconds = 0.0
        self.chases: list[Any] = []

    def array(self, values: Any) -> Any:
        self.chases.append(values)
        return values

    def words(self, n: int) -> int:
        return n

    def launch(self, name: str, grid: int, block: int, args: tuple[Any, ...], depth: int = 1) -> None:
        if name == "chase":
            self._seconds += args[1] * LATENCY_S
        elif name in ("tile", "flat", "random_pieces"):
            n_bytes = grid * block * 16 * args[1]
            self._seconds += max(n_bytes / BYTES_PER_S, args[1] / depth * LATENCY_S)
        elif name == "loaded":
            self._seconds += args[3] * LATENCY_S
        elif name == "copy":
            self._seconds += 2 * args[2] * 16 / BYTES_PER_S
        else:
            self._seconds += 1e-6

    def synchronize(self) -> None:
        pass

    def seconds(self, action: Any) -> float:
        self._seconds = 0.0
        action()
        return self._seconds

    def graph(self, action: Any) -> Any:
        return action


@pytest.fixture(scope="module")
def script(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_gpu", root / "examples" / "measure_gpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_what_is_missing(root: Path, tmp_path: Path) -> None:
    for name in ("cupy", "torch"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name} here')")
    command = [sys.executable, str(root / "examples" / "measure_gpu.py"), str(tmp_path / "out.yaml")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "nothing to measure with: a CUDA GPU and CuPy or PyTorch are needed",
        "  Cupy: no cupy here",
        "  Torch: no torch here",
    ]
    assert not (tmp_path / "out.yaml").exists()


def test_what_it_writes_is_read(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    monkeypatch.setattr(script, "find_backend", lambda: (FakeGpu(), []))
    monkeypatch.setattr(script, "clock_mhz", lambda: 2000)
    small = {name: (min(size, 64 << 20), *rest) for name, (size, *rest) in script.LADDER.items()}
    monkeypatch.setattr(script, "LADDER", small)  # gigabytes are for machines that have them
    assert script.main([str(file)]) == 0
    assert main(["check", str(file)]) == 0
    found = load_microbench(str(file))
    by_id = {record.id: record for record in found.records}
    assert by_id["latency-dram-128"].value == pytest.approx(LATENCY_S * 1e9)
    assert by_id["in-flight-random-w1-d1-c1"].value == pytest.approx(48 * 512 / LATENCY_S / 1e9, rel=1e-3)
    assert by_id["in-flight-tile-w4-d8-c4"].value == pytest.approx(BYTES_PER_S / 1e9, rel=1e-3)
    assert by_id["copy"].value == pytest.approx(BYTES_PER_S / 1e9)
    assert {record.clock_mhz for record in found.records} == {2000}
    assert {record.group for record in found.records} <= {record.group for record in load_microbench().records}
    capsys.readouterr()


def test_simulated_beside_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    record = {"id": "mine", "group": "latency ladder", "value": 400, "unit": "ns", "quality": "medium",
              "clock_mhz": None, "probe": {"kind": "chase", "footprint": 1 << 30, "granule": 128},
              "source": "here", "conditions": ""}  # fmt: skip
    head = 'schema: sparksim.microbench/1\nhardware: dgx-spark\nsources: {here: "me"}\nrecords:\n'
    file.write_text(f"{head}  - {json.dumps(record)}\n")
    assert main(["microbench", "--measured", str(file), "--json", "--quiet"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["simulated"] == pytest.approx(421.4, rel=0.01)  # 417 ns and a burst of 64 B on its channel


@pytest.mark.parametrize("change", [
    {"value": -1}, {"probe": {"kind": "given", "field": "gpu"}}, {"probe": {"kind": "given", "field": "gpu.nothing"}},
    {"probe": {"kind": "chase"}}, {"probe": {"kind": "stream"}}, {"unit": "furlongs"},
], ids=str)  # fmt: skip
def test_a_file_with_a_mistake_is_refused(
    change: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    record = {"id": "mine", "group": "launch", "value": 4, "unit": "us", "quality": "medium", "clock_mhz": None,
              "probe": {"kind": "given", "field": "gpu.eager_launch"}, "source": "here", "conditions": ""}  # fmt: skip
    head = 'schema: sparksim.microbench/1\nhardware: dgx-spark\nsources: {here: "me"}\nrecords:\n'
    file.write_text(f"{head}  - {json.dumps({**record, **change})}\n")
    assert main(["microbench", "--measured", str(file), "--json", "--quiet"]) == 2
    assert json.loads(capsys.readouterr().out)["schema"] == "sparksim.error/1"


@pytest.mark.parametrize(("granule", "is_new_page"), [(128, False), (4096, False), (2 << 20, True)])
def test_a_chase_visits_each_place_once_and_comes_back(script: ModuleType, granule: int, is_new_page: bool) -> None:
    gpu = FakeGpu()
    script.chase_seconds(gpu, 64 << 20, granule, False)
    (words,) = gpu.chases
    at, pages, steps = 0, [], 0
    while steps == 0 or at:
        pages.append(at * 4 // (2 << 20))
        at = int(words[at])
        steps += 1
    assert steps == np.count_nonzero(words) + 1 or steps == np.count_nonzero(words)
    assert steps >= min(20_000, (64 << 20) // max(granule, 128)) - 1
    changes = sum(a != b for a, b in pairwise(pages))
    assert changes == steps - 1 if is_new_page else changes <= steps * granule / (2 << 20) + 1
