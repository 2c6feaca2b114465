"""What a runtime takes of the memory, what it does when there is no more, and how it loads a model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, model_validator

from sim.workload.runtime_fields import Frozen, Number, Whole, long_form, plain

StageSeconds = Annotated[float, Strict(), Field(ge=0, le=3600), BeforeValidator(plain), long_form("number")]
Share = Literal["everything", "static", "rest"]
WhenFull = Literal["refuse", "preempt", "retract"]
How = Literal["mmap", "read", "direct"]


class MemoryRules(Frozen):
    """What the runtime itself takes of the memory pool."""

    context_bytes: Whole = Field(ge=0, description="CUDA context, code and libraries")
    workspace_bytes: Whole = Field(0, ge=0, description="fixed scratch")
    host_bytes: Whole = Field(0, ge=0, description="its processes on the CPU's side, which its share does not count")
    logits_bytes_per_value: Number = Field(4.0, ge=0, description="output logits kept per value")
    activation_copies: Number = Field(2.0, ge=0, description="live activation tensors of the widest layer width")
    kv_block_tokens: Whole = Field(1, gt=0, le=2**20, description="KV is allocated in blocks of this many tokens")
    fraction: Number = Field(1.0, gt=0, le=1, description="share of the memory that it may use: see `share`")
    share: Share = Field(
        "everything",
        description="of what `fraction` is. everything: of the visible memory, for all that it has on the GPU "
        "(gpu_memory_utilization); static: of the memory free at its start, for weights, KV cache and context "
        "(mem_fraction_static); rest: of what is free once all but the KV cache is there, for the KV cache "
        "(free_gpu_memory_fraction)",
    )
    when_full: WhenFull = Field(
        "refuse",
        description="sequences that do not fit together. refuse: it ends at allocation; preempt: the others wait, and "
        "one that no longer fits is taken out and computed again; retract: the same, from SGLang",
    )


class Stage(Frozen):
    """A part of a runtime's start."""

    name: str = Field(min_length=1, max_length=60)
    time_s: StageSeconds = Field(description="how long it takes")
    cached_time_s: StageSeconds | None = Field(
        None, description="how long where its result is on disk from an earlier start (compiled graphs); null: as long"
    )
    takes: tuple[Literal["host", "runtime", "activation", "kv_cache"], ...] = Field(
        (), description="classes of memory that are taken in it"
    )
    kind: str = Field("", description="where the time comes from, if it stands in the short form")
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _keep_source(cls, value: Any) -> Any:
        """What a result says of a stage is where its time comes from."""
        long = value.get("time_s") if isinstance(value, dict) else None
        if isinstance(long, dict):
            return {**{key: str(long[key]) for key in ("kind", "source") if key in long}, **value}
        return value


class LoadRules(Frozen):
    """How a runtime gets weights from a file to where its kernels read them, and what else its start is made of."""

    how: How = Field(
        "mmap",
        description="how it reads unless told otherwise. mmap: pages of a mapped file are copied; read: it reads into "
        "buffers, which are copied; direct: large reads past the page cache into pinned buffers",
    )
    hows: tuple[How, ...] = Field(("mmap", "read", "direct"), description="the ways that it offers")
    populates: Annotated[bool, Strict()] = Field(
        False, description="mmap: the CPU maps the pages first (MAP_POPULATE); else the copy engine asks for each"
    )
    staging: Literal["pinned", "heap"] = Field(
        "heap",
        description="read: into a few pinned buffers, copied while the next one fills; or whole files into its heap, "
        "copied afterwards",
    )
    tensor_time_s: StageSeconds = Field(0.0, description="mmap and read: what each tensor of the file costs besides")
    before: tuple[Stage, ...] = Field((), description="stages before the weights")
    after: tuple[Stage, ...] = Field((), description="stages after them, up to the first request")
