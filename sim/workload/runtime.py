"""A runtime: the software between a model and the GPU, and its versions, read from `workloads/runtimes/*.yaml`.

It says which kernel runs an op (tiles, stages, matrix-unit type: `kernels`), which element-wise launches a place in
the model really costs (`sites`: bytes read and written per element, launch by launch), how kernels are launched and
what the host adds per step. Versions differ by such mechanisms: each lists its changes over the one before.
"""

from __future__ import annotations

from collections.abc import Collection
from math import ceil
from typing import Annotated, Literal

from pydantic import Field, Strict

from sim.errors import Problem, WorkloadError
from sim.workload.launch import Launch, Site
from sim.workload.runtime_fields import ANY, Frozen, Number, Range, Seconds, Tile, Variant, Whole
from sim.workload.runtime_memory import LoadRules, MemoryRules


class KernelRule(Frozen):
    """When a kernel is chosen, and what its CTAs look like. Sizes in elements, bytes or SM cycles."""

    ops: tuple[Literal["gemm", "grouped_gemm", "attention", "scan", "elementwise"], ...] = Field(
        description="op kinds it can run"
    )
    dtypes: tuple[str, ...] = Field((), description="weight formats (for attention: KV formats); empty = any")
    m: Range = Field(ANY, description="rows of activations (tokens; for a grouped GEMM the tokens of the op)")
    query: Range = Field(ANY, description="attention: new positions per sequence")
    batch: Range = Field(ANY, description="attention: sequences")
    head_dim: Range = Field(ANY, description="attention: head size")
    gqa: Range = Field(ANY, description="attention: query heads per KV head")
    window: Range = Field(ANY, description="attention: sliding window, keys; 0 where there is none")
    filled: Range = Field(
        ANY, description="attention: sequences x KV heads x whole blocks of 128 keys (one at least), in % of the SMs"
    )
    n: Range = Field(ANY, description="columns of the weights")
    k: Range = Field(ANY, description="depth of the GEMM")
    tokens_per_expert: Range = Field(ANY, description="grouped GEMM: tokens of the op over experts, rounded up")
    sms: Range = Field(ANY, description="only on GPUs with so many SMs: a library's tables differ by chip")
    sites: tuple[str, ...] = Field((), description="only at these places of the model; empty = any")
    backends: tuple[str, ...] = Field(
        (), description="GEMMs: only where linear_backend (grouped ones: moe_backend) is one of these; empty = any"
    )
    unit: str = Field(description="matrix or CUDA-core rate it uses: a key of the GPU's flop_per_clock_per_sm")
    is_optional: Annotated[bool, Strict()] = Field(
        False, description="a GPU without that unit does without the rule, and takes the next that fits"
    )
    efficiency: Number = Field(1.0, gt=0, le=1, description="share of the unit's issue slots the inner loop fills")
    is_power_bound: Annotated[bool, Strict()] = Field(
        False,
        description="held for seconds it draws all that the GPU's rail gives: in a run of a model its products go at "
        "gpu.sustained_clock",
    )
    site_suffix: str | None = Field(
        None, description="grouped GEMM: the other launches of its layer of experts are those of moe_sort<suffix> &c."
    )
    variants: tuple[Variant, ...] = Field(
        (),
        description="GEMM: tiles that the library chooses from by its estimate of the time; attention: by the rows "
        "that a CTA gets, as from tile_m; empty = tile_m",
    )
    tile_m: tuple[Tile, ...] = Field(
        (128,), min_length=1, max_length=64, description="choices of rows per tile: the fewest tiles, then the smallest"
    )
    tile_m_by: Literal["tokens", "expert_rows", "spare_rows"] = Field(
        "tokens",
        description="grouped GEMM: tile height for all tokens, or for the mean rows of an expert; spare_rows: the "
        "lowest of which those fill less than nine tenths, else the highest (Marlin)",
    )
    tile_n: Tile = Field(128, description="columns per tile (attention: keys per step)")
    tile_k: Tile = Field(64, description="depth of a K-step")
    stages: Whole = Field(2, gt=0, le=256, description="K-steps whose fetches may be outstanding")
    schedule: Literal["tiles", "persistent", "split_k"] = "tiles"
    shares_empty_tiles: Annotated[bool, Strict()] = Field(
        False,
        description="grouped GEMM, persistent: CTAs share out the tiles that there could be (all tokens to each "
        "expert), so that those with the popular experts get more work",
    )
    ctas_per_sm: Whole = Field(0, ge=0, le=1024, description="persistent: CTAs launched per SM; 0 = as many as fit")
    split_limit: Whole = Field(1, gt=0, le=65536, description="most K-splits (attention decode: most KV splits)")
    split_steps: Whole = Field(1, gt=0, le=65536, description="fewest K-steps that a split keeps")
    split_keys: Whole = Field(0, ge=0, le=2**20, description="attention: fewest keys of a split; 0 = split_steps tiles")
    split_root: Whole = Field(
        0, ge=0, le=2**20, description="decode: of the splits wanted, at most the root of so many times their number"
    )
    split_units: Whole = Field(
        0, ge=0, le=2**20, description="decode: up to so many (sequences x KV heads) split_limit parts, above none"
    )
    split_all: Annotated[bool, Strict()] = Field(
        False,
        description="decode: split_limit parts of the keys (with split_keys: those of the whole context) are launched "
        "whatever the split; CTAs without keys end at once",
    )
    split_per_sm: Whole = Field(
        0,
        ge=0,
        le=64,
        description="attention: KV splits fill at most so many CTAs per SM; 0 = decode at least one, prefill none",
    )
    swizzle: Whole = Field(
        1, gt=0, le=65536, description="rows of tiles that are walked together; 1 = columns outermost"
    )
    order: Literal["bnm", "bmn", "nbm", "short"] = Field(
        "bnm",
        description="how tiles are walked, slowest first: b batches (experts), m rows, n columns of the "
        "output; short: dense GEMM, the dimension with fewer tiles fastest (CUTLASS's heuristic raster",
    )
    threads: Whole = Field(256, gt=0, le=1024)
    registers: Whole = Field(128, gt=0, le=255, description="32-bit registers per thread")
    shared_bytes: Whole | None = Field(None, ge=0, description="shared memory per CTA; null = stages x tiles")
    prologue_cycles: Whole = Field(500, ge=0, le=10**9, description="CTA start to its first fetch")
    step_cycles: Whole = Field(
        0, ge=0, le=10**9, description="barrier and address work per K-step that overlaps nothing of the CTA"
    )
    sum_cycles: Whole = Field(0, ge=0, le=10**9, description="attention, after a split: CTA of the launch that adds up")
    sum_split_cycles: Whole = Field(0, ge=0, le=10**9, description="the same per split, which it takes one by one")
    sum_rows: Whole = Field(8, gt=0, le=4096, description="rows of heads that a CTA of the launch that adds up takes")
    sum_threads: Whole = Field(512, gt=0, le=1024, description="threads of such a CTA")
    sums_always: Annotated[bool, Strict()] = Field(
        False, description="attention decode: the launch that adds up comes also where nothing was split"
    )
    state_bytes: Whole | None = Field(
        None, gt=0, le=8, description="scan: bytes per element of the new states; null: as read"
    )
    part_bytes: Whole = Field(4, gt=0, le=8, description="bytes per value of a part of the output, after a split")
    store_site: str | None = Field(None, description="attention: site that stores new keys and values; null: kv_store")
    stores_queries: Annotated[bool, Strict()] = Field(
        False, description="attention: that site's launches bring the queries into place too"
    )
    is_aligned: Annotated[bool, Strict()] = Field(
        False, description="prefill with a window: keys are walked in whole tiles that begin at multiples of tile_n"
    )
    splits_by_length: Annotated[bool, Strict()] = Field(
        False, description="decode: KV splits aim at log2(keys / 64) CTAs per SM"
    )
    skip_share: Number = Field(
        0.0,
        ge=0,
        le=1,
        description="prefill with a window: time of a tile of keys before it, walked but masked, in K-steps",
    )
    launch_order: Literal["longest", "tiles_inside", "tiles_outside"] = Field(
        "longest",
        description="causal prefill: long tiles first; or as they grow, head after head; or as they grow, all heads' "
        "tiles of a length together",
    )
    splits_groups: Annotated[bool, Strict()] = Field(
        False, description="prefill: a tile of rows may begin inside of a group of query heads"
    )
    swaps_groups: Annotated[bool, Strict()] = Field(
        False, description="decode: copies queries and output, where several KV heads of several sequences have groups"
    )
    mma_cycles: Whole = Field(
        0,
        ge=0,
        le=10**6,
        description="GEMMs: fragment load and product of 32 bytes of depth, where the next waits for it",
    )
    first_cycles: Whole = Field(
        0, ge=0, description="what the first CTA of each SM waits besides: code and descriptors that caches do not hold"
    )
    group_cycles: Whole = Field(
        0,
        ge=0,
        le=10**6,
        description="grouped GEMM: what each SM's first CTA waits besides per expert, looking for its tiles",
    )
    epilogue_cycles: Whole = Field(
        0, ge=0, description="last product to the CTA's end: sums through shared memory, conversion, stores issued"
    )
    stages_output: Annotated[bool, Strict()] = Field(
        False,
        description="GEMMs: the epilogue brings the sums through shared memory, in FP32, written and read; "
        "after K-splits each part once more",
    )
    fills_rows: Annotated[bool, Strict()] = Field(
        False, description="dense GEMM: tiles are fetched whole, rows beyond the last one too, which L2 fills in"
    )
    split_from_k: Whole = Field(1, gt=0, description="variants: least depth at which K-splits are tried")
    pad_n: Whole = Field(1, gt=0, le=65536, description="the weights' columns are stored padded to a multiple of this")
    pad_k: Whole = Field(1, gt=0, le=65536, description="the weights' depth is stored padded to a multiple of this")
    pads_heads: Annotated[bool, Strict()] = Field(
        False, description="attention: products over head sizes rounded up to a power of two (Triton's blocks)"
    )
    is_padded: Annotated[bool, Strict()] = Field(
        True, description="matrix units work on whole tiles; false: only on the rows there are"
    )
    activation: str | None = Field(None, description="format in which activations are read, when not the op's own")
    quantize_site: str | None = Field(None, description="site launched before it to bring activations into that format")
    alu_flops_per_weight: Number = Field(
        0.0,
        ge=0,
        description="CUDA-core work to unpack one weight (attention: a key or value narrower than queries), per tile",
    )
    alu_flops_per_sum: Number = Field(
        0.0,
        ge=0,
        description="GEMMs: CUDA-core work per output and K-step, where each step's sums have a scale of their own",
    )
    alu_flops_per_score: Number = Field(0.0, ge=0, description="attention: CUDA-core work per score (softmax)")
    gqa_packs: tuple[Tile, ...] = Field(
        (), description="attention: query heads of a KV head that a CTA can take together; empty = all of them"
    )
    step_parts: Whole = Field(
        1,
        gt=0,
        le=64,
        description="attention: a tile of keys is fetched and multiplied in so many K-steps, one after the other",
    )
    reloads_queries: Annotated[bool, Strict()] = Field(
        False,
        description="attention: each K-step fetches the queries again, from L2: shared memory has no room for them",
    )
    rereads_values: Annotated[bool, Strict()] = Field(
        False,
        description="attention over latents: values are fetched as such, from L2, though they are part of the keys",
    )
    output_parts: Whole = Field(
        1,
        gt=0,
        le=16,
        description="attention decode: CTAs that share a tile's output columns; each makes all its scores",
    )
    reduce_site: str | None = Field(None, description="dense GEMM: site launched after it to add up what tiles share")
    reduce_limit: Whole = Field(
        2**50, gt=0, description="most elements that this adds up: tiles of the CTAs that share"
    )
    access: Literal["read", "random", "strided"] = Field("read", description="how weights are read from memory")


class RuntimeSpec(Frozen):
    """One version of a runtime, resolved."""

    name: str
    version: str
    date: str = ""
    title: str = ""
    source: str = ""
    family: str = Field("", description="the runtime at the root of `extends`, whose formats it reads; itself without")
    generations: tuple[Literal["nvidia", "volta", "pascal", "rdna", "apple"], ...] = Field(
        ("nvidia",), min_length=1, description="GPUs that its kernels are written for, as `generation` of a GPU says it"
    )
    note: str = Field("", description="what a result says of the runtime's kernels")
    ubatch_tokens: Whole = Field(gt=0, le=2**20, description="most tokens of one forward pass")
    prefill_packing: Literal["sequences", "arrivals"] = Field(
        "sequences",
        description="how a batch of prompts fills passes: whole sequences as they fit, or the first one alone, because "
        "a server starts with it while the others still arrive",
    )
    kv_dtype: str = Field(description="format of the KV cache unless the user says otherwise")
    kv_dtypes: tuple[str, ...] = Field((), description="formats that it offers for the KV cache; empty = any")
    activation_dtype: str = Field(description="format of the residual stream")
    state_dtype: str = Field("f32", description="format of recurrent states")
    phase_cycles: Whole = Field(0, ge=0, le=2**20, description="a phase of a launch that sorts in one CTA (`phases`)")
    window_cache: Literal["window", "ubatch", "ring"] = Field(
        "window",
        description="keys that a windowed layer keeps and reads: its window, or window + ubatch; ring: of several "
        "sequences only up to the newest of those",
    )
    kv_padding_tokens: Whole = Field(1, gt=0, le=2**20, description="attention reads a multiple of this many keys")
    launch: Literal["graph", "eager"] = "graph"
    graph_batch_limit: Whole = Field(2**31, ge=0, description="decode batches above this run without a graph")
    graph_batches: tuple[tuple[Tile, Tile], ...] = Field(
        (),
        description="decode steps are padded to batches whose graphs were captured: up to so many tokens, multiples of "
        "so many; as they are above the last, or with no list",
    )
    routes_padding: Annotated[bool, Strict()] = Field(
        True, description="padding of graphs goes to experts of its own, whose weights are then read too"
    )
    host_step_s: Seconds = Field(0.0, description="CPU time between two forward passes that the GPU waits for")
    is_async: Annotated[bool, Strict()] = Field(
        False, description="the host prepares a pass while the GPU still runs the one before (graphs)"
    )
    host_launch_s: Seconds = Field(0.0, description="CPU time per launch outside a graph, over that of the driver")
    host_sequence_s: Seconds = Field(0.0, description="CPU time per running sequence and step")
    request_s: Seconds = Field(
        0.0, description="from a request's arrival to its first pass: HTTP, tokenisation, queues between processes"
    )
    graph_launch_s: Seconds = Field(0.0, description="CPU time to launch a graph, over that of the driver")
    prefill_launch: Literal["graph", "eager"] = "eager"
    dependent_launch: Literal["full", "programmatic"] = Field(
        "full",
        description="a kernel of a graph starts when the one before is over, or its prologue runs beside its end",
    )
    qkv: Literal["fused", "separate"] = "separate"
    gate_up: Literal["fused", "separate"] = "separate"
    linear_backend: str = Field("auto", description="whose kernels run dense GEMMs, where there is a choice")
    moe_backend: str = Field("auto", description="whose kernels run the experts' GEMMs, where there is a choice")
    logits: Literal["last", "all"] = "last"
    sparse_keys: Literal["gathered", "masked"] = Field(
        "gathered",
        description="attention over chosen keys reads those alone, or all of them, with a mask over what is not chosen",
    )
    draft_tokens: Whole = Field(
        0,
        ge=0,
        le=16,
        description="drafts of the model's own layer where a run speculates and gives no number; 0: none",
    )
    latent_prefill: Literal["expanded", "expanded_as_cached", "absorbed"] = Field(
        "expanded",
        description="latent attention in prefill: over keys and values made from the latents (brought into the cache's "
        "format), or as in decode",
    )
    sites: dict[str, Site]
    kernels: dict[str, KernelRule]
    memory: MemoryRules
    load: LoadRules = LoadRules()

    def on(self, sms: int) -> RuntimeSpec:
        """The same with only those kernels that are used on a GPU of `sms` SMs."""
        fitting = {name: rule for name, rule in self.kernels.items() if rule.sms[0] <= sms <= rule.sms[1]}
        return self if len(fitting) == len(self.kernels) else self.model_copy(update={"kernels": fitting})

    def with_units(self, units: Collection[str]) -> RuntimeSpec:
        """The same without optional kernels that work on a unit which is not among `units`."""
        fitting = {name: rule for name, rule in self.kernels.items() if not rule.is_optional or rule.unit in units}
        return self if len(fitting) == len(self.kernels) else self.model_copy(update={"kernels": fitting})

    def at_sustained_clock(self, share: float) -> RuntimeSpec:
        """The same once power has pulled the clock down: products of power-bound kernels go at `share` of it."""
        slowed = {
            name: rule.model_copy(update={"efficiency": rule.efficiency * share})
            for name, rule in self.kernels.items()
            if rule.is_power_bound
        }
        return self.model_copy(update={"kernels": {**self.kernels, **slowed}}) if slowed and share < 1.0 else self

    def only(self, kernel: str) -> RuntimeSpec:
        """The same, `kernel` tried first and on GPUs of any size: another chip's kernel put on this one.

        Raises:
            KeyError: it has no such kernel.
        """
        rule = self.kernels[kernel].model_copy(update={"sms": ANY})
        return self.model_copy(
            update={"kernels": {kernel: rule, **{n: r for n, r in self.kernels.items() if n != kernel}}}
        )

    def backend(self, kind: str) -> str | None:
        """Whose kernels run ops of `kind`; None where there is no such choice."""
        return {"gemm": self.linear_backend, "grouped_gemm": self.moe_backend}.get(kind)

    def graph_tokens(self, tokens: int, sequences: int) -> int:
        """Tokens of the captured graph that runs a decode step of `tokens` tokens of `sequences` sequences."""
        if self.launch != "graph" or sequences > self.graph_batch_limit:
            return tokens
        for limit, multiple in self.graph_batches:
            if tokens <= limit:
                return ceil(tokens / multiple) * multiple
        return tokens

    def launches(self, site: str, tokens: int) -> tuple[Launch, ...]:
        """The element-wise launches of `site` in a step of `tokens` tokens.

        Raises:
            WorkloadError: the runtime does not say what it launches there.
        """
        if site not in self.sites:
            message = f"{self.name}@{self.version} does not say what it launches at {site!r}"
            hint = "models with such a place do not run on it yet; [] says that nothing is launched there"
            raise WorkloadError(Problem(message, "no_site", path=site, hint=hint))
        for case in self.sites[site]:
            if case.tokens is None or tokens <= case.tokens:
                return tuple(self._timed(launch) for launch in case.launches)
        return ()

    def _timed(self, launch: Launch) -> Launch:
        """The launch with what its phases take."""
        if not launch.phases:
            return launch
        return launch.model_copy(update={"row_cycles": (launch.row_cycles or 0) + launch.phases * self.phase_cycles})
