"""One run of a server: a row per request, times between tokens, what ran when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.result.order_statistics import Runs, Whole
from sim.result.served_energy import Prices, ServedEnergy

PERCENTILES = (50, 90, 95, 99)
FAILURES = ("refused", "turned_away", "timed_out", "cancelled")
"""Why requests fail: longer than the server takes; one too many that waits; given up by its client."""
_PS = 1e-12


@dataclass(frozen=True, slots=True)
class ServedRun:
    """One run of a server with one seed. Columns of `requests` are those that were counted and completed."""

    seed: int
    requests: Mapping[str, Whole]
    """number, arrival_ps, first_ps, end_ps, prompt, output, cached, preemptions, priority."""
    intervals: Runs
    series: Mapping[str, Whole]
    """time_ps, running, waiting, kv_blocks."""
    counts: Mapping[str, int]
    """arrived, completed, failed, counted_failed and why (`FAILURES`), wasted_tokens, preemptions, cached_tokens,
    steps, busy_ps, peak_running, peak_waiting, kv_peak_blocks, in_system_ps, sojourn_ps, end_ps."""
    skipped_lines: int = 0
    energy: ServedEnergy | None = None
    """None where the machine's rails are not described."""

    def seconds(self, chosen: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Latencies of each completed request (of those `chosen`), s; tpot of those with two tokens or more."""
        rows = self.requests if chosen is None else {name: column[chosen] for name, column in self.requests.items()}
        ttft = (rows["first_ps"] - rows["arrival_ps"]) * _PS
        e2e = (rows["end_ps"] - rows["arrival_ps"]) * _PS
        many = rows["output"] > 1
        tpot = (rows["end_ps"] - rows["first_ps"])[many] * _PS / (rows["output"][many] - 1)
        return {"ttft_s": ttft, "tpot_s": tpot, "e2e_s": e2e}

    @property
    def duration_s(self) -> float | None:
        """From the first counted arrival to the end of the last counted request."""
        rows = self.requests
        if not len(rows["end_ps"]):
            return None
        return float(rows["end_ps"].max() - rows["arrival_ps"].min()) * _PS

    def good(self, limits: Mapping[str, float]) -> int:
        """Completed requests that kept every limit (ttft, tpot, e2e in seconds)."""
        rows, seconds = self.requests, self.seconds()
        kept = np.ones(len(rows["end_ps"]), dtype=bool)
        if "ttft" in limits:
            kept &= seconds["ttft_s"] <= limits["ttft"]
        if "e2e" in limits:
            kept &= seconds["e2e_s"] <= limits["e2e"]
        if "tpot" in limits:
            many = np.flatnonzero(rows["output"] > 1)
            kept[many[seconds["tpot_s"] > limits["tpot"]]] = False
        return int(kept.sum())

    def summary(self, block_bytes: float, limits: Mapping[str, float], prices: Prices | None = None) -> dict[str, Any]:
        """The keys of `sparksim.serve/1` that are of one run."""
        rows, counts, duration = self.requests, self.counts, self.duration_s
        completed = len(rows["end_ps"])
        output, prompt = int(rows["output"].sum()), int(rows["prompt"].sum())
        rate = 1 / duration if duration else None
        total_ps = counts["end_ps"]
        found: dict[str, Any] = {
            "requests": completed + counts["counted_failed"],
            "completed": completed,
            "failed": counts["counted_failed"],
            **{name: counts[name] for name in FAILURES},
            "duration_s": duration,
            "request_rate": completed * rate if rate else None,
            "output_tok_s": output * rate if rate else None,
            "total_tok_s": (output + prompt) * rate if rate else None,
            "goodput": self.good(limits) * rate if rate and limits else None,
        }
        found |= {name: spread(values) for name, values in self.seconds().items()}
        found["itl_s"] = _of_runs(self.intervals)
        found |= {
            "prompt_tokens": prompt,
            "output_tokens": output,
            "peak_running": counts["peak_running"],
            "peak_waiting": counts["peak_waiting"],
            "preemptions": counts["preemptions"],
            "wasted_tokens": counts["wasted_tokens"],
            "cached_tokens": counts["cached_tokens"],
            "kv_peak_bytes": round(counts["kv_peak_blocks"] * block_bytes),
            "steps": counts["steps"],
            "utilization": counts["busy_ps"] / total_ps if total_ps else 0.0,
            "skipped_lines": self.skipped_lines,
        }
        ranks = np.unique(rows["priority"])
        of_each = {str(rank): self._of(rows["priority"] == rank) for rank in ranks}
        found["by_priority"] = of_each if len(ranks) > 1 else None
        return found | self._dear(found, prices)

    def _of(self, chosen: np.ndarray) -> dict[str, Any]:
        """What those chosen of the completed requests got."""
        named = {name: spread(values) for name, values in self.seconds(chosen).items()}
        return {"completed": int(chosen.sum()), **named}

    def _dear(self, found: Mapping[str, Any], prices: Prices | None) -> dict[str, Any]:
        """What it drew and cost."""
        used = self.energy
        watts = None if used is None else used.watts("wall")
        cost = None if prices is None else prices.cost(watts, found["output_tok_s"], found["total_tok_s"])
        duration = found["duration_s"]
        energy = used.to_dict(duration, found["completed"], found["output_tokens"]) if used and duration else None
        return {"energy": energy, "cost": cost}


def spread(values: np.ndarray) -> dict[str, float] | None:
    """Mean and percentiles, NumPy's default ones; None of nothing."""
    if not len(values):
        return None
    named = zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)
    return {"mean": float(values.mean())} | {f"p{share}": float(value) for share, value in named}


def _of_runs(runs: Runs) -> dict[str, float] | None:
    if not runs.total:
        return None
    named = zip(PERCENTILES, runs.percentiles(PERCENTILES), strict=True)
    return {"mean": runs.mean() * _PS} | {f"p{share}": value * _PS for share, value in named}
