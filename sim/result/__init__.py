"""Spans, metrics, laws and export: everything that is said about a run after it has run."""

from sim.result.identity import Identity
from sim.result.run_result import PLOTTERS, RunResult

__all__ = ["PLOTTERS", "Identity", "RunResult"]
