"""LPDDR5X by its bursts: what a channel and its controller sustain, derived from JEDEC timing, mapping and policy."""

from sim.component.lpddr5x.rates import Sustained, sustained, unloaded_latency_ps
from sim.component.lpddr5x.spec import DramSpec
from sim.component.lpddr5x.tables import ablation, alternatives, as_text, beside_given
from sim.component.lpddr5x.traffic import KINDS, Traffic

__all__ = [
    "KINDS",
    "DramSpec",
    "Sustained",
    "Traffic",
    "ablation",
    "alternatives",
    "as_text",
    "beside_given",
    "sustained",
    "unloaded_latency_ps",
]
