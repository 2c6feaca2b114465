"""What stays in L2 from one op to the next: an LRU over whole activation tensors, with write-back.

An op finds its inputs in L2 as far as their producers' outputs have not been pushed out since. Weights and KV stream
through and push older tensors out, and so does what an op itself streams and writes while it walks over its inputs: of
two tensors of 16 MB the end of the first is gone before it is read, though it was there when the op began. A tensor
that was written and is pushed out costs a write to memory, charged to the op that pushes it. A tensor written again in
place (the same op of the next layer) replaces its old copy.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from sim.cost.kernel import Traffic

SHARES = 8
"""Steps in which a share is told, so that ops that differ by little are one kernel."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an op meets: the share of its inputs that is still in L2 when it is read, the dirty bytes it pushes out."""

    inputs_resident: float
    flushed_bytes: float


class Residency:
    """Tensors in L2, by the id of the op that wrote them."""

    def __init__(self, capacity_bytes: float) -> None:
        self._capacity = capacity_bytes
        self._held: OrderedDict[str, tuple[float, bool]] = OrderedDict()
        self._bytes = 0.0

    def visit(self, op_id: str, after: tuple[str, ...], traffic: Traffic | None) -> Found:
        """Account for one op: its inputs are read, its stream passes through, its output is written.

        `traffic` None: another component than the GPU runs it, past L2.
        """
        if traffic is None:
            return self._bypass(op_id, after)
        resident = self._share(after, traffic)
        for name in after:
            if name in self._held:
                self._held.move_to_end(name)
        flushed = 0.0
        if traffic.stream_bytes:
            flushed += self._hold(f"{op_id}/stream", min(traffic.stream_bytes, self._capacity), is_dirty=False)
        if traffic.output_bytes:
            flushed += self._hold(op_id, traffic.output_bytes, is_dirty=True)
        return Found(resident, flushed)

    def _share(self, after: tuple[str, ...], traffic: Traffic) -> float:
        """How much of the inputs an LRU still holds when they are read, in steps of 1 / `SHARES`.

        Byte x of an input was last touched before all that is newer in L2, its own end included, and before what the op
        has moved until it comes to x: an even part of it, or nothing where all inputs are read at once.
        """
        if not after or any(name not in self._held for name in after):
            return 0.0
        moved = 0.0 if traffic.is_read_at_once else traffic.stream_bytes + traffic.output_bytes
        newer, found, total = 0.0, 0.0, 0.0
        for name, (size, _) in reversed(self._held.items()):
            newer += size
            if name in after:
                room = self._capacity - newer
                found += size * (1.0 if moved <= room else max(0.0, room / moved))
                total += size
        return round(found / total * SHARES) / SHARES if total else 1.0

    def _bypass(self, op_id: str, after: tuple[str, ...]) -> Found:
        """An op of a component beside the GPU reads and writes memory, not L2.

        What its inputs have dirty in L2 is written back first; its output takes the place of an older copy in L2.
        """
        flushed = 0.0
        for name in after:
            if name in self._held:
                size, is_dirty = self._held[name]
                flushed += size if is_dirty else 0.0
                self._held[name] = (size, False)
        if op_id in self._held:
            self._bytes -= self._held.pop(op_id)[0]
        return Found(inputs_resident=0.0, flushed_bytes=flushed)

    def _hold(self, name: str, size: float, *, is_dirty: bool) -> float:
        """Bring a tensor in; the dirty bytes that had to go to memory for it."""
        if name in self._held:
            self._bytes -= self._held.pop(name)[0]
        if size > self._capacity:
            return size if is_dirty else 0.0
        self._held[name] = (size, is_dirty)
        self._bytes += size
        flushed = 0.0
        while self._bytes > self._capacity:
            _, (old, was_dirty) = self._held.popitem(last=False)
            self._bytes -= old
            flushed += old if was_dirty else 0.0
        return flushed
