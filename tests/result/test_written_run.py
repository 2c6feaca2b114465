"""Is a written run, read back, the same result with the same pictures, and is anything else refused in our words?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim
from sim import InputError, RunResult
from sim.plot.pictures import DRAWN
from sim.plot.style import save
from sim.result.written_run import read_run

SHORT = {"model": "qwen3-0.6b", "runtime": "vllm", "prompt": 256, "output": 8}
ASKED: dict[str, dict[str, object]] = {
    "batch": {**SHORT, "batch": 4},
    "changed": {**SHORT, "set": ["memory.bandwidth=x2"]},
    "folded": {"model": "gpt-oss-20b", "runtime": "llama.cpp", "prompt": 512, "output": 4},
    "does-not-fit": {"model": "llama-3.1-70b", "runtime": "vllm"},
    "op-trace": {"file": "examples/net-by-hand.yaml", "runtime": "vllm"},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, root: Path) -> dict[str, tuple[RunResult, Path]]:
    """Results and the folders they were written to."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr("sim.plot.draw_all", lambda _result, _folder: [])
        for name, asked in ASKED.items():
            folder = tmp_path_factory.mktemp("written") / name
            result = sim.run(**asked)
            result.write(folder)
            found[name] = (result, folder)
    return found


@pytest.mark.parametrize("case", ASKED)
def test_what_was_written_is_read_back_whole(written: dict[str, tuple[RunResult, Path]], case: str):
    result, folder = written[case]
    again = read_run(folder, sim.load_hardware)
    assert again.summary() == result.summary()
    for part in ("identity", "memory", "trace", "workload", "prefill_passes", "memory_timeline", "energy"):
        assert getattr(again, part) == getattr(result, part), part
    assert again.hardware.digest == result.hardware.digest


def test_it_draws_the_same_bytes(written: dict[str, tuple[RunResult, Path]], tmp_path: Path):
    result, folder = written["batch"]
    again = read_run(folder, sim.load_hardware)
    for name in ("roofline", "memory_time"):
        before, after = (
            save(DRAWN[name](each), tmp_path / f"{name}-{when}")[0].read_bytes()
            for when, each in (("before", result), ("after", again))
        )
        assert before == after, name


def _changed(folder: Path, to: Path, change: dict[str, object]) -> Path:
    """A copy of what the reader needs, with keys of its trace replaced."""
    to.mkdir()
    for name in ("ops.jsonl", "spec.resolved.yaml"):
        (to / name).write_bytes((folder / name).read_bytes())
    data = json.loads((folder / "trace.json").read_text())
    (to / "trace.json").write_text(json.dumps(data | change))
    return to


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "sparksim.trace/2"}, "is no sparksim.trace/1"),
        ({"steps": 3}, "steps: must be a list of steps"),
        ({"steps": [{"elapsed": [1]}]}, "elapsed: must be [block, op, causes]"),
        ({"steps": [{"phase": "decode"}]}, "name: Field required"),
        ({"identity": {}, "prefill_passes": 1}, "prefill_passes: Input should be a valid tuple"),
    ],
)
def test_a_trace_that_is_none_is_refused(
    written: dict[str, tuple[RunResult, Path]], change: dict[str, object], message: str, tmp_path: Path
):
    folder = _changed(written["batch"][1], tmp_path / "bad", change)
    with pytest.raises(InputError) as caught:
        read_run(folder, sim.load_hardware)
    assert message in str(caught.value)
    assert all(problem.file == str(folder / "trace.json") for problem in caught.value.problems)


def test_a_cause_that_there_is_not_is_refused(written: dict[str, tuple[RunResult, Path]], tmp_path: Path):
    steps = json.loads((written["batch"][1] / "trace.json").read_text())["steps"]
    steps[0]["spans"][0][4] = "gravity"
    folder = _changed(written["batch"][1], tmp_path / "bad", {"steps": steps})
    with pytest.raises(InputError, match="unknown cause 'gravity'"):
        read_run(folder, sim.load_hardware)


def test_a_folder_of_an_older_version_says_what_to_do(tmp_path: Path):
    with pytest.raises(InputError, match="no such file; results of older versions lack it: run it again with --out"):
        read_run(tmp_path, sim.load_hardware)
