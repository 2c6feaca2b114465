"""Does a kernel do the work and move the bytes that its op asks for, folded as in full, and refuse what cannot be?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim
from sim.cli import main
from sim.cli.kernel import SIZES
from sim.errors import InputError
from sim.system.kernel_shapes import OPS

GEMM = {"m": 64, "n": 2048, "k": 1024}
MOE = {"tokens": 32, "hidden": 512, "intermediate": 256, "experts": 8, "top_k": 2}
ATTENTION = {"batch": 2, "heads": 8, "kv_heads": 2, "head_dim": 128}


def test_gemm_reads_its_weights_from_memory_once() -> None:
    result = sim.kernel("gemm", runtime="vllm", dtype="bf16", m=1, n=4096, k=4096)
    assert result.flops == 2 * 4096 * 4096
    # 2 bytes a weight, once; inputs and outputs (16 kB together) stay in L2
    assert result.bytes["dram"] == pytest.approx(2 * 4096 * 4096, rel=2e-3)


def test_moe_does_three_products_a_token_and_choice() -> None:
    result = sim.kernel("moe", runtime="vllm", dtype="bf16", **MOE)
    assert result.flops >= 2 * 32 * 2 * 3 * 512 * 256
    grouped = [launch.flops for launch in result.launches if launch.site in ("moe_gate_up", "moe_down")]
    assert sum(grouped) == 2 * 32 * 2 * 3 * 512 * 256


@pytest.mark.parametrize(
    ("query", "window", "scores"),
    [(1, None, 1000), (1, 100, 100), (1000, None, 1000 * 1001 / 2), (1000, 100, 100 * 101 / 2 + 900 * 100)],
)
def test_attention_counts_the_keys_that_each_query_sees(query: int, window: int | None, scores: float) -> None:
    result = sim.kernel("attention", dtype="bf16", query=query, context=1000, window=window, **ATTENTION)
    assert result.flops == 4 * 2 * 8 * 128 * scores


def test_copy_moves_its_bytes_there_and_back_and_no_faster_than_memory() -> None:
    size = 512 << 20
    result = sim.kernel("copy", dtype="bf16", size=size)
    assert result.bytes["dram"] == pytest.approx(2 * size, rel=0.01)
    assert result.duration_s >= 2 * size / sim.load_hardware("dgx-spark").components["memory"].bandwidth


@pytest.mark.parametrize(
    ("op", "shape"),
    [("gemm", GEMM), ("gemm", {**GEMM, "m": 300}), ("attention", {**ATTENTION, "query": 1, "context": 3000})],
)
def test_folded_is_full_within_two_percent(op: str, shape: dict[str, int]) -> None:
    folded, full = (sim.kernel(op, dtype="bf16", is_full=is_full, **shape) for is_full in (False, True))
    assert folded.duration_s == pytest.approx(full.duration_s, rel=0.02)


def test_shares_and_lanes_account_for_the_whole_time() -> None:
    result = sim.kernel("gemm", dtype="bf16", has_lanes=True, **GEMM)
    assert sum(result.bound_share.values()) == pytest.approx(1.0)
    assert sum(result.causes.values()) == pytest.approx(1.0)
    assert result.longest.lanes
    for lane in result.longest.lanes:
        assert sum(ps for _, ps, _ in lane.moments) <= result.longest.duration_ps


def test_a_lane_without_folding_ends_with_the_kernel() -> None:
    launch = sim.kernel("gemm", dtype="bf16", has_lanes=True, is_full=True, **GEMM).longest
    assert max(sum(ps for _, ps, _ in lane.moments) for lane in launch.lanes) == launch.duration_ps


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        sim.kernel("gemm", dtype="bf61", m=3, experts=4, hardware="dgx-sparc", set={"model.layers": 3})
    said = str(caught.value)
    for part in ("bf16", "needs n, k", "experts", "dgx-spark", "model.layers"):
        assert part in said


@pytest.mark.parametrize(
    ("op", "shape", "path"),
    [
        ("attention", {**ATTENTION, "kv_heads": 3, "query": 1, "context": 8}, "kv_heads"),
        ("attention", {**ATTENTION, "query": 9, "context": 8}, "query"),
        ("moe", {**MOE, "top_k": 9}, "top_k"),
        ("gemm", {**GEMM, "m": 0}, "m"),
        ("gemm", {**GEMM, "k": 1.5}, "k"),
        ("elementwise", {"elements": 4, "reads": 0, "writes": 0}, "reads"),
    ],
)
def test_sizes_that_cannot_be_are_refused(op: str, shape: dict[str, float], path: str) -> None:
    with pytest.raises(InputError) as caught:
        sim.kernel(op, dtype="bf16", **shape)
    assert path in [problem.path for problem in caught.value.problems]


def test_the_command_has_a_flag_for_every_size() -> None:
    flags = {name for names in SIZES.values() for name in names}
    assert flags == {name for sizes in OPS.values() for name in (*sizes.needed, *sizes.optional)}


def test_text_says_what_limits_it_and_plot_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["kernel", "gemm", "--dtype", "bf16", "--m", "64", "--n", "2048", "--k", "1024"]
    picture = tmp_path / "lanes.svg"
    assert main([*words, "--plot", str(picture)]) == 0
    assert "limited by" in capsys.readouterr().out
    assert "waits for" in picture.read_text()
    assert main([*words, "--plot", str(picture)]) == 2  # not replaced unasked
    assert main([*words, "--plot", str(picture), "--force"]) == 0


def test_json_is_the_same_twice(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["kernel", "norm", "--dtype", "bf16", "--rows", "16", "--width", "4096", "--json"]
    outputs = []
    for _ in range(2):
        assert main(words) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0])["schema"] == "sparksim.kernel/1"
