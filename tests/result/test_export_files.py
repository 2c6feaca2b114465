"""Does `--out` write every file of the contract, and leave what was there untouched when it cannot?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim
from sim import InputError, RunResult
from sim.result import export

FILES = {
    "summary.json", "ops.jsonl", "spans.csv", "spec.resolved.yaml", "manifest.json", "timeline.json", "trace.json",
}  # fmt: skip
Draw = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def result() -> RunResult:
    return sim.run(model="qwen3-0.6b", runtime="vllm", prompt=64, output=4)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is slow and under test elsewhere."""
    monkeypatch.setattr("sim.plot.draw_all", lambda _result, _folder: [])


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_of_the_contract(result: RunResult, tmp_path: Path):
    paths = result.write(tmp_path / "deep" / "out")
    names = {path.name for path in paths}
    assert names >= FILES
    assert {path.name for path in paths if path.parent.name == "plots"} == {
        f"{name}.{kind}"
        for name in ("timeline", "ops", "roofline", "memory", "memory_time", "power")
        for kind in ("svg", "png")
    }
    assert json.loads((tmp_path / "deep" / "out" / "summary.json").read_text()) == result.summary()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    rows = (tmp_path / "deep" / "out" / "spans.csv").read_text().splitlines()
    assert result.trace is not None
    assert len(rows) == 1 + sum(1 for step in result.trace.steps for _ in step.all_spans())


@pytest.mark.usefixtures("no_pictures")
def test_the_manifest_says_what_was_stepped_and_the_answer_does_not(tmp_path: Path):
    for name in ("cold", "warm"):
        found = sim.run(model="qwen3-0.6b", runtime="vllm", prompt=64, output=4, cache=tmp_path / "cache")
        found.write(tmp_path / name)
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("cold", "warm")]
    summaries = [(tmp_path / name / "summary.json").read_bytes() for name in ("cold", "warm")]
    assert summaries[0] == summaries[1]
    assert manifests[0]["kernels_stepped"] == json.loads(summaries[0])["kernels_simulated"]
    assert manifests[1]["kernels_stepped"] == 0


def test_what_does_not_fit_has_only_its_memory(tmp_path: Path):
    paths = sim.run(model="llama-3.1-70b", runtime="vllm").write(tmp_path / "out")
    assert {path.name for path in paths} == FILES | {"memory.svg", "memory.png"}
    assert json.loads((tmp_path / "out" / "timeline.json").read_text())["traceEvents"] == []


@pytest.mark.usefixtures("no_pictures")
def test_only_the_manifest_differs_between_two_runs(result: RunResult, tmp_path: Path):
    result.write(tmp_path / "one")
    result.write(tmp_path / "two")
    one, two = _tree(tmp_path / "one"), _tree(tmp_path / "two")
    one.pop("manifest.json")
    two.pop("manifest.json")
    assert one == two
    assert str(tmp_path).encode() not in b"".join(one.values())


@pytest.mark.parametrize("failure", [ValueError("no such colour"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_picture_that_raises_leaves_nothing_behind(
    result: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, is_there: bool
):
    def fails(_result: RunResult, folder: Path) -> list[Path]:
        (folder / "half.svg").write_text("<svg")
        raise failure

    if is_there:
        monkeypatch.setattr("sim.plot.draw_all", lambda _result, _folder: [])
        result.write(tmp_path / "out")
    before = _tree(tmp_path)
    monkeypatch.setattr("sim.plot.draw_all", fails)
    with pytest.raises(type(failure)):
        result.write(tmp_path / "out", force=True)
    assert _tree(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if is_there else [])


@pytest.mark.usefixtures("no_pictures")
def test_the_old_result_comes_back_when_the_new_one_cannot_take_its_place(
    result: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    result.write(tmp_path / "out")
    before = _tree(tmp_path)
    rename = Path.rename

    def refuses(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuses)
    with pytest.raises(InputError, match="cannot be written: Permission denied"):
        result.write(tmp_path / "out", force=True)
    assert _tree(tmp_path) == before


@pytest.mark.usefixtures("no_pictures")
def test_force_replaces_an_earlier_result_as_a_whole(result: RunResult, tmp_path: Path):
    result.write(tmp_path / "out")
    (tmp_path / "out" / "stale.txt").write_text("from the run before")
    with pytest.raises(InputError) as caught:
        result.write(tmp_path / "out")
    assert str(caught.value) == f"{tmp_path / 'out'}: exists already; --force replaces it"
    result.write(tmp_path / "out", force=True)
    assert not (tmp_path / "out" / "stale.txt").exists()


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"schema": "somebody.else/1"}'])
def test_force_never_replaces_what_is_not_ours(result: RunResult, tmp_path: Path, manifest: str | None):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    if manifest is not None:
        (home / "manifest.json").write_text(manifest)
    before = _tree(tmp_path)
    with pytest.raises(InputError) as caught:
        result.write(home, force=True)
    hint = "it is left alone: name a new folder, or remove it yourself"
    assert str(caught.value) == f"{home}: is not a result of sparksim; {hint}"
    with pytest.raises(InputError, match="is not a result of sparksim"):
        result.write(home / "thesis.txt", force=True)
    assert _tree(tmp_path) == before


@pytest.mark.usefixtures("no_pictures")
def test_force_takes_an_empty_folder_and_follows_a_link(result: RunResult, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    result.write(tmp_path / "link", force=True)
    assert (tmp_path / "link").is_symlink()
    assert {path.name for path in (tmp_path / "empty").iterdir()} >= FILES


def test_a_place_that_cannot_be_written_is_bad_input(result: RunResult, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/out: cannot be written: (Not a directory|File exists)"):
        result.write(tmp_path / "file" / "out")
    export.check_target(tmp_path / "new", force=False)
