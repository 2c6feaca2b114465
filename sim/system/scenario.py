"""What `run FILE` takes: a scenario of kind run (`sparksim.scenario/1`), or an op trace; and flags on top of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict

from sim.errors import InputError, Problem, SpecError
from sim.paths import find, is_path
from sim.system.arguments import MOST_SEQUENCES, MOST_TOKENS, Changes, RunArguments, split_overrides
from sim.workload.optrace import SCHEMA as OPS_SCHEMA
from sim.yamlfile import Document, load_file, read_bytes, validate_model

SCHEMA = "sparksim.scenario/1"
NOT_YET = ("finetune",)
ELSEWHERE = {"load": "sim.load", "serve": "sim.serve", "tenants": "sim.tenants"}
"""Kinds that are no run, and what in the library takes them; `sparksim run` takes every kind."""
DEFAULTS: Mapping[str, Any] = {"hardware": "dgx-spark", "batch": 1, "prompt": 2048, "depth": 0, "output": 128}
OF_A_MODEL = ("model", "quant", "kv_dtype", "batch", "prompt", "depth", "output")
_SCHEMA_LINE = re.compile(rb"""^[\s{]*["']?schema["']?\s*:\s*["']?([^\s"',}]+)""", re.MULTILINE)
_HEAD_BYTES = 65536

Tokens = Annotated[int, Strict(), Field(ge=0, le=MOST_TOKENS)]
Overrides = Mapping[str, object] | Iterable[str]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SystemPart(_Part):
    """The machine."""

    hardware: str = Field("dgx-spark", description="name or ./FILE of the machine")
    machines: Annotated[int, Strict()] = Field(1, ge=1, le=1, description="how many of them; one, so far")
    set: dict[str, Any] = Field({}, description="overrides as after --set: PATH: VALUE")


class RuntimePart(_Part):
    """The runtime."""

    name: str = Field(description="name or ./FILE of the runtime")
    version: str | None = Field(None, description="a version; the newest described if not given")
    set: dict[str, Any] = Field({}, description="overrides of its fields, as after --set runtime.")


class OnARuntime(_Part):
    """What scenarios of one model on one runtime share."""

    schema_: Literal["sparksim.scenario/1"] = Field(alias="schema")
    title: str = Field("", description="one line for people")
    source: str = Field("", description="where the numbers come from")
    aliases: tuple[str, ...] = ()
    system: SystemPart = SystemPart()
    model: str = Field(description="card name, Hugging Face id, or ./FILE")
    quant: str | None = Field(None, description="recipe; what the checkpoint says if not given")
    kv_dtype: str | None = Field(None, description="format of the KV cache; the runtime's if not given")
    runtime: RuntimePart


class OfAModel(OnARuntime):
    """What scenarios of one batch share."""

    batch: Annotated[int, Strict()] = Field(1, ge=1, le=MOST_SEQUENCES, description="sequences")
    prompt: Tokens = Field(2048, description="new tokens per sequence")
    depth: Tokens = Field(0, description="tokens already cached per sequence")
    output: Tokens = Field(128, description="tokens to generate per sequence")


class ScenarioFile(OfAModel):
    """A scenario of kind run: one batch, prefill then decode."""

    kind: Literal["run"] = Field(description="what is simulated: run")


FileT = TypeVar("FileT", bound=OnARuntime)


@dataclass(frozen=True, slots=True)
class Asked:
    """A run as asked for: arguments with every default filled in, the machine, and what is to be changed."""

    arguments: RunArguments
    hardware: Any
    changes: Changes = field(default_factory=Changes)


def read_scenario(path: Path, search_dirs: Sequence[str | Path] = (), replaced: Collection[str] = ()) -> ScenarioFile:
    """The scenario in `path`; names that begin with ./ are made relative to it.

    `replaced`: flags that override it, whose names in the file need not be there.

    Raises:
        SpecError: the file is wrong, or names what is not there; every problem with its line.
        InputError: a kind that is not there yet.
    """
    document = load_file(path)
    _check_kind(document)
    file = validate_model(ScenarioFile, document)
    if file.prompt == 0 and file.output == 0:
        message, line = "prompt and output are both 0: there is nothing to run", document.line_of(("prompt",))
        raise SpecError(Problem(message, "nothing_to_run", document.file, line, "prompt"))

    file = placed(file, path)
    check_names(file, document, search_dirs, replaced)
    return file


def placed(file: FileT, path: Path) -> FileT:
    """The scenario with names that begin with ./ relative to its file."""

    def beside(name: str) -> str:
        return str(path.parent / name) if name.startswith(("./", "../")) else name

    system = file.system.model_copy(update={"hardware": beside(file.system.hardware)})
    runtime = file.runtime.model_copy(update={"name": beside(file.runtime.name)})
    return file.model_copy(update={"model": beside(file.model), "system": system, "runtime": runtime})


def check_names(
    file: OnARuntime, document: Document, search_dirs: Sequence[str | Path], replaced: Collection[str]
) -> None:
    """Everything that the scenario names is there.

    Raises:
        SpecError: it is not; every problem with its line.
    """
    named = {
        "hardware": ("hardware", ("system", "hardware"), file.system.hardware),
        "model": ("models", ("model",), file.model),
        "runtime": ("runtimes", ("runtime", "name"), file.runtime.name),
        "quant": ("quants", ("quant",), file.quant),
    }
    problems: list[Problem] = []
    for flag, (kind, place, name) in named.items():
        if name is None or flag in replaced:
            continue
        try:
            find(kind, name, search_dirs)
        except InputError as error:
            line, at = document.line_of(place), ".".join(place)
            problems += [replace(each, file=document.file, line=line, path=at) for each in error.problems]
    if problems:
        raise SpecError(sorted(problems, key=lambda problem: problem.line or 0))


def _check_kind(document: Document) -> None:
    kind = document.data.get("kind") if isinstance(document.data, dict) else None
    line = document.line_of(("kind",))
    if kind in NOT_YET:
        message = f"scenarios of kind {kind} are not there yet"
        hint = "those of kind run, load, serve and tenants are"
        raise InputError(Problem(message, "unsupported_scenario", document.file, line, "kind", hint))
    if kind in ELSEWHERE:
        message, hint = f"a scenario of kind {kind} is no run", f"`sparksim run` and {ELSEWHERE[kind]} take it"
        raise InputError(Problem(message, "unsupported_scenario", document.file, line, "kind", hint))


def scenario_kind(name: str | Path, search_dirs: Sequence[str | Path] = ()) -> str | None:
    """The kind that a scenario says it is of; None for an op trace, and where it says none.

    Raises:
        InputError: there is no such file, or it is unreadable.
    """
    path = find_file(name, search_dirs)
    if not is_scenario(path):
        return None
    data = load_file(path).data
    kind = data.get("kind") if isinstance(data, dict) else None
    return kind if isinstance(kind, str) else None


def find_file(name: str | Path, search_dirs: Sequence[str | Path] = ()) -> Path:
    """The scenario or op trace that a name or path stands for; scenarios are looked through first.

    Raises:
        InputError: there is neither.
    """
    if is_path(str(name)):
        return Path(name)
    missing: list[InputError] = []
    for kind in ("scenarios", "ops", "traces"):
        try:
            return find(kind, str(name), search_dirs)
        except InputError as error:
            missing.append(error)
    raise missing[0]


def is_scenario(path: Path) -> bool:
    """Whether a file says that it is a scenario; anything else is read as an op trace.

    Raises:
        InputError: unreadable, or its schema is neither.
    """
    if path.suffix == ".jsonl":
        return False
    found = _SCHEMA_LINE.search(read_bytes(path)[:_HEAD_BYTES])
    schema = found[1].decode("utf-8", "replace") if found else OPS_SCHEMA
    if schema not in (SCHEMA, OPS_SCHEMA):
        message = f"schema must be {SCHEMA} or {OPS_SCHEMA}, not {schema[:60]!r}"
        hint = "`sparksim sweep` takes it" if schema == "sparksim.study/1" else None
        raise InputError(Problem(message, "unknown_schema", str(path), path="schema", hint=hint))
    return schema == SCHEMA


def asked(
    given: Mapping[str, Any], overrides: Overrides, file: str | Path | None, search_dirs: Sequence[str | Path]
) -> Asked:
    """The run that flags (or keywords) in `given`, a file and overrides ask for together; flags override the file.

    Raises:
        InputError: the file is wrong, or flags that have no place beside it; every problem.
    """
    flags = {name: value for name, value in given.items() if value is not None}
    rest = {name: flags.pop(name) for name in ("seed", "is_full") if name in flags}
    changes = split_overrides(overrides)
    values = dict(DEFAULTS) | flags
    trace = None
    if file is not None:
        path = find_file(file, search_dirs)
        if is_scenario(path):
            said, sets = said_by(read_scenario(path, search_dirs, flags))
            values = dict(DEFAULTS) | said | flags
            own = split_overrides(sets)
            changes = own.with_later(changes)
            changes.given |= {name: _text(value) for name, value in flags.items()}
        else:
            _refuse_beside_trace(flags)
            trace = str(path)
    hardware = values.pop("hardware")
    values = dict.fromkeys(("model", "runtime", "quant", "kv_dtype")) | values | rest
    return Asked(RunArguments(**values, file=trace), hardware, changes)


def said_by(scenario: OfAModel) -> tuple[dict[str, Any], dict[str, object]]:
    """What a scenario says, under the names of the flags; and its overrides."""
    version = scenario.runtime.version
    values = {name: getattr(scenario, name) for name in OF_A_MODEL}
    values["hardware"] = scenario.system.hardware
    values["runtime"] = f"{scenario.runtime.name}@{version}" if version else scenario.runtime.name
    sets: dict[str, object] = dict(scenario.system.set)
    sets |= {f"runtime.{name}": value for name, value in scenario.runtime.set.items()}
    return values, sets


def _refuse_beside_trace(flags: Mapping[str, Any]) -> None:
    problems = [
        Problem("an op trace has ops of its own: this says nothing about them", "usage", path=name)
        for name in OF_A_MODEL
        if name in flags
    ]
    if problems:
        raise InputError(problems)


def _text(value: Any) -> str:
    """A flag's value as text; a loaded object by its name."""
    spec = getattr(value, "spec", value)  # of a loaded runtime
    return str(value) if isinstance(value, str | Path | int) else str(getattr(spec, "name", value))
