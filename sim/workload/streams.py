"""Residual streams side by side: what mixes them before and behind the parts of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.workload.sizes import Sizes


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """`count` residual streams instead of one.

    `hyper`: hyper-connections constrained to a manifold (DeepSeek V4, arXiv 2512.24880): before each part weights made
    of all streams collapse them into one, and spread its output behind it. `altup`: alternating updates (Gemma 3n,
    arXiv 2301.13310): a layer works on one stream; the others are predicted before it and corrected behind it.
    """

    kind: Literal["hyper", "altup"]
    count: int

    @property
    def columns(self) -> int:
        """Weights that a token's streams are projected to before a part (`hyper`), or a layer (`altup`)."""
        return (2 + self.count) * self.count if self.kind == "hyper" else self.count

    def sizes(self, hidden: int) -> Sizes:
        """Weights of a layer by tensor class."""
        if self.kind == "hyper":
            return [("stream", 2 * self.columns * self.count * hidden), ("bias", 2 * (self.columns + 3))]
        return [("stream", self.count * hidden + self.count**3 + self.count**2), ("norm", 2 * hidden)]

    def outside(self, hidden: int) -> Sizes:
        """Weights behind the last layer (`hyper`), or between the embedding, the streams and the head (`altup`)."""
        if self.kind == "hyper":
            return [("stream", self.count**2 * hidden), ("bias", self.count + 1)]
        return [("stream", 2 * (self.count - 1) * hidden**2)]
