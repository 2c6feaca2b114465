"""What `compare` compares: from a name, changes to the run, or the folder of an earlier result, to a side."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sim.errors import InputError, Problem, gather
from sim.hwspec import HardwareSpec
from sim.paths import available, find, is_path, normalize
from sim.result.run_result import RunResult
from sim.system.prepared import Asked
from sim.yamlfile import closest, load_file

ARGUMENTS = ("model", "runtime", "hardware", "quant", "kv_dtype", "batch", "prompt", "depth", "output")
"""Arguments of a run that a side may change; any other key is an override, as after `--set`."""
COUNTS = frozenset({"batch", "prompt", "depth", "output"})
RESULT = "sparksim.result/1"
SUMMARY = "summary.json"
_COUNT = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_KINDS = {"runtime": "runtimes", "quant": "quants", "model": "models"}


@dataclass(frozen=True, slots=True)
class Change:
    """A side: arguments and overrides on top of the run that both share, or a result that there is already."""

    label: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, object] = field(default_factory=dict)
    result: RunResult | Path | None = None


Given = str | Path | Mapping[str, Any] | HardwareSpec | RunResult


def side(given: Given, search_dirs: Sequence[str | Path] = ()) -> Change:
    """What a side stands for.

    "NAME" or a YAML file: a machine. "KEY=VALUE[,KEY=VALUE...]" or a mapping: changes to the run, by its arguments
    (`runtime=vllm`, `quant=fp8`, `batch=8`) and overrides (`gpu.sms=96`, `runtime.ubatch_tokens=2048`). A folder of
    `run --out`, its summary.json, or a `RunResult`: that result.

    Raises:
        InputError: none of these; every problem.
    """
    if isinstance(given, RunResult):
        me = given.identity
        return Change(f"{me.model or given.workload.name} on {me.hardware}", result=given)
    if isinstance(given, HardwareSpec):
        return Change(given.name, {"hardware": given})
    if isinstance(given, Mapping):
        return _changes(", ".join(f"{key}={value}" for key, value in given.items()), list(given.items()))
    text = str(given).strip()
    if "=" in text and not Path(text).exists():
        pairs = [part.partition("=")[::2] for part in text.split(",")]
        return _changes(text, [(key.strip(), value.strip()) for key, value in pairs])
    if is_path(text) and (Path(text).is_dir() or text.lower().endswith(".json")):
        path = Path(text)
        return Change(path.parent.name if path.name == SUMMARY else path.stem, result=path)
    _check_machine(text, search_dirs)
    return Change(text, {"hardware": text})


def beside(given: str | Mapping[str, Any]) -> Change:
    """Another model on the same machine: "MODEL[,KEY=VALUE...]" or a mapping that names a model.

    Raises:
        InputError: it names no model, or changes what is not its own; every problem.
    """
    if isinstance(given, Mapping):
        found = _changes(", ".join(f"{key}={value}" for key, value in given.items()), list(given.items()))
    else:
        name, _, rest = str(given).partition(",")
        text = f"model={name.strip()}" if "=" not in name else name
        pairs = [part.partition("=")[::2] for part in (f"{text},{rest}" if rest else text).split(",")]
        found = _changes(str(given), [(key.strip(), value.strip()) for key, value in pairs])
    problems = (
        [Problem("is that of the first model", "bad_argument", path="hardware")]
        if "hardware" in found.arguments
        else []
    )
    problems += [
        Problem("beside a model, only runtime fields can be set", "bad_override", path=path)
        for path in found.overrides
        if not path.startswith(("runtime.", "model."))
    ]
    if not found.arguments.get("model"):
        problems.append(Problem(f"{found.label[:80]!r} names no model", "missing_argument", path="beside"))
    if problems:
        raise InputError(problems)
    return found


def sides(given: Sequence[Given], asked: Asked) -> list[Change]:
    """All sides of the run that is `asked` for; where one is wrong, so is said what is wrong with the other's run.

    Raises:
        InputError: every problem.
    """

    def tried(each: Given) -> None:
        change = side(each, asked.search_dirs)
        if change.result is None:
            asked.prepare(change.arguments, change.overrides)

    try:
        return gather(*(partial(side, each, asked.search_dirs) for each in given))
    except InputError:
        gather(*(partial(tried, each) for each in given))
        raise


def _check_machine(text: str, search_dirs: Sequence[str | Path]) -> None:
    """A bare word is a machine; a runtime or a recipe is told how it is written."""
    try:
        find("hardware", text, search_dirs)
    except InputError as error:
        for key, kind in _KINDS.items():
            if normalize(text.partition("@")[0]) in map(normalize, available(kind, search_dirs)):
                message = f"{text[:80]!r} is no machine but a {'recipe' if key == 'quant' else key}"
                raise InputError(Problem(message, "bad_argument", hint=f"write {key}={text[:80]}")) from None
        raise error from None


def _changes(label: str, pairs: Sequence[tuple[str, Any]]) -> Change:
    arguments: dict[str, Any] = {}
    overrides: dict[str, object] = {}
    problems = []
    for key, value in pairs:
        name = key.replace("-", "_")
        if not key or value in ("", None):
            problems.append(
                Problem(f"{label[:80]!r} is not KEY=VALUE[,KEY=VALUE...]", "bad_argument", path=key or None)
            )
        elif name in arguments or key in overrides:
            problems.append(Problem("is said twice", "bad_argument", path=key))
        elif name in ARGUMENTS:
            arguments[name] = _count(value) if name in COUNTS else value
        elif "." in key:
            overrides[key] = value
        else:
            guess = closest(name, ARGUMENTS)
            hint = f"did you mean {guess}?" if guess else f"{', '.join(ARGUMENTS)}, or an override such as gpu.sms"
            problems.append(
                Problem(f"{key[:80]!r} is nothing that a run has", "bad_argument", path=key[:80], hint=hint)
            )
    if problems:
        raise InputError(problems)
    return Change(label, arguments, overrides)


def _count(value: Any) -> Any:
    """A whole number; anything else is left as it is, and refused together with all other problems."""
    return int(value) if isinstance(value, str) and _COUNT.fullmatch(value) else value


def check_use(sides: Sequence[Change], shared: Mapping[str, Any]) -> None:
    """Refuse arguments of a run where nothing is run: both sides are results.

    Raises:
        InputError: every one of them.
    """
    if all(each.result is not None for each in sides):
        given = [name for name, value in shared.items() if value not in (None, False, 0, ())]
        if given:
            raise InputError([Problem("both sides are results: nothing is run", "usage", path=name) for name in given])


def read_result(path: Path) -> Mapping[str, Any]:
    """The summary in a folder of `run --out`, or in a file of it.

    Raises:
        InputError: it is not there, or not a result whose ops are told.
    """
    file = path / SUMMARY if path.is_dir() else path
    data = load_file(file).data
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != RESULT:
        message = f"is not a result: schema must be {RESULT}, not {json.dumps(schema)[:60]}"
        raise InputError(Problem(message, "unknown_schema", file=str(file)))
    phases = data.get("phases")
    whole = isinstance(phases, dict) and all(isinstance(each, dict) and "ops" in each for each in phases.values())
    if not whole or "memory" not in data:
        hint = "it was written by an older version: run it again"
        raise InputError(Problem("does not say what its ops took", "old_result", file=str(file), hint=hint))
    found: Mapping[str, Any] = data
    return found
