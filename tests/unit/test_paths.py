"""Does a name find its file: spelling, aliases, the order of the search, and what is said when it finds none?"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.paths import available, find, is_path, normalize, search_path, shipped_data


def _card(root: Path, name: str, text: str = "") -> Path:
    path = root / "workloads/models" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or "schema: x\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["llama-3.1-8b", "Llama 3.1 8B", "LLAMA_3_1_8B", "llama/3.1/8b", " llama-3-1-8b "])
def test_spelling_does_not_matter(name: str) -> None:
    assert normalize(name) == "llama-3-1-8b"
    assert find("models", name) == shipped_data() / "workloads/models/llama-3.1-8b.yaml"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("a/b", True), ("x.yaml", True), ("x.JSON", True), ("x.gguf", True), ("llama-3.1-8b", False), ("x.txt", False)],
)
def test_a_path_is_told_from_a_name(text: str, *, is_one: bool) -> None:
    assert is_path(text) is is_one


def test_spec_dirs_come_before_the_environment_and_that_before_what_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.setenv("SPARKSIM_PATH", str(second))
    assert search_path([first]) == [first, second, shipped_data()]
    shipped = find("models", "qwen3-8b")
    mine = _card(second, "Qwen3_8B")
    assert find("models", "qwen3-8b") == mine != shipped
    assert find("models", "qwen3-8b", [first]) == mine
    nearer = _card(first, "qwen3-8b")
    assert find("models", "qwen3-8b", [first]) == nearer


def test_file_names_come_before_aliases(tmp_path: Path) -> None:
    by_alias = _card(tmp_path, "a", "aliases: [own-model, org/Own.Model]\n")
    assert find("models", "Org/own-model", [tmp_path]) == by_alias
    by_name = _card(tmp_path, "own-model")
    assert find("models", "own model", [tmp_path]) == by_name


def test_an_unknown_name_is_refused_with_what_is_like_it() -> None:
    with pytest.raises(InputError, match=r"unknown model 'qwen3-9b'; did you mean .*there are: .*gpt-oss-20b"):
        find("models", "qwen3-9b")


def test_a_missing_file_is_called_that() -> None:
    with pytest.raises(InputError, match=r"^\./nothing\.yaml: no such file$"):
        find("models", "./nothing.yaml")


def test_names_are_listed_once_and_sorted(tmp_path: Path) -> None:
    _card(tmp_path, "qwen3_8b")
    names = available("models", [tmp_path])
    assert names == sorted(names)
    assert "qwen3_8b" in names
    assert "qwen3-8b" not in names


@pytest.mark.parametrize("age_s", [0, 3600])
def test_a_file_that_comes_later_is_found(tmp_path: Path, age_s: int) -> None:
    # Within one tick of the file system's clock a folder's time of change may stay what it was.
    folder = tmp_path / "hwspecs"
    folder.mkdir()
    (folder / "first.yaml").write_text("")
    then = time.time_ns() - age_s * 10**9
    os.utime(folder, ns=(then, then))
    assert "first" in available("hardware", [tmp_path])
    (folder / "second.yaml").write_text("")
    if not age_s:
        os.utime(folder, ns=(then, then))
    assert "second" in available("hardware", [tmp_path])
