"""Address to channel, bank and row: slices of bits, and XOR hashes that keep strides from meeting in one bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.component.lpddr5x.order import FIELDS, Slice

Addresses = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AddressMap:
    """Splits byte addresses. `access`: bytes of a column command."""

    channels: int
    channel_interleave: int
    order: tuple[Slice, ...]
    is_hashed: bool
    access: int

    def channel_of(self, addresses: Addresses) -> Addresses:
        """The channel of each address."""
        block = addresses // self.channel_interleave
        if not self.is_hashed or self.channels == 1:
            return block % self.channels
        folded = block // self.channels
        return (block + _fold(folded, self.channels)) % self.channels

    def within_channel(self, addresses: Addresses) -> Addresses:
        """Where an address lies among the bytes of its channel."""
        block, offset = np.divmod(addresses, self.channel_interleave)
        return block // self.channels * self.channel_interleave + offset

    def fields_of(self, local: Addresses) -> dict[str, Addresses]:
        """Row, rank, bank, bank group and column (in accesses) of addresses within a channel."""
        rest = local // self.access
        found: dict[str, Addresses] = {name: np.zeros_like(rest) for name in FIELDS}
        width = 0
        for part in self.order:
            if part.bits is None:
                found["row"], rest = rest, np.zeros_like(rest)
                continue
            low, rest = rest & ((1 << part.bits) - 1), rest >> part.bits
            if part.field == "column":
                found["column"] |= low << width
                width += part.bits
            else:
                found[part.field] = low
        if self.is_hashed:
            self._hash(found)
        return found

    def _hash(self, found: dict[str, Addresses]) -> None:
        """XOR of bank, bank group and rank with low bits of the row, each with bits of its own."""
        row = found["row"]
        for part in self.order:
            if part.field in ("bank_group", "bank", "rank") and part.bits:
                found[part.field] = found[part.field] ^ (row & ((1 << part.bits) - 1))
                row = row >> part.bits


def flat_banks(fields: dict[str, Addresses], bank_groups: int, banks_per_group: int) -> Sequence[int]:
    """Index of each access's bank in its channel: rank, then bank group, then bank."""
    flat = (fields["rank"] * bank_groups + fields["bank_group"]) * banks_per_group + fields["bank"]
    return [int(each) for each in flat.tolist()]


def _fold(blocks: Addresses, channels: int) -> Addresses:
    """All digits of `blocks` to the base `channels`, added up: neighbours of any power-of-two stride differ."""
    total = np.zeros_like(blocks)
    rest = blocks
    while rest.any():
        total += rest % channels
        rest = rest // channels
    return total
