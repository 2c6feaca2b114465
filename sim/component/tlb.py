"""Address translation of the GPU."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field

from sim.component.component import Component
from sim.hwspec import Bytes, ComponentSpec, Seconds


class TlbSpec(ComponentSpec):
    """The GPU's translation cache: what it reaches is free, the first touch beyond it walks the page table."""

    ports: ClassVar = {"gpu": "translation"}
    serves: ClassVar = frozenset({"gpu"})

    page: Bytes = Field(description="size of a page of device memory")
    reach: Bytes = Field(description="memory whose translations it holds at once")
    walk: Seconds = Field(description="what a miss adds to a dependent load")


class Translations:
    """The pages whose translations are held, least recently used first out; whoever misses one walks the page table.

    Walks run side by side; who asks for a page while it is being walked waits for the rest of that walk.
    """

    def __init__(self, pages: int, walk_ps: int) -> None:
        self._most = max(1, pages)
        self._walk_ps = walk_ps
        self._known_at: dict[int, int] = {}

    def hold(self, pages: Iterable[int]) -> None:
        """Take these as known, the last ones most recently used."""
        for page in pages:
            self._keep(page, 0)

    def wait_ps(self, page: int, now: int) -> int:
        """How long from `now` until the translation of `page` is known."""
        known_at = self._known_at.pop(page, None)
        if known_at is None:
            known_at = now + self._walk_ps
        self._keep(page, known_at)
        return max(0, known_at - now)

    def _keep(self, page: int, known_at: int) -> None:
        self._known_at[page] = known_at
        if len(self._known_at) > self._most:
            del self._known_at[next(iter(self._known_at))]


class Tlb(Component):
    """Translation's place among the components."""

    Spec = TlbSpec
