"""A channel's controller: bounded queues, first ready first served, write drain, page policy. Policy only.

One command at a time: of all commands that could go next, the one that may go first; of those that tie, the one whose
access is oldest. Column commands go before row commands that would hold the command bus when the column's turn comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.component.lpddr5x.channel import CLOSED, NEVER, Channel
from sim.component.lpddr5x.clocks import Clocks
from sim.component.lpddr5x.refresh import POLICIES
from sim.component.lpddr5x.spec import ControllerSpec, OrganisationSpec

_ACT_CLOCKS = 2


@dataclass(slots=True, eq=False)
class Access:
    """One column command's worth of bytes: where it lies, when it came, when its last beat was on the bus."""

    number: int
    bank: int
    row: int
    is_write: bool
    arrival: int = 0
    admitted: int = -1
    finished: int = -1


class Controller:
    """Serves `accesses` in a channel of its own. Reads and writes are admitted each in order, as queues have room.

    `window`: how far reads may run ahead of writes and the reverse, in accesses (a copy's caches are finite); None for
    no limit. `refresh`: per_bank, all_bank or off; the spec's by default.
    """

    def __init__(
        self,
        clocks: Clocks,
        organisation: OrganisationSpec,
        spec: ControllerSpec,
        accesses: Sequence[Access],
        *,
        window: int | None = None,
        refresh: str | None = None,
    ) -> None:
        self.channel = Channel(clocks, organisation)
        self.refresh = POLICIES[refresh or spec.refresh](self.channel)
        self._spec, self._clocks = spec, clocks
        self._waiting = [[each for each in reversed(accesses) if each.is_write is kind] for kind in (False, True)]
        self._room = [spec.read_queue, spec.write_queue]
        self._limit = len(accesses) if window is None else window
        self._is_mixed = all(self._waiting)
        self._last_arrival = max((each.arrival for each in accesses), default=0)
        self._admitted = [0, 0]
        self._queues: list[list[list[Access]]] = [[[] for _ in range(self.channel.n_banks)] for _ in range(2)]
        self._order: list[dict[int, Access]] = [{}, {}]
        self._hits = [0] * self.channel.n_banks
        self._used = [0] * self.channel.n_banks
        self._is_closing = spec.page_policy == "closed"
        self._high = max(1, round(spec.write_high * spec.write_queue))
        self._low = round(spec.write_low * spec.write_queue)
        self.is_writing = False
        self._served_this_way = 0
        self._nobody_is_old_before = 0
        self._columns: dict[int, Access] = {}
        self._rows: dict[int, tuple[int, int]] = {}

    def run(self, until: int = NEVER) -> None:
        """Issues commands until everything is served, or up to the clock `until`."""
        channel = self.channel
        while True:
            now = channel.ca_free
            if now >= self.refresh.due_at:
                self.refresh.call(now)
                self._look_at_all()
            self._admit(now)
            if not self._order[0] and not self._order[1]:
                if not self._skip_idle():
                    return
                continue
            self._choose_direction(now)
            if not self._step(until):
                return

    def _skip_idle(self) -> bool:
        """Nothing is queued: on to the next arrival, or to a refresh that is due before it. False: all is served."""
        arrivals = [queue[-1].arrival for queue in self._waiting if queue]
        if not arrivals:
            return False
        clock, rank = self.refresh.next_command()
        if clock < min(arrivals):
            self.refresh.issue(clock, rank)
            self._look_at_all()
        else:
            self.channel.ca_free = max(self.channel.ca_free, min(*arrivals, self.refresh.due_at))
        return True

    def _admit(self, now: int) -> None:
        for kind in (0, 1):
            waiting, other = self._waiting[kind], self._waiting[1 - kind]
            while waiting and self._room[kind] and waiting[-1].arrival <= now:
                if self._is_mixed and other and self._admitted[kind] - self._admitted[1 - kind] >= self._limit:
                    break
                access = waiting.pop()
                access.admitted = max(now, access.arrival)
                self._queues[kind][access.bank].append(access)
                self._order[kind][access.number] = access
                self._admitted[kind] += 1
                self._room[kind] -= 1
                self._look_at(access.bank)

    def _choose_direction(self, now: int) -> None:
        """Reads go first, until writes fill their queue to the high mark, grow old, or are all there is."""
        reads, writes = self._order
        has_served_enough = self._served_this_way >= self._spec.min_writes
        if self.is_writing:
            is_enough = has_served_enough and (len(writes) <= self._low or self._oldest_if_old(reads, now) is not None)
            is_to_turn = bool(reads) and (not writes or is_enough)
        else:
            is_urgent = len(writes) >= self._high or self._oldest_if_old(writes, now) is not None
            is_kept = not has_served_enough and self._oldest_if_old(reads, now) is not None
            is_to_turn = bool(writes) and (not reads or (is_urgent and not is_kept))
        if is_to_turn:
            self.is_writing, self._served_this_way = not self.is_writing, 0
            self._look_at_all()

    def _oldest_if_old(self, order: dict[int, Access], now: int) -> Access | None:
        """The oldest access of a direction, if it waits longer than anything should: nothing may pass it any more."""
        if now <= self._nobody_is_old_before:
            return None
        oldest = [next(iter(each.values())) for each in self._order if each]
        limit = self._clocks.age_limit
        self._nobody_is_old_before = min(each.admitted for each in oldest) + limit if oldest else now
        if not order:
            return None
        first = next(iter(order.values()))
        return first if now - first.admitted > limit else None

    def _step(self, until: int) -> bool:
        """Issues one command. False when the next one would come at `until` or later."""
        channel = self.channel
        old = self._oldest_if_old(self._order[self.is_writing], channel.ca_free)
        column_at, column = self._best_column(old)
        row_at, bank, row = self._best_row(old)
        refresh_at, rank = self.refresh.next_command()
        command_at, change_at = min(column_at, row_at, refresh_at), min(self.refresh.due_at, self._next_arrival())
        if min(command_at, change_at) >= until:
            return False
        if change_at < command_at:
            channel.ca_free = change_at
        elif refresh_at <= command_at:
            self.refresh.issue(refresh_at, rank)
            self._look_at_all()
        elif column is not None and column_at < row_at + _ACT_CLOCKS:
            self._serve(column_at, column)
        else:
            if row == CLOSED:
                channel.precharge(row_at, bank)
            else:
                channel.activate(row_at, bank, row)
                self._hits[bank] = 0
            self._look_at(bank)
        return True

    def _next_arrival(self) -> int:
        now = self.channel.ca_free
        if now >= self._last_arrival:
            return NEVER
        return min([queue[-1].arrival for queue in self._waiting if queue and queue[-1].arrival > now], default=NEVER)

    def _look_at_all(self) -> None:
        for bank in range(self.channel.n_banks):
            self._look_at(bank)

    def _look_at(self, bank: int) -> None:
        """Notes what a bank wants after something changed there: a column command, an ACT, a precharge, or nothing."""
        self._columns.pop(bank, None)
        self._rows.pop(bank, None)
        if self.refresh.is_blocked[bank]:
            return
        opened = self.channel.open_row[bank]
        ours = self._queues[self.is_writing][bank]
        queue = ours or self._queues[not self.is_writing][bank]
        if not queue:
            if opened != CLOSED:
                self._rows[bank] = (NEVER, CLOSED)
            return
        first = queue[0]
        hit = self._hit(queue, opened, bank) if opened != CLOSED else None
        if opened == CLOSED:
            self._rows[bank] = (first.number, first.row)
        elif hit is None:
            self._rows[bank] = (first.number, CLOSED)
        elif ours:
            self._columns[bank] = hit

    def _hit(self, queue: list[Access], row: int, bank: int) -> Access | None:
        """The oldest access to the open row, unless the row had its share and another one waits."""
        if queue[0].row == row:
            return queue[0]
        if self._hits[bank] >= self._spec.row_hit_cap:
            return None
        return next((access for access in queue if access.row == row), None)

    def _best_column(self, old: Access | None) -> tuple[int, Access | None]:
        """The column command that may go first: its clock and its access."""
        channel, kind = self.channel, self.is_writing
        groups, group_of = channel.group_column_at[kind], channel.group_of
        ready, rank_of = channel.bank_column_at, channel.rank_of
        free = [channel.bus_slot(rank, 0, is_write=kind) for rank in range(channel.n_ranks)]
        best_at, best, number = NEVER, None, NEVER
        for bank, access in self._columns.items():
            if old is not None and access is not old:
                continue
            at, other, rank = ready[bank], groups[group_of[bank]], rank_of[bank]
            at = at if at > other else other
            if at <= free[rank]:
                at = free[rank]
            elif at > best_at:
                continue
            else:
                at = channel.bus_slot(rank, at, is_write=kind)
            if at < best_at or (at == best_at and access.number < number):
                best_at, best, number = at, access, access.number
        return best_at, best

    def _best_row(self, old: Access | None) -> tuple[int, int, int]:
        """The row command that may go first: (clock, bank, row to open), or the row CLOSED for a precharge."""
        channel = self.channel
        if old is not None and not self.refresh.is_blocked[old.bank]:
            opened = channel.open_row[old.bank]
            if opened not in (CLOSED, old.row):
                return channel.earliest_precharge(old.bank), old.bank, CLOSED
            if opened == CLOSED:
                self._rows[old.bank] = (old.number, old.row)
        best = (NEVER, NEVER, 0, CLOSED)
        free = [channel.rank_free(rank) for rank in range(channel.n_ranks)] if self._rows else []
        for bank, (number, row) in self._rows.items():
            if row != CLOSED:
                at = max(free[channel.rank_of[bank]], channel.activate_at[bank])
            else:
                at = channel.earliest_precharge(bank)
                if number == NEVER:
                    at = at if self._is_closing else max(at, self._used[bank] + self._clocks.row_timeout)
            if at < best[0] or (at == best[0] and number < best[1]):
                best = (at, number, bank, row)
        return best[0], best[2], best[3]

    def _serve(self, clock: int, access: Access) -> None:
        kind, bank, row = access.is_write, access.bank, access.row
        queue = self._queues[kind][bank]
        queue.remove(access)
        del self._order[kind][access.number]
        self._room[kind] += 1
        self._served_this_way += 1
        self._hits[bank] += 1
        self._used[bank] = clock
        is_wanted = any(other.row == row for both in self._queues for other in both[bank])
        closes = self._is_closing and not is_wanted and self.channel.may_close_behind(clock, bank, is_write=kind)
        access.finished = self.channel.column(clock, bank, access.number, is_write=kind, closes=closes)
        self._look_at(bank)
