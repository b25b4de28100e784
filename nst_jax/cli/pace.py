"""How long a run will still take, from the steps that it has taken."""

from __future__ import annotations

import time
from collections.abc import Sequence

#: The stages of a run: ((height, width), steps) of each.
Schedule = Sequence[tuple[tuple[int, int], int]]


class Pace:
    """The time left, with each stage's own step time as soon as it has taken two looks at it.

    Before that, and for the stages that are still to come, a pixel takes as long as at the stage before. What compiling
    takes is not known ahead, and not in it.
    """

    def __init__(self, schedule: Schedule) -> None:
        """The stages in turn; those of a sweep's batches one after the other."""
        self.schedule = [(height * width, steps) for (height, width), steps in schedule if steps]
        self.stage, self.first, self.since = -1, 0, 0.0
        self.each = 0.0  # seconds of a pixel's step
        self.speed = 0.0

    def left(self, step: int) -> float | None:
        """Seconds until all steps are taken, ``step`` of which are; None while that cannot be told.

        ``speed`` is then the steps a second at the present stage, or 0 where it is not known yet.
        """
        now, before, stage = time.monotonic(), 0, 0
        while stage < len(self.schedule) - 1 and step > before + self.schedule[stage][1]:
            before += self.schedule[stage][1]
            stage += 1
        if not self.schedule:
            return None
        pixels, steps = self.schedule[stage]
        if stage != self.stage:
            self.stage, self.first, self.since, self.speed = stage, step, now, 0.0
        elif step > self.first and now > self.since:
            self.speed = (step - self.first) / (now - self.since)
            self.each = 1 / self.speed / pixels
        if not self.each:
            return None
        rest = pixels * max(0, before + steps - step)
        return self.each * (rest + sum(size * count for size, count in self.schedule[stage + 1 :]))


def words(seconds: float | None) -> str:
    """So many seconds in a few characters, or "" for None."""
    return "" if seconds is None else f"{duration(seconds)} left"


def duration(seconds: float) -> str:
    """So many seconds, minutes or hours."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
