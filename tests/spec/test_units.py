"""Are quantities read as people write them, written so that they come back, and refused where they mean another?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.units import EXAMPLES, format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("273 GB/s", "B/s", 273e9),
        ("200 Gbit/s", "B/s", 25e9),
        ("24 MiB", "B", 24 * 2**20),
        ("128GB", "B", 128e9),
        ("1.46 us", "s", 1.46e-6),
        ("1.46 µs", "s", 1.46e-6),
        ("5 min", "s", 300.0),
        ("8533 MT/s", "T/s", 8533e6),
        ("86.1 %", "%", 0.861),
        (0.861, "%", 0.861),
        (48, "", 48.0),
        ("1e3", "", 1000.0),
        (" 2.4  GHz ", "Hz", 2.4e9),
        ("1 PFLOP/s", "FLOP/s", 1e15),
        ("1.5e-3 ms", "s", 1.5e-6),
    ],
)
def test_read(text: object, unit: str, expected: float) -> None:
    assert parse_quantity(text, unit) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        (273, "B/s", 'needs a unit, e.g. "273 GB/s"'),
        ("273", "B/s", '"273" needs a unit, e.g. "273 GB/s"'),
        ("273 GB", "B/s", '"273 GB" is in B, but must be a number of B/s'),
        ("273 Gb/s", "B/s", 'b may mean bits: write "Gbit/s" for bits, "GB/s" for bytes'),
        ("31 TFLOPS", "FLOP/s", 'write "FLOP/s" for a rate'),
        ("1e400 s", "s", "numbers must be finite"),
        ("nan", "", '"nan" is not a plain number'),
        ("2k", "", '"2k" is in k, but must be a plain number'),
        (True, "", "must be a plain number, not bool"),
        (None, "B", 'must be a number of B, e.g. "128 GB", not NoneType'),
        ([1], "s", "not list"),
        ("1" * 61, "", "is not a plain number"),
        ("", "s", '"" is not a number of s'),
    ],
)
def test_refused(text: object, unit: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_quantity(text, unit)
    assert message in str(caught.value)


@given(st.sampled_from(sorted(EXAMPLES)), st.floats(1e-15, 1e18))
def test_what_is_written_in_full_comes_back(unit: str, value: float) -> None:
    if unit == "%":
        value = min(value, 1 / value)  # a fraction
    assert parse_quantity(format_quantity(value, unit, None), unit) == value


@given(st.sampled_from(sorted(EXAMPLES)), st.text(max_size=70))
def test_any_text_is_a_number_or_refused(unit: str, text: str) -> None:
    try:
        parse_quantity(text, unit)
    except InputError as error:
        problems = error.problems
    else:
        return
    assert problems[0].message


def test_every_example_of_a_message_is_a_right_one() -> None:
    for unit, example in EXAMPLES.items():
        parse_quantity(example, unit)
