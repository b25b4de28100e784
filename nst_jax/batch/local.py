"""Workers as processes of this machine: one for each GPU, or on a CPU with a fixed number of threads each.

They are started anew, never forked, as JAX's threads do not outlive a fork. How many there are changes no picture: on a
CPU the sums of a convolution depend on the number of threads, which is the same for all.
"""

from __future__ import annotations

import collections
import contextlib
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from nst_jax.batch import leases
from nst_jax.batch.folder import LEASES, Folder
from nst_jax.batch.units import Unit
from nst_jax.choices import Metadata
from nst_jax.errors import NSTError
from nst_jax.limits import stay_within_group
from nst_jax.pictures.threads import usable_cores

#: How often a unit's worker may die before its jobs are recorded as failed.
DEATHS = 5
#: Seconds between two looks at the workers.
LOOK = 0.2
#: What a worker's memory is beside its lanes, in bytes: JAX, programs, pictures.
WORKER_BYTES = 5 * 2**28


def variables(threads: int) -> dict[str, str]:
    """The environment that gives a process so many threads for what it computes: XLA's and NumPy's."""
    return {name: str(threads) for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def count(units: Sequence[Unit], threads: int, free: int) -> int:
    """How many workers a CPU has room for: by its cores, and by the memory that is ``free``, in bytes."""
    each = WORKER_BYTES + max((unit.bytes for unit in units), default=0)
    return max(1, min(usable_cores() // threads, free // each, len(units)))


def run(
    folder: Folder,
    units: Sequence[Unit],
    environments: Sequence[Mapping[str, str]],
    tick: Callable[[], bool],
    unheard: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
) -> None:
    """Has workers make all units.

    Args:
      folder: the batch's.
      environments: variables of each worker.
      tick: called often; whether to end. Then workers end after their step, and what they have not finished is left.
      unheard: while it is entered, a process is started that no Ctrl-C reaches.

    Raises NSTError where results cannot be written, or workers cannot be started.
    """
    workers = [
        _Process(folder, units, number * len(units) // len(environments), variables, unheard)
        for number, variables in enumerate(environments)
    ]
    deaths: collections.Counter[str] = collections.Counter()
    try:
        ending = False
        while any(worker.is_there() for worker in workers):
            if tick() and not ending:
                ending = True
                for worker in workers:
                    worker.end()
            for worker in workers:
                if worker.error():
                    raise NSTError(worker.error())
                if worker.has_died() and not ending:
                    _record_death(folder, units, worker, deaths)
                    worker.start()
            time.sleep(LOOK)
    finally:
        for worker in workers:
            worker.end()
        for worker in workers:
            worker.join()
    tick()


def _record_death(folder: Folder, units: Sequence[Unit], worker: _Process, deaths: collections.Counter[str]) -> None:
    """Counts the units that a dead worker had; the jobs of one that has had too many have failed."""
    held = leases.units_of(folder.path / LEASES, worker.process.pid or 0)
    deaths.update(held or [""])
    if deaths[""] > DEATHS:
        raise NSTError(f"a worker ends before it has begun, with {worker.process.exitcode}: give fewer --workers")
    for unit in units:
        if unit.name in held and deaths[unit.name] >= DEATHS:
            for job in unit.jobs:
                if not folder.is_settled(job):
                    folder.fail(job, f"its worker ended {DEATHS} times, the last time with {worker.process.exitcode}")


class _Process:
    """A worker's process, which can be started again."""

    def __init__(
        self,
        folder: Folder,
        units: Sequence[Unit],
        first: int,
        environment: Mapping[str, str],
        unheard: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self.arguments = folder.path, folder.metadata, units, first
        self.environment, self.unheard = environment, unheard
        self.process: SpawnProcess
        self.pipe: Connection
        self._error = ""
        self.start()

    def start(self) -> None:
        """Starts it, or starts it again."""
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, *self.arguments), daemon=True)
        with self.unheard(), _environment(self.environment):
            self.process.start()
        other.close()

    def is_there(self) -> bool:
        """Whether it has work still, or has died and is to be started again."""
        return self.process.is_alive() or self.has_died()

    def has_died(self) -> bool:
        """Whether it has ended and not by itself."""
        return self.process.exitcode not in (None, 0) and not self.error()

    def error(self) -> str:
        """Why it cannot go on, or ""."""
        with contextlib.suppress(OSError, EOFError):
            while not self.pipe.closed and self.pipe.poll():
                self._error = self.pipe.recv()
        return self._error

    def end(self) -> None:
        """Asks it to end after its step."""
        with contextlib.suppress(OSError):
            self.pipe.send("end")

    def join(self) -> None:
        """Waits until it has ended."""
        self.process.join()
        self.pipe.close()


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Within the block, which starts a process, the environment has these variables, too."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def serve(pipe: Connection, path: Path, metadata: Metadata, units: Sequence[Unit], first: int) -> None:
    """A worker's process: makes units until none is left, or until the one that started it ends or says so."""
    from nst_jax.batch.work import Worker  # in this process alone JAX looks for devices
    from nst_jax.runs.allocator import keep_freed_memory

    warnings.filterwarnings("ignore", module=r"PIL\.")
    keep_freed_memory()
    stay_within_group()
    try:
        Worker(Folder(path, metadata), pipe.poll).work(units, first)
    except NSTError as error:
        pipe.send(str(error))
