"""Do watts follow clock and voltage, and is the clock the highest that current, package, heat and owner allow?"""

from __future__ import annotations

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.component.power import GpuLoad, PowerSpec

RAIL = {
    "clock": 2000e6, "limit_clock": 1000e6, "context": 0.0, "kernels": 0.0, "matrix": {}, "zero_operand": 0.5,
    "instruction": 0.0, "l2_byte": 0.0, "memory_byte": 0.0, "voltage_slope": 1.0, "voltage_floor": 0.1,
}  # fmt: skip
BOX = {
    "fabric": 10.0, "busy_cores": 1.0, "memory_byte": 0.0, "regulators": 0.9, "board": 5.0, "supply_efficiency": 0.9,
}  # fmt: skip
HEAT = {
    "base": 40.0, "resistance": 0.5, "time_constant": 20.0, "at_clock": 60.0, "clock_per_kelvin": 2e6, "slowdown": 90.0,
}  # fmt: skip


def power(**fields: object) -> PowerSpec:
    """Voltage goes with the clock (slope 1); 50 W are allowed at 1,000 MHz, so 100 W at 2,000."""
    known: dict[str, object] = {
        "supply": 240.0, "package_limit": 1000.0, "gpu_limit": 50.0, "control_period": 0.1, "idle": 0.0,
        "package_idle": 0.0, "gpu_idle": 0.0, "counts_energy": True, "gpu": RAIL, "box": BOX,
    }  # fmt: skip
    return PowerSpec.model_validate(known | fields)


def test_work_goes_with_the_square_of_the_voltage_and_clock_trees_with_its_cube() -> None:
    """At half the clock and half the voltage: a quarter of the energy per operation, an eighth of the clock trees."""
    rail = power().gpu
    assert rail is not None
    assert rail.watts(GpuLoad(0.0, 80.0), 1000e6, 0.0) == pytest.approx(80 / 4)
    assert rail.watts(GpuLoad(80.0, 0.0), 1000e6, 0.0) == pytest.approx(80 / 8)
    assert rail.watts(GpuLoad(80.0, 80.0), 2000e6, 5.0) == pytest.approx(160)
    assert rail.watts(GpuLoad(5.0, 0.0), 1000e6, 5.0) == pytest.approx(5)  # what idles does not scale


def test_voltage_stops_at_its_floor() -> None:
    rail = power(gpu=RAIL | {"voltage_floor": 0.6}).gpu
    assert rail is not None
    assert rail.voltage(1500e6) == pytest.approx(0.75)
    assert rail.voltage(200e6) == 0.6


def test_the_current_limit_in_closed_form() -> None:
    """W (f / f0)^2 = L f / f1 for work alone: f = L f0^2 / (W f1) = 50 x 2000^2 / (160 x 1000) = 1,250 MHz."""
    assert power().sustained_clock(GpuLoad(0.0, 160.0), 2000e6, 0.0) == pytest.approx(1250e6, rel=1e-6)


def test_a_load_below_all_limits_runs_at_its_ceiling() -> None:
    assert power().sustained_clock(GpuLoad(0.0, 99.0), 2000e6, 0.0) == 2000e6


def test_the_package_limit_counts_what_others_draw() -> None:
    """100 W for all, 64 W of them taken: W (f / f0)^2 = 36 of 144 W at half the clock."""
    spec = power(package_limit=100.0, gpu_limit=1000.0)
    assert spec.sustained_clock(GpuLoad(0.0, 144.0), 2000e6, 64.0) == pytest.approx(1000e6, rel=1e-6)


def test_too_hot_it_is_kept_where_it_settles_at_the_slowdown() -> None:
    """90 degrees settle at (90 - 40) / 0.5 = 100 W: of 400 W at 2,000 MHz that is half the clock; cooler, no limit."""
    spec = power(gpu_limit=1000.0, thermal=HEAT)
    load = GpuLoad(0.0, 400.0)
    assert spec.sustained_clock(load, 2000e6, 0.0, 91.0) == pytest.approx(1000e6, rel=1e-6)
    assert spec.sustained_clock(load, 2000e6, 0.0, 89.0) == 2000e6


def test_temperature_moves_exponentially_to_where_it_settles() -> None:
    heat = power(thermal=HEAT).thermal
    assert heat is not None
    assert heat.settled(80.0) == pytest.approx(80.0)
    assert heat.after(40.0, 80.0, 20.0) == pytest.approx(80 - 40 / exp(1))
    half_life = 20.0 * log(2)
    assert heat.after(heat.after(40.0, 80.0, half_life / 2), 80.0, half_life / 2) == pytest.approx(60.0)


def test_the_ceiling_falls_with_heat_and_stops_at_the_owners_cap() -> None:
    spec = power(thermal=HEAT)
    assert spec.ceiling(2000e6, 60.0) == 2000e6
    assert spec.ceiling(2000e6, 70.0) == 1980e6
    assert power(thermal=HEAT, clock_cap=1500e6).ceiling(2000e6, 70.0) == 1500e6


@given(st.floats(0, 300), st.floats(0, 300), st.floats(0, 120), st.floats(200e6, 3000e6))
def test_the_clock_is_within_its_limits_and_the_highest_such(
    clocked: float, work: float, besides: float, ceiling: float
) -> None:
    spec = power(package_limit=140.0)
    rail, load = spec.gpu, GpuLoad(clocked, work)
    assert rail is not None
    clock = spec.sustained_clock(load, ceiling, besides)
    allowed = spec.gpu_watts_allowed(clock, besides)
    assert clock <= ceiling
    if clock < ceiling and clock > 0.081 * rail.clock:
        assert rail.watts(load, clock, 0.0) == pytest.approx(allowed, rel=1e-3)
    elif clock == ceiling:
        assert rail.watts(load, clock, 0.0) <= allowed * (1 + 1e-9)


@given(st.floats(1, 300), st.floats(1, 300))
def test_more_work_never_leaves_a_higher_clock(one: float, more: float) -> None:
    spec = power()
    clocks = [spec.sustained_clock(GpuLoad(10.0, watts), 2400e6, 30.0) for watts in (one, one + more)]
    assert clocks[0] >= clocks[1]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"gpu": None}, "counts_energy is true, but there is no gpu to count it by"),
        ({"gpu": None, "box": None}, "counts_energy is true, but there is no gpu and no box to count it by"),
        ({"counts_energy": False, "clock_cap": 1e9}, "clock_cap needs counts_energy"),
    ],
)
def test_what_cannot_be_counted_is_refused(fields: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        power(**fields)
