"""What a server draws: watts of like steps, simulated once each, times how long it was busy with them."""

from __future__ import annotations

from functools import lru_cache

from sim.component.power import GpuLoad, PowerSpec
from sim.hwspec import HardwareSpec
from sim.result.energy import RAILS, PowerSample
from sim.result.served_energy import ServedEnergy
from sim.serving.activity import Activity, Prefilling
from sim.serving.knots import power_knots, sequence_knots
from sim.system.energy import Draw, draw_of, gpu_name, other_watts, power_of, sample_of
from sim.system.step_cost import StepSimulator

Watts = dict[str, float]
FEW = 8
"""Tokens of prompts for each sequence that decodes, from which on the prompts alone decide."""


class ServerPower:
    """Watts of a server's steps. Contexts are taken at powers of two and sequences at the table's knots.

    A step counts as if it took as long as its work on the GPU; where the host takes longer it draws less than is said.
    """

    def __init__(self, simulator: StepSimulator, hardware: HardwareSpec, power: PowerSpec, *, is_unified: bool) -> None:
        self._simulator, self._hardware, self._power = simulator, hardware, power
        self._is_unified = is_unified
        self._of = lru_cache(maxsize=None)(self._watts)

    def energy(self, activity: Activity, total_ps: int) -> ServedEnergy:
        """Of everything that a server did in `total_ps`, idle time included."""
        joules = dict.fromkeys(RAILS, 0.0)
        busy_ps = 0
        for sequences, decoding in activity.decoding.items():
            if decoding.ps:
                self._add(joules, self._decode(sequences, decoding.context_ps // decoding.ps), decoding.ps)
                busy_ps += decoding.ps
        for prefilling in activity.prefilling.values():
            self._add(joules, self._prefill(prefilling), prefilling.ps)
            busy_ps += prefilling.ps
        self._add(joules, self._idle(), max(0, total_ps - busy_ps))
        return ServedEnergy(joules, total_ps * 1e-12)

    @staticmethod
    def _add(joules: Watts, watts: Watts, ps: int) -> None:
        for rail in RAILS:
            joules[rail] += watts[rail] * ps * 1e-12

    def _decode(self, sequences: int, context: int) -> Watts:
        """Linear between the numbers of sequences that the step table has."""
        keys = _rounded(context // sequences)
        lower, upper = sequence_knots(sequences)
        first, last = self._of(lower, keys, 0, 0), self._of(upper, keys, 0, 0)
        share = (sequences - lower) / (upper - lower) if upper > lower else 0.0
        return {rail: first[rail] + (last[rail] - first[rail]) * share for rail in RAILS}

    def _prefill(self, found: Prefilling) -> Watts:
        """Of the mean step of these, rounded so that few are simulated."""
        tokens = _rounded(found.tokens // found.steps)
        seen = max(tokens, _rounded(found.seen // max(1, found.tokens)))
        sequences = found.decoding // found.steps
        # A few that decode beside a long piece hardly move its watts, and the table has simulated the piece alone.
        sequences = sequence_knots(sequences)[0] if sequences * FEW > tokens else 0
        context = _rounded(found.context // found.decoding) if sequences else 0
        return self._of(sequences, context, tokens, seen)

    def _watts(self, sequences: int, context: int, tokens: int, seen: int) -> Watts:
        """Simulate one such step."""
        query = self._simulator.query  # with drafts: what verifies; they draw about the same
        decode = (sequences, query, context + query - 1)
        if self._is_unified:
            decode = (1, sequences * query, max(sequences * query, context * sequences))
        groups = tuple(group for group in (decode, (1, tokens, seen)) if group[0] * group[1])
        outputs = sequences * query + bool(tokens)
        return self._rails(draw_of(self._simulator.trace(groups, outputs), self._hardware, self._power))

    def _idle(self) -> Watts:
        """A process that waits for requests: a context is there, and no kernel runs."""
        gpu = self._power.gpu
        assert gpu is not None
        return self._rails(Draw(1.0, {}, GpuLoad(gpu.context, 0.0), 0.0, 0.0, other_watts(self._hardware)))

    def _rails(self, draw: Draw) -> Watts:
        power = self._power
        unlimited = power.ceiling(self._hardware.components[gpu_name(self._hardware)].clock, None)  # type: ignore[attr-defined]
        assert power.box is not None
        clock = power.sustained_clock(draw.load, unlimited, draw.cpu_w + power.box.fabric)
        sample: PowerSample = sample_of("", 0.0, 1.0, clock, draw, power, None)
        return {rail: float(getattr(sample, f"{rail}_w")) for rail in RAILS}


def _rounded(number: int) -> int:
    """The nearest power of two."""
    low, high = power_knots(max(1, number))
    return low if number - low <= high - number else high


def server_power(simulator: StepSimulator, hardware: HardwareSpec, *, is_unified: bool) -> ServerPower | None:
    """What counts a server's energy; None where the machine's rails are not described."""
    power = power_of(hardware)
    return None if power is None else ServerPower(simulator, hardware, power, is_unified=is_unified)
