"""Are the rows the same bytes, whoever simulates them: one process or several, Dask or Ray, with a cache or without?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.errors import InputError
from sim.study import parallel
from sim.study.parallel import read_workers

pytestmark = pytest.mark.slow
STUDY: dict[str, Any] = {
    "model": ["qwen3-0.6b", "gpt-oss-20b"], "runtime": "llama.cpp", "batch": [1, 2, 3], "depth": [0, 64], "prompt": 64,
    "output": 3, "set": {"gpu.sms": [24, 48]},
}  # fmt: skip
SCRIPT = """
import sim

table = sim.sweep(model=["qwen3-0.6b", "gpt-oss-20b"], runtime="llama.cpp", batch=[1, 2, 3], depth=[0, 64], prompt=64,
                  output=3, set={"gpu.sms": [24, 48]}, WHO)
print(table.to_csv(), end="")
"""


@pytest.fixture(scope="module")
def alone() -> str:
    return sim.sweep(**STUDY, workers=1, cache="off").to_csv()


def _environment(root: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(root)}


def _script(who: str, folder: Path, root: Path) -> str:
    """What a plain script prints: no main guard, run from a folder of its own."""
    path = folder / "plain.py"
    path.write_text(SCRIPT.replace("WHO", who), encoding="utf-8")
    command = [sys.executable, str(path)]
    done = subprocess.run(command, cwd=folder, env=_environment(root), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_from_a_plain_script(alone: str, tmp_path: Path, root: Path) -> None:
    assert _script("workers=2", tmp_path, root) == alone
    assert _script("workers=2", tmp_path, root) == alone  # the cache is warm now


def test_three_processes_from_a_notebook(alone: str, tmp_path: Path, root: Path) -> None:
    """A cell is compiled and executed in `__main__`, which has no file: so is what comes on stdin."""
    cell = SCRIPT.replace("WHO", f"workers=3, cache={str(tmp_path)!r}")
    command = [sys.executable, "-"]
    done = subprocess.run(command, input=cell, env=_environment(root), capture_output=True, text=True, check=True)
    assert done.stdout == alone


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_cluster_of_its_own_from_a_plain_script(backend: str, alone: str, tmp_path: Path, root: Path) -> None:
    pytest.importorskip({"dask": "distributed"}.get(backend, backend))
    assert _script(f"workers=2, backend={backend!r}", tmp_path, root) == alone


@pytest.fixture
def dask_address(root: Path) -> Iterator[str]:
    """A scheduler and two workers, each a process of its own, on the loopback interface."""
    pytest.importorskip("distributed")
    command = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=_environment(root)) as scheduler:
        assert scheduler.stderr is not None
        line = next(line for line in scheduler.stderr if "Scheduler at:" in line)
        address = line.split()[-1]
        worker = [
            sys.executable,
            "-m",
            "distributed.cli.dask_worker",
            address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
        ]
        started = [subprocess.Popen(worker, stderr=subprocess.DEVNULL, env=_environment(root)) for _ in range(2)]
        yield address
        for process in started:
            process.terminate()
            process.wait(30)
        scheduler.terminate()
        scheduler.stderr.close()


def test_a_dask_cluster_that_runs(dask_address: str, alone: str, tmp_path: Path) -> None:
    store = tmp_path / "points.sqlite"
    assert sim.sweep(**STUDY, backend=f"dask:{dask_address}", store=store).to_csv() == alone
    assert sim.sweep(**STUDY, store=store).to_csv() == alone


def test_no_cluster_at_an_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "WAIT_S", 1)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
        sim.sweep(**STUDY, backend="dask:tcp://127.0.0.1:9")


def test_a_point_that_kills_its_process_has_failed_and_the_others_are_answered(tmp_path: Path, root: Path) -> None:
    """As the kernel does when memory runs out: the process of one point is gone without a word."""
    plugin = tmp_path / "deadly.py"
    plugin.write_text(
        "import os\nfrom multiprocessing import current_process\n\nfrom sim.study import answer\n\n"
        "real = answer.prepare\n\n"
        "def prepare(given, *rest):\n"
        '    if given["batch"] == 3 and current_process().name.startswith("Loky"):\n'
        "        os._exit(9)\n"
        "    return real(given, *rest)\n\nanswer.prepare = prepare\n",
        encoding="utf-8",
    )
    words = ["sweep", "--model", "qwen3-0.6b", "--runtime", "llama.cpp", "--prompt", "0", "--output", "2", "--vary",
             "batch=1..6:1", "--keep", "decode_tok_s", "--workers", "2", "--plugin", str(plugin)]  # fmt: skip
    command = [sys.executable, "-m", "sim", *words]
    done = subprocess.run(command, cwd=root, env=_environment(root), capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["status", "ok", "ok", "failed", "ok", "ok", "ok"]
    assert "1 points: the process that simulated it ended" in done.stderr


def test_an_interrupt_reaches_a_sweep_on_two_processes(tmp_path: Path, root: Path) -> None:
    words = ["sweep", "--model", "gpt-oss-20b", "--runtime", "llama.cpp", "--vary", "batch=1..40:1", "--vary",
             "depth=0..8192:512", "--workers", "2", "--store", str(tmp_path / "s.sqlite")]  # fmt: skip
    command = [sys.executable, "-m", "sim", *words]
    with subprocess.Popen(
        command, cwd=root, env=_environment(root), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        while not (tmp_path / "s.sqlite").exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(6)
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - begun < 20
    assert "Traceback" not in told
    assert "start again to go on" in told


def test_extras_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend, package in (("dask", "distributed"), ("ray", "ray")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=rf"{package} is not installed; pip install 'sparksim\[{backend}\]'"):
            read_workers(backend, None)
