"""Do the rates derived from LPDDR5X timing follow from closed forms, and do they meet what was measured on GB10?

Bands are those of published measurements (GB/s, reads and writes together): read 231-237 from four sources, scattered
512 B reads 228-230 of 235, copies 218-232; widened to what the project promises to hold at once with one set.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.component import spec_types
from sim.component.lpddr5x.channel import NEVER
from sim.component.lpddr5x.clocks import clocks_of
from sim.component.lpddr5x.controller import Access, Controller
from sim.component.lpddr5x.mapping import AddressMap
from sim.component.lpddr5x.order import parse_order
from sim.component.lpddr5x.rates import parts_of, rate_of, sustained, unloaded_latency_ps
from sim.component.lpddr5x.spec import DramSpec
from sim.component.lpddr5x.tables import (
    ALTERNATIVES,
    MEASURED,
    ablation,
    alternatives,
    as_text,
    beside_given,
    changed,
    verdict,
)
from sim.component.lpddr5x.traffic import KINDS, Traffic, pieces_of
from sim.component.memory import MemorySpec
from sim.errors import SpecError
from sim.hwspec import load_hardware

HARDWARE = load_hardware("dgx-spark", spec_types())
MEMORY: MemorySpec = HARDWARE.components["memory"]
DRAM: DramSpec = MEMORY.dram
CLOCKS = clocks_of(DRAM, MEMORY.data_rate)
CK_PS = 1e12 * 8 / 8533e6
ONE_RANK = DRAM.organisation.model_copy(update={"ranks": 1})
GROUP = DRAM.organisation.banks_per_group
SLOTS = 4  # clocks that a burst of 32 beats takes of the bus: 8 beats per clock
SAMPLING = 0.03  # of a rate: 16 refreshes of a run differ by what is queued when they come (two standard deviations)


def serve(accesses: list[Access], refresh: str = "off", clocks=CLOCKS, **policy) -> Controller:
    """One rank's controller after it served everything."""
    spec = DRAM.controller.model_copy(update=policy)
    ran = Controller(clocks, ONE_RANK, spec, accesses, refresh=refresh)
    ran.run()
    return ran


def reads(banks: list[int], rows: list[int]) -> list[Access]:
    return [Access(i, bank, row, is_write=False) for i, (bank, row) in enumerate(zip(banks, rows, strict=True))]


def span(accesses: list[Access], skip: int) -> int:
    """Clocks from the end of access `skip` to that of the last one."""
    ends = sorted(access.finished for access in accesses)
    return ends[-1] - ends[skip - 1]


# --- Closed forms ---


def test_open_rows_in_two_groups_keep_the_bus_busy() -> None:
    accesses = reads([i % 2 * GROUP for i in range(200)], [3] * 200)
    serve(accesses, page_policy="open")
    assert span(accesses, 20) == pytest.approx(180 * SLOTS, abs=SLOTS)


def test_an_open_row_alone_gets_half_of_the_bus() -> None:
    """The same bank group takes a BL32 burst every BL/n_max = 8 clocks."""
    accesses = reads([0] * 200, [3] * 200)
    serve(accesses, page_policy="open")
    assert span(accesses, 20) == 180 * 8


@pytest.mark.parametrize("die", ["8Gb", "16Gb", "32Gb"])
def test_one_open_row_loses_its_refreshes(die: str) -> None:
    """A REFab takes the bank from RD: BL/n + tRBTP to PREab, tRPab, tRFCab, and tRCD to the next RD."""
    organisation = ONE_RANK.model_copy(update={"die": die})
    clocks = clocks_of(DRAM.model_copy(update={"organisation": organisation}), MEMORY.data_rate)
    accesses = reads([0] * 2000, [3] * 2000)
    controller = serve(accesses, "all_bank", clocks, page_policy="open")
    n_refreshes = sum(each.name == "REFab" for each in controller.channel.log)
    lost = clocks.burst + clocks.n_rbtp + clocks.n_rp_ab + clocks.n_rfc_ab + clocks.n_rcd
    assert n_refreshes >= 3
    assert span(accesses, 1) == pytest.approx(1999 * 8 + n_refreshes * (lost - 8), abs=8 * n_refreshes)


def test_rows_of_one_bank_come_every_row_cycle() -> None:
    accesses = reads([0] * 60, list(range(60)))
    serve(accesses)
    own = max(CLOCKS.n_ras, CLOCKS.n_rcd + CLOCKS.burst + CLOCKS.n_rbtp) + CLOCKS.n_rp_pb
    assert span(accesses, 10) == 50 * own


@pytest.mark.parametrize("window_ns", [20, 60, 120])
def test_rows_of_all_banks_come_as_fast_as_the_tightest_of_their_limits(window_ns: int) -> None:
    """A row for every access: tRRD, tFAW / 4, tRC over the banks, or the bus, whichever is longest."""
    clocks = replace(CLOCKS, n_faw=-(-window_ns * 1000 // int(CK_PS)))
    accesses = reads([i * 5 % 16 for i in range(400)], list(range(400)))
    serve(accesses, clocks=clocks)
    each = max(clocks.n_rrd, clocks.n_faw / 4, clocks.n_rc / 16, SLOTS)
    assert span(accesses, 40) / 360 == pytest.approx(each, rel=0.01)


def test_lone_reads() -> None:
    """The controller's pipeline, then PRE, ACT and RD as far as they are needed, and the burst."""
    hit = CLOCKS.n_rl + CLOCKS.burst
    pipeline_ps = DRAM.controller.latency * 1e12
    for row, before in (("hit", 0), ("closed", CLOCKS.n_rcd), ("conflict", CLOCKS.n_rp_pb + CLOCKS.n_rcd)):
        assert unloaded_latency_ps(MEMORY, row) == pytest.approx(pipeline_ps + (before + hit) * CK_PS, abs=1)
    assert sustained(MEMORY, "read").latency_ps == unloaded_latency_ps(MEMORY, "closed")


@pytest.mark.parametrize(("refresh", "interval"), [("all_bank", CLOCKS.n_refi), ("per_bank", CLOCKS.n_refi // 8)])
def test_refresh_keeps_its_interval(refresh: str, interval: int) -> None:
    """As many refreshes as intervals went by, each late by no more than the rows take to close."""
    accesses = reads([i * 5 % 16 for i in range(4000)], [i // 8 for i in range(4000)])
    log = serve(accesses, refresh).channel.log
    clocks = [each.clock for each in log if each.name.startswith("REF")]
    assert len(clocks) >= 3
    late = [clock - (i + 1) * interval for i, clock in enumerate(clocks)]
    assert min(late) >= -8
    assert max(late) <= CLOCKS.n_ras + CLOCKS.burst + CLOCKS.n_rbtp + CLOCKS.n_rp_ab + 8


# --- Starvation ---


def flood(n: int, **late) -> list[Access]:
    """Hits to two open rows of rank 0, without end, and one access that comes among the first."""
    accesses = [Access(i, i % 2 * GROUP, 1, is_write=False) for i in range(n)]
    accesses[4] = Access(4, **late)
    return accesses


@pytest.mark.parametrize(
    ("bank", "row", "is_write"), [(16, 1, False), (0, 2, False), (0, 2, True)], ids=["other rank", "other row", "write"]
)
def test_an_old_access_is_served_within_a_bound(bank: int, row: int, is_write: bool) -> None:
    """Row hits may pass it, but not beyond the age limit and what its own row, a drain and a refresh take."""
    accesses = flood(3000, bank=bank, row=row, is_write=is_write)
    spec = DRAM.controller.model_copy(update={"page_policy": "open", "row_hit_cap": 10**6})
    Controller(CLOCKS, DRAM.organisation, spec, accesses, window=10**6).run()
    c = CLOCKS
    own = c.n_ras + c.n_wl + c.burst + c.n_wr + c.n_rp_pb + c.n_rcd + c.n_rl + c.burst
    bound = c.age_limit + own + spec.min_writes * c.ccd_l + c.n_rp_ab + c.n_rfc_ab
    assert accesses[4].finished - accesses[4].admitted <= bound


def test_without_an_age_limit_the_other_rank_starves() -> None:
    """What the limit is for: hits to the open rank always come a rank gap sooner."""
    accesses = flood(3000, bank=16, row=1, is_write=False)
    spec = DRAM.controller.model_copy(update={"page_policy": "open", "row_hit_cap": 10**6})
    Controller(replace(CLOCKS, age_limit=NEVER), DRAM.organisation, spec, accesses, refresh="off").run()
    assert sum(access.finished > accesses[4].finished for access in accesses) < 10


def test_the_cap_lets_another_row_of_the_bank_in() -> None:
    accesses = [Access(0, 0, 1, is_write=False), Access(1, 0, 2, is_write=False)]
    accesses += [Access(2 + i, 0, 1, is_write=False) for i in range(29)]
    log = serve(accesses, page_policy="open", row_hit_cap=5).channel.log
    order = [each.access for each in log if each.access >= 0]
    assert order.index(1) == 5


# --- Address mapping ---


@given(start=st.integers(0, 120_000_000), is_hashed=st.booleans(), interleave=st.sampled_from([64, 256, 4096]))
def test_two_addresses_never_share_a_place(start: int, is_hashed: bool, interleave: int) -> None:
    """512 KiB of addresses go to as many different places, evenly over the channels."""
    order = parse_order(DRAM.mapping.order, 2, 4, 4)
    mapping = AddressMap(16, interleave, order, is_hashed, 64)
    addresses = (np.arange(8192, dtype=np.int64) + start) * 64
    fields = mapping.fields_of(mapping.within_channel(addresses))
    places = np.stack([mapping.channel_of(addresses), *fields.values()])
    assert np.unique(places, axis=1).shape[1] == 8192
    assert np.bincount(places[0], minlength=16).max() <= 8192 / 16 + 4096 / 64
    for name, size in (("rank", 2), ("bank_group", 4), ("bank", 4), ("column", 32)):
        assert fields[name].min() >= 0
        assert fields[name].max() < size


def test_a_stride_that_meets_one_channel_is_spread_by_the_hash() -> None:
    order = parse_order(DRAM.mapping.order, 2, 4, 4)
    addresses = np.arange(4096, dtype=np.int64) * 4096  # 16 channels x 256 B
    plain = AddressMap(16, 256, order, False, 64).channel_of(addresses)
    hashed = AddressMap(16, 256, order, True, 64).channel_of(addresses)
    assert set(plain.tolist()) == {0}
    assert np.bincount(hashed, minlength=16).max() <= 1.1 * 4096 / 16


def test_pieces_of_a_stream_follow_each_other() -> None:
    """Every whole tile is read once and in full, by long reads; scattered reads have no tiles."""
    traffic = Traffic(streams=8)
    pieces = pieces_of("read", traffic, 8 * 96, MEMORY.capacity)
    tiles, counts = np.unique(pieces // traffic.tile, return_counts=True)
    assert len(tiles) <= 8 * 4
    assert counts.max() == traffic.tile // traffic.piece
    assert len(np.unique(pieces)) == len(pieces)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("organisation.die", "64Gb", "organisation.die is '64Gb', but timing.refresh_cycle has only 8Gb, 16Gb, 32Gb"),
        ("organisation.ranks", "3", "the number of ranks must be a power of two, not 3"),
        (
            "organisation.burst_length",
            "16",
            "mapping.order has 5 column bits: 1024 B at 32 B per burst, but organisation.page is 2048 B",
        ),
        ("organisation.burst_length", "8", "organisation.burst_length must be 16 or 32, not 8"),
        ("controller.write_low", "90 %", "controller.write_low must be less than controller.write_high"),
        ("timing.t_refi", "300 ns", "timing.t_refi is shorter than the refreshes that must fit into it"),
        (
            "mapping.order",
            "row bank column:5",
            "mapping.order must begin with row and name rank, bank and bank_group once, column at least once",
        ),
        (
            "mapping.order",
            "row rank bank bank_group colum:5",
            "mapping.order: 'colum:5' is not one of row, rank, bank, bank_group, column:BITS",
        ),
        ("mapping.channel_interleave", "96 B", "mapping.channel_interleave must be a multiple of the 64 B of a burst"),
    ],
)
def test_what_does_not_fit_together_is_refused(path: str, value: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        HARDWARE.override(f"memory.dram.{path}", value)
    assert [problem.message for problem in caught.value.problems] == [message]


# --- Rates ---


def test_the_one_set_holds_read_random_and_copy_at_once() -> None:
    rates = {kind: sustained(MEMORY, kind).bytes_per_s / 1e9 for kind in KINDS}
    assert 227 <= rates["read"] <= 241
    assert rates["random"] >= 0.95 * rates["read"]
    assert 211 <= rates["copy"] <= 238
    assert max(rates.values()) < MEMORY.bandwidth / 1e9


def test_reads_of_two_ranks_lose_what_a_full_queue_cannot_hide() -> None:
    """A refresh stops half of the traffic; the rest goes on until the queue holds nothing but what waits for it.

    With Q queued, Q more accesses of the other rank are served first, on average: the stopped rank's come one in two.
    """
    c = CLOCKS
    stopped = c.burst + c.n_rbtp + c.n_rp_ab + c.n_rfc_ab + c.n_rcd
    lost = 2 * (stopped - DRAM.controller.read_queue * SLOTS) / c.n_refi
    without = ablation(MEMORY)["no refresh"]["read"]
    assert sustained(MEMORY, "read").bytes_per_s == pytest.approx(without * (1 - lost), rel=SAMPLING)


@pytest.mark.parametrize("channels", [1, 12, 32])
def test_channels_add_up(channels: int) -> None:
    """Twice the channels, twice the rate; one channel, and a number that is no power of two, likewise."""
    other = MEMORY.model_copy(update={"channels": channels})
    for kind in ("random", "copy"):
        ratio = sustained(other, kind).bytes_per_s / sustained(MEMORY, kind).bytes_per_s
        assert ratio == pytest.approx(channels / 16, rel=2 * SAMPLING)


def test_a_faster_bus_gains_less_than_its_share_because_rows_and_refresh_stay() -> None:
    faster = MEMORY.model_copy(update={"data_rate": 2 * MEMORY.data_rate})
    gain = sustained(faster, "random").bytes_per_s / sustained(MEMORY, "random").bytes_per_s
    assert 1.2 < gain < 1.95


def test_each_mechanism_costs_something_where_it_acts() -> None:
    table = ablation(MEMORY)
    for kind in KINDS:
        assert table["no refresh"][kind] > 1.03 * table["all"][kind]
    for kind in ("read", "write", "random"):
        assert table["no turnaround"][kind] == table["all"][kind]  # one direction only
    assert table["no turnaround"]["copy"] > table["all"]["copy"]


def test_a_rate_is_the_same_every_time() -> None:
    parts = parts_of(MEMORY)
    first = rate_of(parts, "copy", Traffic())
    rate_of.cache_clear()
    assert rate_of(parts, "copy", Traffic()) == first


def test_the_given_rates_stand_beside_the_derived() -> None:
    table = beside_given(MEMORY)
    assert table["given"]["read"] == pytest.approx(MEMORY.bandwidth * MEMORY.sustained.read)
    assert table["given"]["copy"] == pytest.approx(225e9, rel=0.005)  # as the spec's source says
    for kind in ("read", "random", "copy"):
        assert table["derived"][kind] == pytest.approx(table["given"][kind], rel=0.06)
    assert as_text(table).splitlines()[0].split() == ["GB/s", *KINDS]


def test_without_a_dram_there_is_nothing_to_derive() -> None:
    with pytest.raises(ValueError, match="has no `dram`"):
        sustained(MEMORY.model_copy(update={"dram": None}), "read")
    with pytest.raises(ValueError, match="no kind of access 'reed'; there are read, write, random, copy"):
        sustained(MEMORY, "reed")


def test_the_other_worlds_are_worlds() -> None:
    """Every change of `ALTERNATIVES` names a field and gives a spec that loads; none is the spec as it stands."""
    assert DRAM not in [changed(parts_of(MEMORY), changes).dram for changes in ALTERNATIVES.values()]


def test_the_data_cannot_tell_these_worlds_apart() -> None:
    """What the record beside the code says: each holds read, random and copy at once, as the chosen set does."""
    for name in (
        "32 Gbit dies, 48 reads queued",
        "1 rank, 32 Gbit dies, 128 writes queued",
        "8 clocks between ranks, 64 reads, 128 writes",
    ):
        parts = changed(parts_of(MEMORY), ALTERNATIVES[name])
        rates = {kind: rate_of(parts, kind, Traffic()) / 1e9 for kind in ("read", "random", "copy")}
        assert 227 <= rates["read"] <= 241
        assert rates["random"] >= 0.95 * rates["read"]
        assert 211 <= rates["copy"] <= 238


def test_set_1_misses_read_as_recorded() -> None:
    """Per-bank refresh and 64 reads queued hide everything but the gaps between ranks."""
    name = "per-bank refresh, 64 reads queued (set 1)"
    rate = rate_of(changed(parts_of(MEMORY), ALTERNATIVES[name]), "read", Traffic())
    assert rate > 241e9
    assert rate == pytest.approx(0.985 * MEMORY.bandwidth, rel=0.01)


def test_reading_a_spec_does_not_load_numpy(root) -> None:
    """Every start of the program reads specs; deriving a rate is not part of it."""
    code = "import sys, sim.component; sys.exit('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, check=False
    )
    assert done.returncode == 0


def test_one_set_of_assumptions_holds_read_random_and_copy_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And of two other worlds the measurements rule out one: fully hidden refresh reads at 269 GB/s."""
    chosen = ("32 Gbit dies, 48 reads queued", "1 rank, per-bank refresh")
    monkeypatch.setattr("sim.component.lpddr5x.tables.ALTERNATIVES", {name: ALTERNATIVES[name] for name in chosen})
    table = alternatives(MEMORY)
    assert [MEASURED.hold(row) for row in table.values()] == [True, True, False]
    assert verdict(table) == (
        "The measurements cannot tell apart: as given; 32 Gbit dies, 48 reads queued. They rule out, unless something "
        "else than the DRAM binds: 1 rank, per-bank refresh."
    )
    assert [line.endswith("fits") for line in as_text(table, MEASURED).splitlines()] == [False, True, True, False]


@pytest.mark.parametrize("row", [
    {"read": 226e9, "random": 226e9, "copy": 220e9}, {"read": 242e9, "random": 242e9, "copy": 220e9},
    {"read": 230e9, "random": 217e9, "copy": 220e9}, {"read": 230e9, "random": 230e9, "copy": 210e9},
    {"read": 230e9, "random": 230e9, "copy": 239e9},
])  # fmt: skip
def test_each_bound_counts(row: dict[str, float]) -> None:
    assert MEASURED.hold({"read": 230e9, "random": 219e9, "copy": 220e9})
    assert not MEASURED.hold(row)
