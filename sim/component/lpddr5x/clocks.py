"""JEDEC timings as whole clocks of CK: what the channel counts in."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from sim.component.lpddr5x.spec import DramSpec

BEATS_PER_WCK = 2
_EXACT = 1e-9  # a timing that is a whole number of clocks must not be rounded up by floating point


@dataclass(frozen=True, slots=True)
class Clocks:
    """Timings in clocks, by their JEDEC names (nRCD is tRCD in clocks), and what follows from the burst length.

    `burst`: clocks from a burst's first beat to its last (BL/n_min); `slot`: beats of 16 in clocks; `ccd_l`, `ccd_s`:
    column command to column command in the same and another bank group (BL/n_max and the 16-beat slot). A BL32 burst
    with bank groups is two slots of 16 beats with a gap of one slot, into which another bank group's burst fits.
    """

    ck_hz: float
    n_rcd: int
    n_rp_pb: int
    n_rp_ab: int
    n_ras: int
    n_rc: int
    n_rrd: int
    n_faw: int
    n_rl: int
    n_wl: int
    n_rbtp: int
    n_wr: int
    n_wtr_s: int
    n_wtr_l: int
    n_ppd: int
    rank_gap: int
    read_to_write_gap: int
    n_refi: int
    n_refi_pb: int
    n_rfc_ab: int
    n_rfc_pb: int
    n_pbr2pbr: int
    n_pbr2act: int
    slot: int
    burst: int
    ccd_s: int
    ccd_l: int
    row_timeout: int
    age_limit: int

    def seconds(self, clocks: float) -> float:
        """So many clocks as seconds."""
        return clocks / self.ck_hz


def clocks_of(dram: DramSpec, data_rate: float) -> Clocks:
    """The timings of `dram` at `data_rate` (transfers per second): ns rounded up to clocks, as JEDEC asks."""
    timing, organisation = dram.timing, dram.organisation
    ck_hz = data_rate / (BEATS_PER_WCK * timing.wck_per_ck)

    def n(seconds: float) -> int:
        return ceil(seconds * ck_hz - _EXACT)

    slot = ceil(16 / (BEATS_PER_WCK * timing.wck_per_ck))
    is_long = organisation.burst_length == 32
    cycle = timing.refresh_cycle[organisation.die]
    banks_refreshed = organisation.bank_groups * organisation.banks_per_group // 2
    return Clocks(
        ck_hz=ck_hz,
        n_rcd=n(timing.t_rcd),
        n_rp_pb=n(timing.t_rp_pb),
        n_rp_ab=n(timing.t_rp_ab),
        n_ras=n(timing.t_ras),
        n_rc=n(timing.t_ras) + n(timing.t_rp_pb),
        n_rrd=n(timing.t_rrd),
        n_faw=n(timing.t_faw),
        n_rl=n(timing.t_rl),
        n_wl=n(timing.t_wl),
        n_rbtp=n(timing.t_rbtp),
        n_wr=n(timing.t_wr),
        n_wtr_s=n(timing.t_wtr_s),
        n_wtr_l=n(timing.t_wtr_l),
        n_ppd=timing.t_ppd,
        rank_gap=timing.rank_gap,
        read_to_write_gap=timing.read_to_write_gap,
        n_refi=int(timing.t_refi * ck_hz + _EXACT),
        n_refi_pb=int(timing.t_refi * ck_hz / banks_refreshed + _EXACT),
        n_rfc_ab=n(cycle.all_bank),
        n_rfc_pb=n(cycle.per_bank),
        n_pbr2pbr=n(timing.t_pbr2pbr),
        n_pbr2act=n(timing.t_pbr2act),
        slot=slot,
        burst=3 * slot if is_long else slot,
        ccd_s=slot,
        ccd_l=4 * slot if is_long else 2 * slot,
        row_timeout=n(dram.controller.row_timeout),
        age_limit=n(dram.controller.age_limit),
    )
