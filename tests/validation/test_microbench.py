"""Do the hardware's curves meet what was measured on GB10, each at the clock that its source states?

Bands: bytes in flight and latency ladder median 4 %, points from 4 KiB per SM on 7 %, below 12 %; loaded latency 20 %.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sim.api import load_hardware
from sim.cli import main
from sim.plot.microbench_chart import Point, draw
from sim.system.machine import Machine
from sim.validation.microbench import (
    CALIBRATED,
    LADDER,
    STREAMS,
    MicrobenchReport,
    Row,
    load_microbench,
    microbench_targets,
    validate_microbench,
)

RECORDS = load_microbench()


def machine_at(clock_mhz: int | None) -> Machine:
    return Machine(load_hardware("dgx-spark", overrides={"gpu.clock": f"{clock_mhz} MHz"} if clock_mhz else {}))


def test_few_enough_fields_were_set_with_them() -> None:
    known = {field.path: field.kind for field in load_hardware("dgx-spark").fields()}
    assert len(CALIBRATED) <= 5
    assert set(CALIBRATED) <= set(known)


def test_what_does_not_count() -> None:
    """Exactly the two streams that are faster beside a second kernel than alone."""
    rows = [Row(record, record.value, 0.0, 0) for record in RECORDS.records if record.group == STREAMS]
    left_out = {row.record.id for row in rows if not row.is_counted}
    assert left_out == {"in-flight-flat-w4-d1-c1", "in-flight-flat-w4-d2-c1"}


def test_every_record_has_its_source() -> None:
    assert {record.source for record in RECORDS.records} <= set(RECORDS.sources)


def test_ladder_and_a_few_streams() -> None:
    """A taste of the whole, for every day."""
    chosen = [r for r in RECORDS.records if r.group == LADDER]
    chosen += [r for r in RECORDS.records if r.id in {"in-flight-random-w1-d1-c1", "in-flight-random-w4-d2-c1"}]
    report = validate_microbench(machine_at, records=tuple(chosen))
    assert report.broken_targets(microbench_targets()) == []


def test_a_broken_point_is_told() -> None:
    record = next(r for r in RECORDS.records if r.id == "in-flight-tile-w4-d8-c1")
    good, bad = Row(record, record.value * 1.01, 16384, 192), Row(record, record.value * 1.08, 16384, 192)
    below = replace(bad, bytes_per_sm=2048)
    targets = microbench_targets().model_copy(update={"median": 0.5})
    assert MicrobenchReport((good,), is_whole=False).broken_targets(targets) == []
    assert MicrobenchReport((below,), is_whole=False).broken_targets(targets) == []
    told = MicrobenchReport((bad,), is_whole=False).broken_targets(targets)
    assert told == ["in-flight-tile-w4-d8-c1 off by +8.0%, target 7%"]
    assert MicrobenchReport((good,)).broken_targets(targets) == [
        "1 points of bytes in flight and ladder count, target 45"
    ]


def test_the_picture_is_the_same_twice(tmp_path: Path) -> None:
    points = [
        Point("stream", STREAMS, "", "tile", 2.0, 180.7, 167.8, is_counted=True),
        Point("loaded", "loaded latency", "", "tile", 48, 1145.5, 990.0, is_counted=False),
        Point("graph", "launch", "host", "", 400, 2.78, 2.82, is_counted=False),
        Point("chase", LADDER, "dram_64", "", 0.0, 416.1, 421.5, is_counted=True, is_compared=False),
    ]
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for file in files:
        draw(points, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert b"KiB in flight per SM" in files[0].read_bytes()


@pytest.mark.validation
def test_all_curves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "microbench", "--check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["broken"] == []
    assert found["counted"] >= 80
