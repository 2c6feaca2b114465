"""Studies: one question asked of many runs. `sim.api` is one run; this is what asks it again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.api import Overrides, load_hardware
from sim.errors import gather

if TYPE_CHECKING:
    import pandas as pd

    from sim.study.ask_study import Vary
    from sim.study.sweep import Sweep


def sweep(
    study: str | Path | None = None,
    *,
    vary: Vary = (),
    zip: Sequence[str] | Sequence[Sequence[str]] | None = None,
    sample: Any = None,
    keep: Sequence[str] | None = None,
    constraints: Sequence[Mapping[str, Any]] | None = None,
    derive: Sequence[Mapping[str, Any]] | None = None,
    set: Overrides | Mapping[str, Any] = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    store: str | Path | None = None,
    workers: int | None = None,
    backend: str | None = None,
    progress: Callable[[str], None] | None = None,
    **arguments: Any,
) -> pd.DataFrame:
    """Ask many runs at once; takes the arguments of `run`, and a list instead of a value is an axis.

    Axes multiply, the last one changes fastest; those in `zip` move together. `set` with lists, or `vary`
    (`{"memory.bandwidth": "200..600:25GB/s"}`, or texts as after `--vary`), makes axes of any field. `sample`: grid,
    zip, "random 100" or "sobol 64". `study`: a study (`sparksim.study/1`) or a scenario, which the others override.
    `keep`: columns, or groups of them ("memory"). `constraints`: rows that do not hold them are left out,
    `{"column": "ttft_s", "max": 2}`; `derive`: ratios, `{"name": "per_byte", "ratio": ["decode_tok_s",
    "memory.needed_bytes"]}`. `store`: a file that keeps each point as soon as it is there; asked again, it goes on.
    `workers`: processes (as many as there are cores, where it is worth it); `backend`: loky, dask or ray.

    The DataFrame has a row per point in the study's order: axes under their path, the result flattened with dots, SI
    units, then `status` (ok, does_not_fit, refused, failed) and `error`.

    >>> import sim
    >>> table = sim.sweep(model="qwen3-0.6b", runtime="llama.cpp", prompt=0, output=2, batch=[1, 2])
    >>> list(table["batch"]), list(table["status"]), bool(table["decode_tok_s"].is_monotonic_increasing)
    ([1, 2], ['ok', 'ok'], True)

    Raises:
        InputError: something given cannot be used; `.problems` holds everything that is wrong.
    """
    wanted = {"vary": vary, "zip": zip, "sample": sample, "keep": keep, "constraints": constraints, "derive": derive}
    return run_sweep(
        study, wanted, arguments, set, spec_dirs, cache, store, workers, backend, progress, is_loud=True
    ).frame


def run_sweep(
    study: str | Path | None,
    wanted: Mapping[str, Any],
    arguments: Mapping[str, Any],
    set: Any = (),
    spec_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    store: str | Path | None = None,
    workers: int | None = None,
    backend: str | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    is_loud: bool = False,
) -> Sweep:
    """The same with everything that is known of it. `is_loud`: an interrupt is raised, not told."""
    from sim.study.ask_study import Wanted, ask_study  # noqa: PLC0415 - a run need not load it
    from sim.study.parallel import read_workers  # noqa: PLC0415
    from sim.study.sweep import sweep as ask  # noqa: PLC0415

    asked, who = gather(
        lambda: ask_study(study, arguments, set, Wanted(**wanted), spec_dirs),
        lambda: read_workers(backend, workers) if backend is not None or workers is not None else None,
    )
    done: Sweep = ask(
        asked,
        load_hardware=load_hardware,
        search_dirs=spec_dirs,
        cache=cache,
        store=store,
        workers=who,
        progress=progress,
    )
    if done.is_interrupted and is_loud:
        raise KeyboardInterrupt
    return done
