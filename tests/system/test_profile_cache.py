"""Do processes share the kernel profile cache safely, and does a process that asks thousands of machines stay small?"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.system import prediction, profiles

BASE: dict[str, Any] = {"model": "qwen3-0.6b", "runtime": "llama.cpp", "prompt": 0, "output": 2}
CODE = """
import sys
import sim
for batch in range(1, 5):
    sim.run(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2, batch=batch, cache=sys.argv[1])
"""


def _count(folder: Path) -> int:
    with sqlite3.connect(folder / "profiles.sqlite") as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        found = connection.execute("select count(*) from profile").fetchone()[0]
    connection.close()
    return int(found)


def test_profiles_of_a_short_process_are_all_written(tmp_path: Path, root: Path) -> None:
    """New ones are written now and then, and the rest when it ends: a second process simulates none."""
    environment = os.environ | {"PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], env=environment, check=True)
    written = _count(tmp_path)
    assert written > 0
    for batch in range(1, 5):
        result = sim.run(**BASE, batch=batch, cache=tmp_path)
        assert result.trace is not None
        assert result.trace.kernels_stepped == 0
    profiles.flush_profiles()
    assert _count(tmp_path) == written


@pytest.mark.slow
def test_many_processes_write_into_one_cache(tmp_path: Path, root: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    started = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        with process:
            _, told = process.communicate(timeout=120)
        assert (process.returncode, told) == (0, "")
    alone = tmp_path / "alone"
    subprocess.run([sys.executable, "-c", CODE, str(alone)], env=environment, check=True)
    assert _count(tmp_path) == _count(alone)


def test_a_process_keeps_few_machines_and_few_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "MOST_KNOWN", 5)
    first = sim.run(**BASE, cache=tmp_path).summary()
    for sms in range(20, 20 + 2 * prediction.MOST_STORES):
        sim.run(**BASE, set={"gpu.sms": sms}, cache=tmp_path)
    assert len(prediction._STORES) == prediction.MOST_STORES
    assert all(len(store._known) <= 5 for key, store in prediction._STORES.items() if key[1] == str(tmp_path))
    open_files = [path for path in Path("/proc/self/fd").iterdir() if str(tmp_path) in str(path.resolve())]
    assert len(open_files) <= 2  # one connection, whatever the number of machines
    assert sim.run(**BASE, cache=tmp_path).summary() == first


def test_a_cache_that_was_taken_away_is_begun_anew(tmp_path: Path) -> None:
    before = sim.run(**BASE, cache=tmp_path).summary()
    profiles.flush_profiles()
    (tmp_path / "profiles.sqlite").unlink()
    assert sim.run(**BASE, set={"gpu.sms": 40}, cache=tmp_path).fits
    profiles.flush_profiles()
    assert _count(tmp_path) > 0
    assert sim.run(**BASE, cache=tmp_path).summary() == before
