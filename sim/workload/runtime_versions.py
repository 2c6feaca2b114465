"""A runtime's file as it is written: what all versions share, and what each changes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sim.workload.runtime_fields import Frozen


class RuntimeFile(Frozen):
    """The file: what all versions share, and the versions in order, each a patch on the one before."""

    schema_: Literal["sparksim.runtime/1"] = Field(alias="schema")
    name: str
    title: str = ""
    source: str = ""
    aliases: tuple[str, ...] = ()
    extends: str | None = Field(
        None,
        description="NAME[@VERSION] or ./FILE of a runtime that `base` changes; new kernels are tried before its own",
    )
    base: dict[str, Any] = Field(description="what all versions share")
    versions: dict[str, dict[str, Any]] = Field(min_length=1, description="version -> its changes over the one before")
