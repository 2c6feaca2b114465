"""Which texts are quantities, what do they stand for, and what is refused?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.units import EXAMPLES, format_quantity, parse_quantity, ps_from_bytes, ps_from_cycles, ps_from_seconds


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("273 GB/s", "B/s", 273e9),
        ("24 MiB", "B", 24 * 2**20),
        ("200 Gbit/s", "B/s", 25e9),
        ("1.46 us", "s", 1.46e-6),
        ("2 min", "s", 120.0),
        ("86.1 %", "%", 0.861),
        (0.861, "%", 0.861),
        (48, "", 48.0),
        ("4 kB", "B", 4000.0),
        ("4 KiB", "B", 4096.0),
    ],
)
def test_quantities_are_read(text: object, unit: str, value: float) -> None:
    assert parse_quantity(text, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("273", "B/s", "needs a unit"),
        (273, "B/s", "needs a unit"),
        ("273 Gb/s", "B/s", "b may mean bits"),
        ("1 GB", "B/s", "is in B, but must be"),
        ("fast", "B/s", "is not a number"),
        ("1e999 GB/s", "B/s", "finite"),
        (True, "", "not bool"),
        (None, "s", "not NoneType"),
        ("1 " * 40, "s", "is not a number"),
        ("nan s", "s", "is not a number"),
    ],
)
def test_what_is_no_quantity_is_refused_with_a_reason(text: object, unit: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_quantity(text, unit)


@given(st.floats(1e-12, 1e15), st.sampled_from(sorted(set(EXAMPLES) - {"", "%"})))
def test_what_is_written_in_full_is_read_back_exactly(value: float, unit: str) -> None:
    assert parse_quantity(format_quantity(value, unit, None), unit) == value


def test_picoseconds_are_rounded_once_per_total() -> None:
    assert ps_from_seconds(417e-9) == 417_000
    assert ps_from_cycles(3, 3e9) == 1000  # 333 ps a cycle would give 999
    assert ps_from_bytes(64, 273e9) == 234
    assert ps_from_bytes(64_000_000, 273e9) == 234_432_234  # not a million times 234
