"""A run as a film: the photograph, the way to the result at the result's size, and the result.

The film goes on by what changes, not by the clock: it has more frames where a step changes much, and fewer where many
steps change little. Where the run goes from one size to the next, nothing is cut. The coarse picture is shown enlarged
as the run enlarges it, with the photograph's detail, and fades over into what follows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nst_jax.errors import NSTError
from nst_jax.pictures import images
from nst_jax.pictures.film import RATE, film
from nst_jax.runs.finish import as_painted, enlarged, finished, resized
from nst_jax.runs.plan import Prepared
from nst_jax.runs.progress import Progress
from nst_jax.runs.result import Result

#: The mean change of a value from one frame to the next, of 1; and how many frames one step may have at most.
PACE, MOST = 1 / 255, 8
#: Frames of the photograph at the start, of the fade from there to the run's start, and of the result at the end.
FIRST, FADE, LAST = RATE, RATE, 2 * RATE


class Timelapse:
    """Films a run; ``show`` is told of its progress, and ``end`` of its result. A context manager.

    What cannot be written is told in one line, and the run goes on without a film.
    """

    def __init__(self, path: Path, run: Prepared, tell: Callable[[str], None] = lambda note: None) -> None:
        """``tell`` is told in one line why there is no film."""
        self.path, self.run, self.tell = path, run, tell
        self.size = run.sizes[-1]
        self.stack = contextlib.ExitStack()
        self.before: tuple[tuple[int, ...], np.ndarray] | None = None  # what was shown last, at its own size
        self.frame: np.ndarray | None = None  # and at the result's
        self.broken = False

    def __enter__(self) -> Timelapse:
        try:
            self.add = self.stack.enter_context(film(self.path))
        except NSTError as error:
            self._give_up(error)
        photograph = self.run.pictures.photograph
        if photograph is not None:
            self._show(resized(photograph.pixels, *self.size), FIRST)
        return self

    def __exit__(self, *ending: object) -> None:
        if not self.broken:
            try:
                self.stack.__exit__(*ending)  # type: ignore[arg-type]
            except NSTError as error:
                self._give_up(error)

    def show(self, progress: Progress) -> None:
        """Takes a frame, or as many as the change since the last one asks for, or none."""
        if self.broken:
            return
        image = progress.image()
        if self.before is not None and self.before[0] == image.shape:
            change = float(np.abs(image - self.before[1]).mean())
            if change < PACE:
                return
        frame = self._at_full_size(image)
        if self.before is None:
            self._fade(frame, FADE if self.frame is not None else 1)
        else:
            self._follow(frame)
        self.before = image.shape, image

    def end(self, result: Result) -> None:
        """Shows the result, to which what was shown last fades over."""
        if not self.broken:
            image = result.image if result.image.shape[:2] == self.size else self._at_full_size(result.image)
            self._follow(image)
            self._show(image, LAST)

    def _at_full_size(self, image: np.ndarray) -> np.ndarray:
        """A picture of the run at the size of the result, as the run itself would enlarge it."""
        config, pictures = self.run.config, self.run.pictures
        larger = np.clip(
            enlarged(as_painted(image, config), self.size, config, pictures.toned, config.detail_share), 0, 1
        )
        kept = pictures.masks.keep(larger) if pictures.masks else larger
        return finished(kept, pictures.photograph, config)

    def _follow(self, frame: np.ndarray) -> None:
        """Fades over in as many frames as the change asks for."""
        change = 0.0 if self.frame is None else float(np.abs(frame - self.frame).mean())
        self._fade(frame, min(MOST, max(1, round(change / PACE))))

    def _fade(self, frame: np.ndarray, count: int) -> None:
        """Goes over from what was shown last in so many frames, the last of which is ``frame``."""
        before = frame if self.frame is None else self.frame
        for number in range(1, count + 1):
            share = number / count
            self._show((1 - share) * before + share * frame, 1)
        self.frame = frame

    def _show(self, image: np.ndarray, times: int) -> None:
        """Shows an image [H, W, 3] in [0, 1] for so many frames, what is transparent on white."""
        self.frame = image
        if self.broken:
            return
        photograph = self.run.pictures.photograph
        if photograph is not None and photograph.alpha is not None:
            alpha = images.resize(photograph.alpha, *self.size)[..., None]
            image = image * alpha + (1 - alpha)
        try:
            self.add(images.to_uint8(image), times)
        except NSTError as error:
            self._give_up(error)

    def _give_up(self, error: NSTError) -> None:
        """No film, and nothing of one; the run is not to end for that."""
        self.broken = True
        with contextlib.suppress(Exception):
            self.stack.__exit__(type(error), error, None)
        self.tell(f"{error}; the run goes on without the film")
