"""Does the verb `microbench` keep its keys, refuse what it cannot do in one go, and never ignore a flag?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.cli import main

STREAM = ["microbench", "stream", "--ctas", "48", "--inflight"]


def printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main([*words, "--json"]) == 2
    return [problem["path"] for problem in json.loads(capsys.readouterr().out)["problems"]]


def test_the_keys_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed([*STREAM, "8192", "--chase"], capsys)
    assert 150e9 < found["stream_bytes_per_s"] < 273.1e9  # type: ignore[operator]
    assert found["chase_latency_s"] > 417e-9  # type: ignore[operator]
    assert printed([*STREAM, "8192"], capsys)["chase_latency_s"] is None


def test_the_same_bytes_again_and_another_seed_another_order(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*STREAM, "2 KiB", "--pattern", "random"]
    assert printed(words, capsys) == printed(words, capsys)
    other = printed([*words, "--seed", "1"], capsys)["stream_bytes_per_s"]
    assert other != printed(words, capsys)["stream_bytes_per_s"]


def test_a_changed_machine_stands_in_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed([*STREAM, "8192", "--set", "memory.channels=8"], capsys)
    assert found["overrides"] == {"memory.channels": "8"}
    assert found["stream_bytes_per_s"] < 273.1e9 / 2  # type: ignore[operator]


@pytest.mark.parametrize(("words", "paths"), [
    (["microbench", "stream"], ["ctas", "inflight"]),
    ([*STREAM, "much", "--footprint", "more"], ["inflight", "footprint"]),
    ([*STREAM, "8192", "--set", "runtime.ubatch_tokens=1"], ["runtime.ubatch_tokens"]),
    ([*STREAM, "8192", "--measured", "mine.yaml"], ["measured"]),
    ([*STREAM, "8192", "--warps", "0"], ["warps"]),
    (["microbench", "--warps", "0", "--ctas", "4"], ["ctas", "warps"]),
    (["microbench", "--plot", "picture.gif"], ["plot"]),
    (["microbench", "stream", "--ctas", "0", "--inflight", "much", "--warps", "0"], ["inflight", "ctas", "warps"]),
    ([*STREAM, "8192", "--beside", "gpu", "--beside", "nic=both"], ["beside", "beside"]),
    ([*STREAM, "8192", "--beside", "nic:2", "--beside", "cpu0:11", "--beside", "cpu1:x"], ["beside"] * 3),
    (["microbench", "--beside", "nic", "--batched"], ["batched", "beside"]),
    (["validate", "ablation", "--runtime", "vllm"], ["runtime"]),
])  # fmt: skip
def test_what_is_wrong_is_said_all_at_once(
    words: list[str], paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(words, capsys) == paths


def test_on_another_machine_there_is_no_error_to_speak_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "one.yaml", tmp_path / "new" / "curves.svg"
    record = {"id": "one", "group": "bytes in flight", "value": 100, "unit": "GB/s", "quality": "high",
              "clock_mhz": None, "probe": {"kind": "stream", "ctas": 8, "inflight": 2048},
              "source": "here", "conditions": ""}  # fmt: skip
    head = 'schema: sparksim.microbench/1\nhardware: dgx-spark\nsources: {here: "me"}\nrecords:\n'
    file.write_text(f"{head}  - {json.dumps(record)}\n")
    words = ["microbench", "--measured", str(file), "--plot", str(picture)]
    assert isinstance(printed(words, capsys)["rows"][0]["error"], float)  # type: ignore[index]
    assert picture.read_text().startswith("<?xml")
    (row,) = printed([*words[:3], "--hardware", "rtx-pro-6000-server"], capsys)["rows"]  # type: ignore[misc, attr-defined]
    assert row["error"] is None
    assert row["not_counted_because"] == "measured on another machine"


def test_overrides_that_mean_nothing_here_are_refused_with_everything_else(capsys: pytest.CaptureFixture[str]) -> None:
    """Is an override that no microbenchmark reads ever ignored, or told later than a wrong size?"""
    paths = ("gpu.sms=", "quant.default=fp8", "workload.content=text", "runtime.ubatch_tokens=64", "gpu.clock=3GB")
    sets = [word for path in paths for word in ("--set", path)]
    found = refused([*STREAM, "3GHz", *sets], capsys)
    assert set(found) == {"inflight", *(path.partition("=")[0] for path in paths)}


def test_a_kernel_has_no_prompts_to_say_anything_of(capsys: pytest.CaptureFixture[str]) -> None:
    """Is `workload.content`, which only a model reads, refused for a kernel?"""
    words = ["kernel", "gemm", "--m", "64", "--n", "64", "--k", "64", "--dtype", "bf16", "--set"]
    assert refused([*words, "workload.content=text"], capsys) == ["workload.content"]


def test_a_run_that_fails_leaves_no_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, kept = tmp_path / "new.svg", tmp_path / "old.svg"
    kept.write_text("mine")
    for file in (picture, kept):
        refused(["microbench", "--measured", str(tmp_path / "missing.yaml"), "--plot", str(file)], capsys)
    assert not picture.exists()
    assert kept.read_text() == "mine"


def test_a_component_beside_the_streams_stands_in_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed([*STREAM, "8192", "--beside", "nvme=write"], capsys)
    assert found["beside_bytes_per_s"]["nvme"] == pytest.approx(3.41e9, rel=0.05)  # type: ignore[index]


def test_a_batch_waits_for_its_slowest_load(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*STREAM, "4096", "--pattern", "random"]
    batched, sliding = printed([*words, "--batched"], capsys), printed(words, capsys)
    assert batched["stream_bytes_per_s"] < sliding["stream_bytes_per_s"]  # type: ignore[operator]


def test_ceilings_are_remembered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.component.lpddr5x.tables.ALTERNATIVES", {})
    monkeypatch.setattr("sim.system.memory_rates._KNOWN", {})
    words = ["microbench", "ceilings", "--cache", str(tmp_path)]
    first = printed(words, capsys)
    assert first["fits"] == list(first["bytes_per_s"]) == ["as given"]  # type: ignore[call-overload]
    monkeypatch.setattr("sim.system.memory_rates._KNOWN", {})
    monkeypatch.setattr("sim.component.lpddr5x.tables.alternatives", lambda memory: {})
    assert printed(words, capsys) == first
    assert refused([*words, "--chase", "--plot", "a.svg"], capsys) == ["chase"]
    for card in ("h100-sxm", "rtx-5090"):
        assert refused([*words, "--hardware", card], capsys) == ["memory"]


def test_what_another_machine_cannot_run_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "two.yaml"
    probes = {"cores": {"kind": "cpu", "cluster": "cpu0", "footprint": 1000},
              "many": {"kind": "stream", "ctas": 384, "inflight": 2048},
              "few": {"kind": "stream", "ctas": 8, "inflight": 2048}}  # fmt: skip
    records = [{"id": name, "group": "here", "value": 1, "unit": "ns" if name == "cores" else "GB/s", "quality": "high",
                "clock_mhz": None, "probe": probe, "source": "here", "conditions": ""}
               for name, probe in probes.items()]  # fmt: skip
    head = 'schema: sparksim.microbench/1\nhardware: dgx-spark\nsources: {here: "me"}\nrecords:\n'
    file.write_text(head + "".join(f"  - {json.dumps(record)}\n" for record in records))
    words = ["microbench", "--measured", str(file), "--hardware", "h100-sxm", "--set", "gpu.sms=4"]
    found = printed(words, capsys)
    assert [row["id"] for row in found["rows"]] == ["few"]  # type: ignore[attr-defined]
    assert set(found["left_out"]) == {"cores", "many"}  # type: ignore[call-overload]
    assert refused(["microbench", "--measured", str(file), "--hardware", "h100-sxm", "--ctas", "1"], capsys) == ["ctas"]
