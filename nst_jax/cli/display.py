"""A run's progress on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from nst_jax.runs.progress import Progress

#: Seconds between two plain lines.
INTERVAL = 5.0


@contextlib.contextmanager
def display() -> Iterator[Callable[[Progress], None]]:
    """Gives a function that shows a run's progress, on a terminal or in a log."""
    console = Console(stderr=True)
    with _bar(console) if console.is_terminal else contextlib.nullcontext(_Lines()) as show:
        yield show


def losses(progress: Progress) -> str:
    """The loss terms in a few characters each."""
    return "  ".join(f"{name} {value:.3g}" for name, value in progress.terms.items())


@contextlib.contextmanager
def _bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("compiling", total=None, speed="", losses="")

        def show(progress: Progress) -> None:
            if progress.note:
                bar.console.print(progress.note)
            speed = bar.tasks[task].speed
            bar.update(
                task,
                completed=progress.step,
                total=progress.steps,
                description="{} × {}".format(*progress.size),
                speed=f"{speed:.3g} steps/s" if speed else "",
                losses=losses(progress),
            )

        yield show


class _Lines:
    """A line at the first step, then every ``INTERVAL`` seconds, and at the last."""

    def __init__(self) -> None:
        self.first = self.latest = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.note:
            print(progress.note, file=sys.stderr, flush=True)
        if not self.first:
            self.first, self.first_step = now, progress.step
        elif now - self.latest < INTERVAL and progress.step < progress.steps:
            return
        self.latest = now
        speed = (progress.step - self.first_step) / (now - self.first) if now > self.first else 0.0
        pace = f"  {speed:.2g} steps/s  {(progress.steps - progress.step) / speed:.0f} s left" if speed else ""
        size = "{}x{}".format(*progress.size)
        print(f"step {progress.step}/{progress.steps}  {size}  {losses(progress)}{pace}", file=sys.stderr, flush=True)
