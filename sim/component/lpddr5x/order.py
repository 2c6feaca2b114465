"""The order of an address's fields, as a hardware file writes it. Without numpy: every start needs it."""

from __future__ import annotations

from dataclasses import dataclass

FIELDS = ("row", "rank", "bank", "bank_group", "column")


@dataclass(frozen=True, slots=True)
class Slice:
    """`bits` bits of an address that belong to `field`; None bits: all that is left."""

    field: str
    bits: int | None


def parse_order(text: str, ranks: int, bank_groups: int, banks_per_group: int) -> tuple[Slice, ...]:
    """The slices of `text` ("row rank bank column:3 bank_group column:2"), lowest first.

    `row` takes what is left at the top, so it stands first, and each part of a column names its bits.

    Raises:
        ValueError: an unknown field, one that is missing or given twice, or a number that is no power of two.
    """
    sizes = {"rank": ranks, "bank_group": bank_groups, "bank": banks_per_group}
    for name, size in sizes.items():
        if size & (size - 1):
            raise ValueError(f"the number of {name}s must be a power of two, not {size}")
    words = text.split()
    slices = []
    for word in reversed(words):
        name, colon, bits = word.partition(":")
        if name not in FIELDS or (name == "column") is not bool(colon) or (colon and not bits.isdigit()):
            raise ValueError(f"mapping.order: '{word}' is not one of row, rank, bank, bank_group, column:BITS")
        width = int(bits) if colon else None if name == "row" else sizes[name].bit_length() - 1
        slices.append(Slice(name, width))
    names = [part.field for part in slices]
    if names[-1:] != ["row"] or any(names.count(name) != 1 for name in FIELDS[:-1]) or "column" not in names:
        raise ValueError(
            "mapping.order must begin with row and name rank, bank and bank_group once, column at least once"
        )
    return tuple(slices)
