"""Do sizes of memory change the verdict and nothing that is simulated, so that machines may share what was?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sim
from sim.component import COMPONENTS
from sim.component.memory import Memory
from sim.system.machine import Machine
from sim.system.only_counted import ONLY_COUNTED, simulated_digest

BASE: dict[str, Any] = {"model": "qwen3-0.6b", "runtime": "llama.cpp", "prompt": 64, "output": 3}
CHANGES = {
    "memory.capacity": "200 GiB",
    "os.visible_memory": "60 GB",
    "os.reserve": "8 GiB",
    "os.others": "20 GB",
    "os.freeze_above": "40 GB",
}


def test_every_such_field_is_tried() -> None:
    assert {path.partition(".")[2] for path in CHANGES} == {name for names in ONLY_COUNTED.values() for name in names}


@pytest.mark.parametrize("path", CHANGES)
def test_a_size_of_memory_moves_no_time(path: str) -> None:
    """Simulated anew, without anything remembered: the same events, spans and energy."""
    before, after = (sim.run(**BASE, set=changes, cache="off") for changes in ({}, {path: CHANGES[path]}))
    assert before.trace is not None
    assert after.trace is not None
    assert after.trace.steps == before.trace.steps
    assert after.summary()["energy"] == before.summary()["energy"]
    assert after.hardware.digest != before.hardware.digest
    assert Machine(after.hardware).device_key() == Machine(before.hardware).device_key()


def test_what_was_remembered_does_not_hide_the_verdict(tmp_path: Path) -> None:
    found = sim.sweep(**BASE, set={"os.visible_memory": ["3 GB", "20 GB", "120 GB"]}, cache=tmp_path)
    assert list(found["status"]) == ["does_not_fit", "ok", "ok"]
    assert found["tpot_s"][1] == found["tpot_s"][2]
    assert found["memory.available_bytes"][2] - found["memory.available_bytes"][1] == 100e9


def test_a_memory_of_the_users_own_may_read_its_capacity() -> None:
    class Odd(Memory):
        """Its rate may hang on its size: nobody knows."""

    spark = sim.load_hardware("dgx-spark")
    bigger = spark.override("memory.capacity", "200 GiB")
    types = {**COMPONENTS, "memory": Odd}
    assert simulated_digest(spark, COMPONENTS) == simulated_digest(bigger, COMPONENTS)
    assert simulated_digest(spark, types) != simulated_digest(bigger, types)
    assert Machine(spark, types).device_key() != Machine(bigger, types).device_key()
