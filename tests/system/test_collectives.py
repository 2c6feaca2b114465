"""Does an all-reduce move the bytes of its algorithm, at the rate and latency that the hardware's link has?"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import sim
from sim.cli import main
from sim.cost.all_reduce import CUSTOM_START_S, LL, NCCL_START_S, Latencies, chosen, plans
from sim.errors import SimError

LINK = Latencies(1.5e-6, 6e-6, 0.8e-6)
NETWORK = Latencies(15e-6, 36e-6, 7e-6, is_network=True)


def seconds(hardware: str, size: int, ranks: int, algorithm: str = "auto", **overrides: object) -> float:
    """An all-reduce's time with the kernel boundary before it."""
    return sim.kernel(
        "all_reduce", hardware=hardware, dtype="bf16", size=size, ranks=ranks, algorithm=algorithm, set=overrides
    ).total_s


@pytest.mark.parametrize("ranks", [2, 3, 4, 8])
def test_every_algorithm_sends_what_it_must(ranks: int) -> None:
    """One-shot reads all others' bytes; two-shot and ring 2 (N - 1) / N of them; a tree twice the message."""
    size, sent = 1e6, {}
    for plan in plans(size, ranks, LINK, has_custom=True):
        sent.setdefault(plan.algorithm, set()).add(plan.sent_bytes)
    share = 2 * (ranks - 1) / ranks * size
    assert sent["one_shot"] == {(ranks - 1) * size}
    assert sent["two_shot"] == {share}
    assert sent["ring"] == {share, LL * share}
    assert sent["tree"] == {2 * size, LL * 2 * size}
    steps = {plan.algorithm: plan.steps for plan in plans(size, ranks, LINK, has_custom=True)}
    assert (steps["ring"], steps["tree"]) == (2 * (ranks - 1), 2 * (ranks - 1).bit_length())


def test_waits_are_start_steps_and_flags() -> None:
    ring = chosen(256.0, 4, "ring", LINK, 40e9, has_custom=False)
    assert (ring.protocol, ring.wait_s) == ("LL", pytest.approx(NCCL_START_S + 6 * 1.5e-6))
    one = chosen(256.0, 2, "auto", LINK, 40e9, has_custom=True)
    assert (one.algorithm, one.wait_s) == ("one_shot", pytest.approx(CUSTOM_START_S + 2 * 0.8e-6))


def test_the_choice_changes_with_the_size() -> None:
    """Short: one round; long over many: fewer bytes. Trees only between machines, where steps cost most."""
    names = [chosen(size, 8, "auto", LINK, 40e9, has_custom=True).algorithm for size in (1e3, 1e8)]
    assert names == ["one_shot", "two_shot"]
    assert [chosen(1e8, 8, "auto", LINK, 40e9, has_custom=False).algorithm] == ["ring"]
    assert chosen(1e3, 8, "auto", NETWORK, 24e9, has_custom=False).algorithm == "tree"


@pytest.mark.parametrize("hardware", ["dgx-spark", "rtx-pro-6000-server", "h100-sxm"])
@pytest.mark.parametrize("size", [2**12, 2**26])
def test_auto_is_no_slower_than_what_a_runtime_has(hardware: str, size: int) -> None:
    assert seconds(hardware, size, 2) <= seconds(hardware, size, 2, "ring") * 1.0001


@pytest.mark.parametrize(
    ("size", "ranks", "algorithm", "measured_s", "within"),
    [
        (8 * 2**10, 2, "auto", 35e-6, 0.1),
        (16 * 2**10, 2, "auto", 32e-6, 0.15),
        (2**30, 2, "auto", 2**30 / 22.68e9, 0.07),
        (10 * 2**10, 4, "ring", 91e-6, 0.1),
        (2 * 2**20, 4, "ring", 361e-6, 0.1),
        (10 * 2**10, 4, "one_shot", 16.9e-6, 0.1),
        (2 * 2**20, 4, "one_shot", 308e-6, 0.12),
    ],
)
def test_sparks_sum_as_owners_measured(size: int, ranks: int, algorithm: str, measured_s: float, within: float) -> None:
    """Two machines: NVIDIA/dgx-spark-playbooks pull request 103, epappas/gx10-cluster (1 GiB at 22.68 GB/s).

    Four: christopherowen/dgx-spark-networking, local-inference-lab/b12x.
    """
    assert seconds("dgx-spark", size, ranks, algorithm) == pytest.approx(measured_s, rel=within)


def test_the_adapters_rate_is_the_links() -> None:
    """Half of the cage's line rate, and 1 GiB takes twice as long but for the steps."""
    whole, half = seconds("dgx-spark", 2**30, 2), seconds("dgx-spark", 2**30, 2, **{"nic.bandwidth": "12.5 GB/s"})
    assert half / whole == pytest.approx(2.0, rel=0.02)


def test_what_cannot_be_is_refused_by_name() -> None:
    for ranks, algorithm, message in (
        (1, "auto", "2 or more|must be 2"),
        (5, "auto", "joins at most 4"),
        (2, "star", "there are:"),
    ):
        with pytest.raises(SimError, match=message):
            seconds("dgx-spark", 4096, ranks, algorithm)


def test_an_op_trace_sums_between_its_kernels(tmp_path: Path) -> None:
    """The op behind waits for the sum; its time is that of `kernel all_reduce` alone."""
    path = tmp_path / "two.yaml"
    path.write_text(
        """schema: sparksim.ops/1
name: two
ops:
  - {id: up, op: gemm, m: 8, n: 4096, k: 4096, dtype: bf16}
  - {id: sum, op: all_reduce, size: 64 KiB, ranks: 2, after: [up]}
  - {id: down, op: gemm, m: 8, n: 4096, k: 4096, dtype: bf16, after: [sum]}
"""
    )
    out = tmp_path / "out"
    assert main(["run", str(path), "--runtime", "vllm", "--out", str(out), "--cache", "off"]) == 0
    with (out / "spans.csv").open() as file:
        rows = list(csv.DictReader(file))
    ends = {name: max(int(row["end_ps"]) for row in rows if row["op"] == name) for name in ("up", "sum")}
    lasted = (ends["sum"] - ends["up"]) / 1e12
    alone = sim.kernel("all_reduce", hardware="dgx-spark", dtype="bf16", size=65536, ranks=2).duration_s
    assert lasted == pytest.approx(alone, rel=0.05)
