"""A run with everything loaded and checked: can be simulated, and simulated again with something changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.component import COMPONENTS
from sim.errors import gather
from sim.hwspec import HardwareSpec
from sim.result.run_result import RunResult
from sim.system.arguments import Changes, RunArguments, split_overrides
from sim.system.plugins import load_hardware
from sim.system.prediction import Inputs, Progress, load_inputs, predict, replay
from sim.system.scenario import asked

Overrides = Mapping[str, object] | Iterable[str]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run needs: arguments with every default filled in, the machine, runtime and model, and the overrides."""

    arguments: RunArguments
    hardware: HardwareSpec
    inputs: Inputs
    changes: Changes
    search_dirs: Sequence[str | Path]
    cache: str | Path | None

    def run(self, progress: Progress | None = None) -> RunResult:
        """Simulate it; a model that does not fit gives a result without a trace.

        Raises:
            InputError: the runtime has no kernel for an op, or the machine no unit for it.
        """
        if self.arguments.file is not None:
            return replay(self.arguments, self.hardware, self.inputs, self.changes, self.cache, COMPONENTS, progress)
        return predict(
            self.arguments, self.hardware, self.inputs, self.changes, self.search_dirs, self.cache, COMPONENTS, progress
        )

    def with_hardware(self, path: str, value: object) -> Prepared:
        """The same with one field of the machine changed; "x1.1" multiplies.

        Raises:
            SpecError: the field cannot have that value.
        """
        return replace(self, hardware=self.hardware.override(path, value))

    def with_runtime(self, name: str, value: float) -> Prepared:
        """The same with one number of the runtime changed."""
        loaded = self.inputs.runtime
        assert loaded is not None
        changed = replace(loaded, spec=loaded.spec.model_copy(update={name: value}))
        return replace(self, inputs=replace(self.inputs, runtime=changed))


@dataclass(frozen=True, slots=True)
class Asked:
    """A run as asked for, nothing loaded yet: keywords of `sim.run` by name, overrides, a scenario or op trace."""

    arguments: Mapping[str, Any]
    set: Overrides = ()
    file: str | Path | None = None
    search_dirs: Sequence[str | Path] = ()
    cache: str | Path | None = None

    def prepare(
        self, arguments: Mapping[str, Any] | None = None, overrides: Mapping[str, object] | None = None
    ) -> Prepared:
        """Load and check it, with other arguments and more overrides than were asked for.

        Raises:
            InputError: something given cannot be used; every problem.
        """
        set: Overrides = self.set
        if overrides:
            asked_for, more = split_overrides(set), dict(split_overrides(overrides).given)
            set = asked_for.given | more if not asked_for.problems else set
        return prepare({**self.arguments, **(arguments or {})}, set, self.file, self.search_dirs, self.cache)


def prepare(
    given: Mapping[str, Any],
    set: Overrides,
    file: str | Path | None,
    spec_dirs: Sequence[str | Path],
    cache: str | Path | None,
) -> Prepared:
    """Load and check everything. `given`: arguments by their names, None where not given.

    Raises:
        InputError: something given cannot be used; every problem.
    """
    plan = asked(given, set, file, spec_dirs)
    *_, machine, loaded = gather(
        plan.arguments.check,
        plan.changes.check,
        lambda: load_hardware(plan.hardware, plan.changes.hardware, spec_dirs),
        lambda: load_inputs(plan.arguments, plan.changes, spec_dirs),
    )
    return Prepared(plan.arguments, machine, loaded, plan.changes, spec_dirs, cache)
