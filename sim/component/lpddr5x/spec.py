"""What a hardware file may say about the DRAM behind a memory component: organisation, timing, controller, mapping."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sim.component.lpddr5x.mapping import parse_order
from sim.hwspec import Bytes, Count, Fraction, Seconds, SpecGroup


class OrganisationSpec(SpecGroup):
    """What hangs on a channel."""

    ranks: Count = Field(description="ranks that share a channel's bus")
    bank_groups: Count = Field(description="bank groups of a rank")
    banks_per_group: Count = Field(description="banks of a bank group")
    page: Bytes = Field(description="open row of a bank, all dies of the rank together")
    die: str = Field(description="density of a die, a key of timing.refresh_cycle")
    burst_length: Literal[16, 32] = Field(description="beats of a column command")


class RefreshCycleSpec(SpecGroup):
    """How long a refresh occupies what it refreshes."""

    all_bank: Seconds = Field(description="tRFCab: REFab to the next command of the rank")
    per_bank: Seconds = Field(description="tRFCpb: REFpb to the next command of the banks")


class TimingSpec(SpecGroup):
    """Core timings by their JEDEC names. They stay in ns when the data rate changes and are rounded up to clocks."""

    t_rcd: Seconds = Field(description="tRCD: ACT to column command")
    t_rp_pb: Seconds = Field(description="tRPpb: precharge of one bank to its ACT")
    t_rp_ab: Seconds = Field(description="tRPab: precharge of all banks to ACT")
    t_ras: Seconds = Field(description="tRAS: ACT to precharge")
    t_rrd: Seconds = Field(description="tRRD: ACT to ACT, other bank")
    t_faw: Seconds = Field(description="tFAW: window of four ACTs")
    t_rl: Seconds = Field(description="RL: RD to its first beat")
    t_wl: Seconds = Field(description="WL: WR to its first beat")
    t_rbtp: Seconds = Field(description="tRBTP: end of a read burst to precharge")
    t_wr: Seconds = Field(description="tWR: end of a write burst to precharge")
    t_wtr_s: Seconds = Field(description="tWTR_S: end of a write burst to RD, other bank group")
    t_wtr_l: Seconds = Field(description="tWTR_L: end of a write burst to RD, same bank group")
    t_ppd: Count = Field(description="tPPD: precharge to precharge, in clocks")
    rank_gap: Count = Field(description="clocks between bursts of two ranks on the bus")
    read_to_write_gap: Count = Field(description="clocks between a read burst and a write burst on the bus")
    wck_per_ck: Count = Field(description="cycles of the data clock WCK per cycle of the command clock CK")
    t_refi: Seconds = Field(description="tREFI: average interval of all-bank refresh")
    t_pbr2pbr: Seconds = Field(description="tpbR2pbR: REFpb to REFpb of other banks")
    t_pbr2act: Seconds = Field(description="tpbR2act: REFpb to ACT of other banks")
    refresh_cycle: dict[str, RefreshCycleSpec] = Field(description="tRFC by density of a die")


class ControllerSpec(SpecGroup):
    """Queues and policy of a channel's controller: first ready, first come, first served."""

    read_queue: Count = Field(description="reads that a channel queues")
    write_queue: Count = Field(description="writes that a channel queues")
    write_high: Fraction = Field(description="writes are drained when the write queue is this full")
    write_low: Fraction = Field(description="and until it is this full")
    min_writes: Count = Field(description="least writes before reads go on, if reads wait")
    page_policy: Literal["closed", "open"] = Field(
        description="closed: a row closes when nothing queued wants it; open: it stays until something conflicts"
    )
    row_timeout: Seconds = Field(description="an open row that nobody used for so long is closed (page_policy open)")
    row_hit_cap: Count = Field(description="most accesses to a row in sequence while another row of the bank waits")
    age_limit: Seconds = Field(description="an access that waited so long goes before everything else")
    refresh: Literal["per_bank", "all_bank"] = Field(description="which refresh command is used")
    latency: Seconds = Field(description="pipeline of the controller and the PHY, there and back")


class MappingSpec(SpecGroup):
    """How an address finds its channel, rank, bank and row."""

    channel_interleave: Bytes = Field(description="consecutive bytes in one channel")
    order: str = Field(
        description="fields of an address within a channel, highest first, as 'row rank bank column:3 bank_group column:2'"
        " (a field's bits after the colon; the last of a field takes what is left)"
    )
    is_hashed: bool = Field(description="channel and banks are XORed with higher bits of the address")


class DramSpec(SpecGroup):
    """The DRAM of a memory component, enough to derive what it sustains."""

    organisation: OrganisationSpec = Field(description="ranks, banks, rows")
    timing: TimingSpec = Field(description="JEDEC timings")
    controller: ControllerSpec = Field(description="queues and policy")
    mapping: MappingSpec = Field(description="address to channel, rank, bank, row")

    @model_validator(mode="after")
    def _hangs_together(self) -> DramSpec:
        known = ", ".join(self.timing.refresh_cycle)
        if self.organisation.die not in self.timing.refresh_cycle:
            text = f"organisation.die is '{self.organisation.die}', but timing.refresh_cycle has only {known}"
            raise ValueError(text)
        if self.controller.write_low >= self.controller.write_high:
            raise ValueError("controller.write_low must be less than controller.write_high")
        organisation = self.organisation
        parse_order(self.mapping.order, organisation.ranks, organisation.bank_groups, organisation.banks_per_group)
        return self
