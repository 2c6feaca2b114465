"""Is a stored point there for good, asked once, and never mixed with those of another study or version?"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd  # noqa: TID253 - the table is what is under test
import pytest

import sim
from sim.cli import main
from sim.errors import InputError
from sim.study import store as store_module
from sim.study import sweep as sweep_module
from sim.study.store import Store
from sim.system.prepared import Prepared

BASE: dict[str, Any] = {"model": "qwen3-0.6b", "runtime": "llama.cpp", "prompt": 0, "output": 2}
FLAGS = ["--model", "qwen3-0.6b", "--runtime", "llama.cpp", "--prompt", "0", "--output", "2"]
IDENTITY = {"study": "a", "sparksim": "1"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches that were really simulated in this process."""
    found: list[int] = []
    real = Prepared.run

    def run(self: Prepared, progress: Any = None) -> Any:
        found.append(self.arguments.batch)
        return real(self, progress)

    monkeypatch.setattr(Prepared, "run", run)
    return found


def test_a_second_sweep_simulates_nothing_and_says_the_same(tmp_path: Path, asked: list[int]) -> None:
    path = tmp_path / "points.sqlite"
    first = sim.sweep(**BASE, batch=[1, 2, 3], store=path)
    assert sorted(asked) == [1, 2, 3]
    second = sim.sweep(**BASE, batch=[1, 2, 3], store=path)
    assert len(asked) == 3
    pd.testing.assert_frame_equal(first, second)
    pd.testing.assert_frame_equal(first, sim.sweep(**BASE, batch=[1, 2, 3]))


def test_an_interrupted_sweep_tells_what_is_done_and_goes_on(
    tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Prepared.run

    def run(self: Prepared, progress: Any = None) -> Any:
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(self, progress)

    words = [
        "sweep",
        *FLAGS,
        "--vary",
        "batch=1,2,3,4",
        "--store",
        str(tmp_path / "s.sqlite"),
        "--workers",
        "1",
        "--json",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(Prepared, "run", run)
        assert main(words) == 130
    printed = capsys.readouterr()
    assert [row["batch"] for row in json.loads(printed.out)["rows"]] == [1, 2]
    assert "interrupted: 2 of 4 points are done" in printed.err
    assert main(words) == 0
    assert asked == [1, 2, 3, 4]
    printed = capsys.readouterr()
    assert [row["batch"] for row in json.loads(printed.out)["rows"]] == [1, 2, 3, 4]
    assert "2 points were in" in printed.err


def test_an_interrupt_in_the_library_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Prepared, progress: Any = None) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Prepared, "run", run)
    with pytest.raises(KeyboardInterrupt):
        sim.sweep(**BASE, batch=[1, 2], workers=1)


def test_a_point_that_failed_is_recorded_and_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(self: Prepared, progress: Any = None) -> Any:
        raise RuntimeError("out of luck")

    words = ["sweep", *FLAGS, "--vary", "batch=1,2", "--store", str(tmp_path / "s.sqlite"), "--json"]
    with monkeypatch.context() as patch:
        patch.setattr(Prepared, "run", run)
        assert main(words) == 5
    assert main(words) == 5
    printed = capsys.readouterr()
    found = sim.sweep(**BASE, batch=[1, 2], store=tmp_path / "s.sqlite")
    assert list(found["status"]) == ["failed", "failed"]
    assert all("out of luck" in error for error in found["error"])
    assert "0 points simulated" in printed.err


@pytest.mark.parametrize(
    "other",
    [
        {"batch": [1, 2, 4]},
        {"batch": [1, 2], "depth": 16},
        {"batch": [1, 2], "set": {"gpu.sms": 24}},
        {"batch": [1, 2], "runtime": "vllm"},
        {"batch": [1, 2], "keep": ["decode_tok_s"]},
    ],
)
def test_another_study_is_refused(other: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    sim.sweep(**BASE, batch=[1, 2], store=path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="holds another study"):
        sim.sweep(**{**BASE, **other}, store=path)
    assert path.read_bytes() == before


def test_a_machine_that_was_edited_meanwhile_is_another_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "hardware", "dgx-spark", "--yaml"]) == 0
    machine = tmp_path / "mine.yaml"
    text = capsys.readouterr().out
    machine.write_text(text, encoding="utf-8")
    sim.sweep(**BASE, batch=[1, 2], hardware=str(machine), store=tmp_path / "s.sqlite")
    assert "value: 48" in text
    machine.write_text(text.replace("value: 48", "value: 46", 1), encoding="utf-8")
    with pytest.raises(InputError, match="holds another study"):
        sim.sweep(**BASE, batch=[1, 2], hardware=str(machine), store=tmp_path / "s.sqlite")


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim.sweep(**BASE, batch=[1, 2], store=tmp_path / "s.sqlite")
    monkeypatch.setattr(sweep_module, "version", lambda: "9.9.9")
    with pytest.raises(InputError, match=r"begun by another version of sparksim: .*, not 9\.9\.9"):
        sim.sweep(**BASE, batch=[1, 2], store=tmp_path / "s.sqlite")


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    text, other, folder = tmp_path / "notes.txt", tmp_path / "other.sqlite", tmp_path / "folder"
    text.write_text("my notes, " * 200, encoding="utf-8")
    folder.mkdir()
    with sqlite3.connect(other) as connection:
        connection.execute("create table mine (x)")
    connection.close()
    before = text.read_bytes(), other.read_bytes()
    for path in (text, other):
        with pytest.raises(InputError, match="is no store of a study"):
            Store(path, IDENTITY)
    for path in (folder, tmp_path / "nowhere/s.sqlite"):
        with pytest.raises(InputError, match="cannot be opened"):
            Store(path, IDENTITY)
    assert (text.read_bytes(), other.read_bytes()) == before


def test_two_sweeps_do_not_share_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "WAIT_S", 0.05)
    first = Store(tmp_path / "s.sqlite", IDENTITY)
    with pytest.raises(InputError, match="in use by another sweep"):
        Store(tmp_path / "s.sqlite", IDENTITY)
    first.close()
    Store(tmp_path / "s.sqlite", IDENTITY).close()


def test_a_full_disk_stops_the_sweep_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says the same of a file that may not grow as of a disk that is full: `pragma max_page_count`."""
    path = tmp_path / "s.sqlite"
    real = store_module.sqlite3.connect

    def small(*arguments: Any, **settings: Any) -> Any:
        connection = real(*arguments, **settings)
        connection.execute("pragma max_page_count = 12")  # of 4 KiB: a row takes about 8
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(store_module.sqlite3, "connect", small)
        with pytest.raises(InputError, match="cannot be written: database or disk is full; what is in it is kept"):
            sim.sweep(**BASE, batch=list(range(1, 9)), store=path, workers=1)
    with sqlite3.connect(path) as connection:
        kept = connection.execute("select count(*) from point").fetchone()[0]
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()
    assert 0 < kept < 8
    pd.testing.assert_frame_equal(
        sim.sweep(**BASE, batch=list(range(1, 9)), store=path, workers=1), sim.sweep(**BASE, batch=list(range(1, 9)))
    )


def test_a_store_that_cannot_be_written_is_told_before_anything_is_simulated(
    tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened read-only, as the file of a read-only folder is: file modes do not bind the superuser."""
    path = tmp_path / "s.sqlite"
    sim.sweep(**BASE, batch=[1, 2], store=path)
    with sqlite3.connect(path) as connection:
        connection.execute("delete from point")
    connection.close()
    asked.clear()
    real = store_module.sqlite3.connect
    monkeypatch.setattr(
        store_module.sqlite3, "connect", lambda file, **settings: real(f"file:{file}?mode=ro", uri=True, **settings)
    )
    with pytest.raises(InputError, match="readonly database"):
        sim.sweep(**BASE, batch=[1, 2], store=path)
    assert asked == []


def test_rows_are_in_the_file_once_put_returns(tmp_path: Path) -> None:
    """Seen by a second reader of the same bytes, without the first having closed or committed anything more."""
    path, copy = tmp_path / "s.sqlite", tmp_path / "copy.sqlite"
    kept = Store(path, IDENTITY)
    kept.put({2: "{}", 0: "{}"})
    copy.write_bytes(path.read_bytes())
    again = Store(copy, IDENTITY)
    assert again.done() == {0, 2}
    again.close()
    kept.close()
