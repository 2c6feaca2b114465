"""Measured kernel latencies of `aiconfigurator-core`: which tables there are, and their rows as ops of ours.

The package holds Parquet tables, one per system, op, runtime and version, made by the collectors of
https://github.com/ai-dynamo/aiconfigurator. A latency is what one call of the op takes in a CUDA graph that runs it
over and over: kernel boundaries are in it, and so is bringing activations into the GEMM's format. How many copies of
the weights a collector takes turns with decides what L2 holds (`copies`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any
from zlib import crc32

from sim.errors import InputError, MissingExtraError, Problem
from sim.yamlfile import closest

PACKAGE = "aiconfigurator_core"
SYSTEMS = {
    "rtx-pro-6000-server": "rtx_pro_6000_server",
    "h100-sxm": "h100_sxm",
    "h200-sxm": "h200_sxm",
    "l40s": "l40s",
    "b200": "b200_sxm",
}
"""Our machines, and what the package calls them."""
NEVER_CALIBRATED = frozenset({"b200"})
"""Machines whose rows are for judging only."""
RUNTIMES = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "trtllm"}
"""Our runtimes, and what the package calls them."""
BUILDS = {"0.1.dev19262": "0.26.0"}
"""Builds between releases (vLLM of 27 July 2026), and the release before them."""
DTYPES = {
    "bfloat16": "bf16",
    "fp8": "fp8",
    "fp8_block": "fp8_block",
    "nvfp4": "nvfp4",
    "int4_wo": "int4",
    "w4a16_mxfp4": "mxfp4",
}
"""The package's formats, and ours."""
WITHOUT_GRAPH = frozenset({("vllm", "fp8_block")})
"""What a collector runs launch by launch, so that the host's time is what it measures; passed over."""
PARTS = frozenset({("sglang", "quantize"), ("tensorrt-llm", "quantize")})
"""Tables that hold a part of what a GEMM has launched before it, or what it has not; passed over."""
GEMM_BYTES = {"bf16": 2.0, "fp8": 1.0, "fp8_block": 1.0, "nvfp4": 0.5}
"""Bytes per weight as the collectors count them (scales left out) when they choose how many copies to make."""


DRAWN_BY = {
    "gemm": ("n", "k"),
    "attention": ("heads", "head_dim"),
    "moe": ("hidden", "intermediate"),
    "mla": ("heads", "batch"),
    "gdn": ("value_heads", "batch"),
    "kda": ("heads", "batch"),
    "all_reduce": ("size", "ranks"),
    "quantize": ("width", "width"),
}
"""The two sizes by which half of the rows are drawn for calibration."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One row: `op` with its sizes took `latency_s`. `table`: which of the op's tables it stands in.

    `copies`: sets of weights that the collector took turns with.
    """

    chip: str
    runtime: str
    version: str
    op: str
    dtype: str
    shape: tuple[tuple[str, float], ...]
    latency_s: float
    copies: int = 1
    table: str = "gemm"

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes by name."""
        return dict(self.shape)

    @property
    def input_copies(self) -> int:
        """Sets of activations that the collector takes turns with: SGLang's are as many as of weights."""
        return self.copies if self.runtime == "sglang" else 1

    @property
    def is_calibrated(self) -> bool:
        """Whether numbers of ours may rest on it: half of all pairs of sizes (`DRAWN_BY`), drawn by their CRC.

        On machines of `NEVER_CALIBRATED` none do.
        """
        if self.chip in NEVER_CALIBRATED:
            return False
        sizes = self.sizes
        first, second = DRAWN_BY[self.op]
        return crc32(f"{sizes[first]},{sizes[second]}".encode()) % 2 == 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: None = all. `sample` of each table, drawn with `seed`."""

    chip: str | None = None
    op: str | None = None
    dtype: str | None = None
    runtime: str | None = None
    sample: int | None = None
    seed: int = 0


def has_tables() -> bool:
    """Whether the package with the tables is installed, and what reads them."""
    return all(find_spec(name) is not None for name in (PACKAGE, "pyarrow"))


def data_folder() -> Path:
    """Where the package keeps its tables.

    Raises:
        MissingExtraError: the package, or the reader of its tables, is not installed.
    """
    missing = [name for name in (PACKAGE, "pyarrow") if find_spec(name) is None]
    if missing:
        message = f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not installed"
        raise MissingExtraError(Problem(message, code="missing_extra", hint="pip install 'sparksim[validate]'"))
    (folder,) = find_spec(PACKAGE).submodule_search_locations  # type: ignore[union-attr, misc]
    return Path(folder) / "systems" / "data"


def read_rows(wanted: Wanted, folder: Path | None = None) -> list[Measured]:
    """The rows that are wanted, in a fixed order. `folder`: the tables (default: the installed package's).

    Raises:
        MissingExtraError: see `data_folder`.
        InputError: a chip, runtime, op or format that there is not, or no rows.
    """
    root = data_folder() if folder is None else folder
    _check(wanted)
    rows: list[Measured] = []
    for chip, runtime, op in _tables(wanted):
        for path in sorted((root / SYSTEMS[chip]).glob(READERS[op].pattern.format(RUNTIMES[runtime]))):
            found = [row for row in _rows(path, chip, runtime, op) if wanted.dtype in (None, row.dtype)]
            rows += _drawn(found, wanted)
    if not rows:
        raise InputError(Problem("the package has no such rows", code="no_rows", hint="leave out a filter"))
    return rows


def _check(wanted: Wanted) -> None:
    problems = []
    for name, value, known in (
        ("chip", wanted.chip, SYSTEMS),
        ("runtime", wanted.runtime, RUNTIMES),
        ("op", wanted.op, READERS),
        ("dtype", wanted.dtype, dict.fromkeys(DTYPES.values())),
    ):
        if value is not None and value not in known:
            guess = closest(value, list(known))
            hint = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(known)}"
            problems.append(Problem(f"unknown {name} {value[:40]!r}", code="bad_argument", path=name, hint=hint))
    if wanted.sample is not None and wanted.sample < 1:
        problems.append(Problem(f"must be 1 or more, not {wanted.sample}", code="bad_argument", path="sample"))
    if problems:
        raise InputError(problems)


def _tables(wanted: Wanted) -> Iterator[tuple[str, str, str]]:
    for chip in SYSTEMS if wanted.chip is None else (wanted.chip,):
        for runtime in RUNTIMES if wanted.runtime is None else (wanted.runtime,):
            for op in READERS if wanted.op is None else (wanted.op,):
                if (runtime, op) not in PARTS:
                    yield chip, runtime, op


def _drawn(rows: list[Measured], wanted: Wanted) -> list[Measured]:
    if wanted.sample is None or wanted.sample >= len(rows):
        return rows
    return random.Random(wanted.seed).sample(rows, wanted.sample)


def _rows(path: Path, chip: str, runtime: str, op: str) -> Iterator[Measured]:
    table = import_module("pyarrow.parquet").read_table(path).to_pydict()
    reader = READERS[op]
    missing = [name for name in reader.columns if name not in table]
    if missing:
        message = f"has no column {', '.join(missing)}"
        raise InputError(Problem(message, code="bad_table", file=str(path), hint="another version of the package?"))
    version = BUILDS.get(path.parent.name, path.parent.name)
    for values in zip(*(table[name] for name in reader.columns), strict=True):
        dtype, shape, latency_ms = reader.read(values)
        if dtype in DTYPES and latency_ms > 0.0 and (runtime, dtype) not in WITHOUT_GRAPH:
            copies = reader.copies(runtime, DTYPES[dtype], dict(shape))
            yield Measured(chip, runtime, version, reader.op, DTYPES[dtype], shape, latency_ms / 1e3, copies, op)


Shape = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """A table's op, files and columns, and what a row means: format, sizes, milliseconds; copies of what it streams.

    A format that is not ours makes the row be passed over.
    """

    op: str
    pattern: str
    columns: Sequence[str]
    read: Callable[[Sequence[Any]], tuple[str, Shape, float]]
    copies: Callable[[str, str, dict[str, Any]], int]


def _gemm(values: Sequence[Any]) -> tuple[str, Shape, float]:
    dtype, m, n, k, latency = values
    return str(dtype), (("m", int(m)), ("n", int(n)), ("k", int(k))), float(latency)


def gemm_copies(runtime: str, dtype: str, sizes: dict[str, Any]) -> int:
    """Layers that a collector runs in turn: `outside_loop_count` of collector/{vllm,sglang,trtllm}/collect_gemm.py."""
    if runtime == "tensorrt-llm":
        return max(1, min(5, ceil(TRTLLM_L2_BYTES / int(sizes["n"] * sizes["k"] * GEMM_BYTES[dtype]))))
    return 1 if runtime == "vllm" and dtype in ("fp8_block", "nvfp4") else 6


TRTLLM_L2_BYTES = 128 * 2**20
"""L2 of the chip that the collector asks CUDA for; RTX PRO 6000's."""


ATTENTION_COLUMNS = (
    "kernel_source",
    "batch_size",
    "num_heads",
    "num_key_value_heads",
    "head_dim",
    "isl",
    "step",
    "window_size",
    "attn_dtype",
    "kv_cache_dtype",
    "latency",
)


def _attention(values: Sequence[Any]) -> tuple[str, Shape, float]:
    source, batch, heads, kv_heads, head_dim, query, step, window, dtype, kv_dtype, latency = values
    sizes = {"batch": batch, "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim, "query": query}
    sizes |= {"context": query + step} | ({"window": window} if window else {})
    known = str(kv_dtype) if dtype == "bfloat16" else f"{kv_dtype} beside {dtype}"
    if source == "triton" and head_dim == 128 and not window:
        known = "chunked"  # Llama 4's layers; the same sizes stand there again, run by FlashInfer
    if query == 1 and step == 0:
        known = (
            "one token"  # of a prompt: they run the kernels of prompts, which an op with one query does not mean here
        )
    return known, tuple((name, int(size)) for name, size in sizes.items()), float(latency)


MOE_COLUMNS = (
    "moe_dtype",
    "num_tokens",
    "hidden_size",
    "inter_size",
    "topk",
    "num_experts",
    "moe_tp_size",
    "moe_ep_size",
    "distribution",
    "latency",
)
UNGATED = frozenset({(2688, 1856), (1024, 2688), (4096, 2688), (2048, 5120), (8192, 5120)})
"""(hidden, intermediate) of the models whose experts have no gate (Nemotron)."""


def _moe(values: Sequence[Any]) -> tuple[str, Shape, float]:
    """Experts shared out over several GPUs (`moe_ep_size`) are passed over: their rows leave out which tokens come."""
    dtype, tokens, hidden, inter, top_k, experts, parts, ranks, distribution, latency = values
    power = 0.0 if distribution == "balanced" else float(distribution.rpartition("_")[2])
    sizes: dict[str, float] = {"tokens": int(tokens), "hidden": int(hidden), "intermediate": int(inter) // int(parts)}
    sizes |= {"experts": int(experts), "top_k": int(top_k), "power": power}
    sizes |= {"gated": 0} if (hidden, inter) in UNGATED else {}
    return str(dtype) if ranks == 1 else "shared out", tuple(sizes.items()), float(latency)


MLA_COLUMNS = ("mla_dtype", "kv_cache_dtype", "num_heads", "batch_size", "isl", "step", "latency")


def _mla(values: Sequence[Any]) -> tuple[str, Shape, float]:
    dtype, kv_dtype, heads, batch, query, step, latency = values
    sizes = {"batch": int(batch), "heads": int(heads), "query": int(query), "context": int(query + step)}
    known = str(kv_dtype) if dtype == "bfloat16" and (query > 1 or step) else f"{kv_dtype} beside {dtype}"
    return known, tuple(sizes.items()), float(latency)


GDN_COLUMNS = (
    "kernel_source", "batch_size", "seq_len", "num_k_heads", "head_k_dim", "num_v_heads", "head_v_dim", "latency",
)  # fmt: skip


def _gdn(values: Sequence[Any]) -> tuple[str, Shape, float]:
    """The delta rule; the convolution before it has rows of its own, which are passed over."""
    source, batch, query, key_heads, key_dim, heads, value_dim, latency = values
    sizes = {"batch": batch, "query": query, "key_heads": key_heads, "value_heads": heads}
    sizes |= {"key_dim": key_dim, "value_dim": value_dim}
    known = "bfloat16" if "gated_delta_rule" in source and not (query == 1 and "chunk" in source) else str(source)
    return known, tuple((name, int(size)) for name, size in sizes.items()), float(latency)


KDA_COLUMNS = ("kernel_source", "phase", "batch_size", "seq_len", "num_v_heads", "head_v_dim", "latency")
KDA_KERNELS = frozenset({"chunk_kda", "flashkda_fwd", "fused_recurrent_kda_packed_decode"})


def _kda(values: Sequence[Any]) -> tuple[str, Shape, float]:
    """The delta rule; convolutions, kernels that hold one too, and verification have rows that are passed over."""
    source, phase, batch, query, heads, dim, latency = values
    sizes = {"batch": int(batch), "query": int(query), "heads": int(heads), "head_dim": int(dim)}
    is_decode = phase == "generation"
    fits = source in KDA_KERNELS and phase != "verify" and is_decode == (query == 1) == ("decode" in source)
    return "bfloat16" if fits else str(source), tuple(sizes.items()), float(latency)


ALL_REDUCE_COLUMNS = ("kernel_source", "allreduce_dtype", "num_gpus", "message_size", "latency")


def _all_reduce(values: Sequence[Any]) -> tuple[str, Shape, float]:
    """Messages are counted in elements. What was launched outside of a graph is passed over."""
    source, dtype, ranks, elements, latency = values
    known = "eager" if source.endswith("_eager") else str(dtype)
    return known, (("size", 2 * int(elements)), ("ranks", int(ranks))), float(latency)


def _quantize(values: Sequence[Any]) -> tuple[str, Shape, float]:
    dtype, rows, width, latency = values
    return str(dtype), (("rows", int(rows)), ("width", int(width))), float(latency)


def _one(runtime: str, dtype: str, sizes: dict[str, Any]) -> int:
    return 1


READERS = {
    "mla-context": Reader("mla", "mla/{}/*/context_mla_perf.parquet", MLA_COLUMNS, _mla, _one),
    "mla-generation": Reader("mla", "mla/{}/*/generation_mla_perf.parquet", MLA_COLUMNS, _mla, _one),
    "gdn": Reader("gdn", "linear_attention/{}/*/gdn_perf.parquet", GDN_COLUMNS, _gdn, _one),
    "kda": Reader("kda", "kda/{}/*/kda_perf.parquet", KDA_COLUMNS, _kda, _one),
    "all_reduce": Reader(
        "all_reduce", "comm/{}/*/custom_allreduce_perf.parquet", ALL_REDUCE_COLUMNS, _all_reduce, _one
    ),
    "quantize": Reader(
        "quantize", "quantize/{}/*/scale_matrix_perf.parquet", ("quant_dtype", "m", "k", "latency"), _quantize, _one
    ),
    "moe": Reader("moe", "moe/{}/*/moe_perf.parquet", MOE_COLUMNS, _moe, _one),
    "gemm": Reader("gemm", "gemm/{}/*/gemm_perf.parquet", ("gemm_dtype", "m", "n", "k", "latency"), _gemm, gemm_copies),
    "attention-context": Reader(
        "attention", "attention/{}/*/context_attention_perf.parquet", ATTENTION_COLUMNS, _attention, _one
    ),
    "attention-generation": Reader(
        "attention", "attention/{}/*/generation_attention_perf.parquet", ATTENTION_COLUMNS, _attention, _one
    ),
}
"""Ops that are read, and how."""
