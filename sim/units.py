"""Quantities as people write them ("273 GB/s", "24 MiB", "1.46 us") to plain SI numbers, and integer picoseconds.

Unit strings live at the boundary only: inside a simulation numbers are plain, and their names carry the unit.
`k M G T P` are powers of ten, `Ki Mi Gi Ti` powers of two.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from math import isfinite
from typing import Any

from sim.errors import InputError, Problem

PS_PER_S = 1_000_000_000_000
"""Picoseconds in a second."""

EXAMPLES: dict[str, str] = {
    "": "48",
    "%": "86.1 %",
    "/s": "0.3 /s",
    "B": "128 GB",
    "B/s": "273 GB/s",
    "FLOP": "1.2 GFLOP",
    "FLOP/s": "31 TFLOP/s",
    "Hz": "2.4 GHz",
    "J": "1.5 mJ",
    "K/W": "0.5 K/W",
    "T/s": "8533 MT/s",
    "USD": "3999 USD",
    "W": "140 W",
    "cycles": "343 cycles",
    "degC": "85 degC",
    "s": "1.5 us",
}
"""Every unit that a file may use, with an example for messages. "" is a plain count."""

_OTHER_SPELLINGS: dict[str, dict[str, float]] = {
    "B": {"bit": 0.125},
    "B/s": {"bit/s": 0.125},
    "s": {"min": 60.0, "h": 3600.0},
}
_HINTS: dict[str, str] = {
    "b": 'b may mean bits: write "Gbit" for bits, "GB" for bytes',
    "b/s": 'b may mean bits: write "Gbit/s" for bits, "GB/s" for bytes',
    "bps": 'write "Gbit/s" for bits per second, "GB/s" for bytes per second',
    "Bps": 'write "GB/s"',
    "FLOPS": 'write "FLOP/s" for a rate, "FLOP" for a count',
    "FLOPs": 'write "FLOP/s" for a rate, "FLOP" for a count',
}
_SHAPE = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµμ%/]*)\s*", re.ASCII)
_LONGEST = 60
_UNSCALED = frozenset({"", "%", "/s", "K/W", "USD", "cycles", "degC"})
_DECIMAL = (
    ("P", 1e15),
    ("T", 1e12),
    ("G", 1e9),
    ("M", 1e6),
    ("k", 1e3),
    ("", 1.0),
    ("m", 1e-3),
    ("u", 1e-6),
    ("n", 1e-9),
    ("p", 1e-12),
)
_BINARY = (("Ti", 2.0**40), ("Gi", 2.0**30), ("Mi", 2.0**20), ("Ki", 2.0**10))


def parse_quantity(text: object, unit: str) -> float:
    """The number that `text` stands for, in `unit` (a key of `EXAMPLES`; "%" gives a fraction, "86.1 %" is 0.861).

        >>> parse_quantity("273 GB/s", "B/s")
        273000000000.0
        >>> parse_quantity("24 MiB", "B")
        25165824.0

    Raises:
        InputError: no number, no unit, another unit, or not finite.
    """
    if isinstance(text, str):
        return _parse_text(text, unit)
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        if unit == "" or (unit == "%" and 0 <= text <= 1):
            return _finite(float(text), str(text))
        raise _refusal(f'needs a unit, e.g. "{EXAMPLES[unit]}"')
    raise _refusal(f"must be {_due(unit)}, not {type(text).__name__}")


@lru_cache(maxsize=4096)
def _parse_text(text: str, unit: str) -> float:
    shape = _SHAPE.fullmatch(text) if len(text) <= _LONGEST else None
    if shape is None:
        raise _refusal(f'"{text[:_LONGEST]}" is not {_due(unit)}')
    number, found = float(shape[1]), shape[2]
    if found and found not in _UNSCALED:
        has_exponent = "e" in shape[1].lower()  # which the library does not read beside a scale factor
        quantity = _reader()(f"{1 if has_exponent else shape[1]} {found}", binary=True)
        number = number * float(quantity.real) if has_exponent else float(quantity.real)
        found = str(quantity.units) or found
    _finite(number, text.strip())
    if found == unit == "%":
        return number / 100
    if found == unit:
        return number
    if found in (spellings := _OTHER_SPELLINGS.get(unit, {})):
        return number * spellings[found]
    if unit == "%" and not found:
        return parse_quantity(number, unit)
    if not found:
        raise _refusal(f'"{text}" needs a unit, e.g. "{EXAMPLES[unit]}"')
    raise _refusal(f'"{text}" is in {found}, but must be {_due(unit)}', _HINTS.get(found))


@cache
def _reader() -> Any:
    """Quantiphy's class with our scale factors: loaded at the first quantity, because it costs 15 ms."""
    from quantiphy import Quantity  # noqa: PLC0415 - see above

    class Reader(Quantity):  # its own preferences, so that nobody else's change
        """Quantities of hardware and workload files."""

    known = sorted({*EXAMPLES, *(name for names in _OTHER_SPELLINGS.values() for name in names), *_HINTS} - {"", "%"})
    Reader.set_prefs(input_sf="PTGMKkmunpµμ", known_units=known)
    return Reader


def _due(unit: str) -> str:
    if unit == "":
        return "a plain number"
    return f'a number of {unit}, e.g. "{EXAMPLES[unit]}"'


def _finite(number: float, text: str) -> float:
    if not isfinite(number):
        raise _refusal(f"{text} is too large: numbers must be finite")
    return number


def _refusal(message: str, hint: str | None = None) -> InputError:
    return InputError(Problem(message, code="bad_quantity", hint=hint))


def format_quantity(value: float, unit: str, digits: int | None = 4) -> str:
    """`value` (SI) as people write it: `format_quantity(273.056e9, "B/s")` is "273.1 GB/s".

    `digits`: significant digits; None writes as many as `parse_quantity` needs to give back the same number.
    """
    if unit == "%":
        scaled = [(value * 100, " %")]
    elif unit in _UNSCALED:
        scaled = [(value, f" {unit}" if unit else "")]
    else:
        scaled = _scaled(value, unit)
    if digits is None:
        texts = [text for number, suffix in scaled if parse_quantity(text := _shortest(number) + suffix, unit) == value]
        exact = repr(value) if unit == "%" else f"{value!r} {unit}".strip()  # a bare number is a fraction, too
        return min(texts, key=len, default=exact)
    number, suffix = scaled[0]
    return f"{_shortest(float(f'{number:.{digits}g}'))}{suffix}"


def _scaled(value: float, unit: str) -> list[tuple[float, str]]:
    """Number and suffix in the scales worth trying, best first: whole binary sizes, then the prefix that fits."""
    size = abs(value)
    decimal = next(((p, f) for p, f in _DECIMAL if size >= f), ("", 1.0))
    ways = [(value / decimal[1], f" {decimal[0]}{unit}")]
    smaller = [(p, f) for p, f in _DECIMAL if f < decimal[1]][:1]
    ways += [(value / f, f" {p}{unit}") for p, f in smaller]
    if unit == "B":
        binary = [(value / f, f" {p}B") for p, f in _BINARY if size >= f and value % f == 0][:1]
        is_rounder = binary and len(_shortest(binary[0][0])) <= len(_shortest(ways[0][0]))
        ways = binary + ways if is_rounder else ways + binary
    return [*ways, (value, f" {unit}")]


def _shortest(number: float) -> str:
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def ps_from_seconds(seconds: float) -> int:
    """Picoseconds, to the nearest."""
    return round(seconds * PS_PER_S)


def ps_from_cycles(n: float, hz: float) -> int:
    """Time of `n` cycles at `hz`, ps, to the nearest. Give totals: a truncated period adds its error every cycle."""
    return round(n * PS_PER_S / hz)


def ps_from_bytes(n: float, bytes_per_s: float) -> int:
    """Time to move `n` bytes, ps, to the nearest. Give totals: 64 B at 273 GB/s rounded up is 0.24 % slow."""
    return round(n * PS_PER_S / bytes_per_s)
