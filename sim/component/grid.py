"""The grid scheduler: how many CTAs fit an SM, which CTA runs where, and which SMs are in the same state.

CTAs are dealt breadth first: CTA i goes to SM i mod n, as the hardware does while CTAs of a wave take equally long.
Where they do not (kinds of different length) each goes to the SM with the least work so far, longest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heapreplace

from sim.cost.program import Kernel

PHASES = 6
"""Groups of CTAs that a long kernel's are spread over, at least: SMs times CTAs per SM times stages."""


@dataclass(frozen=True, slots=True)
class SmLimits:
    """What bounds residency on one SM (bytes, counts)."""

    shared_bytes: int
    registers: int
    threads: int
    ctas: int


@dataclass(frozen=True, slots=True)
class SmClass:
    """`count` SMs (the `members`) that run equally long programs: one of them is simulated for all.

    `phase`: how far they lag behind the first SMs, as a share of a K-step (see `drift`).
    """

    members: tuple[int, ...]
    visits: int
    steps_of: tuple[int, ...]
    phase: float = 0.0

    @property
    def count(self) -> int:
        """SMs in the class."""
        return len(self.members)


def occupancy(kernel: Kernel, limits: SmLimits) -> int:
    """CTAs of `kernel` that one SM holds at once; at least 1 (what does not fit would not be chosen)."""
    bounds = [kernel.ctas_per_sm or limits.ctas, limits.threads // max(1, kernel.threads)]
    if kernel.shared_bytes:
        bounds.append(limits.shared_bytes // kernel.shared_bytes)
    if kernel.registers:
        bounds.append(limits.registers // (kernel.registers * kernel.threads))
    return max(1, min(bounds))


def deal(kernel: Kernel, sms: int, slots: int) -> list[SmClass]:
    """Group the SMs into classes that run the same sequence of tile lengths.

    `sms`: SMs of the GPU; `slots`: resident CTAs per SM. Returns classes, most work first.
    """
    if kernel.schedule == "persistent":
        return _deal_persistent(kernel, sms, slots)
    lengths = _deal_kinds(kernel, sms) if kernel.kinds else None
    if kernel.shares:
        classes = _members(kernel)
    elif lengths is None:
        whole, rest = divmod(kernel.tiles, sms)
        classes = [
            (tuple(range(rest)), (kernel.n_steps,) * (whole + 1)),
            (tuple(range(rest, sms)), (kernel.n_steps,) * whole),
        ]
    else:
        groups: dict[tuple[int, ...], list[int]] = {}
        for sm, sequence in enumerate(lengths):
            groups.setdefault(sequence, []).append(sm)
        classes = [(tuple(members), sequence) for sequence, members in groups.items()]
    found = [SmClass(members, len(steps), steps) for members, steps in classes if members and steps]
    return sorted(found, key=lambda c: -sum(c.steps_of))


def _members(kernel: Kernel) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """SMs and their tiles, as the kernel says who takes what."""
    first = 0
    classes = []
    for count, steps in kernel.shares:
        classes.append((tuple(range(first, first + count)), steps))
        first += count
    return classes


def drift(classes: list[SmClass], phases: int) -> list[SmClass]:
    """The same SMs in about `phases` groups that are evenly spread over a K-step.

    In lock step all SMs would fetch at once and then leave the memory idle; real ones drift apart (an SM that is ahead
    finds the memory idle and gets further ahead), so that some compute while others fetch.
    """
    sms = sum(one.count for one in classes)
    shares = [min(one.count, max(1, round(phases * one.count / sms))) for one in classes]
    groups: list[SmClass] = []
    for one, share in zip(classes, shares, strict=True):
        for part in range(share):
            groups.append(SmClass(one.members[part::share], one.visits, one.steps_of, len(groups) / sum(shares)))
    return groups


def _workers(kernel: Kernel, sms: int, slots: int) -> int:
    return min(kernel.ctas or sms * slots, sms * slots, kernel.total_steps)


def _deal_persistent(kernel: Kernel, sms: int, slots: int) -> list[SmClass]:
    """Stream-k: every worker an equal contiguous share of all K-steps; tile borders fall where they fall."""
    if kernel.loads and slots == 1:
        return _deal_loads(kernel)
    workers = _workers(kernel, sms, slots)
    slots = max(1, workers // sms)
    active = min(sms, workers)
    whole, rest = divmod(kernel.total_steps, workers)
    per_sm = [slots + 1 if sm < workers - slots * active else slots for sm in range(active)]
    more = rest
    visits_of: dict[tuple[int, int], tuple[int, ...]] = {}
    groups: dict[tuple[int, ...], list[int]] = {}
    for sm, count in enumerate(per_sm):
        longer = min(count, more)
        more -= longer
        if (count, longer) not in visits_of:
            lengths = [whole + 1] * longer + [whole] * (count - longer)
            visits_of[count, longer] = _interleaved(lengths, kernel.n_steps)
        groups.setdefault(visits_of[count, longer], []).append(sm)
    return [SmClass(tuple(members), len(visits), visits) for visits, members in groups.items() if visits]


def _deal_loads(kernel: Kernel) -> list[SmClass]:
    """One CTA per SM with a share of the K-steps by `kernel.loads`; the last group takes what rounding leaves over."""
    mean = kernel.total_steps / sum(count * load for count, load in kernel.loads)
    left, first = kernel.total_steps, 0
    classes: list[SmClass] = []
    for index, (count, load) in enumerate(kernel.loads):
        is_last = index == len(kernel.loads) - 1
        whole, more = divmod(left, count) if is_last else (min(round(load * mean), left // count), 0)
        for members, steps in ((more, whole + 1), (count - more, whole)):
            visits = _interleaved([steps], kernel.n_steps)
            if members and visits:
                classes.append(SmClass(tuple(range(first, first + members)), len(visits), visits))
            first += members
        left -= count * whole + more
    return classes


def _interleaved(lengths: list[int], n_steps: int) -> tuple[int, ...]:
    """The tile visits of workers that share an SM, turn by turn: whole tiles first, then what is left of each."""
    queues = [[n_steps] * (length // n_steps) + ([length % n_steps] if length % n_steps else []) for length in lengths]
    visits: list[int] = []
    for turn in range(max((len(queue) for queue in queues), default=0)):
        visits += [queue[turn] for queue in queues if turn < len(queue)]
    return tuple(visits)


def _deal_kinds(kernel: Kernel, sms: int) -> list[tuple[int, ...]]:
    """Greedy list schedule: the next CTA to the SM with the least work so far (ties: lowest number)."""
    loads = [(0, sm) for sm in range(sms)]
    sequences: list[list[int]] = [[] for _ in range(sms)]
    for count, steps in kernel.kinds:
        rounds, rest = divmod(count, sms)
        if rounds:
            loads = [(load + rounds * steps, sm) for load, sm in loads]
            for sequence in sequences:
                sequence.extend([steps] * rounds)
        heapify(loads)
        for _ in range(rest):
            load, sm = loads[0]
            sequences[sm].append(steps)
            heapreplace(loads, (load + max(1, steps), sm))  # one without a K-step takes time too
    return [tuple(sequence) for sequence in sequences]


def tiles_of(kernel: Kernel, members: list[int], k: int, sms: int, slots: int) -> list[int]:
    """Indices of the tiles that the SMs `members` work on in their k-th visit (for panel look-ups)."""
    if kernel.schedule != "persistent":
        return [member + k * sms for member in members]
    workers = _workers(kernel, sms, slots)
    per_sm, active, n_steps, total = max(1, workers // sms), min(sms, workers), kernel.n_steps, kernel.total_steps
    first, later = (k % per_sm) * active, k // per_sm
    return [((member + first) * total // workers) // n_steps + later for member in members]
