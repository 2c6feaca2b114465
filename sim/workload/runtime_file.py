"""Reads `workloads/runtimes/*.yaml` and resolves one version: the base, then every version's changes up to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial, reduce
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sim.errors import InputError, Problem, SpecError, WorkloadError
from sim.paths import find, is_path
from sim.units import parse_quantity
from sim.workload.kernel_table import check_libraries, expand
from sim.workload.numbers import Numbers, with_numbers
from sim.workload.quant import formats
from sim.workload.runtime import RuntimeSpec
from sim.workload.runtime_versions import RuntimeFile
from sim.workload.sites import FAMILY_SITES, MOE_SITES, SITES
from sim.yamlfile import Document, Key, closest, load_yaml, problems_of, validate_model

SETTABLE: Mapping[str, type | str] = {
    "ubatch_tokens": int,
    "kv_dtype": str,
    "window_cache": str,
    "kv_padding_tokens": int,
    "launch": str,
    "prefill_launch": str,
    "dependent_launch": str,
    "graph_batch_limit": int,
    "host_step_s": "s",
    "host_launch_s": "s",
    "host_sequence_s": "s",
    "graph_launch_s": "s",
    "logits": str,
    "qkv": str,
    "gate_up": str,
    "linear_backend": str,
    "moe_backend": str,
    "prefill_packing": str,
    "request_s": "s",
    "memory.fraction": "%",
}
"""Fields that `--set runtime.NAME=VALUE` may set, and how their text is read: a type, or a unit."""
BACKENDS = frozenset({"linear_backend", "moe_backend"})
ALIASES = {
    "max_num_batched_tokens": "ubatch_tokens",
    "n_ubatch": "ubatch_tokens",
    "ubatch": "ubatch_tokens",
    "gpu_memory_utilization": "memory.fraction",
    "mem_fraction_static": "memory.fraction",
    "free_gpu_memory_fraction": "memory.fraction",
}
_FACTOR = re.compile(r"x\s*([0-9.]+)", re.ASCII)
_LONGEST_VERSION = 60
NONE: Numbers = {}
Place = tuple[Key, ...]
Read = tuple[Document, RuntimeFile]


@dataclass(frozen=True, slots=True)
class LoadedRuntime:
    """A resolved version, the fields that were set on it, and what the user should know about the choice."""

    spec: RuntimeSpec
    overrides: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def load_runtime(
    ref: str,
    *,
    overrides: Mapping[str, str] | None = None,
    search_dirs: Sequence[str | Path] = (),
    numbers: Numbers = NONE,
) -> LoadedRuntime:
    """Reads the runtime that `NAME[@VERSION]` or a path stands for.

    `overrides`: field -> text, as after `runtime.`; "x2" multiplies. No version: the newest described. An undescribed
    one: the newest described that is not later, with a warning. `numbers`: other values for numbers of this file and of
    those that it rests on, by the names that `sparksim list calibrated` prints; those of other files change nothing.

    Raises:
        SpecError: the file is wrong, every problem with its line.
        InputError: no such number, runtime or version, or a field that cannot be set.
    """
    name, at, version = ref.rpartition("@") if "@" in ref and not _is_file(ref) else (ref, "", "")
    if at and not version:
        raise InputError(Problem("no version stands behind the @", "unknown_version", path="runtime"))
    document, file = _read(find("runtimes", name, search_dirs), search_dirs, numbers)
    chosen, warnings = _version(file, version)
    spec = _resolve(document, file, chosen, {}, search_dirs, numbers)
    if overrides:
        spec = _resolve(document, file, chosen, _settings(overrides, spec), search_dirs, numbers)
    notes = (*warnings, *((spec.note,) if spec.note else ()))
    return LoadedRuntime(spec, tuple(sorted((overrides or {}).items())), notes)


def check_runtime(path: Path) -> RuntimeFile:
    """The file in `path`, if every version in it is right.

    Raises:
        SpecError: every problem of every version, with its line.
    """
    document, file = _read(path)
    problems: dict[Problem, None] = {}
    for label in file.versions:
        try:
            _resolve(document, file, label, {})
        except SpecError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise SpecError(problems)
    return file


def _is_file(ref: str) -> bool:
    try:
        return is_path(ref) and Path(ref).is_file()
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=32)
def _read_cached(path: str, _stamp: tuple[int, int] | None) -> tuple[Document, RuntimeFile]:
    document = load_yaml(path)
    file = validate_model(RuntimeFile, document)
    orders = [_order(label) for label in file.versions]
    if orders != sorted(orders):
        line = document.line_of(("versions",))
        raise SpecError(Problem("must be listed oldest first", "bad_value", document.file, line, "versions"))
    return document, file


def _read(
    path: Path, search_dirs: Sequence[str | Path] = (), numbers: Numbers = NONE, below: tuple[Path, ...] = ()
) -> Read:
    """The file in `path`, what it extends already in its base. `below`: files that lead to it."""
    try:
        stat = path.stat()
        stamp = stat.st_mtime_ns, stat.st_size
    except (OSError, ValueError):
        stamp = None
    document, file = _read_cached(str(path), stamp)
    if numbers:
        file = with_numbers(file, path.stem, numbers)
    if file.extends is None:
        return document, file
    if path in below:
        line = document.line_of(("extends",))
        raise SpecError(Problem(f"{path.name} extends itself", "bad_value", document.file, line, "extends"))
    name, _, version = file.extends.partition("@")
    other = path.parent / name if name.startswith(("./", "../")) else find("runtimes", name, search_dirs)
    _, parent = _read(other, search_dirs, numbers, (*below, path))
    label, _ = _version(parent, version)
    inherited = reduce(merge, _changes(parent, label), parent.base)
    base = merge(inherited, file.base)
    if isinstance(base.get("kernels"), dict):
        base["kernels"] = _own_first(base["kernels"], inherited.get("kernels", {}))
    return document, file.model_copy(update={"base": {"family": parent.name, **base}})


def _own_first(kernels: Mapping[str, Any], inherited: Mapping[str, Any]) -> dict[str, Any]:
    """Kernels that only the extending file has, then those of the file that it extends, in their order."""
    own = {name: rule for name, rule in kernels.items() if name not in inherited}
    return own | {name: kernels[name] for name in inherited}


def _changes(file: RuntimeFile, chosen: str) -> list[Mapping[str, Any]]:
    """What versions up to `chosen` change."""
    labels = list(file.versions)
    return [file.versions[label] for label in labels[: labels.index(chosen) + 1]]


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it; mappings merge, everything else (numbers in long form too) is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        is_deep = isinstance(value, dict) and isinstance(old, dict) and "value" not in value
        merged[key] = merge(old, value) if is_deep and isinstance(old, dict) else value
    return merged


def _version(file: RuntimeFile, wanted: str) -> tuple[str, tuple[str, ...]]:
    labels = list(file.versions)
    if not wanted:
        return labels[-1], ()
    order = _order(wanted) if len(wanted) <= _LONGEST_VERSION else ()
    for label in labels:
        if label == wanted or (order and _order(label) == order):
            return label, ()
    earlier = [label for label in labels if _order(label) <= order]
    if not order or not earlier:
        message = f"{file.name} has no version {wanted[:_LONGEST_VERSION]!r} and none before it"
        raise InputError(Problem(message, code="unknown_version", hint=f"described: {', '.join(labels)}"))
    return earlier[-1], (f"{file.name}@{wanted} is not described; using {earlier[-1]}, the newest that is not later",)


def _order(label: str) -> tuple[int, ...]:
    """The numbers in a version label, for ordering: b7941 -> (7941,), v0.26.0 -> (0, 26), as 0.26."""
    parts = [int(part) for part in re.findall(r"[0-9]+", label.partition("+")[0][:_LONGEST_VERSION])]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return tuple(parts)


def _settings(overrides: Mapping[str, str], spec: RuntimeSpec) -> dict[str, Any]:
    """The value that each override sets, by the dotted name of its field; `spec` has what factors multiply."""
    settings: dict[str, Any] = {}
    problems = []
    for given, text in overrides.items():
        name = ALIASES.get(given, given)
        path = f"runtime.{given[:60]}"
        if name not in SETTABLE:
            guess = closest(given, [*SETTABLE, *ALIASES])
            hint = f"did you mean 'runtime.{guess}'?" if guess else f"settable: {', '.join(SETTABLE)}"
            problems.append(Problem(f"unknown runtime field {given[:60]!r}", "unknown_field", path=path, hint=hint))
            continue
        try:
            settings[name] = _setting(text, SETTABLE[name], spec, name)
        except InputError as error:
            problems += [replace(problem, path=path) for problem in error.problems]
    if problems:
        raise InputError(problems)
    return settings


def _setting(text: str, kind: type | str, spec: RuntimeSpec, name: str) -> Any:
    """The value that an override's text stands for.

    Raises:
        InputError: it is none of the field's kind.
    """
    if kind is str:
        if name in BACKENDS:
            _check_backend(text, spec)
        return text
    factor = _FACTOR.fullmatch(text)
    if factor:
        current = spec
        for key in name.split("."):
            current = getattr(current, key)
        value = float(current) * parse_quantity(factor[1], "")  # type: ignore[arg-type]
    else:
        value = parse_quantity(text, "" if kind is int else str(kind))
    if kind is not int:
        return value
    if value != int(value):
        raise InputError(Problem(f"must be a whole number, not {value:g}", "bad_value"))
    return int(value)


def _check_backend(text: str, spec: RuntimeSpec) -> None:
    """A backend is one that some kernel asks for, or `auto`."""
    known = {"auto", *(name for rule in spec.kernels.values() for name in rule.backends)}
    if text not in known:
        message = f"{spec.name} has no kernels of {text[:40]!r}"
        raise InputError(Problem(message, "bad_value", hint=f"there are: {', '.join(sorted(known))}"))


def _kernels_of(search_dirs: Sequence[str | Path], numbers: Numbers, runtime: str) -> Mapping[str, Any]:
    """The kernel rules in another runtime's base, as they stand in its file."""
    rules = _read(find("runtimes", runtime, search_dirs), search_dirs, numbers)[1].base.get("kernels", {})
    return rules if isinstance(rules, dict) else {}


def _layered(file: RuntimeFile, chosen: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[Place]]:
    """The base with every version's changes up to `chosen` and the settings on top; and their places."""
    merged: dict[str, Any] = file.base
    layers: list[Place] = [("base",)]
    for label, changes in file.versions.items():
        merged = merge(merged, changes)
        layers.append(("versions", label))
        if label == chosen:
            break
    for name, value in settings.items():
        outer, _, inner = name.rpartition(".")
        merged = merge(merged, {outer: {inner: value}} if outer else {name: value})
    said = {"name": file.name, "version": chosen, "title": file.title, "source": file.source}
    return {"family": file.name} | merged | said, layers


def _resolve(
    document: Document,
    file: RuntimeFile,
    chosen: str,
    settings: Mapping[str, Any],
    search_dirs: Sequence[str | Path] = (),
    numbers: Numbers = NONE,
) -> RuntimeSpec:
    """The version `chosen` with `settings` (dotted name -> value) on top, checked as a whole."""
    merged, layers = _layered(file, chosen, settings)

    def layer(place: Place) -> Place:
        """Where the value at `place` was said last."""
        holding = [each for each in layers if document.at((*each, *place)) is not None]
        return holding[-1] if holding else layer(place[:-1]) if len(place) > 1 else layers[0]

    def placed(problem: Problem) -> Problem:
        path = problem.path or ""
        given = next((name for name in settings if path == name), None)
        if given:
            return Problem(problem.message, "bad_override", path=f"runtime.{given}")
        place = _place(path)
        return replace(problem, path=".".join([*map(str, layer(place)), path]))

    libraries = merged.pop("libraries", {})
    if isinstance(merged.get("sites"), dict):  # null: no kernel asks for what the file that is extended has there
        merged["sites"] = {site: launches for site, launches in merged["sites"].items() if launches is not None}
    try:
        check_libraries(libraries)
        if isinstance(merged.get("kernels"), dict):
            merged["kernels"] = expand(merged["kernels"], partial(_kernels_of, search_dirs, numbers), libraries)
        spec = RuntimeSpec.model_validate(merged)
    except WorkloadError as error:
        found = [replace(each, file=document.file, line=_line(document, layer, each)) for each in error.problems]
        raise SpecError(map(placed, found)) from None
    except ValidationError as error:
        found = problems_of(error, RuntimeSpec, merged, lambda p: (document.file, document.line_of((*layer(p), *p))))
        raise SpecError(map(placed, found)) from None
    problems = [*_site_problems(document, spec), *_format_problems(document, spec, settings)]
    if problems:
        raise SpecError(problems)
    return spec


def _line(document: Document, layer: Callable[[Place], Place], problem: Problem) -> int | None:
    """Where the value that a problem is about was said last."""
    place = _place(problem.path)
    return document.line_of((*layer(place), *place))


def _place(path: str | None) -> Place:
    """Keys of a dotted path."""
    return tuple(int(key) if key.isdecimal() else key for key in (path or "").split("."))


def _site_problems(document: Document, spec: RuntimeSpec) -> Iterable[Problem]:
    named = {
        site
        for rule in spec.kernels.values()
        for site in (rule.quantize_site, rule.reduce_site, rule.store_site)
        if site
    }
    suffixes = {rule.site_suffix for rule in spec.kernels.values() if rule.site_suffix}
    named |= {f"{site}{suffix}" for site in MOE_SITES for suffix in suffixes}
    wanted = set(SITES) | named
    line = document.line_of(("base", "sites"))
    missing, unknown = sorted(wanted - set(spec.sites)), sorted(set(spec.sites) - wanted - set(FAMILY_SITES))
    guesses = {site: closest(site, [*wanted, *FAMILY_SITES]) for site in unknown}
    for site in missing:
        if site not in guesses.values():
            message, hint = f"site {site!r} is not listed", "[] says that nothing is launched there"
            yield Problem(message, "missing_site", document.file, line, "base.sites", hint)
    for site, guess in guesses.items():
        hint = f"did you mean {guess!r}?" if guess else "`sparksim show runtimes NAME` lists the sites"
        line = document.line_of(("base", "sites", site))
        yield Problem(
            f"unknown site {site[:60]!r}", "unknown_site", document.file, line, f"base.sites.{site[:60]}", hint
        )


def _format_problems(document: Document, spec: RuntimeSpec, settings: Mapping[str, Any]) -> Iterable[Problem]:
    named = {name: getattr(spec, name) for name in ("kv_dtype", "activation_dtype", "state_dtype")}
    named |= {f"kernels.{name}.activation": rule.activation for name, rule in spec.kernels.items() if rule.activation}
    named |= {f"kv_dtypes.{index}": name for index, name in enumerate(spec.kv_dtypes)}
    for path, name in named.items():
        if name not in formats():
            guess = closest(name, formats())
            hint = f"did you mean '{guess}'?" if guess else f"known: {', '.join(formats())}"
            line = document.line_of(("base", *path.split(".")))
            message = f"unknown format {name[:60]!r}"
            if path in settings:
                yield Problem(message, "unknown_format", path=f"runtime.{path}", hint=hint)
            else:
                yield Problem(message, "unknown_format", document.file, line, f"base.{path}", hint)
