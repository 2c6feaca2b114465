"""One channel's devices: which command may be issued when. No policy here: the controller decides, this file allows.

Time is whole clocks of CK. RAS timings count from the first of an ACT's two clocks, as Ramulator 2 does.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.component.lpddr5x.clocks import Clocks
from sim.component.lpddr5x.spec import OrganisationSpec

NEVER = 1 << 60
CLOSED = -1
CA_CLOCKS = {"ACT": 2, "PRE": 1, "PREab": 1, "RD": 1, "WR": 1, "RDA": 1, "WRA": 1, "REFab": 1, "REFpb": 1}
"""Clocks of the command bus. ACT is ACT-1 and ACT-2 back to back; all others take one clock (JESD209-5, CA at DDR)."""


class Command(NamedTuple):
    """A command as it was issued. `bank`: flat index in the channel (of the rank's first bank for PREab and REFab)."""

    clock: int
    name: str
    bank: int
    row: int = CLOSED
    access: int = -1


class Channel:
    """Banks, ranks, command bus and data bus of one channel.

    Lists are by flat bank (rank, bank group, bank), by flat group (rank, bank group) or by rank. Index 0 of a pair is
    for reads, 1 for writes. The lists are the earliest clocks that each level allows; a command may go when the latest
    of its levels does: `earliest_activate`, `earliest_precharge`, `earliest_column`.
    """

    def __init__(self, clocks: Clocks, organisation: OrganisationSpec) -> None:
        self.clocks = clocks
        self.banks_per_group = organisation.banks_per_group
        self.banks_per_rank = organisation.bank_groups * organisation.banks_per_group
        n_ranks = organisation.ranks
        n_banks = n_ranks * self.banks_per_rank
        self.n_banks, self.n_ranks = n_banks, n_ranks
        self.rank_of = [bank // self.banks_per_rank for bank in range(n_banks)]
        self.group_of = [bank // self.banks_per_group for bank in range(n_banks)]
        self.open_row = [CLOSED] * n_banks
        self.activate_at = [0] * n_banks
        self.precharge_at = [0] * n_banks
        self.bank_column_at = [0] * n_banks
        self._written_until = [0] * n_banks
        n_groups = n_ranks * organisation.bank_groups
        self.group_column_at = ([0] * n_groups, [0] * n_groups)
        self.rank_column_at = ([0] * n_ranks, [0] * n_ranks)
        self.rank_activate_at = [0] * n_ranks
        self.rank_precharge_at = [0] * n_ranks
        self.refresh_at = [0] * n_ranks
        self.bank_refresh_at = [0] * n_banks
        self._last_four = [[-NEVER] * 4 for _ in range(n_ranks)]
        self.ca_free = 0
        self.log: list[Command] = []
        self._burst_start = -NEVER
        self._burst_end = -NEVER
        self._fills_gap = True
        self._bus_rank = 0
        self._bus_write = False

    def earliest_activate(self, bank: int) -> int:
        """First clock for an ACT of a closed bank."""
        return max(self.activate_at[bank], self.rank_free(self.rank_of[bank]))

    def rank_free(self, rank: int) -> int:
        """First clock at which a rank and the command bus take an ACT to whatever bank."""
        four = self._last_four[rank][0] + self.clocks.n_faw
        return max(self.ca_free, self.rank_activate_at[rank], four)

    def earliest_precharge(self, bank: int) -> int:
        """First clock for a PRE of an open bank."""
        return max(self.ca_free, self.precharge_at[bank], self.rank_precharge_at[self.rank_of[bank]])

    def earliest_column(self, bank: int, *, is_write: bool) -> int:
        """First clock for a RD or WR to the open row of a bank."""
        rank = self.rank_of[bank]
        group = self.group_column_at[is_write][self.group_of[bank]]
        return self.bus_slot(rank, max(self.bank_column_at[bank], group), is_write=is_write)

    def bus_slot(self, rank: int, clock: int, *, is_write: bool) -> int:
        """First clock from `clock` on at which the rank, the command bus and the data bus take a RD or WR."""
        clocks = self.clocks
        latency = clocks.n_wl if is_write else clocks.n_rl
        clock = max(clock, self.ca_free, self.rank_column_at[is_write][rank])
        beat = clock + latency
        if rank == self._bus_rank and is_write is self._bus_write:
            gap = self._burst_start + clocks.slot
            if beat <= gap and not self._fills_gap:
                return gap - latency
            return max(beat, self._burst_start + clocks.burst) - latency
        gap = clocks.rank_gap if rank != self._bus_rank else 0
        if is_write and not self._bus_write:
            gap = max(gap, clocks.read_to_write_gap)
        return max(beat, self._burst_end + gap) - latency

    def activate(self, clock: int, bank: int, row: int) -> None:
        """ACT: opens `row`."""
        clocks, rank = self.clocks, self.rank_of[bank]
        self._issue(Command(clock, "ACT", bank, row))
        self.open_row[bank] = row
        self.activate_at[bank] = clock + clocks.n_rc
        self.bank_column_at[bank] = clock + clocks.n_rcd
        self.precharge_at[bank] = clock + clocks.n_ras
        self.rank_activate_at[rank] = max(self.rank_activate_at[rank], clock + clocks.n_rrd)
        self._last_four[rank] = [*self._last_four[rank][1:], clock]
        self.refresh_at[rank] = max(self.refresh_at[rank], clock + clocks.n_rc)
        self.bank_refresh_at[bank] = max(self.bank_refresh_at[bank], clock + clocks.n_rc)

    def precharge(self, clock: int, bank: int) -> None:
        """PRE: closes the row."""
        self._issue(Command(clock, "PRE", bank))
        self.rank_precharge_at[self.rank_of[bank]] = clock + self.clocks.n_ppd
        self._close(bank, clock + self.clocks.n_rp_pb)

    def earliest_precharge_all(self, rank: int) -> int:
        """First clock for a PREab of a rank: when every bank may close, those too that are closing by themselves."""
        return max(self.ca_free, self.rank_precharge_at[rank], *(self.precharge_at[b] for b in self.banks_of(rank)))

    def precharge_all(self, clock: int, rank: int) -> None:
        """PREab: closes every row of a rank."""
        self._issue(Command(clock, "PREab", rank * self.banks_per_rank))
        self.rank_precharge_at[rank] = clock + self.clocks.n_ppd
        for bank in self.banks_of(rank):
            self._close(bank, clock + self.clocks.n_rp_ab)

    def banks_of(self, rank: int) -> range:
        """The flat banks of a rank."""
        return range(rank * self.banks_per_rank, (rank + 1) * self.banks_per_rank)

    def may_close_behind(self, clock: int, bank: int, *, is_write: bool) -> bool:
        """Whether RDA or WRA may go in place of RD or WR: the device heeds tRAS by itself, but not an earlier tWR."""
        return is_write or self._written_until[bank] <= clock + self.clocks.burst + self.clocks.n_rbtp

    def column(self, clock: int, bank: int, access: int, *, is_write: bool, closes: bool) -> int:
        """RD or WR (RDA or WRA if the row `closes` behind it). Gives the clock of its last beat."""
        clocks, rank = self.clocks, self.rank_of[bank]
        name = ("WR" if is_write else "RD") + ("A" if closes else "")
        self._issue(Command(clock, name, bank, self.open_row[bank], access))
        start = clock + (clocks.n_wl if is_write else clocks.n_rl)
        is_same = rank == self._bus_rank and is_write is self._bus_write
        self._fills_gap = clocks.burst == clocks.slot or (is_same and start == self._burst_start + clocks.slot)
        self._burst_start, self._bus_rank, self._bus_write = start, rank, is_write
        self._burst_end = start + clocks.burst
        group = self.group_of[bank]
        columns = self.group_column_at[is_write]
        columns[group] = max(columns[group], clock + clocks.ccd_l)
        if is_write:
            end = self._burst_end
            reads = self.group_column_at[False]
            reads[group] = max(reads[group], clock + clocks.n_wl + clocks.ccd_l + clocks.n_wtr_l)
            self.rank_column_at[False][rank] = max(self.rank_column_at[False][rank], end + clocks.n_wtr_s)
            ready = self._written_until[bank] = end + clocks.n_wr
        else:
            ready = clock + clocks.burst + clocks.n_rbtp
        self.precharge_at[bank] = max(self.precharge_at[bank], ready)
        if closes:
            self._close(bank, self.precharge_at[bank] + clocks.n_rp_pb)
        return self._burst_end

    def earliest_refresh_all(self, rank: int) -> int:
        """First clock for a REFab of a rank whose banks are all closed."""
        return max(self.ca_free, self.refresh_at[rank])

    def refresh_all(self, clock: int, rank: int) -> None:
        """REFab: the whole rank is busy for tRFCab."""
        self._issue(Command(clock, "REFab", rank * self.banks_per_rank))
        until = clock + self.clocks.n_rfc_ab
        self.rank_activate_at[rank] = max(self.rank_activate_at[rank], until)
        self.refresh_at[rank] = until
        for bank in self.banks_of(rank):
            self.bank_refresh_at[bank] = max(self.bank_refresh_at[bank], until)

    def pair_of(self, rank: int, turn: int) -> tuple[int, int]:
        """The two banks that the `turn`-th REFpb of a rank refreshes: half a rank apart."""
        half = self.banks_per_rank // 2
        first = rank * self.banks_per_rank + turn % half
        return first, first + half

    def earliest_refresh_pair(self, pair: tuple[int, int]) -> int:
        """First clock for a REFpb of two closed banks. An ACT of the rank keeps tRRD before it, as before an ACT."""
        return max(self.ca_free, self.rank_activate_at[self.rank_of[pair[0]]], *(self.bank_refresh_at[b] for b in pair))

    def refresh_pair(self, clock: int, pair: tuple[int, int]) -> None:
        """REFpb: two banks are busy for tRFCpb, the others take an ACT after tpbR2act and a REFpb after tpbR2pbR."""
        clocks, rank = self.clocks, self.rank_of[pair[0]]
        self._issue(Command(clock, "REFpb", pair[0]))
        self.rank_activate_at[rank] = max(self.rank_activate_at[rank], clock + clocks.n_pbr2act)
        self.refresh_at[rank] = max(self.refresh_at[rank], clock + clocks.n_rfc_pb)
        for bank in self.banks_of(rank):
            self.bank_refresh_at[bank] = max(self.bank_refresh_at[bank], clock + clocks.n_pbr2pbr)
        for bank in pair:
            self.activate_at[bank] = max(self.activate_at[bank], clock + clocks.n_rfc_pb)
            self.bank_refresh_at[bank] = max(self.bank_refresh_at[bank], clock + clocks.n_rfc_pb)

    def _close(self, bank: int, activate_at: int) -> None:
        rank = self.rank_of[bank]
        self.open_row[bank] = CLOSED
        self.activate_at[bank] = max(self.activate_at[bank], activate_at)
        self.refresh_at[rank] = max(self.refresh_at[rank], activate_at)
        self.bank_refresh_at[bank] = max(self.bank_refresh_at[bank], activate_at)

    def _issue(self, command: Command) -> None:
        self.ca_free = command.clock + CA_CLOCKS[command.name]
        self.log.append(command)
