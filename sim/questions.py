"""Questions that take many simulations, or none: why, what differs, what fits, what if. One simulation is `api.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.hwspec import HardwareSpec
from sim.system.prepared import Asked, prepare

if TYPE_CHECKING:
    import pandas as pd

    from sim.result.fit_result import FitResult
    from sim.study.ask_study import Vary
    from sim.study.compare import Comparison
    from sim.study.explain import Explanation
    from sim.study.machines import MachineTable
    from sim.study.sensitivity import Sensitivities
    from sim.study.sides import Given

Overrides = Mapping[str, object] | Iterable[str]


def explain(
    *,
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    file: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    **arguments: Any,
) -> Explanation:
    """Why a run takes as long as it does. Takes the arguments of `run`.

    Time by op and cause, what limits each phase, and how much the speed hangs on every number of the machine and the
    runtime that is read: `d ln(rate) / d ln(field)`, by simulating again with the field changed by some 10 %.

    >>> import sim
    >>> why = sim.explain(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2)
    >>> why.most_sensitive("decode")[0].field.path
    'memory.bandwidth'

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    from sim.study.explain import explain as explain_prepared  # noqa: PLC0415 - a run need not load it

    return explain_prepared(prepare(arguments, set, file, spec_dirs, cache), progress)


def fit(
    *,
    beside: Sequence[str | Mapping[str, Any]] = (),
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    file: str | Path | None = None,
    **arguments: Any,
) -> FitResult:
    """What fits in the machine's memory. Takes the arguments of `run`; nothing is simulated.

    The verdict on what is asked for, the longest context and the most sequences, every quantisation with its verdict,
    and what would make it fit. `beside`: other models on the same machine, each "MODEL[,KEY=VALUE...]" or a mapping;
    what they do not say is as for the first (its quantisation excepted).

    >>> import sim
    >>> found = sim.fit(model="llama-3.1-70b", runtime="vllm")
    >>> found.fits, found.models[0].memory.would_fit
    (False, 'fp8 weights (72.7 GB)')

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    from sim.study.fit import fit as fit_asked  # noqa: PLC0415 - a run does without

    return fit_asked(Asked(arguments, set, file, spec_dirs, "off"), beside)


def compare(
    a: Given,
    b: Given,
    *,
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    file: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    **arguments: Any,
) -> Comparison:
    """Why B is faster than A: the difference in time per token, split by cause and by op class.

    `a`, `b`: each a machine (name, YAML file, loaded), changes to the run ("runtime=vllm,gpu.sms=96" or a mapping), or
    a result (folder of `run --out`, `RunResult`). Everything else is what both run, as in `run`.

    >>> import sim
    >>> found = sim.compare("dgx-spark", "memory.bandwidth=x2", model="qwen3-0.6b", runtime="llama.cpp", prompt=0)
    >>> found.waterfalls[0].speedup > 1.2, found.waterfalls[0].by_bound()["memory"] < 0
    (True, True)

    Raises:
        InputError: something given cannot be used, or a machine lacks what the runtime's kernels need.
    """
    from sim.study.compare import compare as compare_sides  # noqa: PLC0415 - a run does without

    return compare_sides(a, b, Asked(arguments, set, file, spec_dirs, cache), progress)


def compare_machines(
    machines: Sequence[str | Path | HardwareSpec],
    *,
    years: float = 3.0,
    electricity: float = 0.15,
    prices: Mapping[str, float] | None = None,
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    **arguments: Any,
) -> MachineTable:
    """One model on several machines: rates, memory, bandwidth, watts, price and price per million tokens, side by side.

    Everything else is what all of them run, as in `run`. Where a machine's GPU needs other kernels than the runtime's,
    the builds of the same runtime that have them are taken (llama.cpp-metal for llama.cpp). A token costs its share of
    the price over `years` of writing all the time, and of electricity at so many USD per kWh. `prices`: USD by machine,
    instead of what the machines' files say.

    >>> import sim
    >>> table = sim.compare_machines(["dgx-spark", "m4-max"], model="qwen3-0.6b", runtime="llama.cpp", output=2)
    >>> [row.runtime.split("@")[0] for row in table.rows]
    ['llama.cpp', 'llama.cpp-metal']

    Raises:
        InputError: something given cannot be used, or no machine has kernels for it.
    """
    from sim.study.machines import Costs  # noqa: PLC0415 - a run does without
    from sim.study.machines import compare_machines as side_by_side  # noqa: PLC0415

    asked = Asked(arguments, set, None, spec_dirs, cache)
    return side_by_side(machines, asked, Costs(years, electricity, prices or {}), progress)


def sweep(
    study: str | Path | None = None,
    *,
    vary: Vary = (),
    zip: Sequence[str] | Sequence[Sequence[str]] = (),
    sample: str | Mapping[str, object] = "grid",
    keep: Sequence[str] = (),
    constraints: Sequence[Mapping[str, object]] = (),
    derive: Sequence[Mapping[str, object]] = (),
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    store: str | Path | None = None,
    workers: int | None = None,
    backend: str | None = None,
    progress: Callable[[str], None] | None = None,
    **arguments: Any,
) -> pd.DataFrame:
    """Ask many runs. Takes the arguments of `run`; a list instead of a value, also within `set`, is an axis.

    Axes multiply, the last changes fastest; those in `zip` move together. `vary`: more axes, ranges too
    (`{"memory.bandwidth": "200..600:25GB/s"}`). `sample`: grid, zip, "random 100" or "sobol 64". `study`: a study
    (`sparksim.study/1`) or a scenario, which the others override. `keep`: columns, or groups of them ("memory").
    `constraints`: which rows to keep, `{"column": "ttft_s", "max": 2}`; `derive`: ratios, `{"name": "per_byte",
    "ratio": ["decode_tok_s", "memory.needed_bytes"]}`. `store`: a file that keeps each point at once; asked again, it
    goes on. `workers`: processes; `backend`: loky, dask or ray. Gives a row per point in the study's order: axes under
    their path, the result flattened with dots, SI units, `status` (ok, does_not_fit, refused, failed) and `error`.

    >>> import sim
    >>> table = sim.sweep(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2, batch=[1, 2])
    >>> list(table["batch"]), list(table["status"]), bool(table["decode_tok_s"].is_monotonic_increasing)
    ([1, 2], ['ok', 'ok'], True)

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    from sim.study.ask_study import Wanted  # noqa: PLC0415 - a run need not load them
    from sim.study.sweep import sweep as ask  # noqa: PLC0415

    wanted = Wanted(vary, zip, None if sample == "grid" else sample, keep, constraints, derive)
    asked = Asked(arguments, set, None, spec_dirs, cache)
    return ask(study, wanted, asked, store=store, workers=workers, backend=backend, progress=progress).whole_frame()


def sensitivity(
    *,
    y: Sequence[str] = (),
    of: Sequence[str] = (),
    factors: Sequence[str] | Mapping[str, object] = (),
    vary: Vary = (),
    sobol: int | None = None,
    workers: int | None = None,
    set: Overrides = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    file: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    **arguments: Any,
) -> Sensitivities:
    """What results hang on. Takes the arguments of `run`.

    `y`: results, by their keys with dots; `ttft_s` and `tpot_s` if none is given. Elasticities d ln(y) / d ln(field) by
    every number that the run reads, or those in `of`; what `factors` do ("memory.bandwidth=x2"), each alone and all
    together; or Sobol indices over the ranges of `vary`, from `sobol` x (ranges + 2) points.

    >>> import sim
    >>> found = sim.sensitivity(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2, of=["memory.bandwidth"])
    >>> -1 < found.elasticities[0].elasticity["tpot_s"] < -0.5
    True

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    from sim.study.parallel import read_workers  # noqa: PLC0415 - a run need not load them
    from sim.study.sensitivity import sensitivity as ask  # noqa: PLC0415

    asked = Asked(arguments, set, file, spec_dirs, cache)
    who = read_workers(None, workers) if workers is not None else None
    return ask(asked, y=y, of=of, factors=factors, vary=vary, sobol=sobol, workers=who, progress=progress)


def draw(
    source: Any,
    path: str | Path,
    *,
    kind: str | None = None,
    x: str | None = None,
    y: str | Sequence[str] = (),
    by: str | None = None,
) -> list[Path]:
    """Draw a DataFrame of `sim.sweep`, a result, or what was written of either; the SVG and PNG that it wrote.

    `kind`, of points: lines (`y` over `x`, a line for each other axis), heat (`y` over `x` and `by`), pareto (`y`
    against `x`, coloured by `by`); of a run: breakdown, timeline, ops, roofline, memory, memory_time, power; of
    `explain`, `compare`, `sensitivity`, machines and `validate` their own.

    >>> import sim, tempfile
    >>> table = sim.sweep(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2, batch=[1, 2, 4])
    >>> [file.suffix for file in sim.draw(table, f"{tempfile.mkdtemp()}/rates", y="decode_tok_s")]
    ['.svg', '.png']

    Raises:
        InputError: nothing to draw, or no such picture or column; says what there is.
    """
    from sim.plot.of_result import Asked as Columns  # noqa: PLC0415 - matplotlib is slow to load
    from sim.plot.of_result import draw as draw_source  # noqa: PLC0415
    from sim.plot.written import source_of  # noqa: PLC0415
    from sim.system.plugins import load_hardware  # noqa: PLC0415

    columns = Columns(x, (y,) if isinstance(y, str) else tuple(y), by)
    return draw_source(source_of(source, load_hardware), Path(path), kind, columns)
