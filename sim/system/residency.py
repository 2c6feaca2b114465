"""What stays in L2 from one op to the next: an LRU over whole activation tensors, with write-back.

An op finds its inputs in L2 when their producers' outputs have not been pushed out since. Weights and KV stream through
and push older tensors out; a tensor that was written and is pushed out costs a write to memory, charged to the op that
pushes it. A tensor written again in place (the same op of the next layer) replaces its old copy.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from sim.cost.kernel import Traffic


@dataclass(frozen=True, slots=True)
class Found:
    """What an op meets: whether its inputs are in L2, and the dirty bytes it pushes out to memory."""

    inputs_resident: bool
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
        resident = bool(after) and all(name in self._held for name in after)
        for name in after:
            if name in self._held:
                self._held.move_to_end(name)
        flushed = 0.0
        if traffic.stream_bytes:
            flushed += self._hold(f"{op_id}/stream", min(traffic.stream_bytes, self._capacity), is_dirty=False)
        if traffic.output_bytes:
            flushed += self._hold(op_id, traffic.output_bytes, is_dirty=True)
        return Found(resident, flushed)

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
        return Found(inputs_resident=False, flushed_bytes=flushed)

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
