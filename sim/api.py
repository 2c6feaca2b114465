"""One simulation, step by step: start reading here. Everything else in `sim` is called from this page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.component import COMPONENTS
from sim.errors import gather
from sim.hwspec import HardwareSpec
from sim.result.run_result import RunResult
from sim.system import plugins
from sim.system.arguments import split_overrides
from sim.system.prepared import prepare
from sim.workload.model import ModelSpec
from sim.workload.quant import QuantRecipe
from sim.workload.runtime_file import LoadedRuntime

if TYPE_CHECKING:
    from sim.result.kernel_result import KernelResult
    from sim.result.load_result import LoadResult
    from sim.result.serve_result import ServeResult
    from sim.result.tenants import TenantsResult

Overrides = Mapping[str, object] | Iterable[str]


def run(
    *,
    model: str | Path | ModelSpec | None = None,
    runtime: str | Path | LoadedRuntime | None = None,
    hardware: str | Path | HardwareSpec | None = None,
    quant: str | Path | QuantRecipe | None = None,
    kv_dtype: str | None = None,
    batch: int | None = None,
    prompt: int | None = None,
    depth: int | None = None,
    output: int | None = None,
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    seed: int = 0,
    file: str | Path | None = None,
    is_full: bool = False,
    progress: Callable[[str], None] | None = None,
) -> RunResult:
    """Predict one run: `batch` sequences with `depth` tokens cached each process `prompt` tokens and generate `output`.

    Model, runtime, hardware and quantisation are each a name, a path or a loaded object. `file`: a scenario of kind
    run, which the other arguments override, or an op trace (`sparksim.ops/1`) to replay instead of a model. What
    neither says: hardware dgx-spark, batch 1, prompt 2048, depth 0, output 128; quant as the checkpoint says, kv_dtype
    as the runtime does. `set`: overrides, "PATH=VALUE" texts or a mapping (`gpu.sms`, `memory.bandwidth`,
    `runtime.ubatch_tokens`, `model.num_hidden_layers`). `cache`: folder of the kernel profile cache, "off" for none.
    `is_full`: every CTA and K-step is simulated instead of folded. `progress` is told what is done. Seconds and bytes.
    A model that does not fit gives a result with `fits` false and no rates.

    >>> import sim
    >>> result = sim.run(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2)
    >>> result.fits, result.phases["decode"]["bound"], result.decode_tok_s > 50
    (True, 'memory', True)

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    given: dict[str, object] = {"model": model, "runtime": runtime, "hardware": hardware, "quant": quant}
    given |= {"kv_dtype": kv_dtype, "batch": batch, "prompt": prompt, "depth": depth, "output": output}
    given |= {"seed": seed, "is_full": is_full}
    return prepare(given, set, file, spec_dirs, cache).run(progress)


def tenants(
    file: str | Path,
    *,
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> TenantsResult:
    """Several users of one machine, each alone and all together: a scenario of kind tenants, by name or path.

    Models take turns on the GPU, everybody shares the memory and the package's power. `set`: overrides of the machine,
    over those of the file.

    >>> import sim
    >>> both = sim.tenants("two-models")
    >>> both.row("small").slowdown > 1.9
    True

    Raises:
        InputError: the file or what it names cannot be used; `.problems` holds everything that is wrong.
    """
    from sim.system.scenario import find_file  # noqa: PLC0415 - a run of one model does without
    from sim.system.tenant_file import read_tenants  # noqa: PLC0415
    from sim.system.tenants import run_tenants  # noqa: PLC0415

    return run_tenants(read_tenants(find_file(file, spec_dirs), spec_dirs), set, spec_dirs, cache, progress)


def serve(
    file: str | Path,
    *,
    set: Overrides = (),
    seeds: Sequence[int] | None = None,
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> ServeResult:
    """Serve the requests of a scenario of kind serve (name or path), as its runtime's own scheduler would.

    `set`: overrides on top of the file, of the load (`traffic.arrivals.users=50`) and of what the server is started
    with (`runtime.max_num_seqs=64`) too. `seeds`: these instead of the file's. Latencies in seconds, per request in
    `.to_frame()`; interrupted, the result has what was done by then. A model that does not fit gives one without runs.

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    from sim.system.serve import serve as serve_prepared  # noqa: PLC0415 - a run does without
    from sim.system.serve_prepare import open_serve  # noqa: PLC0415

    return serve_prepared(open_serve(file, set, spec_dirs, cache), progress, seeds)


def load(
    *,
    origin: str | None = None,
    how: str | None = None,
    network: Mapping[str, object] | None = None,
    compiled: bool | None = None,
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    file: str | Path | None = None,
    **arguments: Any,
) -> LoadResult:
    """How long a runtime takes to start with a model, stage by stage, and how full the memory is meanwhile.

    Takes the arguments of `run`; `batch` to `output` are what the cache is made for. `origin`: where the weights lie:
    nvme, page_cache or network (`network`: its bandwidth and latency, else the adapter's). `how` they are read: mmap,
    read or direct. `compiled`: what an earlier start compiled is there. `file`: a scenario of kind load.

    >>> import sim
    >>> [stage.name for stage in sim.load(model="gpt-oss-20b", runtime="llama.cpp").stages][:3]
    ['process', 'CUDA context', 'weights']

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    from sim.system.load_file import load as load_asked  # noqa: PLC0415 - a run does without

    own = {"origin": origin, "how": how, "network": network, "compiled": compiled}
    return load_asked({**arguments, **own}, set, file, spec_dirs)


def kernel(
    op: str,
    *,
    hardware: str | Path | HardwareSpec = "dgx-spark",
    runtime: str | Path | LoadedRuntime = "vllm",
    dtype: str | None = None,
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    is_full: bool = False,
    has_lanes: bool = False,
    **shape: int | float | None,
) -> KernelResult:
    """Predict one op on a runtime's kernels, alone on the machine.

    `op`: gemm (`m`, `n`, `k`), attention (`batch`, `heads`, `kv_heads`, `head_dim`, `query`, `context`, `window`), moe
    (`tokens`, `hidden`, `intermediate`, `experts`, `top_k`, `skew`, `power`, `gated`), mla (`batch`, `heads`, `query`,
    `context`), gdn (`batch`, `query`, `key_heads`, `value_heads`), kda (`batch`, `query`, `heads`, `head_dim`), mamba2
    (`batch`, `query`, `heads`, `groups`), norm and quantize (`rows`, `width`), elementwise (`elements`, `reads`,
    `writes`), copy (`size` in bytes), all_reduce (`size`, `ranks`, `algorithm`). `dtype`: format of the weights
    (attention: of the keys).
    Weights and KV come from memory; activations were just written, so that L2 holds them as far as they fit.
    `has_lanes`: keep what the SMs did, for a picture.

    >>> import sim
    >>> result = sim.kernel("gemm", dtype="bf16", m=4096, n=4096, k=4096)
    >>> result.bound, result.flops == 2 * 4096**3
    ('compute', True)

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    from sim.system.kernel_prediction import load_kernels, predict_kernel  # noqa: PLC0415 - a run does without
    from sim.system.kernel_shapes import check_shape  # noqa: PLC0415

    changes = split_overrides(set)
    sizes, _, machine, loaded = gather(
        lambda: check_shape(op, dtype, shape),
        changes.check,
        lambda: load_hardware(hardware, overrides=changes.hardware, search_dirs=spec_dirs),
        lambda: load_kernels(runtime, changes, spec_dirs),
    )
    return predict_kernel(
        op, machine, loaded, str(dtype), sizes, types=COMPONENTS, changes=changes, is_full=is_full, has_lanes=has_lanes
    )


def load_hardware(
    ref: str | Path | HardwareSpec,
    *,
    overrides: Mapping[str, object] | None = None,
    search_dirs: Sequence[str | Path] = (),
) -> HardwareSpec:
    """The machine that a name or path stands for (or the one given), with `overrides` applied.

    >>> import sim
    >>> spark = sim.load_hardware("dgx-spark")
    >>> wider = spark.override("memory.bandwidth", "x2")  # a copy; `spark` stays as it is
    >>> round(wider.components["memory"].bandwidth / spark.components["memory"].bandwidth, 3)
    2.0
    """
    return plugins.load_hardware(ref, overrides, search_dirs)


def list_names(kind: str, search_dirs: Sequence[str | Path] = ()) -> list[str]:
    """Names of everything of a kind: hardware, models, runtimes, quants, ops, components, scenarios, laws...

    >>> import sim
    >>> "dgx-spark" in sim.list("hardware")
    True
    """
    from sim.system import catalogue  # noqa: PLC0415 - a run does without

    return catalogue.names(kind, search_dirs)


register = plugins.register
