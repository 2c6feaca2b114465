"""Kernel rules that are written as differences from others: `like: NAME`, or `like: RUNTIME/NAME` of another file.

`library: NAME`, or a list of them, takes what neither the rule nor those that it is like say from `libraries:`, numbers
that all kernels of a library share: what a step of CUTLASS costs is a property of CUTLASS, whatever the tile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from sim.errors import InputError, Problem, WorkloadError
from sim.workload.runtime import KernelRule
from sim.yamlfile import closest, problems_of

Rules = Mapping[str, Any]


def expand(kernels: Rules, elsewhere: Callable[[str], Rules], libraries: Rules | None = None) -> dict[str, Any]:
    """The rules, each with all that the one it is like says and it does not, then its libraries; both words are gone.

    A list or range is replaced as a whole; `null` puts a field back to its default, and takes a whole rule out.
    `elsewhere`: the rules of another runtime's file (its `base`), by the runtime's name. `libraries`: fields of rules,
    by the library's name.

    Raises:
        WorkloadError: a rule is like one that there is not, or like itself in the end, or of a library that there is
            not; path: the rule's field.
    """
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, rule in kernels.items():
        if rule is None:  # a version that has it no longer
            continue
        field = "like"
        try:
            whole = _whole(name, rule, kernels, elsewhere, (name,))
            field = "library"
            found[name] = _of_libraries(whole, libraries or {})
        except InputError as error:
            path = f"kernels.{name}.{field}"
            problems += [Problem(each.message, each.code, path=path, hint=each.hint) for each in error.problems]
    if problems:
        raise WorkloadError(problems)
    return found


def check_libraries(libraries: Any) -> None:
    """Says what is wrong in `libraries:`, where it stands and not once for every kernel.

    Raises:
        WorkloadError: it is no mapping of mappings, or holds what a kernel rule cannot; path: the field.
    """
    if not isinstance(libraries, Mapping):
        raise WorkloadError(
            Problem("must be a mapping from names to fields of kernel rules", "bad_type", path="libraries")
        )
    problems: list[Problem] = []
    for name, fields in libraries.items():
        path = f"libraries.{name}"
        if not isinstance(fields, Mapping):
            problems.append(Problem("must be a mapping of fields of kernel rules", "bad_type", path=path))
            continue
        try:
            KernelRule.model_validate({"ops": ["gemm"], "unit": "fp32"} | dict(fields))
        except ValidationError as error:
            found = problems_of(error, KernelRule, dict(fields), lambda _: (None, None))
            problems += [replace(each, path=f"{path}.{each.path}") for each in found]
    if problems:
        raise WorkloadError(problems)


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


def _of_libraries(rule: Any, libraries: Rules) -> Any:
    """The rule with what its libraries say besides; of several the first that says something."""
    if not isinstance(rule, Mapping) or "library" not in rule:
        return rule
    named = rule["library"] if isinstance(rule["library"], list) else [rule["library"]]
    shared: dict[str, Any] = {}
    for name in named:
        if not isinstance(name, str) or name not in libraries or not isinstance(libraries[name], Mapping):
            guess = closest(str(name), list(libraries))
            hint = f"did you mean {guess!r}?" if guess else "`libraries:` of this file, or of the one that it extends"
            raise WorkloadError(Problem(f"there is no library {str(name)[:80]!r}", "unknown_library", hint=hint))
        shared = {**libraries[name], **shared}
    return {**shared, **{key: value for key, value in rule.items() if key != "library"}}
