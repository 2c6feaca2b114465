"""Does the LPDDR5X channel allow each command at exactly the clock that JEDEC's constraints give, and never before?

In Ramulator 2's spirit: a device under test, one constraint at a time, expected clocks computed from the spec's ns.
Every list of commands that the controller issues is then checked again by rules that know nothing of the scheduler.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.component import spec_types
from sim.component.lpddr5x.channel import CA_CLOCKS, Channel, Command
from sim.component.lpddr5x.clocks import Clocks, clocks_of
from sim.component.lpddr5x.controller import Access, Controller
from sim.component.lpddr5x.spec import DramSpec, OrganisationSpec
from sim.hwspec import load_hardware

DATA_RATE = 8533e6
DRAM: DramSpec = load_hardware("dgx-spark", spec_types()).components["memory"].dram
CLOCKS = clocks_of(DRAM, DATA_RATE)
TIMING = DRAM.timing
# One bank of each relation to bank 0 in the order rank, bank group, bank: 2 x 4 x 4.
SAME_GROUP, OTHER_GROUP, OTHER_RANK = 1, 4, 16


def n(seconds: float) -> int:
    """Whole clocks of CK, which runs at an eighth of the data rate (WCK:CK 4:1, two beats per WCK)."""
    return ceil(seconds * DATA_RATE / 8 - 1e-9)


RL, WL = n(21.25e-9), n(11.25e-9)
BL32_SPAN, SLOT, CCD_L = (
    6,
    2,
    8,
)  # clocks: two slots of 16 beats with one between, a slot, BL/n_max (JESD209-5 table 330)


class Dut:
    """A channel with bank 0's row 7 open, in command of the test."""

    def __init__(self, clocks: Clocks = CLOCKS, *opened: int) -> None:
        self.channel = Channel(clocks, DRAM.organisation)
        self.at = 0
        for bank in opened:
            self.at = self.channel.earliest_activate(bank)
            self.channel.activate(self.at, bank, 7)
        self.settle()

    def settle(self) -> None:
        """Lets every constraint run out."""
        self.at = self.channel.ca_free = self.at + 1000

    def read(self, bank: int) -> int:
        """RD as soon as it may go; its clock."""
        return self._column(bank, is_write=False)

    def write(self, bank: int) -> int:
        """WR as soon as it may go; its clock."""
        return self._column(bank, is_write=True)

    def _column(self, bank: int, *, is_write: bool) -> int:
        at = self.channel.earliest_column(bank, is_write=is_write)
        self.channel.column(at, bank, 0, is_write=is_write, closes=False)
        return at

    def activate(self, bank: int) -> int:
        """ACT as soon as it may go; its clock."""
        at = self.channel.earliest_activate(bank)
        self.channel.activate(at, bank, 7)
        return at


def test_spec_in_clocks() -> None:
    """Times are rounded up to clocks of 937.5 ps; at 6,400 MT/s they are those of Ramulator 2's LPDDR5_6400 preset."""
    assert (CLOCKS.n_rl, CLOCKS.n_wl) == (RL, WL) == (23, 12)
    slow = clocks_of(DRAM, 6400e6)
    assert (slow.n_rl, slow.n_rcd, slow.n_rp_pb, slow.n_ras, slow.n_rc) == (17, 15, 15, 34, 49)
    assert (slow.n_wr, slow.n_wl, slow.n_wtr_s, slow.n_wtr_l, slow.n_faw) == (28, 9, 5, 10, 16)
    assert slow.slot + slow.n_rbtp == 8  # nRTP of a BL16 burst


def test_rcd_to_read_and_write() -> None:
    dut = Dut()
    at = dut.activate(0)
    assert dut.channel.earliest_column(0, is_write=False) == at + n(TIMING.t_rcd)
    assert dut.channel.earliest_column(0, is_write=True) == at + n(TIMING.t_rcd)


def test_ras_then_rp_make_rc() -> None:
    dut = Dut()
    at = dut.activate(0)
    assert dut.channel.earliest_precharge(0) == at + n(TIMING.t_ras)
    dut.channel.precharge(at + n(TIMING.t_ras), 0)
    assert dut.channel.earliest_activate(0) == at + n(TIMING.t_ras) + n(TIMING.t_rp_pb)


def test_rp_counts_from_a_late_precharge() -> None:
    dut = Dut(CLOCKS, 0)
    dut.channel.precharge(dut.at, 0)
    assert dut.channel.earliest_activate(0) == dut.at + n(TIMING.t_rp_pb)


def test_precharge_to_precharge() -> None:
    dut = Dut(CLOCKS, 0, 1)
    dut.channel.precharge(dut.at, 0)
    assert dut.channel.earliest_precharge(1) == dut.at + TIMING.t_ppd


@pytest.mark.parametrize("bank", [SAME_GROUP, OTHER_GROUP])
def test_rrd(bank: int) -> None:
    dut = Dut()
    at = dut.activate(0)
    assert dut.channel.earliest_activate(bank) == at + n(TIMING.t_rrd)


def test_an_activate_of_the_other_rank_waits_for_the_command_bus_only() -> None:
    dut = Dut()
    at = dut.activate(0)
    assert dut.channel.earliest_activate(OTHER_RANK) == at + 2  # ACT-1 and ACT-2


def test_the_fifth_activate_waits_for_faw() -> None:
    clocks = replace(CLOCKS, n_faw=n(40e-9))  # as in 8-bank mode, where the window binds more than tRRD
    dut = Dut(clocks)
    first, *_ = [dut.activate(bank) for bank in range(4)]
    assert dut.channel.earliest_activate(4) == first + n(40e-9)
    assert dut.channel.earliest_activate(OTHER_RANK) < first + n(40e-9)


@pytest.mark.parametrize("is_write", [False, True])
def test_ccd(is_write: bool) -> None:
    """The other group's burst goes into the gap of a BL32 burst, the same group's only after BL/n_max."""
    dut = Dut(CLOCKS, 0, SAME_GROUP, OTHER_GROUP)
    at = dut.write(0) if is_write else dut.read(0)
    assert dut.channel.earliest_column(SAME_GROUP, is_write=is_write) == at + CCD_L
    assert dut.channel.earliest_column(OTHER_GROUP, is_write=is_write) == at + SLOT


def test_a_third_burst_waits_for_both_that_share_slots() -> None:
    dut = Dut(CLOCKS, 0, OTHER_GROUP, 2 * OTHER_GROUP)
    first = dut.read(0)
    assert dut.read(OTHER_GROUP) == first + SLOT
    assert dut.channel.earliest_column(2 * OTHER_GROUP, is_write=False) == first + 4 * SLOT


def test_a_burst_that_missed_the_gap_waits_for_the_whole_burst() -> None:
    dut = Dut(CLOCKS, 0, OTHER_GROUP)
    first = dut.read(0)
    assert dut.channel.bus_slot(0, first + SLOT + 1, is_write=False) == first + BL32_SPAN


@pytest.mark.parametrize(
    ("bank", "expected"),
    [(0, WL + CCD_L + n(12e-9)), (SAME_GROUP, WL + CCD_L + n(12e-9)), (OTHER_GROUP, WL + BL32_SPAN + n(6.25e-9))],
)
def test_wtr(bank: int, expected: int) -> None:
    """WR to RD: WL + BL/n_max + tWTR_L in a group, WL + BL/n_min + tWTR_S in another (JESD209-5 tables 331-333)."""
    dut = Dut(CLOCKS, 0, SAME_GROUP, OTHER_GROUP)
    at = dut.write(0)
    assert dut.channel.earliest_column(bank, is_write=False) == at + expected


def test_rtw() -> None:
    """RD to WR: RL + BL/n + 2 - WL (Ramulator 2, from JESD209-5B tables 339 and 342)."""
    dut = Dut(CLOCKS, 0, OTHER_GROUP)
    at = dut.read(0)
    assert dut.channel.earliest_column(OTHER_GROUP, is_write=True) == at + RL + BL32_SPAN + 2 - WL


def test_bursts_of_two_ranks_keep_their_distance_on_the_bus() -> None:
    gap = 10
    dut = Dut(replace(CLOCKS, rank_gap=gap), 0, OTHER_RANK)
    at = dut.read(0)
    assert dut.channel.earliest_column(OTHER_RANK, is_write=False) == at + BL32_SPAN + gap
    dut.settle()
    at = dut.write(0)
    assert dut.channel.earliest_column(OTHER_RANK, is_write=False) == at + WL + BL32_SPAN + gap - RL


def test_rtp_and_wr() -> None:
    dut = Dut(CLOCKS, 0)
    assert dut.channel.earliest_precharge(0) == dut.at
    at = dut.read(0)
    assert dut.channel.earliest_precharge(0) == at + BL32_SPAN + n(TIMING.t_rbtp)
    dut.settle()
    at = dut.write(0)
    assert dut.channel.earliest_precharge(0) == at + WL + BL32_SPAN + n(TIMING.t_wr)


def test_a_read_may_not_close_the_row_before_an_earlier_write_recovered() -> None:
    """RDA precharges at BL/n + tRBTP; the device waits for tRAS by itself, the controller must see to tWR."""
    dut = Dut(replace(CLOCKS, n_wtr_l=1), 0)
    recovered = dut.write(0) + WL + BL32_SPAN + n(TIMING.t_wr)
    first = recovered - BL32_SPAN - n(TIMING.t_rbtp)
    assert not dut.channel.may_close_behind(first - 1, 0, is_write=False)
    assert dut.channel.may_close_behind(first, 0, is_write=False)
    assert dut.channel.may_close_behind(first - 1, 0, is_write=True)


def test_precharge_of_all_waits_for_a_bank_that_closes_by_itself() -> None:
    """WRA to PREab: WL + BL/n + tWR, as to PRE of its bank."""
    dut = Dut(CLOCKS, 0, 5)
    dut.channel.column(dut.at, 0, 0, is_write=True, closes=True)
    assert dut.channel.earliest_precharge_all(0) == dut.at + WL + BL32_SPAN + n(TIMING.t_wr)


def test_all_bank_refresh() -> None:
    dut = Dut(CLOCKS, 0, 5)
    dut.channel.precharge_all(dut.at, 0)
    start = dut.channel.earliest_refresh_all(0)
    assert start == dut.at + n(TIMING.t_rp_ab)
    dut.channel.refresh_all(start, 0)
    assert dut.channel.earliest_activate(9) == start + n(280e-9)  # JESD209-5B table 235, 16 Gbit
    assert dut.channel.earliest_activate(OTHER_RANK) == start + 1
    assert dut.channel.earliest_refresh_all(0) == start + n(280e-9)


def test_per_bank_refresh() -> None:
    dut = Dut()
    start = dut.channel.earliest_refresh_pair((0, 8))
    dut.channel.refresh_pair(start, (0, 8))
    assert dut.channel.earliest_activate(0) == dut.channel.earliest_activate(8) == start + n(140e-9)
    assert dut.channel.earliest_activate(1) == start + n(7.5e-9)
    assert dut.channel.earliest_refresh_pair((1, 9)) == start + n(90e-9)


# --- What the controller issues, against rules of their own ---


class Rules:
    """The constraints as a list of distances, applied to a finished list of commands. `found`: what is broken."""

    def __init__(self, log: list[Command], clocks: Clocks, organisation: OrganisationSpec) -> None:
        self.clocks, self.per_group = clocks, organisation.banks_per_group
        self.per_rank = organisation.bank_groups * organisation.banks_per_group
        self.found: list[str] = []
        events = self._with_hidden_precharges(log)
        self._walk(events)
        self._bus([each for each in log if each.access >= 0])
        for one, two in pairwise(log):
            self._apart(one, two, CA_CLOCKS[one.name], "command bus")

    def _apart(self, one: Command, two: Command, least: int, why: str) -> None:
        if two.clock - one.clock < least:
            self.found.append(f"{why}: {one} then {two}, {least} clocks at least")

    def _with_hidden_precharges(self, log: list[Command]) -> list[Command]:
        """RDA and WRA as RD and WR, and the precharge that the device does by itself as soon as it may."""
        c, events, opened = self.clocks, [], {}
        for each in log:
            events.append(each._replace(name=each.name[:2]) if each.access >= 0 else each)
            if each.name == "ACT":
                opened[each.bank] = each.clock
            if each.name in ("RDA", "WRA"):
                ready = each.clock + (c.burst + c.n_rbtp if each.name == "RDA" else c.n_wl + c.burst + c.n_wr)
                at = max(ready, opened[each.bank] + c.n_ras)
                events.append(Command(at, "own PRE", each.bank))
        return sorted(events, key=lambda each: each.clock)

    def _least(self, one: Command, two: Command) -> int:
        """Clocks from `one` to `two` by JESD209-5: the greatest of all rules that fit the pair."""
        c = self.clocks
        bank, rank = one.bank == two.bank, one.bank // self.per_rank == two.bank // self.per_rank
        group = one.bank // self.per_group == two.bank // self.per_group
        pair = rank and (one.bank - two.bank) % (self.per_rank // 2) == 0
        shuts = one.name in ("PRE", "own PRE")
        rules = [
            (c.n_rc, bank and (one.name, two.name) == ("ACT", "ACT")),
            (c.n_rcd, bank and one.name == "ACT" and two.name in ("RD", "WR")),
            (c.n_ras, one.name == "ACT" and self._is_closing(two, bank, rank)),
            (c.n_rrd, rank and one.name == "ACT" and two.name in ("ACT", "REFpb")),
            (c.n_rp_pb, shuts and bank and two.name == "ACT"),
            (c.n_rp_pb, shuts and rank and (two.name == "REFab" or (pair and two.name == "REFpb"))),
            (c.n_rp_ab, rank and one.name == "PREab" and two.name in ("ACT", "REFab", "REFpb")),
            (c.n_ppd, rank and one.name in ("PRE", "PREab") and two.name in ("PRE", "PREab")),
            (c.burst + c.n_rbtp, one.name == "RD" and self._is_closing(two, bank, rank)),
            (c.n_wl + c.burst + c.n_wr, one.name == "WR" and self._is_closing(two, bank, rank)),
            (c.ccd_l, group and (one.name, two.name) in (("RD", "RD"), ("WR", "WR"))),
            (c.n_wl + c.burst + c.n_wtr_s, rank and (one.name, two.name) == ("WR", "RD")),
            (c.n_wl + c.ccd_l + c.n_wtr_l, group and (one.name, two.name) == ("WR", "RD")),
            (c.n_rfc_ab, rank and one.name == "REFab" and two.name in ("ACT", "REFab", "REFpb")),
            (c.n_rfc_pb, one.name == "REFpb" and ((pair and two.name == "ACT") or (rank and two.name == "REFab"))),
            (c.n_pbr2act, rank and (one.name, two.name) == ("REFpb", "ACT")),
            (c.n_pbr2pbr, rank and (one.name, two.name) == ("REFpb", "REFpb")),
        ]  # fmt: skip
        return max((least for least, fits in rules if fits), default=0)

    @staticmethod
    def _is_closing(two: Command, bank: bool, rank: bool) -> bool:
        return (bank and two.name in ("PRE", "own PRE")) or (rank and two.name == "PREab")

    def _walk(self, events: list[Command]) -> None:
        longest = max(self.clocks.n_rfc_ab, self.clocks.n_wl + self.clocks.burst + self.clocks.n_wr)
        rows: dict[int, int] = {}
        activates: dict[int, list[int]] = {}
        recent: list[Command] = []
        for event in events:
            recent = [each for each in recent if event.clock - each.clock <= longest]
            for each in recent:
                self._apart(each, event, self._least(each, event), "pair")
            recent.append(event)
            self._state(event, rows)
            if event.name == "ACT":
                mine = activates.setdefault(event.bank // self.per_rank, [])
                if len(mine) >= 4 and event.clock - mine[-4] < self.clocks.n_faw:
                    self.found.append(f"tFAW: {event}")
                mine.append(event.clock)

    def _state(self, event: Command, rows: dict[int, int]) -> None:
        ranks_banks = range(event.bank, event.bank + self.per_rank)
        is_wrong = {
            "ACT": event.bank in rows,
            "RD": rows.get(event.bank) != event.row,
            "WR": rows.get(event.bank) != event.row,
            "REFab": any(bank in rows for bank in ranks_banks),
            "REFpb": event.bank in rows or event.bank + self.per_rank // 2 in rows,
        }
        if is_wrong.get(event.name, False):
            self.found.append(f"state of the bank: {event}")
        if event.name == "ACT":
            rows[event.bank] = event.row
        for bank in ranks_banks if event.name == "PREab" else [event.bank] if event.name in ("PRE", "own PRE") else []:
            rows.pop(bank, None)

    def _bus(self, columns: list[Command]) -> None:
        """Slots of 16 beats do not meet; ranks and directions keep their gap."""
        c = self.clocks
        bursts = []
        for each in columns:
            is_write = each.name.startswith("WR")
            start = each.clock + (c.n_wl if is_write else c.n_rl)
            bursts.append((start, each.bank // self.per_rank, is_write))
        bursts.sort()
        for index, (start, rank, is_write) in enumerate(bursts):
            for other, other_rank, other_write in bursts[max(0, index - 4) : index]:
                gap = c.rank_gap if rank != other_rank else 0
                gap = max(gap, c.read_to_write_gap if is_write and not other_write else 0)
                if (rank, is_write) != (other_rank, other_write):
                    is_clear = start >= other + c.burst + gap
                else:
                    is_clear = not {start, start + c.burst - c.slot} & set(self._taken(other))
                if not is_clear:
                    self.found.append(f"data bus: bursts at {other} and {start}")

    def _taken(self, start: int) -> list[int]:
        """Starts that would meet a burst's slots: within a slot's length of either."""
        c = self.clocks
        own = {start, start + c.burst - c.slot}
        return [each + shift for each in own for shift in range(1 - c.slot, c.slot)]


STREAMS = st.lists(
    st.tuples(st.integers(0, 31), st.integers(0, 2), st.booleans(), st.sampled_from([0, 0, 0, 1, 7, 60, 400])),
    min_size=1,
    max_size=80,
)


def _accesses(stream: list[tuple[int, int, bool, int]], n_banks: int) -> list[Access]:
    made, clock = [], 0
    for number, (bank, row, is_write, gap) in enumerate(stream):
        clock += gap
        made.append(Access(number, bank % n_banks, row, is_write, clock))
    return made


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    stream=STREAMS,
    refresh=st.sampled_from(["all_bank", "per_bank", "off"]),
    page_policy=st.sampled_from(["closed", "open"]),
    ranks=st.sampled_from([1, 2]),
    burst_length=st.sampled_from([16, 32]),
    queue=st.sampled_from([2, 5, 32]),
    age_limit=st.sampled_from([100e-9, 2e-6]),
    cap=st.sampled_from([1, 16]),
)
def test_no_command_comes_too_early_and_every_access_is_served_once(
    stream, refresh, page_policy, ranks, burst_length, queue, age_limit, cap
) -> None:
    """With refresh far more often than JEDEC asks, so that it meets everything else."""
    organisation = DRAM.organisation.model_copy(update={"ranks": ranks, "burst_length": burst_length})
    queues = {"read_queue": queue, "write_queue": queue}
    policy = {"page_policy": page_policy, "row_hit_cap": cap, "age_limit": age_limit}
    controller = DRAM.controller.model_copy(update=queues | policy)
    dram = DRAM.model_copy(update={"organisation": organisation, "controller": controller})
    clocks = replace(clocks_of(dram, DATA_RATE), n_refi=700, n_refi_pb=170)
    accesses = _accesses(stream, 16 * ranks)
    ran = Controller(clocks, organisation, controller, accesses, refresh=refresh)
    ran.run()
    assert Rules(ran.channel.log, clocks, organisation).found == []
    served = [(each.access, each.bank, each.row, each.name[0] == "W") for each in ran.channel.log if each.access >= 0]
    assert sorted(served) == [(each.number, each.bank, each.row, each.is_write) for each in accesses]
    assert all(each.arrival <= each.admitted < each.finished for each in accesses)


ALMOST = replace(CLOCKS, n_faw=CLOCKS.n_faw + 8, n_refi=900, n_refi_pb=130)
"""The spec's timings with a window that binds and refresh that comes often."""


@cache
def _issued(field: str, shorter: int, refresh: str) -> list[Command]:
    """The commands of a busy schedule on a device that has one timing shortened."""
    stream = [(7 * i % 32, i // 3 % 3, i % 24 >= 12, 0) for i in range(300)]
    stream += [(i % 3, i // 2 % 2, i % 5 == 0, 150) for i in range(60)]
    spec = DRAM.controller.model_copy(update={"write_high": 0.2, "write_low": 0.1, "min_writes": 2})
    clocks = replace(ALMOST, **{field: getattr(ALMOST, field) - shorter})
    ran = Controller(clocks, DRAM.organisation, spec, _accesses(stream, 32), refresh=refresh)
    ran.run()
    return ran.channel.log


ALL_BANK = [
    "n_rcd",
    "n_rp_pb",
    "n_rp_ab",
    "n_ras",
    "n_rrd",
    "n_rbtp",
    "n_wr",
    "n_wtr_s",
    "n_wtr_l",
    "ccd_l",
    "n_rfc_ab",
]
PER_BANK = ["n_rfc_pb", "n_pbr2act", "n_pbr2pbr"]
BUS = ["rank_gap", "read_to_write_gap"]


@pytest.mark.parametrize("refresh", ["all_bank", "per_bank"])
def test_the_rules_find_nothing_wrong_with_the_device_as_it_is(refresh: str) -> None:
    assert Rules(_issued("n_rcd", 0, refresh), ALMOST, DRAM.organisation).found == []


@pytest.mark.parametrize(
    ("field", "shorter", "refresh"),
    [("n_faw", 9, "all_bank"), *((field, 1, "all_bank") for field in ALL_BANK + BUS)]
    + [(field, 60 if field == "n_pbr2pbr" else 1, "per_bank") for field in PER_BANK],
)
def test_the_rules_notice_a_device_that_is_too_fast(field: str, shorter: int, refresh: str) -> None:
    """The checker itself can fail: what a device does that is too fast in one timing breaks the true rules."""
    assert Rules(_issued(field, shorter, refresh), ALMOST, DRAM.organisation).found != []
