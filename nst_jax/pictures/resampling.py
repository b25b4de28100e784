"""Pictures at other sizes: antialiased Lanczos in float32, taken in from the top down and in no more than one copy."""

from __future__ import annotations

import itertools

import numpy as np
from PIL import Image

from nst_jax.pictures.samples import STRIP
from nst_jax.pictures.threads import in_threads

#: Where of a picture something lies: left, top, right, bottom.
Box = tuple[float, float, float, float]


class Resampled:
    """A picture [H, W, C] that is given row by row, and comes out upright at another size.

    Each strip is resized across as it comes, and the whole then down, some columns at a time. These are Pillow's own
    two passes, and its values to the last bit; to rounding, where one side becomes larger and the other smaller, as
    Pillow then goes down first. What is held is one array, of the larger of both heights; one that is
    to be turned, and is not as large as it was, is copied once more.
    """

    def __init__(
        self,
        before: tuple[int, int],
        after: tuple[int, int],
        channels: int,
        box: Box | None = None,
        turns: int = 0,
        mirrored: bool = False,
    ) -> None:
        """A picture that is to come.

        Args:
          before, after: (height, width) that it comes with, and is to have, both as it lies.
          channels: how many it has.
          box: what is seen of it; None for all.
          turns, mirrored: by how many quarters it is turned to the left in the end, and whether then flipped.
        """
        self.after, self.turns, self.mirrored, self.top = after, turns, mirrored, 0
        self.box = (0.0, 0.0, float(before[1]), float(before[0])) if box is None else box
        self.across = after[1] != before[1] or (self.box[0], self.box[2]) != (0, before[1])
        self.down = after[0] != before[0] or (self.box[1], self.box[3]) != (0, before[0])
        self.height = before[0]
        if self.across or self.down:
            self.image = self.rows = np.empty((max(before[0], after[0]), after[1], channels), np.float32)
        else:
            self.image = np.empty((*(after[::-1] if turns % 2 else after), channels), np.float32)
            self.rows = np.rot90(self.image[:, ::-1] if mirrored else self.image, -turns)

    def add(self, strip: np.ndarray) -> None:
        """Takes the next rows, [rows, W, C]."""
        rows = self.rows[self.top : self.top + len(strip)]
        self.top += len(strip)
        if not self.across:
            rows[:] = strip
            return
        box = (self.box[0], 0.0, self.box[2], float(len(strip)))

        def widen(channel: int) -> None:
            rows[..., channel] = _lanczos(strip[..., channel], len(strip), self.after[1], box)

        in_threads(widen, range(strip.shape[2]))

    def done(self) -> np.ndarray:
        """The picture, float32, in one piece of its own; it may overshoot what came."""
        if not (self.across or self.down):
            return self.image
        image, (height, width) = self.image, self.after
        columns = max(1, STRIP // len(image))

        def heighten(place: tuple[int, int]) -> None:
            left, channel = place
            part = image[: self.height, left : left + columns, channel]
            box = (0.0, self.box[1], float(part.shape[1]), self.box[3])
            made = _lanczos(part, height, part.shape[1], box)
            image[:height, left : left + columns, channel] = made  # it takes the place of what it is made of

        if self.down:
            in_threads(heighten, itertools.product(range(0, width, columns), range(image.shape[2])))
        del self.rows
        image.resize((height, width, image.shape[2]), refcheck=False)  # gives back the rows below
        image = np.rot90(image, self.turns)
        return np.ascontiguousarray(image[:, ::-1] if self.mirrored else image)


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W, C] or [H, W] in [0, 1] → float32 [height, width(, C)] in [0, 1]: antialiased Lanczos, in float."""
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        return resize(pixels[..., None], height, width)[..., 0]
    made = Resampled((pixels.shape[0], pixels.shape[1]), (height, width), pixels.shape[2])
    rows = max(1, STRIP // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        made.add(np.asarray(pixels[top : top + rows], np.float32))
    image = made.done()
    return np.clip(image, 0, 1, out=image)


def _lanczos(plane: np.ndarray, height: int, width: int, box: Box) -> np.ndarray:
    """[H, W] → float32 [height, width], of what ``box`` has of it."""
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box))
