"""Element-wise launches at a place of the model, as a runtime file lists them under `sites`."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict

from sim.workload.runtime_fields import Frozen, Number, Tile, Whole


class Launch(Frozen):
    """One element-wise launch: bytes per element of its site."""

    name: str = ""
    read: Number = Field(0.0, ge=0, description="bytes read per element")
    write: Number = Field(0.0, ge=0, description="bytes written per element")
    flops: Number = Field(1.0, ge=0, description="CUDA-core FLOPs per element")
    share: Number = Field(1.0, gt=0, description="part of the site's elements that this launch covers")
    threads: Whole = Field(512, gt=0, le=1024, description="threads of a CTA")
    per_thread: Whole = Field(0, ge=0, description="rows: elements per thread, so that short rows take fewer; 0: any")
    row_cycles: Whole | None = Field(None, ge=0, description="what a CTA waits besides; null: two reductions of a row")
    token_cycles: Whole = Field(0, ge=0, le=10**6, description="what it waits per token, up to token_limit of them")
    token_limit: Whole = Field(0, ge=0, le=2**20)
    trips: Whole = Field(
        0, ge=0, le=1024, description="reads of L2 that a CTA (a walker at each row) makes besides, one after the other"
    )
    walkers: Whole = Field(
        0, ge=0, le=65536, description="so many CTAs walk the rows in turn; 0 = as many as there are"
    )
    walk_columns: Tile = Field(65536, description="walkers: columns that a CTA takes; each group has its own walkers")
    is_row: Annotated[bool, Strict()] = Field(False, description="reduces rows (norm, softmax): a CTA per row")
    phases: Whole = Field(
        0, ge=0, le=256, description="one CTA sorts: phases of all its threads, each of the runtime's `phase_cycles`"
    )
    is_cold: Annotated[bool, Strict()] = Field(False, description="reads from memory, not what the previous op wrote")
    is_strided: Annotated[bool, Strict()] = Field(False, description="reads short pieces at a stride: one head of many")

    def fields(self, elements: int, rows: int) -> dict[str, Any]:
        """Fields of its element-wise op where the site's `elements` elements lie in `rows` rows."""
        covered = max(1, round(elements * self.share))
        return {
            "elements": covered,
            "read_bytes": round(covered * self.read),
            "write_bytes": round(covered * self.write),
            "flops_per_element": self.flops,
            "rows": rows if self.is_row else 0,
            "threads": self._threads(covered, rows),
            "row_cycles": self._wait(rows),
            "trips": self.trips,
            "is_cold": self.is_cold,
            "is_strided": self.is_strided,
            **self._walk(covered, max(1, rows)),
        }

    def _wait(self, tokens: int) -> int | None:
        """Cycles that a CTA waits besides, in a step of `tokens` tokens; None: as for two reductions of a row."""
        if not self.token_cycles:
            return self.row_cycles
        return (self.row_cycles or 0) + self.token_cycles * min(tokens, self.token_limit)

    def _walk(self, elements: int, rows: int) -> dict[str, int]:
        """CTAs and their steps, where walkers take the rows in turn."""
        if not self.walkers:
            return {}
        groups = ceil(elements / rows / self.walk_columns)
        return {"walkers": self.walkers * groups, "walk_steps": ceil(rows / self.walkers)}

    def _threads(self, elements: int, rows: int) -> int:
        """Threads of a CTA where `rows` rows have `elements` elements together: whole warps, `threads` at most."""
        if not self.per_thread:
            return self.threads
        warps = ceil(elements / max(1, rows) / self.per_thread / 32)
        return min(self.threads, max(1, warps) * 32)


class Case(Frozen):
    """The launches of a site while a step has at most `tokens` tokens (null: any number)."""

    tokens: Annotated[int, Strict(), Field(ge=0)] | None = None
    launches: tuple[Launch, ...] = ()


def _cases(value: Any) -> Any:
    """A site is a list of launches, or a list of cases by token count."""
    if isinstance(value, list) and (not value or not isinstance(value[0], dict) or "launches" not in value[0]):
        return [{"launches": value}]
    return value


Site = Annotated[tuple[Case, ...], BeforeValidator(_cases)]
