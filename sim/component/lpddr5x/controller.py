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


@dataclass(slots=True)
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
    """Serves `accesses` in a channel of its own. Reads and writes are admitted each in their order, as queues have room.

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
        self._admitted = [0, 0]
        self._queues: list[list[list[Access]]] = [[[] for _ in range(self.channel.n_banks)] for _ in range(2)]
        self._order: list[dict[int, Access]] = [{}, {}]
        self._hits = [0] * self.channel.n_banks
        self._used = [0] * self.channel.n_banks
        self._high = max(1, round(spec.write_high * spec.write_queue))
        self._low = round(spec.write_low * spec.write_queue)
        self.is_writing = False
        self._served_this_way = 0

    def run(self, until: int = NEVER) -> None:
        """Issues commands until everything is served, or up to the clock `until`."""
        channel = self.channel
        while True:
            now = channel.ca_free
            if now >= self.refresh.due_at:
                self.refresh.call(now)
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
        else:
            self.channel.ca_free = max(self.channel.ca_free, min(min(arrivals), self.refresh.due_at))
        return True

    def _admit(self, now: int) -> None:
        for kind in (0, 1):
            waiting, room, ahead = self._waiting[kind], self._room[kind], self._limit
            while waiting and room and waiting[-1].arrival <= now:
                if self._is_mixed and self._admitted[kind] - self._admitted[1 - kind] >= ahead and self._waiting[1 - kind]:
                    break
                access = waiting.pop()
                access.admitted = max(now, access.arrival)
                self._queues[kind][access.bank].append(access)
                self._order[kind][access.number] = access
                self._admitted[kind] += 1
                room -= 1
            self._room[kind] = room

    def _choose_direction(self, now: int) -> None:
        """Reads go first, until writes fill their queue to the high mark, grow old, or are all there is."""
        reads, writes = self._order
        spec = self._spec
        if self.is_writing:
            is_enough = len(writes) <= self._low and self._served_this_way >= spec.min_writes
            is_late = self._served_this_way >= spec.min_writes and self._is_old(reads, now)
            if reads and (not writes or is_enough or is_late):
                self.is_writing, self._served_this_way = False, 0
            return
        is_urgent = len(writes) >= self._high or self._is_old(writes, now)
        is_late = self._is_old(reads, now) and self._served_this_way < spec.min_writes
        if writes and (not reads or (is_urgent and not is_late)):
            self.is_writing, self._served_this_way = True, 0

    def _is_old(self, order: dict[int, Access], now: int) -> bool:
        """Whether the oldest access of a direction waits longer than anything should."""
        if not order:
            return False
        return now - next(iter(order.values())).admitted > self._clocks.age_limit

    def _step(self, until: int) -> bool:
        """Issues one command. False when the next one would come at `until` or later."""
        channel = self.channel
        column_at, column = self._best_column()
        row_at, row_bank, row = self._best_row()
        refresh_at, rank = self.refresh.next_command()
        command_at, change_at = min(column_at, row_at, refresh_at), min(self.refresh.due_at, self._next_arrival())
        if min(command_at, change_at) >= until:
            return False
        if change_at < command_at:
            channel.ca_free = change_at
        elif refresh_at <= command_at:
            self.refresh.issue(refresh_at, rank)
        elif column is not None and column_at < row_at + _ACT_CLOCKS:
            self._serve(column_at, column)
        elif row == CLOSED:
            channel.precharge(row_at, row_bank)
        else:
            channel.activate(row_at, row_bank, row)
            self._hits[row_bank] = 0
        return True

    def _next_arrival(self) -> int:
        now = self.channel.ca_free
        return min((queue[-1].arrival for queue in self._waiting if queue and queue[-1].arrival > now), default=NEVER)

    def _best_column(self) -> tuple[int, Access | None]:
        """The column command that may go first: its clock and its access."""
        kind = self.is_writing
        channel, blocked = self.channel, self.refresh.is_blocked
        old = self._oldest_if_late()
        queues, opened = self._queues[kind], channel.open_row
        groups, group_of, ready = channel.group_column_at[kind], channel.group_of, channel.bank_column_at
        free = [channel.bus_slot(rank, 0, is_write=kind) for rank in range(channel.n_ranks)]
        best_at, best = NEVER, None
        for bank, queue in enumerate(queues):
            row = opened[bank]
            if row == CLOSED or not queue or blocked[bank]:
                continue
            access = self._hit(queue, row, bank)
            if access is None or (old is not None and access is not old):
                continue
            at = max(ready[bank], groups[group_of[bank]])
            rank = channel.rank_of[bank]
            at = free[rank] if at <= free[rank] else channel.bus_slot(rank, at, is_write=kind)
            if at < best_at or (at == best_at and best is not None and access.number < best.number):
                best_at, best = at, access
        return best_at, best

    def _oldest_if_late(self) -> Access | None:
        """The oldest access of this direction if it is over the age limit: nothing may pass it any more."""
        order = self._order[self.is_writing]
        return next(iter(order.values())) if self._is_old(order, self.channel.ca_free) else None

    def _hit(self, queue: list[Access], row: int, bank: int) -> Access | None:
        """The oldest access to the open row, unless the row had its share and another one waits."""
        if queue[0].row == row:
            return queue[0]
        if self._hits[bank] >= self._spec.row_hit_cap:
            return None
        return next((access for access in queue if access.row == row), None)

    def _best_row(self) -> tuple[int, int, int]:
        """The row command that may go first: (clock, bank, row to open), or the row CLOSED for a precharge."""
        channel, blocked = self.channel, self.refresh.is_blocked
        old = self._oldest_if_late()
        ours, theirs = self._queues[self.is_writing], self._queues[not self.is_writing]
        best = (NEVER, NEVER, 0, CLOSED)
        for bank, row in enumerate(channel.open_row):
            queue = ours[bank] or theirs[bank]
            if not queue or blocked[bank]:
                if row != CLOSED and not blocked[bank] and not queue:
                    best = min(best, (self._close_idle_at(bank), NEVER, bank, CLOSED))
                continue
            first = old if old is not None and old.bank == bank else queue[0]
            if row == CLOSED:
                best = min(best, (channel.earliest_activate(bank), first.number, bank, first.row))
            elif row != first.row and (first is old or self._hit(queue, row, bank) is None):
                best = min(best, (channel.earliest_precharge(bank), first.number, bank, CLOSED))
        return best[0], best[2], best[3]

    def _close_idle_at(self, bank: int) -> int:
        """When an open row that nothing queued wants is closed."""
        return max(self.channel.earliest_precharge(bank), self._used[bank] + self._clocks.row_timeout)

    def _serve(self, clock: int, access: Access) -> None:
        kind, bank = access.is_write, access.bank
        queue = self._queues[kind][bank]
        queue.remove(access)
        del self._order[kind][access.number]
        self._room[kind] += 1
        self._served_this_way += 1
        self._hits[bank] += 1
        self._used[bank] = clock
        row = access.row
        both = (*queue, *self._queues[not kind][bank])
        closes = self._spec.page_policy == "closed" and not any(other.row == row for other in both)
        access.finished = self.channel.column(clock, bank, access.number, is_write=kind, closes=closes)
