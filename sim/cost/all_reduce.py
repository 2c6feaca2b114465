"""All-reduce: what a rank sends, in how many steps that wait for each other, by algorithm and protocol.

Of S bytes summed over N ranks: a one-shot kernel reads all others' S; two-shot reduces an N-th and gathers the rest,
2 (N - 1) / N S in two rounds; a ring sends as much in 2 (N - 1) steps; a tree 2 S in 2 log2(N) steps. NCCL's protocol
for short messages (LL) sends a flag with every word, LL128 one with fifteen; both skip the synchronisation of the one
for long messages (https://github.com/NVIDIA/nccl, src/graph/tuning.cc; arXiv 2507.04786).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log2

NCCL_START_S = 2.4e-6
"""From an NCCL kernel's start to its first step; aiconfigurator-core 0.12, RTX PRO 6000 and H100, 256 B over 2 to 8."""
CUSTOM_START_S = 1.5e-6
"""The same of libraries' own kernels (vLLM's custom_all_reduce.cuh)."""
LL, LL128, SIMPLE = 2.0, 16 / 15, 1.0
"""Bytes sent per byte of the message, by protocol."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of a link: a step with LL, a step with Simple, and a flag to a peer (seconds); whether it is NVLink."""

    step_s: float
    bulk_s: float
    flag_s: float
    is_nvlink: bool = False
    is_network: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to do it: `sent_bytes` of a rank, and what it waits besides (seconds)."""

    algorithm: str
    protocol: str
    steps: int
    sent_bytes: float
    wait_s: float

    def seconds(self, bytes_per_s: float) -> float:
        """Alone on a link of that rate."""
        return self.wait_s + self.sent_bytes / bytes_per_s


def plans(size_bytes: float, ranks: int, link: Latencies, *, has_custom: bool) -> Iterator[Plan]:
    """Every way there is; libraries' own kernels where `has_custom`."""
    share = 2.0 * (ranks - 1) / ranks * size_bytes
    if has_custom:
        barriers = CUSTOM_START_S + 2 * link.flag_s
        yield Plan("one_shot", "", 1, (ranks - 1.0) * size_bytes, barriers)
        yield Plan("two_shot", "", 2, share, barriers + link.flag_s)
    ways = [("ring", 2 * (ranks - 1), share), ("tree", 2 * ceil(log2(ranks)), 2.0 * size_bytes)]
    for algorithm, steps, sent in ways:
        yield Plan(algorithm, "LL", steps, LL * sent, NCCL_START_S + steps * link.step_s)
        yield Plan(algorithm, "Simple", steps, SIMPLE * sent, NCCL_START_S + steps * link.bulk_s)
        if link.is_nvlink:
            yield Plan(algorithm, "LL128", steps, LL128 * sent, NCCL_START_S + steps * 1.5 * link.step_s)


def chosen(
    size_bytes: float, ranks: int, algorithm: str, link: Latencies, bytes_per_s: float, *, has_custom: bool
) -> Plan:
    """The fastest way of `algorithm`, as the libraries choose by an estimate of the time.

    auto: libraries' own kernels where `has_custom`, rings, and trees between machines.
    """
    found = [
        plan
        for plan in plans(size_bytes, ranks, link, has_custom=has_custom or algorithm in ("one_shot", "two_shot"))
        if plan.algorithm == algorithm or (algorithm == "auto" and (link.is_network or plan.algorithm != "tree"))
    ]
    return min(found, key=lambda plan: plan.seconds(bytes_per_s))
