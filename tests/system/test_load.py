"""Does a start take what its mechanism says: a fault waits for its request, read() overlaps, copies go page by page?"""

from __future__ import annotations

from math import ceil

import pytest

import sim
from sim.result.load_result import LoadResult

SMALL = {"model": "qwen3-0.6b", "runtime": "llama.cpp"}
DRIVE = sim.load_hardware("dgx-spark").components["nvme"]
SYSTEM = sim.load_hardware("dgx-spark").components["os"]
CPU = sim.load_hardware("dgx-spark").components["cpu0"]
MEMORY_LATENCY = sim.load_hardware("dgx-spark").components["memory"].latency
COPY = 64 * 64 / 113e-9 / 2
"""Bytes per second that one core copies: 64 lines of 64 B under way over 113 ns, half of them read."""


def weights(found: LoadResult) -> float:
    assert found.weights_time_s is not None
    return found.weights_time_s


def test_a_page_fault_waits_for_one_request_at_a_time():
    """Little's law with one request under way: 128 KiB per latency, transfer, pages and copy, nothing overlapped."""
    found = sim.load(**SMALL, how="mmap")
    window = 128 * 1024
    each = DRIVE.latency + MEMORY_LATENCY + window / DRIVE.read_bandwidth
    each += window / SYSTEM.page * SYSTEM.page_time + window / SYSTEM.pageable_copy
    assert weights(found) == pytest.approx(ceil(found.weights_bytes / window) * each, rel=0.005)
    shares = found.stages[2].shares
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["copy"] == pytest.approx(window / SYSTEM.pageable_copy / each, abs=0.01)


def test_read_is_as_fast_as_a_core_handles_pages():
    found = sim.load(**SMALL, how="read")
    page = SYSTEM.page_time + SYSTEM.page / COPY
    assert SYSTEM.page / page < DRIVE.read_bandwidth  # the core is slower than the drive
    assert weights(found) == pytest.approx(found.weights_bytes / SYSTEM.page * page, rel=0.01)
    assert found.stages[2].shares["cpu"] > 0.9


def test_with_fast_pages_the_drive_is_what_read_waits_for():
    """Two requests of 1 MiB under way: one is transferred while the other's latency passes."""
    found = sim.load(**SMALL, how="read", set={"os.page_time": "10 ns"})
    assert found.weights_bytes / weights(found) == pytest.approx(DRIVE.read_bandwidth, rel=0.02)
    assert found.stages[2].shares["source"] > 0.5


def test_pages_that_nothing_maps_cost_a_translation_each():
    """As vLLM copies, from mapped files that no CPU has touched: 251 MB/s measured from a warm page cache."""
    found = sim.load(model="qwen3-0.6b", runtime="vllm", origin="page_cache", set={"runtime.kv_dtype": "bf16"})
    assert found.weights_bytes / weights(found) == pytest.approx(251e6, rel=0.05)


def test_a_direct_reader_reaches_the_drive():
    found = sim.load(model="qwen3-4b", runtime="vllm", how="direct")
    assert found.weights_bytes / weights(found) == pytest.approx(DRIVE.read_bandwidth, rel=0.02)
    assert "page_cache" not in set(found.to_frame("memory").what)


@pytest.mark.parametrize("how", ["mmap", "read", "direct"])
@pytest.mark.parametrize("runtime", ["llama.cpp", "vllm"])
def test_folded_is_full(how: str, runtime: str):
    if how == "direct" and runtime == "llama.cpp":
        pytest.skip("llama.cpp does not read directly")
    asked = {"model": "qwen3-0.6b", "runtime": runtime, "how": how}
    folded, full = (sim.load(**asked, is_full=each) for each in (False, True))
    assert weights(folded) == pytest.approx(weights(full), rel=0.002)
    assert folded.events < full.events / 10
    assert folded.memory.high_water_bytes == full.memory.high_water_bytes
    for name, share in full.stages[2].shares.items():
        assert folded.stages[2].shares[name] == pytest.approx(share, abs=0.02)


def test_more_read_ahead_is_faster_and_a_slower_drive_slower():
    asked = {**SMALL, "how": "mmap"}
    plain = weights(sim.load(**asked))
    assert weights(sim.load(**asked, set={"os.readahead": "1 MiB"})) < 0.7 * plain
    assert weights(sim.load(**asked, set={"nvme.latency": "160 us"})) > 1.2 * plain
    assert weights(sim.load(**asked, set={"nvme.read_bandwidth": "1 GB/s"})) > 1.5 * plain


def test_over_a_slow_network_the_network_is_what_it_waits_for():
    net = {"bandwidth": "1.17 GB/s", "latency": "100 us"}  # 10 GbE, headers paid
    found = sim.load(**SMALL, how="read", origin="network", network=net)
    assert found.weights_bytes / weights(found) == pytest.approx(1.17e9, rel=0.02)
    fast = sim.load(**SMALL, how="read", origin="network")  # 200 Gb/s: the core again
    assert weights(fast) == pytest.approx(weights(sim.load(**SMALL, how="read")), rel=0.01)
    direct = sim.load(model="qwen3-4b", runtime="vllm", how="direct", origin="network")
    assert 10e9 < direct.weights_bytes / weights(direct) < 25e9


def test_stages_follow_each_other_and_fill_the_memory():
    found = sim.load(model="qwen3-0.6b", runtime="vllm", batch=2)
    ends = [stage.start_s + stage.time_s for stage in found.stages]
    assert [stage.start_s for stage in found.stages[1:]] == pytest.approx(ends[:-1], abs=1e-9)
    assert found.time_s == pytest.approx(ends[-1]) == pytest.approx(found.memory.end_s)
    assert all(stage.source for stage in found.stages)
    use = sim.fit(model="qwen3-0.6b", runtime="vllm", batch=2).models[0].memory
    assert found.memory.high_water_bytes == use.claimed_bytes
    table = found.to_frame("memory")
    assert table[table.what == "weights"].bytes.iloc[-1] == found.weights_bytes
    assert set(found.to_frame().name) == {stage.name for stage in found.stages}
    warm = sim.load(model="qwen3-0.6b", runtime="vllm", batch=2, compiled=True)
    assert found.time_s - warm.time_s == pytest.approx(150 - 12)


def test_the_page_cache_holds_the_file_a_second_time_until_somebody_needs_the_room():
    found = sim.load(model="qwen3-0.6b", runtime="llama.cpp")
    table = found.to_frame("memory")
    assert table[table.what == "page_cache"].bytes.max() == found.weights_bytes
    large = sim.load(model="qwen3-next-80b-a3b", quant="fp8", runtime="vllm").memory
    times, series = large.stacked()
    totals = [sum(values[i] for values in series.values()) for i in range(len(times))]
    assert max(totals) <= large.capacity_bytes
    assert max(series["page_cache"]) > series["page_cache"][-1]  # it gave way to the cache of keys and values


def test_a_start_that_runs_out_of_memory_says_where_and_by_how_much():
    found = sim.load(model="llama-3.1-70b", runtime="vllm")
    assert (found.fits, found.time_s, found.weights_time_s) == (False, None, None)
    assert found.failed_at == "weights"
    use = sim.fit(model="llama-3.1-70b", runtime="vllm").models[0].memory
    there = use.visible_bytes - use.reserved_bytes - use.host_bytes - use.runtime_bytes
    assert found.short_bytes == pytest.approx(use.weights_bytes - there, abs=2)
    refused = sim.load(model="qwen3-0.6b", runtime="vllm", set={"os.others": "20 GiB"})
    assert (refused.failed_at, refused.stages) == ("process", ())
    cache = sim.load(model="qwen3-0.6b", runtime="llama.cpp", batch=200, prompt=8000)
    assert cache.failed_at == "cache and buffers"


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(sim.InputError) as caught:
        sim.load(model="nothing", runtime="vllm", origin="moon", how="magic", network={"bandwidth": "3"}, batch=0)
    assert [problem.path for problem in caught.value.problems][:2] == ["network.bandwidth", "network.latency"]
    with pytest.raises(sim.InputError) as caught:
        sim.load(model="nothing", runtime="vllm", origin="moon", how="magic", batch=0)
    assert {"origin", "how", "batch"} <= {problem.path for problem in caught.value.problems}
    assert "unknown model 'nothing'" in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({**SMALL, "how": "direct"}, "llama.cpp does not read weights by direct"),
        ({"model": "qwen3-0.6b", "runtime": "vllm", "how": "direct", "origin": "page_cache"}, "past the page cache"),
        ({**SMALL, "network": {"bandwidth": "1 GB/s", "latency": "1 us"}}, "goes with origin: network"),
        ({**SMALL, "hardware": "h100-sxm"}, "does not say how its system reads files"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, object], message: str):
    with pytest.raises(sim.InputError, match=message):
        sim.load(**asked)


def test_a_run_says_who_takes_a_scenario_of_this_kind():
    with pytest.raises(sim.InputError, match=r"`sparksim run` and sim\.load take it"):
        sim.run(file="gpt-oss-120b-cold-start")
