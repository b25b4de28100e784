"""``nst-batch``: many photographs in the style of many paintings, by several workers; a folder comes out."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from tyro import MISSING

from nst_jax.choices import METADATA, Metadata, check_choice, check_whole
from nst_jax.cli.cache import keep_programs
from nst_jax.cli.command import named_preset, parse, run
from nst_jax.cli.display import INTERVAL
from nst_jax.cli.outputs import Room, warn_of_room
from nst_jax.cli.pace import words
from nst_jax.cli.signals import interruptible, unheard
from nst_jax.errors import NSTError
from nst_jax.options.config import Config

if TYPE_CHECKING:
    from nst_jax.batch.folder import Folder
    from nst_jax.batch.jobs import Job
    from nst_jax.batch.units import Unit

PROGRAM = "nst-batch"
REQUIRED: dict[str, Any] = {"output": MISSING}
#: Failed jobs that are told of on standard error.
TOLD = 10
#: Seconds between two counts of what is done.
COUNT = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch(Config):
    """Paint many photographs in the style of many paintings. What is done stays done: run it again for the rest."""

    content: tuple[str, ...] = ()
    """the photographs: files, folders, and patterns in quotes, such as 'holiday/*.jpg'"""
    style: tuple[str, ...] = ()
    """the paintings, alike; every photograph is painted in the style of each"""
    manifest: Path | None = None
    """instead a .csv or .jsonl file with a line for each picture: content, style, output (a name, if you like), and any
    option as a column"""
    output: Path
    """the folder of the results"""
    lanes: int = 0
    """pictures of one shape that are made at once; 0 for a number that their size tells"""
    workers: int = 0
    """processes; 0 for one for each GPU, or on a CPU as many as cores and memory suffice for"""
    threads: int = 1
    """threads of each worker on a CPU; another number rounds differently, other workers do not"""
    cluster: str | None = None
    """have the workers run on the Ray cluster at this address, or without one on that of $RAY_ADDRESS, on that of this
    machine, or on one that is started for it"""
    format: Literal["png", "jpg", "webp", "tif"] = "png"
    """of the pictures that have no output name of their own"""
    metadata: Metadata = "full"
    """what the pictures say of their making: full; short, which names no file; or none"""
    retry_failed: bool = False
    """try again what has failed before"""
    dry_run: bool = False
    """only say how many pictures are done and how many are left; nothing but what is known of the inputs is written"""
    no_cache: bool = False
    """do not keep compiled programs for the next run"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("metadata", self.metadata, METADATA)
        check_whole("lanes", self.lanes, 0)
        check_whole("workers", self.workers, 0)
        check_whole("threads", self.threads, 1)

    def config(self) -> Config:
        """The options that make the pictures."""
        return Config(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Config)})


def command(arguments: Sequence[str]) -> int:
    """Runs the command line; returns its exit status, or raises NSTError for a mistake of the caller's."""
    options = parsed(arguments)
    if (options.manifest is None) == (not options.content or not options.style):
        raise NSTError("give --content and --style, or --manifest and neither of them")
    if options.manifest is not None and (options.content or options.style):
        raise NSTError("--manifest names contents and styles itself: leave --content and --style out")
    keep_programs(not options.no_cache, PROGRAM)
    from nst_jax.batch.folder import Folder  # JAX is loaded only for a command line that holds

    folder = Folder(options.output, options.metadata)
    folder.make()
    jobs, units = planned(options, folder)
    again = options.dry_run and options.retry_failed  # as they would be made again
    settled = folder.done() | (set() if again else folder.failed())
    left = [unit for unit in units if any(job.name not in settled for job in unit.jobs)]
    missing = [job for job in jobs if job.name not in settled]
    print(f"{len(jobs)} jobs, {len(jobs) - len(missing)} of them done or failed before", file=sys.stderr)
    warn_of_room(PROGRAM, [Room("the pictures", folder.path, sum(unit.written for unit in left))])
    if options.dry_run:
        print(f"{len(missing)} pictures are left, in {len(left)} programs' runs")
        return 0
    asked = 0
    if left:
        asked = made(options, folder, left, missing)
    folder.clear()
    folder.save_overview(jobs, f"{folder.path.absolute().name}: {len(jobs)} pictures")
    return summary(folder, jobs, asked)


def parsed(arguments: Sequence[str]) -> Batch:
    """The options of a command line. Raises NSTError for a mistake in it."""
    default = Batch(**vars(named_preset(arguments)), **REQUIRED)
    return parse(Batch, with_address(arguments), PROGRAM, default=default)


def with_address(arguments: Sequence[str]) -> list[str]:
    """A command line in which ``--cluster`` has an address: "" where none is given."""
    words = list(arguments)
    if "--cluster" in words:
        place = words.index("--cluster") + 1
        if place == len(words) or words[place].startswith("--"):
            words.insert(place, "")
    return words


def planned(options: Batch, folder: Folder) -> tuple[list[Job], list[Unit]]:
    """All jobs, and the units of those whose files can be read; the others are recorded as failed."""
    from nst_jax.batch import jobs as wanted
    from nst_jax.batch.inputs import Inputs
    from nst_jax.batch.units import Networks, error_of, units_of

    suffix, config = f".{options.format}", options.config()
    if options.manifest is not None:
        wishes = wanted.from_manifest(options.manifest, config, suffix)
    else:
        wishes = wanted.product(options.content, options.style, config, suffix)
    inputs, networks = Inputs(folder.path), Networks()
    configs = {id(wish.config): wish.config for wish in wishes}
    more = [path for config in configs.values() for path in wanted.files_of(config)]
    known = [*more, *(path for wish in wishes for path in (wish.content, *wish.styles) if path)]
    wanted.check_targets(wishes, folder.path, [*known, *([options.manifest] if options.manifest else [])])
    inputs.look(known)
    jobs = wanted.name_all(wishes, inputs.hash_of, networks.complete)
    if options.retry_failed and not options.dry_run:
        folder.forget_failures(jobs)
    failed, possible = folder.failed(), []
    for job in jobs:
        error = error_of(job, inputs)
        if not error:
            possible.append(job)
        elif job.name not in failed and not options.dry_run:
            folder.fail(job, error)
    return jobs, units_of(possible, inputs, networks, options.lanes)


def made(options: Batch, folder: Folder, units: Sequence[Unit], missing: Sequence[Job]) -> int:
    """Has workers make what is left; returns the signal that has asked them to end, or 0."""
    from nst_jax.batch import local

    ending = "stopping after this step; what is finished stays, and the same command goes on"
    with interruptible(ending) as asked, counted(folder, missing) as show:

        def tick() -> bool:
            show()
            return bool(asked())

        if options.cluster is None:
            local.run(folder, units, environments(options, units), tick, unheard)
        else:
            on_cluster(options, options.cluster, folder, units, tick)
    return asked()


def environments(options: Batch, units: Sequence[Unit]) -> list[dict[str, str]]:
    """The variables of each worker on this machine. Raises NSTError for more workers than GPUs."""
    from nst_jax.batch import local
    from nst_jax.limits import free_bytes
    from nst_jax.runs.machine import visible_gpus

    gpus = visible_gpus()
    if gpus and options.workers > len(gpus):
        raise NSTError(f"--workers is {options.workers} and there are {len(gpus)} GPUs: give one for each at most")
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": name} for name in gpus[: min(options.workers or len(gpus), len(units))]]
    workers = options.workers or local.count(units, options.threads, free_bytes())
    return [local.variables(options.threads)] * min(workers, len(units))


def on_cluster(options: Batch, address: str, folder: Folder, units: Sequence[Unit], tick: Callable[[], bool]) -> None:
    """Has the workers of a Ray cluster make all units: one for each GPU, or else one for each ``threads`` cores."""
    from nst_jax.batch import local
    from nst_jax.batch.cluster import Cluster

    cluster = Cluster(address)
    try:
        room = cluster.gpus() or max(1, cluster.cores() // options.threads)
        environment = local.variables(options.threads) | kept_programs()
        cluster.run(folder, units, min(options.workers or room, len(units)), environment, tick)
    finally:
        cluster.close()


def kept_programs() -> dict[str, str]:
    """The variables that say where compiled programs are kept, for processes that do not inherit them."""
    return {name: value for name, value in os.environ.items() if name.startswith("JAX_")}


@contextmanager
def counted(folder: Folder, missing: Sequence[Job]) -> Iterator[Callable[[], None]]:
    """Gives a function that shows how many of the missing pictures are made, how many an hour, and the time left."""
    names = {job.name for job in missing}
    before = time.monotonic()
    latest = {"counted": before - COUNT, "told": before}
    console = Console(stderr=True)

    def show(bar: Bar | None = None) -> None:
        now = time.monotonic()
        if now - latest["counted"] < COUNT:
            return
        latest["counted"] = now
        pictures, failed = len(folder.done() & names), len(folder.failed() & names)
        hourly = 3600 * pictures / (now - before)
        rest = (now - before) * (len(names) - pictures - failed) / (pictures + failed) if pictures + failed else None
        told = [f"{failed} failed" if failed else "", f"{hourly:.0f} pictures/h" if pictures else "", words(rest)]
        if bar is not None:
            bar.update(bar.task_ids[0], completed=pictures + failed, told="  ".join(filter(None, told)))
        elif now - latest["told"] >= INTERVAL:
            latest["told"] = now
            line = [f"job {pictures + failed}/{len(names)}", *told]
            print("  ".join(filter(None, line)), file=sys.stderr, flush=True)

    if not console.is_terminal:
        yield show
        return
    columns = (BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("{task.fields[told]}", markup=False))
    with Bar(*columns, console=console) as bar:
        bar.add_task("jobs", total=len(names), told="")
        yield lambda: show(bar)


def summary(folder: Folder, jobs: Sequence[Job], asked: int) -> int:
    """Says what has come of the jobs; returns the exit status."""
    done, failures = folder.done(), folder.failures(jobs)
    pictures = sum(job.name in done for job in jobs)
    for line in failures[:TOLD]:
        print(f"{PROGRAM}: failed: {line}", file=sys.stderr)
    if len(failures) > TOLD:
        print(f"{PROGRAM}: and {len(failures) - TOLD} more, see {folder.path / 'results.jsonl'}", file=sys.stderr)
    print(
        f"{folder.path}: {pictures} of {len(jobs)} pictures, {len(failures)} failed; see {folder.path / 'index.html'}"
    )
    if asked:
        return 128 + asked
    return 1 if pictures < len(jobs) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point of ``nst-batch``; returns the exit status."""
    return run(command, PROGRAM, arguments)
