"""LPDDR5X by its bursts: what a channel and its controller sustain, derived from JEDEC timing, mapping and policy."""

from sim.component.lpddr5x.rates import Sustained, ablation, alternatives, sustained, unloaded_latency_ps
from sim.component.lpddr5x.spec import DramSpec
from sim.component.lpddr5x.traffic import KINDS, Traffic

__all__ = ["KINDS", "DramSpec", "Sustained", "Traffic", "ablation", "alternatives", "sustained", "unloaded_latency_ps"]
