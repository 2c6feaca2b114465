"""Simulates one engine step of a server and takes its time apart, for `serving.StepTable`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

from sim.component import Component
from sim.component.estimate import estimator
from sim.cost.kernel import Lowering
from sim.engine import Engine
from sim.hwspec import HardwareSpec
from sim.result.laws import check_laws
from sim.result.trace import StepTrace, Trace
from sim.serving.step_table import Group, Host, StepCost, StepTable
from sim.system.execute import LaunchCosts, StepRunner
from sim.system.machine import Machine
from sim.system.prediction import launch_costs, profile_store, runnable
from sim.units import ps_from_seconds
from sim.workload.layer_spec import AttentionSpec
from sim.workload.lower import Pass, drafting_blocks
from sim.workload.mixed_step import MixedPass, build_mixed_step, is_of_tail, part_of
from sim.workload.model import ModelSpec
from sim.workload.op import Attention, Gemm
from sim.workload.quant import QuantRecipe, formats
from sim.workload.runtime import RuntimeSpec
from sim.workload.speculate import Speculation

TRACES = 64
"""So many steps are kept whole: who counts energy asks for some of them again."""


class StepSimulator:
    """Simulates engine steps of a model on a runtime on a machine; kernels that come again are not simulated again.

    `prompt_skew`: how uneven the experts are that tokens of one prompt choose; the model's own is that of tokens of
    different sequences, as in a step in which all decode. A step with a piece of a prompt is mostly that. `guess`: a
    step in which all decode makes drafts and verifies them; of its time each token that it yields has its share.
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
        self._guess = guess
        self._known = lru_cache(maxsize=TRACES)(self._traced)
        self._model, self._quant, self._kv_dtype = model, quant, kv_dtype
        self._of_a_prompt = model if prompt_skew is None else replace(model, expert_skew=prompt_skew)
        self._machine = machine = Machine(hardware, types, cache)
        self._runtime = runtime
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
        is_decode = all(query == 1 for _, query, _ in groups)
        more = self._guess.drafts if self._guess and is_decode else 0
        parts = tuple(
            Pass(number, query + more, context + more, number * (query + more)) for number, query, context in groups
        )
        tokens = sum(part.outputs for part in parts)
        sequences = sum(part.sequences for part in parts)
        outputs *= 1 + more
        mixed = MixedPass(
            parts, outputs, self._runtime.graph_tokens(tokens, sequences if more else tokens) if is_decode else 0
        )
        phase = "decode" if is_decode else "prefill"
        name = f"{phase} of {mixed.tokens} tokens"
        if self._progress is not None:
            self._progress(f"simulating a step: {name}")
        model = self._model if is_decode else self._of_a_prompt
        step = build_mixed_step(model, self._quant, self._runtime, mixed, self._kv_dtype, name)
        if more and self._guess:
            drafts = [
                drafting_blocks(model, self._quant, self._runtime, replace(part, padded=0), self._kv_dtype, self._guess)
                for part in parts
            ]
            step = replace(step, blocks=(*chain.from_iterable(drafts), *step.blocks))
        found = self._runner.run(phase, step)
        check_laws(Trace((found,), 0), peak_bytes_per_s=self._machine.memory.bandwidth)
        return found

    def cost(self, groups: tuple[Group, ...], outputs: int) -> StepCost:
        """The same, taken apart."""
        found = self.trace(groups, outputs)
        kinds = {(record.block, record.op): record.kind for record in found.ops}
        parts, tail, tiles, rows = [0] * len(groups), 0, 0, 0
        is_guessed = self._guess is not None and all(query == 1 for _, query, _ in groups)
        for place, causes in found.elapsed.items():
            spent, op = sum(causes.values()), place[1]
            number = part_of(op)
            if is_guessed and op.startswith("draft") and kinds[place] == Attention.kind:
                number = 0
            if number is not None:
                parts[number] += spent
            elif is_of_tail(op):
                tail += spent
            elif kinds[place] == Gemm.kind:
                tiles += spent
            else:
                rows += spent
        if is_guessed and self._guess:
            share = 1 / self._guess.accepted
            tiles, rows, tail = round(tiles * share), round(rows * share), round(tail * share)
            parts = [round(each * share) for each in parts]
        return StepCost(tiles, rows, tail, tuple(parts))

    def flush(self) -> None:
        """Keep the kernels' profiles for the next time."""
        self._store.flush()


def step_table(
    simulator: StepSimulator,
    model: ModelSpec,
    runtime: RuntimeSpec,
    *,
    is_unified: bool,
    guess: Speculation | None = None,
) -> StepTable:
    """The table of step times that `simulator` fills; `guess`: as of it."""
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
    return StepTable(
        simulator.cost,
        host,
        sorted(windows),
        padding=runtime.kv_padding_tokens,
        is_unified=is_unified,
        wants_all=runtime.logits == "all",
        tokens_of_step=guess.accepted if guess else 1.0,
    )
