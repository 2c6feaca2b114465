"""What a hardware file may say about the DRAM behind a memory component: organisation, timing, controller, mapping."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sim.component.lpddr5x.order import parse_order
from sim.hwspec import Bytes, Count, Fraction, Seconds, SpecGroup


class OrganisationSpec(SpecGroup):
    """What hangs on a channel."""

    ranks: Count = Field(description="ranks that share a channel's bus")
    bank_groups: Count = Field(description="bank groups of a rank")
    banks_per_group: Count = Field(description="banks of a bank group")
    page: Bytes = Field(description="open row of a bank, all dies of the rank together")
    die: str = Field(description="density of a die, a key of timing.refresh_cycle")
    burst_length: Count = Field(description="beats of a column command, 16 or 32")


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
        description="fields of an address within a channel, highest first, with the bits of each part of a column: "
        "'row rank bank column:3 bank_group column:2'"
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
        own, timing, controller = self.organisation, self.timing, self.controller
        cycle = timing.refresh_cycle.get(own.die)
        if cycle is None:
            known = ", ".join(timing.refresh_cycle)
            raise ValueError(f"organisation.die is '{own.die}', but timing.refresh_cycle has only {known}")
        if own.burst_length not in (16, 32):
            raise ValueError(f"organisation.burst_length must be 16 or 32, not {own.burst_length}")
        if controller.write_low >= controller.write_high:
            raise ValueError("controller.write_low must be less than controller.write_high")
        pairs = own.bank_groups * own.banks_per_group // 2
        if max(cycle.all_bank, pairs * timing.t_pbr2pbr) >= timing.t_refi:
            raise ValueError("timing.t_refi is shorter than the refreshes that must fit into it")
        parse_order(self.mapping.order, own.ranks, own.bank_groups, own.banks_per_group)
        return self

    def check_geometry(self, channel_width: int) -> None:
        """Whether bursts, rows and addresses fit together on a channel of this width in bytes.

        Raises:
            ValueError: they do not; says which.
        """
        own = self.organisation
        access = own.burst_length * channel_width
        slices = parse_order(self.mapping.order, own.ranks, own.bank_groups, own.banks_per_group)
        bits = sum(part.bits or 0 for part in slices if part.field == "column")
        if access << bits != own.page:
            raise ValueError(
                f"mapping.order has {bits} column bits: {access << bits} B at {access} B per burst, but "
                f"organisation.page is {own.page} B"
            )
        if self.mapping.channel_interleave % access:
            raise ValueError(f"mapping.channel_interleave must be a multiple of the {access} B of a burst")
