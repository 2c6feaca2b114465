"""When a rank must be refreshed, and what that takes: REFab or REFpb, never postponed, ranks out of step."""

from __future__ import annotations

from sim.component.lpddr5x.channel import CLOSED, NEVER, Channel


class Refresh:
    """What every refresh policy answers. This one never refreshes: what is lost to refresh is seen by its absence."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.is_blocked = [False] * channel.n_banks
        """Banks that get no ACT and no column command because a refresh of theirs is due."""
        self.due_at = NEVER
        """The clock at which something becomes due next; `call` then."""

    def call(self, clock: int) -> None:
        """Marks what is due at `clock`."""

    def next_command(self) -> tuple[int, int]:
        """(first clock, rank) of the refresh's next command; (NEVER, 0) when nothing is due."""
        return NEVER, 0

    def issue(self, clock: int, rank: int) -> None:
        """Issues that command."""


class _Timed(Refresh):
    """Refresh of a kind in turn, with an interval; ranks start a fraction of it apart."""

    def __init__(self, channel: Channel, interval: int) -> None:
        super().__init__(channel)
        self._interval = interval
        self._next = [(rank + 1) * interval // channel.n_ranks for rank in range(channel.n_ranks)]
        self._is_due = [False] * channel.n_ranks
        self.due_at = min(self._next)

    def call(self, clock: int) -> None:
        """Blocks the banks whose turn has come."""
        for rank, at in enumerate(self._next):
            if at <= clock and not self._is_due[rank]:
                self._is_due[rank] = True
                for bank in self._banks(rank):
                    self.is_blocked[bank] = True
        self._look()

    def _look(self) -> None:
        self.due_at = min([at for rank, at in enumerate(self._next) if not self._is_due[rank]], default=NEVER)

    def _banks(self, rank: int) -> range | tuple[int, int]:
        raise NotImplementedError

    def _done(self, rank: int) -> None:
        for bank in self._banks(rank):
            self.is_blocked[bank] = False
        self._is_due[rank] = False
        self._next[rank] += self._interval
        self._look()

    def next_command(self) -> tuple[int, int]:
        """The earliest of what the ranks need."""
        if not any(self._is_due):
            return NEVER, 0
        return min(((self._earliest(rank), rank) for rank, due in enumerate(self._is_due) if due), default=(NEVER, 0))

    def _earliest(self, rank: int) -> int:
        raise NotImplementedError


class AllBankRefresh(_Timed):
    """REFab once per tREFI: the rank's rows are closed together, then it is busy for tRFCab."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel, channel.clocks.n_refi)

    def _banks(self, rank: int) -> range:
        return self._channel.banks_of(rank)

    def _is_open(self, rank: int) -> bool:
        return any(self._channel.open_row[bank] != CLOSED for bank in self._banks(rank))

    def _earliest(self, rank: int) -> int:
        channel = self._channel
        return channel.earliest_precharge_all(rank) if self._is_open(rank) else channel.earliest_refresh_all(rank)

    def issue(self, clock: int, rank: int) -> None:
        """PREab while a row is open, then REFab."""
        if self._is_open(rank):
            self._channel.precharge_all(clock, rank)
        else:
            self._channel.refresh_all(clock, rank)
            self._done(rank)


class PerBankRefresh(_Timed):
    """REFpb, two banks at a time and in turn, so that a rank's banks are all refreshed once per tREFI."""

    def __init__(self, channel: Channel) -> None:
        self._turn = [0] * channel.n_ranks
        super().__init__(channel, channel.clocks.n_refi_pb)

    def _banks(self, rank: int) -> tuple[int, int]:
        return self._channel.pair_of(rank, self._turn[rank])

    def _opened(self, rank: int) -> int | None:
        return next((bank for bank in self._banks(rank) if self._channel.open_row[bank] != CLOSED), None)

    def _earliest(self, rank: int) -> int:
        bank = self._opened(rank)
        if bank is not None:
            return self._channel.earliest_precharge(bank)
        return self._channel.earliest_refresh_pair(self._banks(rank))

    def issue(self, clock: int, rank: int) -> None:
        """PRE of the banks that are open, then REFpb."""
        bank = self._opened(rank)
        if bank is not None:
            self._channel.precharge(clock, bank)
            return
        self._channel.refresh_pair(clock, self._banks(rank))
        self._done(rank)
        self._turn[rank] += 1


POLICIES = {"all_bank": AllBankRefresh, "per_bank": PerBankRefresh, "off": Refresh}
