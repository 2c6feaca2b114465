"""Does a what-if on refresh, timing or queues move predictions, and does a plain run pay nothing for it?

Expected shares are the burst-level model's own, which `tests/component/test_lpddr5x*.py` hold against closed forms.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sim
from sim.component.lpddr5x.rates import sustained
from sim.component.memory import MemorySpec
from sim.errors import SpecError
from sim.hwspec import HardwareSpec
from sim.system import memory_rates
from sim.system.machine import Machine

SPARK = sim.load_hardware("dgx-spark")
REFRESH = {"memory.dram.controller.refresh": "per_bank"}
SHORT = {"model": "llama-3.1-8b", "runtime": "vllm", "quant": "fp8", "prompt": 0, "output": 2}


def memory(hardware: HardwareSpec, cache: str | Path = "off") -> MemorySpec:
    return Machine(hardware, cache=cache).memory


def model(spec: MemorySpec, kind: str) -> float:
    return sustained(spec, kind).bytes_per_s / spec.bandwidth


def test_a_plain_machine_keeps_what_was_measured() -> None:
    assert memory(SPARK) == SPARK.components["memory"]


def test_a_change_moves_the_measured_share_by_what_the_model_makes_of_it() -> None:
    changed = SPARK.override("memory.dram.controller.refresh", "per_bank")
    plain, given = SPARK.components["memory"], changed.components["memory"]
    assert isinstance(plain, MemorySpec)
    assert isinstance(given, MemorySpec)
    found = memory(changed).sustained
    for kind in ("read", "random"):
        ratio = model(given, kind) / model(plain, kind)
        assert ratio > 1.05  # per-bank refresh stops less: GB10's alternatives differ by a tenth
        assert getattr(found, kind) == pytest.approx(getattr(plain.sustained, kind) * ratio, rel=1e-12)
    assert found.strided / plain.sustained.strided == pytest.approx(found.read / plain.sustained.read, rel=1e-12)


def test_twice_as_many_refreshes_cost_twice_as_much() -> None:
    """All-bank refresh takes a share of the time that grows with how often it comes: losses add up, within 15 %."""
    often = SPARK.override("memory.dram.timing.t_refi", "1.953 us")
    once, twice = (model(m.components["memory"], "read") for m in (SPARK, often))  # type: ignore[arg-type]
    assert 1 - twice == pytest.approx(2 * (1 - once), rel=0.25)
    plain = SPARK.components["memory"]
    assert isinstance(plain, MemorySpec)
    assert memory(often).sustained.read == pytest.approx(plain.sustained.read * twice / once, rel=1e-12)


def test_derived_takes_the_model_as_it_is_and_a_copy_comes_out() -> None:
    derived = SPARK.override("memory.rates", "derived")
    given, found = derived.components["memory"], memory(derived).sustained
    assert isinstance(given, MemorySpec)
    assert found.read == pytest.approx(model(given, "read"), rel=1e-12)
    assert found.random == pytest.approx(model(given, "random"), rel=1e-12)
    assert 2 / (1 / found.read + 1 / found.write) == pytest.approx(model(given, "copy"), rel=1e-12)


def test_derived_knows_that_core_timings_stay_when_the_data_rate_doubles() -> None:
    derived = SPARK.override("memory.rates", "derived")
    fast = derived.override("memory.bandwidth", "x2")
    assert memory(fast).sustained.read < 0.97 * memory(derived).sustained.read
    plain = SPARK.override("memory.bandwidth", "x2")
    assert memory(plain).sustained == SPARK.components["memory"].sustained  # type: ignore[attr-defined]


def test_a_prediction_changes() -> None:
    plain, changed = sim.run(**SHORT), sim.run(**SHORT, set=REFRESH)
    assert changed.decode_tok_s > 1.03 * plain.decode_tok_s
    assert changed.summary()["overrides"] == REFRESH


def test_derived_once_then_read_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = SPARK.override("memory.dram.timing.t_faw", "40 ns")
    monkeypatch.setattr(memory_rates, "_KNOWN", {})
    first = memory(changed, tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2  # as changed, and as described
    monkeypatch.setattr(memory_rates, "_KNOWN", {})
    with monkeypatch.context() as patch:
        patch.setattr(memory_rates, "_derive", lambda spec: pytest.fail("derived again"))
        assert memory(changed, tmp_path) == first
    files[0].write_text("{not json")
    monkeypatch.setattr(memory_rates, "_KNOWN", {})
    assert memory(changed, tmp_path) == first


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SpecError, match="derive"):
        SPARK.override("memory.rates", "guessed")


def test_a_plain_run_does_not_load_numpy(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys, sim; sim.run(model='qwen3-0.6b', runtime='vllm', prompt=0, output=2); "
        "sys.exit('numpy' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(root), "XDG_CACHE_HOME": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
