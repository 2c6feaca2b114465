"""What can go wrong, as a small tree of exceptions: every error carries all its problems and an exit code.

Imported by everything, imports nothing of ours. Errors take positional arguments only, so that they survive
pickling and SimPy's re-raising (`type(exc)(*exc.args)`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and how to mend it."""

    message: str
    code: str = "bad_input"
    file: str | None = None
    line: int | None = None
    path: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        text = ": ".join(part for part in (where, self.path, self.message) if part)
        return f"{text}; {self.hint}" if self.hint else text

    def to_dict(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return asdict(self)


class SimError(Exception):
    """Base of every error raised on purpose; `problems` holds all of them, `exit_code` what the command returns."""

    exit_code: ClassVar[int] = 1

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = (Problem(problems),)
        elif isinstance(problems, Problem):
            problems = (problems,)
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class InputError(SimError):
    """The user's input cannot be used: file, argument, name or option."""

    exit_code = 2


class SpecError(InputError):
    """A hardware description, runtime, card or scenario file is wrong."""


class ModelError(InputError):
    """A model configuration is unreadable, contradictory, or of an architecture that is not modelled."""


class WorkloadError(InputError):
    """An op trace or a request is wrong."""


class WiringError(InputError):
    """Components are not joined as they must be."""


class PluginError(InputError):
    """Code that extends the simulator, a plugin or a component class, cannot be used."""


class MissingExtraError(InputError):
    """An optional dependency is needed and not installed."""


class LawError(SimError):
    """A conservation law does not hold after a simulation: the result cannot be trusted."""

    exit_code = 4


class DeadlockError(SimError):
    """Nothing can happen any more, but somebody still waits."""

    exit_code = 4


def gather(*steps: Callable[[], Any]) -> list[Any]:
    """What each step returns, in order; every step is tried, so that the user sees all problems at once.

    Raises:
        InputError: the error of the one step that failed, or one with the problems of all that did.
    """
    values, errors = [], []
    for step in steps:
        try:
            values.append(step())
        except InputError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise InputError(dict.fromkeys(problem for error in errors for problem in error.problems))
    return values
