"""Reads `workloads/runtimes/*.yaml` and resolves one version: the base, then every version's changes up to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem, SpecError
from sim.paths import find, normalize
from sim.units import parse_quantity
from sim.workload.layer import SITES
from sim.workload.runtime import RuntimeFile, RuntimeSpec
from sim.yamlfile import Document, closest, load_yaml, validate_model

SETTABLE = {
    "ubatch_tokens": int,
    "kv_dtype": str,
    "window_cache": str,
    "kv_padding_tokens": int,
    "launch": str,
    "prefill_launch": str,
    "graph_batch_limit": int,
    "host_step_s": "s",
    "host_launch_s": "s",
    "host_sequence_s": "s",
    "graph_launch_s": "s",
    "logits": str,
    "qkv": str,
    "gate_up": str,
}
"""Fields that `--set runtime.NAME=VALUE` may set, and how their text is read."""
ALIASES = {"max_num_batched_tokens": "ubatch_tokens", "n_ubatch": "ubatch_tokens", "ubatch": "ubatch_tokens"}


@dataclass(frozen=True, slots=True)
class LoadedRuntime:
    """A resolved version, the fields that were set on it, and what the user should know about the choice."""

    spec: RuntimeSpec
    overrides: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def load_runtime(
    ref: str, *, overrides: Mapping[str, str] | None = None, search_dirs: Sequence[str | Path] = ()
) -> LoadedRuntime:
    """Reads the runtime that `NAME[@VERSION]` or a path stands for.

    `overrides`: field -> text, as after `runtime.`. No version: the newest described. An undescribed one: the newest
    described that is not later, with a warning.

    Raises:
        SpecError: the file is wrong, every problem with its line.
        InputError: no such runtime or version, or a field that cannot be set.
    """
    name, _, version = ref.partition("@")
    path = find("runtimes", name, search_dirs)
    document, file = _read(path)
    chosen, warnings = _version(file, version)
    merged: dict[str, Any] = file.base
    for label, changes in file.versions.items():
        merged = merge(merged, changes)
        if label == chosen:
            break
    settings = _settings(overrides or {})
    merged = {**merged, **settings, "name": file.name, "version": chosen, "title": file.title, "source": file.source}
    spec = _resolve(document, merged)
    return LoadedRuntime(spec, tuple(sorted((overrides or {}).items())), warnings)


@lru_cache(maxsize=32)
def _read_cached(path: str, _stamp: tuple[int, int]) -> tuple[Document, RuntimeFile]:
    document = load_yaml(path)
    return document, validate_model(RuntimeFile, document)


def _read(path: Path) -> tuple[Document, RuntimeFile]:
    stat = path.stat()
    return _read_cached(str(path), (stat.st_mtime_ns, stat.st_size))


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
    for label in labels:
        if normalize(label) == normalize(wanted):
            return label, ()
    earlier = [label for label in labels if _order(label) <= _order(wanted)]
    if not _order(wanted) or not earlier:
        problem = Problem(
            f"{file.name} has no version {wanted!r} and none before it",
            code="unknown_version",
            hint=f"described: {', '.join(labels)}",
        )
        raise InputError(problem)
    return earlier[-1], (f"{file.name}@{wanted} is not described; using {earlier[-1]}, the newest that is not later",)


def _order(label: str) -> tuple[int, ...]:
    """The numbers in a version label, for ordering: b7941 -> (7941,), v0.26.0 -> (0, 26, 0)."""
    digits = "".join(c if c.isdigit() else " " for c in label.split("+", maxsplit=1)[0])
    return tuple(int(part) for part in digits.split())


def _settings(overrides: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    problems = []
    for given, text in overrides.items():
        name = ALIASES.get(given, given)
        kind = SETTABLE.get(name)
        if kind is None:
            guess = closest(given, [*SETTABLE, *ALIASES])
            hint = f"did you mean 'runtime.{guess}'?" if guess else f"settable: {', '.join(SETTABLE)}"
            problems.append(
                Problem(f"unknown runtime field {given!r}", code="unknown_field", path=f"runtime.{given}", hint=hint)
            )
            continue
        try:
            settings[name] = int(text) if kind is int else str(text) if kind is str else parse_quantity(text, str(kind))
        except ValueError:
            problems.append(Problem(f"must be a whole number, not {text!r}", code="bad_value", path=f"runtime.{given}"))
        except InputError as error:
            problems += [Problem(p.message, p.code, path=f"runtime.{given}", hint=p.hint) for p in error.problems]
    if problems:
        raise InputError(problems)
    return settings


def _resolve(document: Document, merged: dict[str, Any]) -> RuntimeSpec:
    spec = validate_model(RuntimeSpec, document, data=merged, at=("base",))
    wanted = set(SITES) | {rule.quantize_site for rule in spec.kernels.values() if rule.quantize_site}
    missing = sorted(wanted - set(spec.sites))
    unknown = sorted(set(spec.sites) - wanted)
    problems = [
        Problem(
            f"site {site!r} is not listed",
            code="missing_site",
            file=document.file,
            path=f"base.sites.{site}",
            hint="[] says that nothing is launched there",
        )
        for site in missing
    ]
    problems += [
        Problem(
            f"unknown site {site!r}",
            code="unknown_site",
            file=document.file,
            path=f"base.sites.{site}",
            hint=f"did you mean {closest(site, wanted)!r}?",
        )
        for site in unknown
    ]
    if problems:
        raise SpecError(problems)
    return spec
