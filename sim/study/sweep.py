"""A study, asked: every point simulated once, by one process or many, kept as it comes, told in the study's order."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.component import COMPONENTS, Component
from sim.errors import InputError, Problem, gather
from sim.result.identity import version
from sim.study.answer import STATUSES, Answers, Asking, Row, answer_batch, axis_value, lost_row
from sim.study.ask_study import Wanted, ask_study
from sim.study.parallel import LONGEST_BATCH, Workers, read_workers, run_batches
from sim.study.points import Values, asking_order, points_of
from sim.study.row_table import breaks_before, columns_asked, finished, to_frame
from sim.study.store import Store
from sim.system.code_version import code_version
from sim.system.plugins import PLUGIN_PREFIX
from sim.system.prepared import Asked
from sim.system.study import Study
from sim.system.study_check import check_study

if TYPE_CHECKING:
    import pandas as pd

BATCH_S = 1.0
"""How long a batch takes, about: short enough to tell progress and share out the end, long beside its way there."""
STORED_BATCH_S = 0.2
"""The same with a store: a point that is done waits no longer than this for its neighbours to be written."""
WORTH_SHARING_S = 5.0
"""Starting processes takes about two seconds: what takes less than this alone is not shared out, unless asked to be."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sweep:
    """What came of a study. `rows`: by point, JSON-ready; `left_out`: points that break a constraint."""

    study: Study
    digest: str
    n_points: int
    rows: Mapping[int, Row]
    left_out: int = 0
    kernels_stepped: int = 0
    simulated: int = 0
    time_s: float = 0.0
    is_interrupted: bool = False
    store: Path | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a DataFrame."""
        told: dict[str, Any] = {"study": self.digest, "points": self.n_points}
        told["axes"] = {axis.path: axis.unit for axis in self.study.axes}
        return to_frame(self.rows, self.study, told)

    def whole_frame(self) -> pd.DataFrame:
        """The rows of a sweep that came to its end.

        Raises:
            KeyboardInterrupt: it was interrupted; what was done is in its store, if it has one.
        """
        if self.is_interrupted:
            raise KeyboardInterrupt
        return self.frame

    def to_dict(self) -> dict[str, Any]:
        """`sparksim.sweep/1`: axes and rows; what clocks and caches do not change."""
        axes = [{"path": axis.path, "unit": axis.unit} for axis in self.study.axes]
        return {
            "schema": "sparksim.sweep/1",
            "sparksim_version": version(),
            "title": self.study.title,
            "study": self.digest,
            "axes": axes,
            "points": self.n_points,
            "left_out": self.left_out,
            "counts": dict(self.counts),
            "rows": [{"point": number, **row} for number, row in self.rows.items()],
        }


@dataclass(slots=True)
class _Batches:
    """Cuts the points into batches that take about a second; `each_s`: what a point took so far."""

    points: Sequence[tuple[int, Values]]
    n_workers: int
    batch_s: float
    each_s: float

    def __iter__(self) -> Iterator[Sequence[tuple[int, Values]]]:
        at = 0
        while at < len(self.points):
            share = -(-(len(self.points) - at) // (2 * self.n_workers))
            size = max(1, min(LONGEST_BATCH, round(self.batch_s / self.each_s), share))
            yield self.points[at : at + size]
            at += size


def sweep_study(
    study: Study,
    *,
    search_dirs: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    store: str | Path | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Simulate every point that is not in the store yet; interrupted, it gives what was done by then.

    Raises:
        InputError: a value that no run takes, every problem; or a store that is another study's or cannot be written.
    """
    inputs = check_study(study, search_dirs)
    points = points_of(study)
    _check_script(workers)
    digest = _digest(study, points, inputs)
    path = Path(store) if store is not None else None
    asking = Asking(_told(study), tuple(search_dirs), cache, columns_asked(study), _plugins(), _registered())
    identity = {"study": digest, "sparksim": f"{version()} ({code_version()})"}
    with closing(Store(path, identity)) as kept:
        run = _Run(study, asking, points, kept, progress)
        is_interrupted = run.go(workers)
        rows = {number: json.loads(text) for number, text in kept.rows()}
    told = {number: found for number, row in rows.items() if (found := finished(study, row)) is not None}
    counts = {status: sum(row["status"] == status for row in told.values()) for status in STATUSES}
    left_out = len(rows) - len(told) + run.n_broken
    return Sweep(
        study, digest, len(points), told, left_out, run.kernels_stepped, run.simulated, run.time_s, is_interrupted,
        path, counts,
    )  # fmt: skip


def _told(study: Study) -> Study:
    """The study as workers need it: points bring their values along, so axes are but paths."""
    axes = tuple(replace(axis, values=(), interval=None) for axis in study.axes)
    return replace(study, axes=axes, constraints=(), derive=())


class _Run:
    """One go through the points that are left."""

    def __init__(
        self, study: Study, asking: Asking, points: Sequence[Values], store: Store, progress: Progress | None
    ) -> None:
        self._asking = asking
        self._store = store
        self._progress = progress
        done = store.done()
        paths = [axis.path for axis in study.axes]
        broken = {
            number
            for number, values in enumerate(points)
            if breaks_before(study, dict(zip(paths, map(axis_value, values), strict=True)))
        }
        order = asking_order(study, points)
        self._left = [(number, points[number]) for number in order if number not in done and number not in broken]
        self._begun_with = len(done)
        self.n_broken = len(broken)
        self.kernels_stepped = self.simulated = 0
        self.time_s = 0.0

    def go(self, workers: Workers | None) -> bool:
        """Simulate what is left; whether it was interrupted."""
        begin = time.monotonic()
        try:
            self._all(workers)
        except KeyboardInterrupt:
            return True
        finally:
            self.time_s = time.monotonic() - begin
        return False

    def _all(self, workers: Workers | None) -> None:
        self._begin = time.monotonic()
        function = partial(answer_batch, self._asking)
        # The first two are asked here: the first loads what all need, the second says how long a point takes.
        n_first = 0 if workers else min(2, len(self._left))
        each_s = BATCH_S
        for item in self._left[:n_first]:
            answers = function([item])
            self._take(answers)
            each_s = answers.time_s
        left = self._left[n_first:]
        if not workers:
            is_worth_it = len(left) * each_s > WORTH_SHARING_S and not _of_the_script()
            workers = Workers() if is_worth_it else Workers(count=1)
        n_workers = workers.most
        # Alone, nothing is won by batches: every point is told, and written, by itself.
        batch_s = 0.0 if n_workers == 1 else STORED_BATCH_S if self._store.is_durable else BATCH_S
        batches = _Batches(left, n_workers, batch_s, max(each_s, 1e-3))
        for answers in _surviving(workers, self._asking, batches):
            batches.each_s = max(1e-3, 0.7 * batches.each_s + 0.3 * answers.time_s / max(1, len(answers.rows)))
            self._take(answers)

    def _take(self, answers: Answers) -> None:
        if answers.code != code_version():
            message = f"a worker runs another version of sparksim ({answers.code}, not {code_version()})"
            raise InputError(Problem(message, "other_version", path="backend", hint="install this one there"))
        self._store.put(answers.rows)
        self.kernels_stepped += answers.kernels_stepped
        self.simulated += len(answers.rows)
        if self._progress is not None:
            self._progress(self._line())

    def _line(self) -> str:
        rate = self.simulated / max(1e-9, time.monotonic() - self._begin)
        left_s = (len(self._left) - self.simulated) / rate
        total = self._begun_with + len(self._left)
        return f"{self._begun_with + self.simulated:,} of {total:,} points, {rate:.3g} /s, {_span(left_s)} left"


def _span(seconds: float) -> str:
    """A time to wait: "4 min 10 s"."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    if hours:
        return f"{hours} h {rest // 60} min"
    return f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"


def _surviving(workers: Workers, asking: Asking, batches: _Batches) -> Iterator[Answers]:
    """Answers of all batches, also where a point kills the process that simulates it: that point has failed."""
    done: set[int] = set()
    while True:
        try:
            with closing(run_batches(workers, partial(answer_batch, asking), batches)) as answered:
                for answers in answered:
                    done |= set(answers.rows)
                    yield answers
        except BrokenExecutor:
            left = [item for item in batches.points if item[0] not in done]
            for answers in _one_by_one(asking, left):
                done |= set(answers.rows)
                yield answers
            batches.points = [item for item in left if item[0] not in done]
            continue
        return


def _one_by_one(asking: Asking, left: Sequence[tuple[int, Values]]) -> Iterator[Answers]:
    """Each point in a process of its own, up to the one that kills it."""
    for number, values in left:
        try:
            with closing(
                run_batches(Workers(count=2), partial(answer_batch, asking), [[(number, values)]])
            ) as answered:
                yield from answered
        except BrokenExecutor as error:
            reason = str(error).splitlines()[0][:200]
            text = json.dumps(lost_row(asking, values, f"the process that simulated it ended: {reason}"))
            yield Answers({number: text}, 0, 0.0, code_version())
            return


def _digest(study: Study, points: Sequence[Values], inputs: str) -> str:
    """16 hex digits of what is asked: the points, what they share, what is kept, and every file behind that."""
    texts = [[str(axis_value(value)) for value in values] for values in points]
    shared = [
        {name: str(axis_value(value)) for name, value in part.items()} for part in (study.base.given, study.base.set)
    ]
    asked = [[axis.path for axis in study.axes], texts, shared, columns_asked(study), inputs]
    return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _plugins() -> tuple[str, ...]:
    """Files of `--plugin` that were loaded here, and have to be there."""
    found = [module.__file__ for name, module in sys.modules.items() if name.startswith(PLUGIN_PREFIX)]
    return tuple(sorted(str(Path(file).resolve()) for file in found if file))


def _registered() -> dict[str, type[Component]]:
    """Component classes of the user's own modules, which workers import."""
    of_plugins = (PLUGIN_PREFIX, "sim.", "__main__")
    return {name: cls for name, cls in COMPONENTS.items() if not cls.__module__.startswith(of_plugins)}


def _of_the_script() -> list[str]:
    """Component classes that the script itself (or a notebook) defines: no other process has them."""
    return [name for name, cls in COMPONENTS.items() if cls.__module__ == "__main__"]


def _check_script(workers: Workers | None) -> None:
    """Refuse to share out what only this process can simulate.

    Raises:
        InputError: components are defined in the script itself.
    """
    if workers is not None and (workers.backend != "loky" or workers.most > 1) and _of_the_script():
        message = f"component {', '.join(_of_the_script())} is defined in the script, which no worker has"
        hint = "put it into a module or a --plugin FILE.py, or leave workers and backend out"
        raise InputError(Problem(message, "bad_argument", path="workers", hint=hint))


def sweep(
    study: str | Path | None,
    wanted: Wanted,
    asked: Asked,
    *,
    store: str | Path | None = None,
    workers: int | None = None,
    backend: str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """The sweep that keywords ask for, on top of a study or scenario; see `sim.sweep`.

    Raises:
        InputError: something given cannot be used; every problem.
    """
    found, who = gather(
        partial(ask_study, study, asked.arguments, asked.set, wanted, asked.search_dirs),
        lambda: read_workers(backend, workers) if backend is not None or workers is not None else None,
    )
    return sweep_study(
        found, search_dirs=asked.search_dirs, cache=asked.cache, store=store, workers=who, progress=progress
    )
