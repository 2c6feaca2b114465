"""Simulates one engine step of a server and takes its time apart, for `serving.StepTable`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from sim.component import Component
from sim.component.estimate import estimator
from sim.cost.kernel import Lowering
from sim.engine import Engine
from sim.hwspec import HardwareSpec
from sim.result.laws import check_laws
from sim.result.trace import StepTrace, Trace
from sim.serving.step_table import Group, Host, StepCost, StepTable, Verifying
from sim.system.execute import LaunchCosts, StepRunner
from sim.system.machine import Machine
from sim.system.prediction import launch_costs, profile_store, runnable
from sim.units import ps_from_seconds
from sim.workload.graph import Step
from sim.workload.layer_spec import AttentionSpec
from sim.workload.lower import Pass, drafting_blocks
from sim.workload.mixed_step import MixedPass, build_mixed_step, is_of_tail, part_of
from sim.workload.model import ModelSpec
from sim.workload.op import Gemm
from sim.workload.quant import QuantRecipe, formats
from sim.workload.runtime import RuntimeSpec
from sim.workload.speculate import Speculation

TRACES = 64
"""So many steps are kept whole: who counts energy asks for some of them again."""


class StepSimulator:
    """Simulates engine steps of a model on a runtime on a machine; kernels that come again are not simulated again.

    `prompt_skew`: how uneven the experts are that tokens of one prompt choose; the model's own is that of tokens of
    different sequences, as in a step in which all decode. A step with a piece of a prompt is mostly that. `guess`:
    drafts that steps verify.
    """

    def __init__(
        self,
        hardware: HardwareSpec,
        model: ModelSpec,
        quant: QuantRecipe,
        runtime: RuntimeSpec,
        kv_dtype: str,
        cache: str | Path | None,
        types: dict[str, type[Component]],
        progress: Callable[[str], None] | None = None,
        *,
        prompt_skew: float | None = None,
        guess: Speculation | None = None,
    ) -> None:
        self._known = lru_cache(maxsize=TRACES)(self._traced)
        self._model, self._quant, self._kv_dtype = model, quant, kv_dtype
        self._of_a_prompt = model if prompt_skew is None else replace(model, expert_skew=prompt_skew)
        self._machine = machine = Machine(hardware, types, cache)
        self._runtime = runtime
        self.guess = guess
        self.query = guess.drafts + 1 if guess is not None else 1
        """Tokens of a sequence that decodes in a step."""
        self._progress = progress
        self._store = store = profile_store(machine, cache, is_full=False)
        own = runtime.with_units(machine.gpu.flop_per_clock_per_sm)
        held = own.at_sustained_clock(machine.gpu.sustained_share)
        lowering = Lowering(held, formats(), machine.gpu.sms, estimator(machine.device(Engine())))

        def costs(phase: str, tokens: int) -> LaunchCosts:
            return replace(launch_costs(machine, runtime, phase, tokens), host_step_ps=0)

        self._runner = StepRunner(lowering, lambda kernel: store.profile(runnable(machine, kernel)), costs, machine)

    def trace(self, groups: Sequence[Group], outputs: int) -> StepTrace:
        """One step: groups of (sequences, new tokens each, keys that the last of them sees), without the host's time.

        Raises:
            InputError: no kernel for an op.
            LawError: a law is broken.
        """
        return self._known(tuple(groups), outputs)

    def _traced(self, groups: tuple[Group, ...], outputs: int) -> StepTrace:
        parts = tuple(Pass(number, query, context, number * query) for number, query, context in groups)
        is_decode = all(query in (1, self.query) for _, query, _ in groups)
        tokens = sum(part.outputs for part in parts)
        mixed = MixedPass(
            parts, outputs, self._runtime.graph_tokens(tokens, -(-tokens // self.query)) if is_decode else 0
        )
        phase = "decode" if is_decode else "prefill"
        name = f"{phase} of {mixed.tokens} tokens"
        if self._progress is not None:
            self._progress(f"simulating a step: {name}")
        model = self._model if is_decode else self._of_a_prompt
        step = build_mixed_step(model, self._quant, self._runtime, mixed, self._kv_dtype, name)
        found = self._runner.run(phase, step)
        check_laws(Trace((found,), 0), peak_bytes_per_s=self._machine.memory.bandwidth)
        return found

    def cost(self, groups: tuple[Group, ...], outputs: int) -> StepCost:
        """The same, taken apart."""
        found = self.trace(groups, outputs)
        kinds = {(record.block, record.op): record.kind for record in found.ops}
        parts, tail, tiles, rows = [0] * len(groups), 0, 0, 0
        for place, causes in found.elapsed.items():
            spent, op = sum(causes.values()), place[1]
            number = part_of(op)
            if number is not None:
                parts[number] += spent
            elif is_of_tail(op):
                tail += spent
            elif kinds[place] == Gemm.kind:
                tiles += spent
            else:
                rows += spent
        return StepCost(tiles, rows, tail, tuple(parts))

    def drafts_ps(self, sequences: int, context: int) -> int:
        """Time to guess all drafts of a step, each sequence with so many keys before them."""
        assert self.guess is not None
        tokens = sequences * self.query
        one = Pass(
            sequences, self.query, context + self.query - 1, tokens, self._runtime.graph_tokens(tokens, sequences)
        )
        blocks = drafting_blocks(self._model, self._quant, self._runtime, one, self._kv_dtype, self.guess)
        step = Step(f"drafts of {sequences} sequences", blocks, 1.0, tokens=sequences, context=context)
        return self._runner.run("decode", step).duration_ps

    def flush(self) -> None:
        """Keep the kernels' profiles for the next time."""
        self._store.flush()


def step_table(simulator: StepSimulator, model: ModelSpec, runtime: RuntimeSpec, *, is_unified: bool) -> StepTable:
    """The table of step times that `simulator` fills."""
    host = Host(
        ps_from_seconds(runtime.host_step_s),
        ps_from_seconds(runtime.host_sequence_s),
        is_hidden=runtime.is_async and runtime.launch == "graph",
    )
    windows = {
        layer.mixer.window
        for layer in model.layers
        if isinstance(layer.mixer, AttentionSpec) and layer.mixer.window is not None
    }
    if runtime.window_cache != "window":
        windows |= {window + runtime.ubatch_tokens for window in windows}
    guess = simulator.guess
    verifying = None if guess is None else Verifying(guess.drafts + 1, guess.accepted, simulator.drafts_ps)
    return StepTable(
        simulator.cost,
        host,
        sorted(windows),
        padding=runtime.kv_padding_tokens,
        is_unified=is_unified,
        wants_all=runtime.logits == "all",
        verifying=verifying,
    )
