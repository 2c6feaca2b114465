"""What a run was asked for, checked as a whole: every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sim.errors import InputError, Problem
from sim.workload.hf_config import load_model
from sim.workload.model import ModelSpec
from sim.workload.quant import QuantRecipe
from sim.workload.runtime_file import LoadedRuntime, load_runtime


@dataclass(frozen=True, slots=True)
class RunArguments:
    """The arguments of one run as given, each a name, a path or a loaded object; defaults filled in by the caller."""

    model: str | Path | ModelSpec | None
    runtime: str | Path | LoadedRuntime | None
    quant: str | Path | QuantRecipe | None
    kv_dtype: str | None
    batch: int
    prompt: int
    depth: int
    output: int
    seed: int = 0
    file: str | None = None
    is_full: bool = False

    def load_model(self, overrides: Mapping[str, str], search_dirs: Sequence[str | Path]) -> ModelSpec:
        """The model, loaded unless it is already."""
        if isinstance(self.model, ModelSpec):
            _refuse_changes("model", overrides)
            return self.model
        return load_model(self.model or "", search_dirs=search_dirs, overrides=overrides)

    def load_runtime(self, overrides: Mapping[str, str], search_dirs: Sequence[str | Path]) -> LoadedRuntime:
        """The runtime, loaded unless it is already."""
        if isinstance(self.runtime, LoadedRuntime):
            _refuse_changes("runtime", overrides)
            return self.runtime
        return load_runtime(str(self.runtime or ""), overrides=overrides, search_dirs=search_dirs)

    def check(self) -> None:
        """Raise with everything that is wrong.

        Raises:
            InputError: a count out of range, nothing to run, or a name missing.
        """
        problems = []
        for name, value, least in (
            ("batch", self.batch, 1),
            ("prompt", self.prompt, 0),
            ("depth", self.depth, 0),
            ("output", self.output, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int):
                problems.append(Problem(f"must be a whole number, not {value!r}", code="bad_argument", path=name))
            elif not least <= value <= 2**31:
                problems.append(Problem(f"must be {least} or more, not {value}", code="bad_argument", path=name))
        if not problems and self.file is None and self.prompt == 0 and self.output == 0:
            problems.append(
                Problem("prompt and output are both 0: there is nothing to run", code="nothing_to_run", path="prompt")
            )
        if self.file is None and self.model is None:
            problems.append(
                Problem(
                    "no model is given", code="missing_argument", path="model", hint="`sparksim list models` names them"
                )
            )
        if self.runtime is None:
            problems.append(
                Problem(
                    "no runtime is given",
                    code="missing_argument",
                    path="runtime",
                    hint="`sparksim list runtimes` names them",
                )
            )
        if problems:
            raise InputError(problems)


def _refuse_changes(what: str, overrides: Mapping[str, str]) -> None:
    """A loaded model or runtime stays as it is.

    Raises:
        InputError: there are changes to it.
    """
    hint = f"give its name or path instead, or sim.load_{what}(..., overrides=...)"
    message = f"this {what} is a loaded object, which cannot be changed"
    if overrides:
        raise InputError([Problem(message, "bad_override", path=f"{what}.{key}", hint=hint) for key in overrides])


@dataclass(slots=True)
class Changes:
    """Overrides by what they change; `given` keeps the texts for the result."""

    hardware: dict[str, object] = field(default_factory=dict)
    runtime: dict[str, str] = field(default_factory=dict)
    model: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)


def split_overrides(overrides: Mapping[str, object] | Iterable[str]) -> Changes:
    """Sort `PATH=VALUE` overrides: those that begin with `runtime.` or `model.`, the rest is hardware.

    Raises:
        InputError: a text without `=`, or a prefix that nothing can be set under here.
    """
    changes = Changes()
    problems = []
    items = (
        overrides.items() if isinstance(overrides, Mapping) else (str(text).partition("=")[::2] for text in overrides)
    )
    for path, value in items:
        name, text = str(path).strip(), value.strip() if isinstance(value, str) else value
        head, _, rest = name.partition(".")
        if not rest or text == "":
            problems.append(
                Problem(f"{name!r} is not PATH=VALUE", code="bad_override", path=name, hint="e.g. gpu.sms=96")
            )
        elif head in ("quant", "workload"):
            problems.append(Problem(f"nothing under {head!r} can be set in a run", code="bad_override", path=name))
        elif head == "runtime":
            changes.runtime[rest] = str(text)
        elif head == "model":
            changes.model[rest] = str(text)
        else:
            changes.hardware[name] = text
        changes.given[name] = str(text)
    if problems:
        raise InputError(problems)
    return changes
