"""A scenario of kind tenants: who shares one machine. Its form, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, WithJsonSchema, field_validator

from sim.errors import InputError, Problem, SpecError
from sim.paths import find
from sim.system.arguments import MOST_SEQUENCES
from sim.system.scenario import RuntimePart, SystemPart, Tokens, _Part
from sim.units import parse_quantity
from sim.yamlfile import Document, load_file, validate_model

MOST_SECONDS = 600.0
MOST_TENANTS = 64


def _quantity(value: Any, unit: str) -> Any:
    """A text with its unit as an SI number; what cannot be read is a ValueError, which pydantic places."""
    try:
        return parse_quantity(value, unit)
    except InputError as error:
        problem = error.problems[0]
        raise ValueError(f"{problem.message}; {problem.hint}" if problem.hint else problem.message) from None


QuantityText = WithJsonSchema({"type": "string", "description": "a number with its unit"})
"""In a file these are texts with a unit; in Python SI numbers."""


class ModelTenant(_Part):
    """A model that answers one request after the other: a prompt is read, an answer written, and again."""

    kind: Literal["model"]
    model: str = Field(description="card name, Hugging Face id, or ./FILE")
    quant: str | None = Field(None, description="recipe; what the checkpoint says if not given")
    kv_dtype: str | None = Field(None, description="format of the KV cache; the runtime's if not given")
    runtime: RuntimePart
    batch: Annotated[int, Strict()] = Field(1, ge=1, le=MOST_SEQUENCES, description="sequences side by side")
    prompt: Tokens = Field(2048, description="new tokens per sequence")
    depth: Tokens = Field(0, description="tokens already cached per sequence")
    output: Tokens = Field(128, description="tokens to generate per sequence")
    pause: Annotated[float, QuantityText] = Field(
        0.0, ge=0, description='from an answer to the next request, e.g. "2 s"'
    )

    @field_validator("pause", mode="before")
    @classmethod
    def _pause(cls, value: Any) -> Any:
        return _quantity(value, "s")


class _Moving(_Part):
    rate: Annotated[float | None, QuantityText] = Field(
        None, gt=0, description='what it wants to move at most, e.g. "12 GB/s"; else all it can'
    )

    @field_validator("rate", mode="before")
    @classmethod
    def _rate(cls, value: Any) -> Any:
        return value if value is None else _quantity(value, "B/s")


class CpuTenant(_Moving):
    """A job on CPU cores: a STREAM (no rate), a data loader (a small rate), a build (many cores, hardly any bytes)."""

    kind: Literal["cpu"]
    cores: Annotated[int, Strict()] | None = Field(None, ge=1, description="of the cluster, those with most first; all")
    cluster: str = Field("cpu0", description="component that runs it")
    access: Literal["read", "write", "copy"] = Field("copy", description="what it does to memory")
    footprint: Annotated[int | None, QuantityText] = Field(
        None, gt=0, description='what it works on, e.g. "4 MiB"; beyond the caches if not given'
    )

    @field_validator("footprint", mode="before")
    @classmethod
    def _footprint(cls, value: Any) -> Any:
        return value if value is None else round(_quantity(value, "B"))


class RdmaTenant(_Moving):
    """Traffic of the network adapter."""

    kind: Literal["rdma"]
    adapter: str = Field("nic", description="component that moves it")
    direction: Literal["in", "out"] = Field("in", description="in: memory is written; out: memory is read")


class SsdTenant(_Moving):
    """A drive that is read into memory, or written from it."""

    kind: Literal["ssd"]
    drive: str = Field("nvme", description="component that moves it")
    access: Literal["read", "write"] = Field("read", description="of the drive")


Tenant = Annotated[ModelTenant | CpuTenant | RdmaTenant | SsdTenant, Field(discriminator="kind")]


class TenantFile(_Part):
    """A scenario of kind tenants."""

    schema_: Literal["sparksim.scenario/1"] = Field(alias="schema")
    kind: Literal["tenants"] = Field(description="what is simulated: tenants of one machine")
    title: str = Field("", description="one line for people")
    source: str = Field("", description="where the numbers come from")
    aliases: tuple[str, ...] = ()
    system: SystemPart = SystemPart()
    duration: Annotated[float, QuantityText] = Field(
        10.0, gt=0, le=MOST_SECONDS, description='how long they run together, e.g. "10 s"'
    )
    tenants: dict[str, Tenant] = Field(min_length=1, max_length=MOST_TENANTS, description="by name: who runs")

    @field_validator("duration", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        return _quantity(value, "s")


def read_tenants(path: Path, search_dirs: Sequence[str | Path] = ()) -> TenantFile:
    """The scenario in `path`; names that begin with ./ are made relative to it.

    Raises:
        SpecError: the file is wrong, or names what is not there; every problem with its line.
    """
    document = load_file(path)
    file = validate_model(TenantFile, document)
    placed = {name: _placed(tenant, path) for name, tenant in file.tenants.items()}
    system = file.system.model_copy(update={"hardware": _beside(path, file.system.hardware)})
    file = file.model_copy(update={"tenants": placed, "system": system})
    if problems := list(_wrong(file, document, search_dirs)):
        raise SpecError(sorted(problems, key=lambda problem: problem.line or 0))
    return file


def _beside(path: Path, name: str) -> str:
    return str(path.parent / name) if name.startswith(("./", "../")) else name


def _placed(tenant: Any, path: Path) -> Any:
    if not isinstance(tenant, ModelTenant):
        return tenant
    runtime = tenant.runtime.model_copy(update={"name": _beside(path, tenant.runtime.name)})
    return tenant.model_copy(update={"model": _beside(path, tenant.model), "runtime": runtime})


def _wrong(file: TenantFile, document: Document, search_dirs: Sequence[str | Path]) -> Iterator[Problem]:
    named: list[tuple[str, tuple[str, ...], str]] = [("hardware", ("system", "hardware"), file.system.hardware)]
    for name, tenant in file.tenants.items():
        if not isinstance(tenant, ModelTenant):
            continue
        named += [
            ("models", ("tenants", name, "model"), tenant.model),
            ("runtimes", ("tenants", name, "runtime", "name"), tenant.runtime.name),
        ]
        named += [("quants", ("tenants", name, "quant"), tenant.quant)] if tenant.quant else []
        if tenant.prompt == tenant.output == 0:
            at = ("tenants", name, "prompt")
            message = "prompt and output are both 0: there is nothing to run"
            yield Problem(message, "nothing_to_run", document.file, document.line_of(at), ".".join(at))
    for kind, place, value in named:
        try:
            find(kind, value, search_dirs)
        except InputError as error:
            line, path = document.line_of(place), ".".join(place)
            yield from (replace(each, file=document.file, line=line, path=path) for each in error.problems)
