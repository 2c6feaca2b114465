"""The files of `--out` of a server: summary, a row per request, what ran when, plots; written aside, then renamed."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sim.hwspec import HardwareSpec
from sim.result.export import write_aside, write_json, write_manifest
from sim.result.identity import Identity
from sim.result.served_run import ServedRun


class Served(Protocol):
    """What is written of a server's result."""

    @property
    def identity(self) -> Identity: ...  # noqa: D102

    @property
    def hardware(self) -> HardwareSpec: ...  # noqa: D102

    @property
    def runs(self) -> Sequence[ServedRun]: ...  # noqa: D102

    @property
    def block_bytes(self) -> float: ...  # noqa: D102

    def summary(self) -> dict[str, Any]: ...  # noqa: D102


REQUESTS = (
    "seed", "number", "arrival_s", "ttft_s", "tpot_s", "e2e_s", "prompt_tokens", "output_tokens", "cached_tokens",
    "preemptions", "priority",
)  # fmt: skip
SERIES = ("seed", "time_s", "running", "waiting", "kv_bytes")
_PS = 1e-12


def write_serve(result: Served, folder: Path, *, force: bool) -> list[Path]:
    """Write everything into `folder`; the paths, sorted. Whatever goes wrong, `folder` is as it was before.

    Raises:
        InputError: the folder must not be used, or cannot be written.
    """

    def fill(new: Path) -> None:
        write_json(new / "summary.json", result.summary())
        _table(new / "requests.csv", REQUESTS, (row for run in result.runs for row in _requests(run)))
        _table(new / "series.csv", SERIES, (row for run in result.runs for row in _series(run, result.block_bytes)))
        (new / "spec.resolved.yaml").write_text(result.hardware.to_yaml(), encoding="utf-8")
        seeds = [run.seed for run in result.runs]
        me = result.identity
        write_manifest(new, {"hardware": me.hardware_digest, "model": me.model_digest}, seeds=seeds)
        (new / "plots").mkdir()
        import_module("sim.plot.serving").draw_serving(result, new / "plots")

    return write_aside(folder, fill, force=force)


def _table(path: Path, columns: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _requests(run: ServedRun) -> Iterator[tuple[object, ...]]:
    """A row per completed request, by its number; times rounded to the nanosecond."""
    rows = run.requests
    order = rows["number"].argsort(kind="stable")
    names = ("number", "arrival_ps", "first_ps", "end_ps", "prompt", "output", "cached", "preemptions", "priority")
    for number, arrival, first, end, prompt, output, *rest in zip(
        *(rows[name][order].tolist() for name in names), strict=True
    ):
        tpot = _seconds((end - first) / (output - 1)) if output > 1 else ""
        times = (_seconds(arrival), _seconds(first - arrival), tpot, _seconds(end - arrival))
        yield (run.seed, number, *times, prompt, output, *rest)


def _series(run: ServedRun, block_bytes: float) -> Iterator[tuple[object, ...]]:
    columns = (run.series[name].tolist() for name in ("time_ps", "running", "waiting", "kv_blocks"))
    for time_ps, running, waiting, blocks in zip(*columns, strict=True):
        yield run.seed, _seconds(time_ps), running, waiting, round(blocks * block_bytes)


def _seconds(ps: float) -> str:
    return f"{ps * _PS:.9f}"
