"""Do elasticities, what-if factors and Sobol indices come out as closed forms and single runs say they must?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.cli import main
from sim.errors import InputError, MissingExtraError

BASE: dict[str, Any] = {"model": "qwen3-0.6b", "runtime": "llama.cpp", "prompt": 0, "output": 2}
FLAGS = ["--model", "qwen3-0.6b", "--runtime", "llama.cpp", "--prompt", "0", "--output", "2"]
COPY = """schema: sparksim.ops/1
name: one-copy
ops:
  - {id: h2d, op: copy, size: 4 GiB, from: cpu, to: gpu}
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy: its time is its bytes over the rate of its slowest link, a CPU cluster's 100 GB/s."""
    path = tmp_path / "copy.yaml"
    path.write_text(COPY, encoding="utf-8")
    return path


def test_a_copys_time_is_inverse_to_its_slowest_link(copy: Path) -> None:
    found = sim.sensitivity(file=copy, runtime="vllm", y=["phases.run.time_s"], of=["cpu0.bandwidth", "gpu.sms"])
    by_path = {each.field.path: each.elasticity["phases.run.time_s"] for each in found.elasticities}
    assert by_path["cpu0.bandwidth"] == pytest.approx(-1, abs=2e-3)
    assert by_path["gpu.sms"] == 0


def test_it_agrees_with_explain_which_asks_about_rates() -> None:
    """D ln(time per token) = -d ln(rate), field by field, and the same fields are asked."""
    why, found = sim.explain(**BASE), sim.sensitivity(**BASE)
    assert found.y == ("tpot_s",)
    rates = {each.field.path: each.elasticity["decode"] for each in why.sensitivities}
    times = {each.field.path: each.elasticity["tpot_s"] for each in found.elasticities}
    assert times.keys() == rates.keys()
    assert [times[path] for path in rates] == pytest.approx([-rates[path] for path in rates], abs=1e-9)
    assert found.strongest("tpot_s")[0][0] == "memory.bandwidth"


def test_a_factor_gives_what_a_run_of_that_machine_gives() -> None:
    factors = ["memory.bandwidth=x2", "gpu.sms,l2.capacity=x2"]
    found = sim.sensitivity(**BASE, y=["tpot_s", "memory.weights_bytes"], factors=factors)
    sets = [{"memory.bandwidth": "x2"}, {"gpu.sms": "x2", "l2.capacity": "x2"}]
    sets.append(sets[0] | sets[1])
    before = sim.run(**BASE).tpot_s
    assert before is not None
    assert [each.name for each in found.what_ifs] == ["memory.bandwidth=x2", "gpu.sms, l2.capacity=x2", "all of them"]
    for each, changed in zip(found.what_ifs, sets, strict=True):
        after = sim.run(**BASE, set=changed).tpot_s
        assert each.values["tpot_s"] == after
        assert each.ratio["tpot_s"] == after / before
        assert each.ratio["memory.weights_bytes"] == 1


def test_sobol_finds_the_one_field_that_matters(copy: Path) -> None:
    """Time = bytes / rate of the cluster: all of the variance is its own, none another's."""
    pytest.importorskip("SALib")
    vary = ["cpu0.bandwidth=50..100GB/s", "gpu.sms=24..48"]
    found = sim.sensitivity(file=copy, runtime="vllm", y=["phases.run.time_s"], vary=vary, sobol=32)
    cluster, sms = found.indices
    assert found.points == 32 * (2 + 2)
    assert cluster.first == pytest.approx(1, abs=0.2)
    assert cluster.total == pytest.approx(1, abs=0.2)
    assert (sms.first, sms.total) == pytest.approx((0, 0), abs=1e-6)


def test_sobol_counts_the_same_on_any_number_of_processes(copy: Path) -> None:
    pytest.importorskip("SALib")
    asked: dict[str, Any] = {
        "file": copy,
        "runtime": "vllm",
        "y": ["phases.run.time_s"],
        "vary": "cpu0.bandwidth=50..100GB/s",
    }
    assert sim.sensitivity(**asked, sobol=4).to_dict() == sim.sensitivity(**asked, sobol=4, workers=1).to_dict()


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--y", "decode", "--factor", "gpu.smz=x2"], ["no result has 'decode'", "unknown field 'gpu.smz'"]),
        (["--factor", "gpu.sms"], ["'gpu.sms' is not PATH=VALUE"]),
        (["--of", "gpu.smz,memory.technology"], ["unknown field 'gpu.smz'", "is no number above 0"]),
        (["--of", "gpu.sms", "--factor", "gpu.sms=x2"], ["factors name their fields themselves"]),
        (["--vary", "gpu.sms=24..48"], ["say how many points"]),
        (["--sobol", "12", "--of", "gpu.sms"], ["power of two", "no ranges to draw from", "says nothing about Sobol"]),
        (["--y", "ttft_s"], ["ttft_s is no number above 0"]),
        (["--y", "bound"], ["bound is no number above 0"]),
    ],
)
def test_bad_input_is_told_at_once(words: list[str], messages: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sensitivity", *FLAGS, *words]) == 2
    printed = capsys.readouterr().err
    for message in messages:
        assert message in printed


def test_what_does_not_fit_hangs_on_nothing() -> None:
    with pytest.raises(InputError, match=r"does not fit: .* short"):
        sim.sensitivity(model="llama-3.1-70b", runtime="vllm", quant="bf16")


def test_a_result_that_is_not_known_everywhere_has_no_indices() -> None:
    pytest.importorskip("SALib")
    with pytest.raises(InputError, match=r"tpot_s is not known at \d+ of 32 points \(the first: does not fit\)"):
        sim.sensitivity(
            model="gpt-oss-20b", runtime="llama.cpp", prompt=0, output=2, y=["tpot_s"], sobol=8, workers=1,
            vary=["os.visible_memory=10..40GB", "gpu.sms=40..48"],
        )  # fmt: skip


def test_without_salib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SALib.analyze", None)
    with pytest.raises(MissingExtraError, match=r"sparksim\[sensitivity\]"):
        sim.sensitivity(**BASE, vary="gpu.sms=24..48", sobol=4)


def test_the_command_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "what-if.svg"
    words = ["sensitivity", *FLAGS, "--factor", "memory.bandwidth=x2", "--factor", "gpu.sms=x2", "--quiet"]
    assert main([*words, "--plot", str(target)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == [
        "what if", "as it is", "memory.bandwidth=x2", "gpu.sms=x2", "all of them",
    ]  # fmt: skip
    assert target.exists()
    assert target.with_suffix(".png").exists()
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "sparksim.sensitivity/1"
    assert [each["name"] for each in told["factors"]] == ["memory.bandwidth=x2", "gpu.sms=x2", "all of them"]
