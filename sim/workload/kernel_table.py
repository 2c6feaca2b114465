"""Kernel rules that are written as differences from others: `like: NAME`, or `like: RUNTIME/NAME` of another file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sim.errors import InputError, Problem, WorkloadError
from sim.yamlfile import closest

Rules = Mapping[str, Any]


def expand(kernels: Rules, elsewhere: Callable[[str], Rules]) -> dict[str, Any]:
    """The rules, each with all that the one it is like says and it does not; `like` itself is gone.

    A list or range is replaced as a whole; `null` puts a field back to its default. `elsewhere`: the rules of another
    runtime's file (its `base`), by the runtime's name.

    Raises:
        WorkloadError: a rule is like one that there is not, or like itself in the end; path: the rule's name.
    """
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, rule in kernels.items():
        try:
            found[name] = _whole(name, rule, kernels, elsewhere, (name,))
        except InputError as error:
            path = f"kernels.{name}.like"
            problems += [Problem(each.message, each.code, path=path, hint=each.hint) for each in error.problems]
    if problems:
        raise WorkloadError(problems)
    return found


def _whole(name: str, rule: Any, kernels: Rules, elsewhere: Callable[[str], Rules], seen: tuple[str, ...]) -> Any:
    if not isinstance(rule, Mapping) or "like" not in rule:
        return rule
    other = rule["like"]
    if not isinstance(other, str):
        raise WorkloadError(Problem("must be the name of a kernel", "bad_type"))
    runtime, slash, wanted = other.rpartition("/")
    table = elsewhere(runtime) if slash else kernels
    if wanted not in table:
        guess = closest(wanted, list(table))
        hint = f"did you mean {guess!r}?" if guess else "`like: NAME`, or `like: RUNTIME/NAME`"
        raise WorkloadError(Problem(f"there is no kernel {other[:80]!r}", "unknown_kernel", hint=hint))
    if other in seen or len(seen) > len(kernels) + 1:
        raise WorkloadError(Problem(f"{' is like '.join((*seen, other))}: a circle", "bad_value"))
    base = _whole(wanted, table[wanted], table, elsewhere, (*seen, other))
    own = {key: value for key, value in rule.items() if key != "like"}
    whole = {**base, **own} if isinstance(base, Mapping) else own
    return {key: value for key, value in whole.items() if value is not None or key not in own}
