"""What joins a machine's GPU to its equals in other machines or slots: a rank's link to the others."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sim.component.component import Component
from sim.component.transfer import ACCESSES, Hop
from sim.engine import Engine
from sim.hwspec import BytesPerSecond, ComponentSpec, Count, Fraction, Seconds
from sim.units import ps_from_seconds

CAUSES = {"nvlink": "c2c", "pcie": "pcie", "network": "nic"}
"""What a wait for each kind of link is called in results."""


class PeersSpec(ComponentSpec):
    """A rank's link to the others, each way, as collective kernels see it."""

    via: Literal["nvlink", "pcie", "network"] = Field(description="kind of the link")
    through: str | None = Field(None, description="adapter whose line rate it has; null: `bandwidth`")
    bandwidth: BytesPerSecond | None = Field(None, description="peak rate each way of one rank, without an adapter")
    sustained: Fraction | None = Field(None, description="share of it that long messages between two ranks get")
    per_doubling: Fraction = Field(description="share of the rate that is left with every doubling of the ranks")
    step_latency: Seconds = Field(description="a step of a ring with NCCL's protocol for short messages (LL)")
    bulk_latency: Seconds = Field(description="a step of a ring with NCCL's protocol for long messages (Simple)")
    flag_latency: Seconds = Field(description="a flag written to a peer until the peer sees it, in a kernel of its own")
    custom_ranks: Count = Field(description="most ranks that libraries' own kernels (one-shot, two-shot) serve")
    most_ranks: Count = Field(description="most ranks that are joined")

    @model_validator(mode="after")
    def _one_rate(self) -> PeersSpec:
        own = self.bandwidth is not None and self.sustained is not None
        if own == (self.through is not None):
            raise ValueError(
                "wants either the adapter that it goes `through`, or a bandwidth and what is sustained of it"
            )
        return self


class Peers(Component):
    """The link's place among the components."""

    Spec = PeersSpec

    _spec: PeersSpec

    def carry(self, engine: Engine) -> Hop | None:
        """Its own rate between two ranks; nothing where an adapter carries the bytes."""
        if self._spec.bandwidth is None or self._spec.sustained is None:
            return None
        rates = dict.fromkeys(ACCESSES, self._spec.bandwidth * self._spec.sustained)
        return Hop(engine, self.name, CAUSES[self._spec.via], rates, ps_from_seconds(0.0), is_shared=False)
