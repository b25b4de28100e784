"""What a run tells while it goes on: its trace, and its progress."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import jax
import numpy as np

from nst_jax.optim.minimise import Chunk, PerRun
from nst_jax.optim.minimise import Stop as Stop
from nst_jax.pictures.masks import Masks


@dataclasses.dataclass(frozen=True)
class Progress:
    """What ``on_progress`` is told, after every chunk of steps.

    Attributes:
      step, steps: taken so far, and of the whole run; over all scales.
      terms: the losses of the latest evaluation: content, style, tv (unweighted) and total (weighted).
      size: (width, height) of the picture at the present scale.
      image: gives the picture so far, float32 RGB in [0, 1], [H, W, 3].
      note: what went wrong and was mended since the last time, or "".
    """

    step: int
    steps: int
    terms: dict[str, float]
    size: tuple[int, int]
    image: Callable[[], np.ndarray]
    note: str = ""


@dataclasses.dataclass
class Recorder:
    """Keeps the trace of a run, or of each lane, over all its scales, and passes on its progress.

    Attributes:
      on_progress: told of every chunk; of lanes, the terms are the means over those that came on.
      started: the clock when the run began.
      finish: makes of what the run has what is given out, see ``finish.finished``.
      masks: what of the image is kept as the photograph has it.
      steps: of the whole run.
      before: steps taken at the scales before; of lanes [lanes].
      traces: of each lane, or of the one run, a row for every evaluation.
    """

    on_progress: Callable[[Progress], None]
    started: float
    finish: Callable[[np.ndarray], np.ndarray]
    masks: Masks | None = None
    steps: int = 0
    before: PerRun = 0
    traces: list[list[dict[str, float]]] = dataclasses.field(default_factory=list)

    def start(self, runs: tuple[int, ...], steps: int) -> None:
        """Before the first step: () for a single run or (lanes,), and the steps of the whole run."""
        self.steps, self.before = steps, np.zeros(runs, int)
        self.traces = [[] for _ in range(self.before.size)]

    def record(self, chunk: Chunk) -> None:
        """Takes down the evaluations of one chunk."""
        done, advanced = np.atleast_1d(self.before + chunk.done), np.atleast_1d(chunk.advanced)
        height, width = chunk.x.shape[-3:-1]
        fixed = {"seconds": round(time.perf_counter() - self.started, 3), "size": max(height, width)}
        terms = {name: values.reshape(len(values), -1) for name, values in chunk.terms.items()}
        for lane in np.flatnonzero(advanced) if terms else ():
            columns = [values[:, lane].tolist() for values in terms.values()]
            first = int(done[lane]) + 1 - len(columns[0])
            for step, row in enumerate(zip(*columns, strict=True), start=first):
                self.traces[lane].append({"step": step, **fixed, **dict(zip(terms, row, strict=True))})
        latest = {name: float(values[-1, advanced].mean()) for name, values in terms.items()}

        def image() -> np.ndarray:
            return self.finish(clipped(chunk.x, self.masks))

        self.on_progress(Progress(int(done.max()), self.steps, latest, (width, height), image, chunk.note))


def clipped(image: jax.Array, given: Masks | None) -> np.ndarray:
    """An image on the device as NumPy, clipped to [0, 1], with what is frozen in its place."""
    clipped = np.clip(np.asarray(image), 0, 1)
    return given.keep(clipped) if given else clipped
