"""Is a sweep that was killed, at any moment, taken up again with no point lost, none asked twice, and a sound file?"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sim

pytestmark = pytest.mark.slow
SCRIPT = """
import sys
import sim
from sim.study import store

put = store.Store.put

def told(self, rows):
    print("begin", *rows, flush=True)
    put(self, rows)
    print("end", *rows, flush=True)

store.Store.put = told
sim.sweep(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2, batch=list(range(1, 11)),
          depth=list(range(0, 80, 10)), store=sys.argv[1], workers=int(sys.argv[2]))
"""
N_POINTS = 80


def _start(script: Path, store: Path, workers: int, root: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, str(script), str(store), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def _stored(path: Path) -> list[int]:
    if not path.exists():
        return []
    with sqlite3.connect(path) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        tables = connection.execute("select count(*) from sqlite_master").fetchone()[0]
        rows = connection.execute("select number from point").fetchall() if tables else []
    connection.close()
    return [number for (number,) in rows]


def _run_until(process: subprocess.Popen[str], begun: int, delay_s: float) -> tuple[set[int], set[int]]:
    """Kill it `delay_s` after it began to write for the `begun`-th time; points of which writing (began, ended)."""
    first, last = set[int](), set[int]()
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            word, *numbers = line.split()
            (first if word == "begin" else last).update(map(int, numbers))
            if word == "begin" and len(first) >= begun and process.poll() is None:
                time.sleep(delay_s)
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    return first, last


@pytest.mark.parametrize(("workers", "kills"), [(1, 20), (2, 6)])
def test_killed_many_times(workers: int, kills: int, tmp_path: Path, root: Path) -> None:
    """At seeded random moments: some in a commit (0 to 3 ms after a write began), some between."""
    script, path = tmp_path / "sweep.py", tmp_path / "points.sqlite"
    script.write_text(SCRIPT, encoding="utf-8")
    rng = random.Random(20 + workers)
    kept: set[int] = set()
    for kill in range(kills):
        delay_s = rng.uniform(0, 0.003) if kill % 2 else rng.uniform(0, 0.1)
        begun, ended = _run_until(_start(script, path, workers, root), rng.randint(1, 2), delay_s)
        assert not begun & kept, "a point that was stored was simulated again"
        stored = _stored(path)
        assert len(stored) == len(set(stored))
        assert kept | ended <= set(stored) <= kept | begun, "what `put` returned from is there, nothing else is"
        kept = set(stored)
    assert 0 < len(kept) < N_POINTS
    found = sim.sweep(
        model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2, batch=list(range(1, 11)),
        depth=list(range(0, 80, 10)), store=path,
    )  # fmt: skip
    assert list(found.index) == list(range(N_POINTS))
    assert set(found["status"]) == {"ok"}
