"""What a run was asked for, checked as a whole: every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sim.errors import InputError, Problem
from sim.workload.hf_config import CONTENTS, load_model
from sim.workload.model import ModelSpec
from sim.workload.quant import QuantRecipe
from sim.workload.runtime_file import LoadedRuntime, load_runtime
from sim.workload.speculate import SETTINGS

MOST_SEQUENCES = 65536
MOST_TOKENS = 2**27
"""Per sequence. Sane sizes: far above what any machine here holds, and small enough to be counted through."""


@dataclass(frozen=True, slots=True)
class RunArguments:
    """The arguments of one run, every default filled in; `file` is an op trace."""

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

    def load_model(self, changes: Changes, search_dirs: Sequence[str | Path]) -> ModelSpec:
        """The model, loaded unless it is already."""
        if isinstance(self.model, ModelSpec):
            _refuse_changes("model", changes.model)
            _refuse_changes("workload", changes.workload)
            return self.model
        content = changes.workload.get("content", CONTENTS[0])
        return load_model(self.model or "", search_dirs=search_dirs, overrides=changes.model, content=content)

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
        for name, least, most in (
            ("batch", 1, MOST_SEQUENCES),
            ("prompt", 0, MOST_TOKENS),
            ("depth", 0, MOST_TOKENS),
            ("output", 0, MOST_TOKENS),
            ("seed", 0, 2**63 - 1),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                message = f"must be a whole number, not {str(value)[:40]!r}"
                problems.append(Problem(message, code="bad_argument", path=name))
            elif not least <= value <= most:
                message = f"must be {least} or more, not {value}" if value < least else f"must be at most {most:,}"
                problems.append(Problem(message, code="bad_argument", path=name))
        if not problems and self.file is None and self.prompt == 0 and self.output == 0:
            message = "prompt and output are both 0: there is nothing to run"
            problems.append(Problem(message, code="nothing_to_run", path="prompt"))
        for name in ("runtime",) if self.file is not None else ("model", "runtime"):
            if getattr(self, name) is None:
                hint = f"`sparksim list {name}s` names them"
                problems.append(Problem(f"no {name} is given", code="missing_argument", path=name, hint=hint))
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
    workload: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def check(self) -> None:
        """Raise with everything that is wrong with their form.

        Raises:
            InputError: a text without `=`, a path given twice, or a prefix that nothing can be set under here.
        """
        if self.problems:
            raise InputError(self.problems)

    def with_later(self, later: Changes) -> Changes:
        """These, with `later` on top: of two for the same path the later one holds."""
        return Changes(
            self.hardware | later.hardware,
            self.runtime | later.runtime,
            self.model | later.model,
            self.workload | later.workload,
            self.given | later.given,
            self.problems + later.problems,
        )


def refuse_beside_tenants(changes: Changes) -> None:
    """Overrides of a scenario of kind tenants are of the machine: whose runtime or model is meant would not be said.

    Raises:
        InputError: others are given; every one.
    """
    names = {"runtime": changes.runtime, "model": changes.model, "workload": changes.workload}
    hint = "set it in the file, under the tenant's runtime"
    problems = [
        Problem("which tenant's is meant?", "usage", path=f"{kind}.{name}", hint=hint)
        for kind, changed in names.items()
        for name in changed
    ]
    if problems:
        raise InputError(problems)


ELSEWHERE = {
    "quant": "take another recipe with --quant, or a recipe file of your own (`sparksim show quants fp8 --yaml`)",
    "workload": "use --batch, --prompt, --depth and --output; content, draft, draft_tokens, draft_content and "
    "acceptance_length are set",
}
"""What `--set` does not change, and what does."""
WORKLOAD = frozenset({"workload.content", *(f"workload.{name}" for name in SETTINGS)})
"""What it does change of the workload."""


def split_overrides(overrides: Mapping[str, object] | Iterable[str]) -> Changes:
    """Sort `PATH=VALUE` overrides: those that begin with `runtime.`, `model.` or `workload.`, the rest is hardware.

    What is wrong with their form is kept in `problems`, so that it is told together with everything else.
    """
    changes = Changes()
    problems = changes.problems
    for path, value in _pairs(overrides):
        head, _, rest = path.partition(".")
        text = _text(value)
        if not rest or text == "":
            hint = "write PATH=VALUE, e.g. gpu.sms=96"
            problems.append(Problem("has no value" if rest else "names no field", "bad_override", path=path, hint=hint))
        elif head in ELSEWHERE and path not in WORKLOAD:
            problems.append(Problem("is not set this way", "bad_override", path=path, hint=ELSEWHERE[head]))
        elif path in changes.given:
            problems.append(Problem("is set twice", "bad_override", path=path))
        elif head == "runtime":
            changes.runtime[rest] = text
        elif head == "workload":
            changes.workload[rest] = text
        elif head == "model":
            changes.model[rest] = text
        else:
            changes.hardware[path] = value
        changes.given[path] = text
    return changes


def _pairs(overrides: Mapping[str, object] | Iterable[str]) -> Iterable[tuple[str, object]]:
    if isinstance(overrides, Mapping):
        return [(str(path).strip(), value) for path, value in overrides.items()]
    listed = [overrides] if isinstance(overrides, str) else overrides
    split = [str(text).partition("=") for text in listed]
    return [(path.strip(), value.strip()) for path, _, value in split]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()
