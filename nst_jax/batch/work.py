"""A worker: takes units that nobody has, makes their pictures, and writes them, until none is left.

While the device makes one unit, threads read the pictures of the next and write those of the one before.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.batch.folder import LEASES, Folder
from nst_jax.batch.jobs import Job
from nst_jax.batch.leases import Leases
from nst_jax.batch.units import Networks, Unit
from nst_jax.errors import NSTError
from nst_jax.losses.objective import objective
from nst_jax.networks.vgg import Network
from nst_jax.runs import memory
from nst_jax.runs.finish import finished
from nst_jax.runs.goals import Goals
from nst_jax.runs.machine import here
from nst_jax.runs.plan import Prepared, prepare
from nst_jax.runs.progress import Progress, Stop
from nst_jax.runs.result import Result
from nst_jax.runs.stylize import paint
from nst_jax.sweeps.lanes import Lanes, Program

#: Threads that read pictures, and that write them.
READERS, WRITERS = 2, 2
#: Seconds between two looks at units that others have.
PATIENCE = 0.5


class Claim(NamedTuple):
    """A unit that this worker has the lease of, and its jobs' runs, which threads prepare."""

    unit: Unit
    runs: list[Future[Prepared]]


#: A job that is ready to be made.
Run: TypeAlias = tuple[Job, Prepared]


class Worker:
    """Makes units for a folder. ``stopping`` is asked after every step whether to end."""

    def __init__(self, folder: Folder, stopping: Callable[[], bool] = lambda: False) -> None:
        self.folder, self.stopping = folder, stopping
        self.networks, self.machine = Networks(), here(of_all=True)  # no picture depends on what is free just now
        self.readers = ThreadPoolExecutor(READERS)
        self.writers = ThreadPoolExecutor(WRITERS)

    def work(self, units: Sequence[Unit], first: int = 0) -> None:
        """Makes all units that are not made, from number ``first`` on; waits for those that others have.

        Raises NSTError where results cannot be written. A job that cannot be made is recorded as failed.
        """
        leases = Leases(self.folder.path / LEASES)
        left = collections.deque([*units[first:], *units[:first]])
        writing: list[Future[None]] = []
        try:
            ahead = self.claim(left, leases)
            while (ahead or left) and not self.stopping():
                claim, ahead = ahead, self.claim(left, leases)
                if claim is None:
                    time.sleep(PATIENCE)
                    continue
                made = self.make(claim)
                for future in writing:  # so no more than two units' pictures are in memory
                    future.result()
                writing = [self.writers.submit(self.keep, job, outcome) for job, outcome in made]
                self.writers.submit(_end, claim.unit, list(writing), leases)
        except Stop:
            pass
        finally:
            self.readers.shutdown(cancel_futures=True)
            self.writers.shutdown()
            leases.close()
        for future in writing:
            future.result()

    def claim(self, left: collections.deque[Unit], leases: Leases) -> Claim | None:
        """The next of ``left`` that is to be made and whose lease can be had, or None. It and what is made leave
        ``left``."""
        for _ in range(len(left)):
            unit = left.popleft()
            if self.is_settled(unit):
                continue
            if not leases.take(unit.name):
                left.append(unit)
            elif self.is_settled(unit):  # it was made just now
                leases.give_back(unit.name)
            else:
                return Claim(unit, [self.readers.submit(self.prepare, job) for job in unit.jobs])
        return None

    def is_settled(self, unit: Unit) -> bool:
        """Whether each of a unit's jobs has a result or has failed."""
        return all(map(self.folder.is_settled, unit.jobs))

    def prepare(self, job: Job) -> Prepared:
        """Reads and checks what a job needs."""
        wish = job.wish
        weights = self.networks.weights(wish.config)
        return prepare(wish.content or None, wish.styles, wish.config, weights=weights, machine=self.machine)

    def make(self, claim: Claim) -> list[tuple[Job, Result | str]]:
        """The results of a unit's jobs that have none yet, or what is said of those that fail. May raise Stop."""
        made: list[tuple[Job, Result | str]] = []
        lanes: list[Prepared | None] = []
        together: list[Run] = []
        alone: list[Run] = []
        for job, future in zip(claim.unit.jobs, claim.runs, strict=True):
            lanes.append(None)
            try:
                run = job, future.result()
            except NSTError as error:
                made.append((job, str(error)))
                continue
            if claim.unit.lanes > 1 and not run[1].pictures.masks:  # what is transparent has masks
                lanes[-1] = run[1]
                together.append(run)
            else:
                alone.append(run)
        if not all(self.folder.is_settled(job) for job, _ in together):
            made += self.outcomes(together, lambda: paint_lanes(lanes, claim.unit.lanes, self.look))
        for one in alone:
            if not self.folder.is_settled(one[0]):
                made += self.outcomes([one], functools.partial(self.paint_alone, one))
        return [(job, outcome) for job, outcome in made if not self.folder.is_settled(job)]

    def paint_alone(self, run: Run) -> list[Result]:
        """What ``nst-stylize`` would make."""
        return [paint(run[1], self.look)]

    def outcomes(self, runs: Sequence[Run], painted: Callable[[], list[Result]]) -> list[tuple[Job, Result | str]]:
        """What ``painted`` gives for some runs: a result each, or why there is none."""
        try:
            results = painted()
        except NSTError as error:
            return [(job, str(error)) for job, _ in runs]
        if any(result.ended == "stopped" for result in results):
            raise Stop
        said = {"not finite": "the loss did not stay finite", "out of memory": "the memory ended"}
        return [
            (job, f"{job.wish.content or job.wish.styles[0]}: {said[result.ended]}" if result.ended else result)
            for (job, _), result in zip(runs, results, strict=True)
        ]

    def look(self, _: Progress) -> None:
        """Between two steps."""
        if self.stopping():
            raise Stop

    def keep(self, job: Job, outcome: Result | str) -> None:
        """Writes what came of a job."""
        if isinstance(outcome, str):
            self.folder.fail(job, outcome)
        else:
            self.folder.save(job, outcome)


def _end(unit: Unit, writing: Sequence[Future[None]], leases: Leases) -> None:
    """Gives a unit's lease back when all of it is written."""
    for future in writing:
        future.exception()
    leases.give_back(unit.name)


def paint_lanes(jobs: Sequence[Prepared | None], lanes: int, on_progress: Callable[[Progress], None]) -> list[Result]:
    """Makes the runs of jobs of one shape as the lanes of one program; gives the results in turn.

    Each has its own photograph, paintings and weights, and its place: one that is not there, None, is filled up by
    another one, and so are those up to ``lanes``. Raises NSTError where the memory does not suffice.
    """
    there = [number for number, job in enumerate(jobs) if job]
    given = [job for job in jobs if job]
    places = [there.index(number) if number in there else 0 for number in range(lanes)]
    runs = [given[place] for place in places]
    first = runs[0]
    config, machine = first.config, first.machine
    precision = machine.precisions(config.precision, config.network)[0]
    check_room(first, lanes)

    def goal_at(net: Network, size: tuple[int, int]) -> Lanes:
        goals = [goals_of(run, net, size) for run in given]
        shared = goals[0].objective(config)
        terms = [objective(shared.network, one.terms(run.config)).terms for one, run in zip(goals, given, strict=True)]
        leaves = [jax.tree.leaves(each) for each in terms]
        return shared, dict(enumerate(_stacked([leaves[place] for place in places])))

    def finish(image: np.ndarray) -> np.ndarray:
        each = zip(image, runs, strict=True)
        return np.stack([finished(one, run.pictures.photograph, config) for one, run in each])

    program = Program(config, first.weights, precision, machine, machine.devices[:1], first.sizes)
    try:
        results = program.run(
            [run.config for run in runs],
            [run.pictures for run in runs],
            goal_at,
            finish,
            on_progress,
        )
    except Exception as error:
        if not memory.is_exhausted(error):
            raise
        raise NSTError(f"the memory ended with {lanes} lanes at once: give --lanes {lanes // 2}") from None
    return [
        dataclasses.replace(
            results[number],
            left=runs[number].left,
            way={
                "precision": precision,
                "cores": machine.cores,
                "more": 0,
                "lanes": {"program": "batch", "count": lanes, "position": number},
            },
        )
        for number in there
    ]


def paint_lane_again(run: Prepared, count: int, position: int, on_progress: Callable[[Progress], None]) -> Result:
    """Makes a run as it was made at a place among so many lanes, whose others decide no bit of it."""
    lanes: list[Prepared | None] = [run] * count
    return paint_lanes(lanes, count, on_progress)[position]


@jax.jit
def _stacked(lanes: list[list[jax.Array]]) -> list[jax.Array]:
    """The leaves of all lanes, [lanes, ...] each, by one program."""
    return [jnp.stack(each) for each in zip(*lanes, strict=True)]


def goals_of(run: Prepared, net: Network, size: tuple[int, int]) -> Goals:
    """What the pictures of one lane ask of an image of this size."""
    pictures = run.pictures
    return Goals(net, pictures.photograph, pictures.paintings, size, run.config, [None], (), [pictures.toned])


def check_room(run: Prepared, lanes: int) -> None:
    """Raises NSTError where so many lanes surely do not fit into the memory that there is."""
    needed = lanes * memory.lane_bytes(run.footprint)
    if memory.SURELY * needed > run.machine.free:
        raise NSTError(
            f"{lanes} lanes of {run.sizes[-1][1]} x {run.sizes[-1][0]} pixels take about {needed / 2**30:.1f} GiB of"
            f" {run.machine.free / 2**30:.1f} GiB in all: give a smaller --lanes"
        )
