"""A run's progress on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column

from nst_jax.cli.pace import Pace, Schedule, words

if TYPE_CHECKING:
    from nst_jax.runs.machine import Machine
    from nst_jax.runs.progress import Progress

#: Seconds between two plain lines.
INTERVAL = 5.0


@contextlib.contextmanager
def display(schedule: Schedule) -> Iterator[Callable[[Progress], None]]:
    """Gives a function that shows the progress of a run of these stages, on a terminal or in a log."""
    console, pace = Console(stderr=True), Pace(schedule)
    with _bar(console, pace) if console.is_terminal else contextlib.nullcontext(_Lines(pace)) as show:
        yield show


def watching(
    show: Callable[[Progress], None], interrupted: Callable[[], int], *lines: str
) -> Callable[[Progress], None]:
    """What a run is to call between two steps: it shows the progress, and raises ``Stop`` where a signal asks for it.

    ``lines`` come before the first progress, and not before: a mistake of the caller's gets one line and no other.
    """
    from nst_jax.runs.progress import Stop  # JAX is loaded by now

    first = True

    def on_progress(progress: Progress) -> None:
        nonlocal first
        if first and lines:
            print(*lines, sep="\n", file=sys.stderr)
        first = False
        show(progress)
        if interrupted():
            raise Stop

    return on_progress


def network_line(network: str) -> str:
    """Which network a run uses, and which command gets the other."""
    if network == "slim":
        get = "python -m convert_weights --download vgg19"
        return f"network: slim, which ships with nst_jax; for VGG-19, the paper's network, run {get} once"
    return f"network: {network}; --network slim is the small one, some seven times as fast"


def device_line(machine: Machine) -> str:
    """Which device a run is on."""
    told = machine.words()
    kind = "" if told["kind"] == told["platform"] else f" ({told['kind']})"
    return f"device: {told['platform']}{kind}"


def losses(progress: Progress) -> str:
    """The loss terms in a few characters each."""
    return "  ".join(f"{name} {value:.3g}" for name, value in progress.terms.items())


@contextlib.contextmanager
def _bar(console: Console, pace: Pace) -> Iterator[Callable[[Progress], None]]:
    """A bar; where the terminal is narrow, the losses are cut off first."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}", markup=False),
        TextColumn(
            "{task.fields[losses]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
        ),
    )
    with Bar(*columns, console=console, expand=True) as bar:
        task = bar.add_task("compiling", total=None, pace="", losses="")

        def show(progress: Progress) -> None:
            if progress.note:
                bar.console.print(progress.note, markup=False, highlight=False)
            left = pace.left(progress.step)
            bar.update(
                task,
                completed=progress.step,
                total=progress.steps,
                description="{} × {}".format(*progress.size),
                pace="  ".join(filter(None, (f"{pace.speed:.2g} steps/s" if pace.speed else "", words(left)))),
                losses=losses(progress),
            )

        yield show


class _Lines:
    """A line at the first step, then every ``INTERVAL`` seconds, and at the last."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.latest: float | None = None

    def __call__(self, progress: Progress) -> None:
        now, left = time.monotonic(), self.pace.left(progress.step)
        if progress.note:
            print(progress.note, file=sys.stderr, flush=True)
        if self.latest is not None and now - self.latest < INTERVAL and progress.step < progress.steps:
            return
        self.latest = now
        speed = f"{self.pace.speed:.2g} steps/s" if self.pace.speed else ""
        told = (f"step {progress.step}/{progress.steps}", "{}x{}".format(*progress.size), speed, words(left))
        print("  ".join(filter(None, (*told, losses(progress)))), file=sys.stderr, flush=True)
