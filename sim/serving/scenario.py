"""The fields of a scenario of kind serve that are about traffic (`sparksim.scenario/1`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, Strict, model_validator

from sim.serving.lengths import Part
from sim.serving.traffic import Dollars, Slo, Traffic, Until

Seed = Annotated[int, Strict(), Field(ge=0, lt=2**63)]


class PricePart(Part):
    """What things cost, where it is not as `prices.yaml` and the machine's file say."""

    machine: Dollars | None = Field(None, description="the machine, e.g. 4699 USD")
    electricity: Dollars | None = Field(None, description="a kilowatt-hour, e.g. 0.30 USD")
    years: Annotated[float, Field(gt=0, le=100)] | None = Field(None, description="of use that pay for the machine")


class ServePart(BaseModel):
    """What a scenario of kind serve says beside the machine, the model and the runtime."""

    traffic: Traffic = Field(description="the requests: when they come, how long they are, what they share")
    until: Until = Field(Until(), description="when it is over")
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, max_length=1000, description="one run for each")
    slo: Slo = Field(Slo(), description="what must be kept, e.g. {ttft_p95: 3 s, tpot_p95: 100 ms}")
    prices: PricePart = Field(PricePart(), description="what the machine and its electricity cost")

    @model_validator(mode="after")
    def _ends(self) -> ServePart:
        if self.traffic.arrivals.kind != "trace" and self.until.requests is None and self.until.duration is None:
            raise ValueError("until must name requests or duration: without either it never ends")
        arrivals = self.traffic.arrivals
        if arrivals.kind == "gamma" and arrivals.exact_rate and self.until.requests is None:
            raise ValueError("exact_rate needs until.requests: the gaps are scaled to the time of so many requests")
        if arrivals.kind == "burst" and arrivals.size is None and self.until.requests is None:
            raise ValueError("a burst of all requests needs until.requests")
        return self
