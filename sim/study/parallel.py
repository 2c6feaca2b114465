"""Batches of points on many processes: of this machine (loky), or of a Dask or Ray cluster; by joblib."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from sim.errors import InputError, Problem
from sim.study.points import missing_extra

BACKENDS = ("loky", "dask", "ray")
MOST_WORKERS = 4096
LONGEST_BATCH = 256
WAIT_S = 20
"""For a cluster to answer, and for workers of our own to start."""
Run = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Workers:
    """Who answers. `count`: processes (None: as many as there are cores, or as the cluster has); `address`: its own."""

    backend: str = "loky"
    count: int | None = None
    address: str | None = None

    @property
    def most(self) -> int:
        """Processes of this machine; of a cluster it is not known before."""
        import joblib

        return self.count or int(joblib.cpu_count())


def read_workers(backend: str | None, count: Any) -> Workers:
    """Workers from `loky`, `dask`, `ray`, or `dask:tcp://HOST:PORT`, `ray:HOST:PORT`; and how many.

    Raises:
        InputError: no such backend, or not a number of workers; both.
        MissingExtraError: its package is not installed.
    """
    name, _, address = (backend or BACKENDS[0]).partition(":")
    problems = []
    if name not in BACKENDS or (address and name == "loky"):
        hint = f"there are {', '.join(BACKENDS)}, and dask:tcp://HOST:PORT or ray:HOST:PORT for a cluster that runs"
        problems.append(Problem(f"unknown backend {str(backend)[:40]!r}", "bad_argument", path="backend", hint=hint))
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_WORKERS):
        message = f"must be a whole number from 1 to {MOST_WORKERS}, not {str(count)[:40]!r}"
        problems.append(Problem(message, "bad_argument", path="workers"))
    if problems:
        raise InputError(problems)
    for package in {"dask": ("distributed",), "ray": ("ray",)}.get(name, ()):
        try:
            __import__(package)
        except ImportError:
            raise missing_extra(package, name) from None
    return Workers(name, count, address or None)


def run_batches(workers: Workers, function: Callable[..., Any], batches: Iterable[Any]) -> Generator[Any, None, None]:
    """What `function` gives of each batch, in the order in which they are done; batches are taken as needed."""
    if workers.backend == "loky" and workers.most == 1:
        yield from map(function, batches)
        return
    import joblib

    with _ready(workers) as (name, n_jobs):
        settings: dict[str, Any] = {"n_jobs": n_jobs, "batch_size": 1, "pre_dispatch": "2*n_jobs"}
        with joblib.parallel_config(backend=name):
            parallel = joblib.Parallel(return_as="generator_unordered", **settings)
            yield from parallel(joblib.delayed(function)(batch) for batch in batches)


@contextmanager
def _ready(workers: Workers) -> Iterator[tuple[str, int]]:
    """The name that joblib knows the backend by, and how many processes it has; a cluster of ours ends with it."""
    with ExitStack() as stack:
        if workers.backend == "dask":
            stack.enter_context(_dask(workers))
            yield "dask", -1
        elif workers.backend == "ray":
            yield "sparksim-ray", stack.enter_context(_ray(workers))
        else:
            yield "loky", workers.most


@contextmanager
def _dask(workers: Workers) -> Iterator[None]:
    """A client: of the address, of one that the caller has, else of a cluster on this machine.

    Its workers are started as commands: `LocalCluster` would import the caller's script again, which has no main guard.
    """
    from distributed import Client, default_client
    from distributed.deploy.subprocess import SubprocessCluster

    with ExitStack() as stack:
        if workers.address is not None:
            stack.enter_context(_client(Client, workers.address))
        elif not _has_client(default_client):
            cluster = SubprocessCluster(n_workers=workers.most, threads_per_worker=1, dashboard_address=None)
            stack.enter_context(cluster)
            client: Any = stack.enter_context(_client(Client, cluster))
            client.wait_for_workers(workers.most, timeout=3 * WAIT_S)
        yield


def _has_client(default: Callable[[], Any]) -> bool:
    """Whether the caller is connected to a cluster already."""
    try:
        default()
    except ValueError:
        return False
    return True


def _client(make: Callable[..., AbstractContextManager[Any]], cluster: Any) -> AbstractContextManager[Any]:
    try:
        return make(cluster, timeout=WAIT_S)
    except OSError as error:
        message = f"no Dask scheduler answers at {cluster}: {str(error)[:100]}"
        raise InputError(Problem(message, "no_cluster", path="backend")) from None


@contextmanager
def _ray(workers: Workers) -> Iterator[int]:
    """A connection to Ray: one that there is, of the address, else an instance on this machine; its processes."""
    import joblib
    import ray
    from ray.util.joblib.ray_backend import RayBackend

    class Unordered(RayBackend):  # type: ignore[misc]
        """Ray's pool calls back for each batch, which is all that a generator needs."""

        supports_return_generator = True

    joblib.register_parallel_backend("sparksim-ray", Unordered)
    is_ours = not ray.is_initialized()
    if is_ours:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # an instance of ours reports to nobody
        where = {"address": workers.address} if workers.address else {"num_cpus": workers.most}
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **where)
        except ConnectionError as error:
            message = f"no Ray cluster answers at {workers.address}: {str(error)[:100]}"
            raise InputError(Problem(message, "no_cluster", path="backend")) from None
    try:
        yield workers.count or int(ray.cluster_resources()["CPU"])
    finally:
        if is_ours:
            ray.shutdown()
