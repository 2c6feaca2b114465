"""Is each mechanism really switched off, does it come back, and does every one of them change some prediction?

What a mechanism must do is known beforehand: a single queue slows a load beside deep streams almost twice as much as
was measured; memory on the GPU's die shortens an unloaded load by the link's latency; refresh holds reads back.
"""

from __future__ import annotations

import json

import pytest

import sim
from sim.cli import main
from sim.component import kernel_run
from sim.component.panel_cache import PanelCache
from sim.cost.kernel import Lowering
from sim.validation import ablation
from sim.validation.ablation import MECHANISMS, Ablation, Mechanism, ablate, sample
from sim.validation.inference import load_records
from sim.validation.regimes import REGIMES, regime_rows

SPARK = sim.load_hardware("dgx-spark")
BY_NAME = {mechanism.name: mechanism for mechanism in MECHANISMS}


def _code() -> tuple[object, ...]:
    return Lowering.kernel, PanelCache.wave, kernel_run.LONG_STEPS


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=list(BY_NAME))
def test_something_is_switched_off_and_comes_back(mechanism: Mechanism) -> None:
    before = _code()
    changed = SPARK
    for path, value in mechanism.fields(SPARK).items():
        changed = changed.override(path, value)
    with mechanism.off():
        is_replaced = _code() != before
    assert _code() == before
    assert is_replaced or changed.digest != SPARK.digest or mechanism.name in ("fairness", "SM ports")


def test_without_fairness_a_load_beside_deep_streams_waits_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "STREAMS", ("loaded-192", "gpu_lat_dram_128"))
    found = ablate(sim.run, SPARK, mechanisms=[BY_NAME["fairness"], BY_NAME["C2C"]], records=[])
    # 8 KiB of each of 192 CTAs at the sustained rate, 6.7 us, where 3.8 us were measured; fair, half of it
    assert found.changes("fairness")["microbench, loaded latency"] > 0.4
    assert "microbench, latency ladder" not in found.changes("fairness")
    link = SPARK.components["c2c"].latency  # type: ignore[attr-defined]
    was, now = found.base["microbench, latency ladder"], found.without["C2C"]["microbench, latency ladder"]
    assert now == pytest.approx(link / 417.9e-9 - was, rel=0.02)  # 1 % too slow before, so much too fast after


def test_without_ports_of_sms_a_barrier_kernel_takes_more_than_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    # Round the warps, the 1,024 of the kernel outweigh 768 of the stream: it is slowed 2.7 times, not 4.6.
    monkeypatch.setattr(ablation, "STREAMS", ("barrier-tile-w4-d4-c4",))
    found = ablate(sim.run, SPARK, mechanisms=[BY_NAME["SM ports"]], records=[])
    (change,) = found.changes("SM ports").values()
    assert change > 0.2


def test_refresh_moves_a_prediction() -> None:
    one = next(r for r in load_records() if r.model == "qwen2.5-coder-7b" and r.batch == 1 and r.decode_tok_s)
    refresh = [m for m in MECHANISMS if m.name == "refresh"]
    assert ablate(sim.run, SPARK, mechanisms=[_of_kernels(m) for m in refresh], records=[one]).useless == []


def _of_kernels(mechanism: Mechanism) -> Mechanism:
    return Mechanism(mechanism.name, mechanism.instead, mechanism.fields)


def test_what_changes_nothing_is_named() -> None:
    found = Ablation({"a": 0.1, "b": 0.2}, {"one": {"a": 0.1, "b": None}, "two": {"a": 0.15, "b": 0.1}})
    assert found.useless == ["one"]
    assert found.harmful == ["two"]
    assert found.changes("two") == pytest.approx({"a": 0.05, "b": -0.1})


def test_the_sample_has_every_class_of_records() -> None:
    def classes(records: object) -> set[tuple[str, str, str]]:
        return {(r.runtime.partition("@")[0], r.model, r.quant) for r in records}  # type: ignore[attr-defined]

    assert classes(sample()) == classes(load_records())
    assert len(sample()) <= 2 * len(classes(load_records()))


def test_each_regime_of_kernels_gets_worse_without_its_mechanism(monkeypatch: pytest.MonkeyPatch) -> None:
    """By more than any number of a regime moves by the choice of six rows: 2 % of the time or more."""
    monkeypatch.setattr(ablation, "STREAMS", ())
    bound_by = {
        "launch": "launch boundaries",
        "latency": "chain of products",
        "waves": "wave quantisation",
        "compute": "L2's rate",
        "bandwidth": "memory's sustained rate",
    }
    found = ablate(sim.run, SPARK, mechanisms=[BY_NAME[name] for name in bound_by.values()], records=[])
    assert {
        regime: found.changes(name).get(f"kernels, {regime}", 0.0) >= 0.02 for regime, name in bound_by.items()
    } == (dict.fromkeys(bound_by, True))


def test_every_regime_has_kernels_that_ship() -> None:
    rows = regime_rows()
    assert set(rows) == set(REGIMES)
    assert all(len(each) >= 4 for each in rows.values())
    assert all(REGIMES[name](row.sizes) and row.is_calibrated for name, each in rows.items() for row in each)


@pytest.mark.validation
def test_every_mechanism_earns_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "ablation", "--check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["changes_nothing"] == []
    assert set(found["without"]) == set(BY_NAME)
