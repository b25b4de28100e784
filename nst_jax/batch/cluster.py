"""Workers as actors of a Ray cluster: the same worker, started and started again by Ray on whatever machine has room.

All machines see the batch's folder, and the inputs, under the same paths. Ray runs an actor's work at least once; that
each job has one result is the folder's doing, as it is everywhere.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nst_jax.batch.folder import Folder
from nst_jax.batch.units import Unit
from nst_jax.choices import Metadata
from nst_jax.errors import NSTError
from nst_jax.runs.emitters import compile_sooner

#: How often an actor is started again.
RESTARTS = 50


class Cluster:
    """A connection to a Ray cluster. To be closed."""

    def __init__(self, address: str) -> None:
        """``address`` "" is that of ``$RAY_ADDRESS`` or of this machine; without one, Ray starts a cluster here.

        Raises NSTError where there is no Ray, or no cluster at ``address``.
        """
        try:
            self.ray = importlib.import_module("ray")
        except ImportError:
            raise NSTError('--cluster needs Ray: pip install "nst_jax[cluster]"') from None
        try:
            self.ray.init(
                address or None,
                logging_level=logging.ERROR,
                log_to_driver=False,
                ignore_reinit_error=True,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise NSTError(f"there is no Ray cluster at {address}: {' '.join(str(error).split())}") from None

    def gpus(self) -> int:
        """How many GPUs the cluster has."""
        return int(self.ray.cluster_resources().get("GPU", 0))

    def cores(self) -> int:
        """How many cores the cluster has."""
        return int(self.ray.cluster_resources().get("CPU", 1))

    def run(
        self,
        folder: Folder,
        units: Sequence[Unit],
        workers: int,
        environment: Mapping[str, str],
        tick: Callable[[], bool],
    ) -> None:
        """Has so many actors make all units; ``tick`` is as ``local.run`` takes it.

        Raises NSTError where results cannot be written, or an actor ends more often than ``RESTARTS`` times.
        """
        ray = self.ray
        gpus = 1 if self.gpus() else 0
        kind = ray.remote(Actor).options(
            num_gpus=gpus,
            num_cpus=1,
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
            max_concurrency=2,
            runtime_env={"env_vars": dict(environment)},
        )
        actors = [kind.remote() for _ in range(workers)]
        shared = ray.put(tuple(units))
        left = [
            actor.work.remote(str(folder.path.absolute()), folder.metadata, shared, number * len(units) // workers)
            for number, actor in enumerate(actors)
        ]
        ending = False
        try:
            while left:
                if tick() and not ending:
                    ending = True
                    for actor in actors:
                        actor.end.remote()
                done, left = ray.wait(left, timeout=1)
                for error in filter(None, ray.get(done)):
                    raise NSTError(error)
        except ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            raise NSTError(f"a worker of the cluster has ended {RESTARTS} times or cannot start: {first}") from None
        finally:
            for actor in actors:
                ray.kill(actor)
        tick()

    def close(self) -> None:
        """Ends the connection, and a cluster that was started for it."""
        self.ray.shutdown()


class Actor:
    """A worker, as Ray runs it."""

    def __init__(self) -> None:
        self._ending = threading.Event()

    def work(self, path: str, metadata: Metadata, units: Sequence[Unit], first: int) -> str:
        """Makes units until none is left; gives why it cannot go on, or ""."""
        from nst_jax.batch.work import Worker  # not in the process that asks for it

        compile_sooner()
        try:
            Worker(Folder(Path(path), metadata), self._ending.is_set).work(units, first)
        except NSTError as error:
            return str(error)
        return ""

    def end(self) -> None:
        """Has it end after its step."""
        self._ending.set()
