"""The pictures that the student is taught with: photographs and paintings, and random crops of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from nst_jax.options.folders import pictures_in
from nst_jax.pictures.images import load_image, to_uint8

#: The folders of pictures: photographs, those that are content often, paintings.
KINDS = ("train", "content", "style")
#: Pictures are kept with a shorter side of so many pixels at most.
SHORTEST = 288


class Pictures:
    """The pictures of the folders ``KINDS`` in memory, and random square crops of them.

    Attributes:
      size: of the crops, in pixels.
      rng: what the crops are drawn with.
      kinds: the pictures of each folder.
    """

    def __init__(self, folder: Path, size: int, rng: np.random.Generator):
        """Reads all pictures. Raises NSTError for a folder that is missing or empty, or a file that is no picture."""
        self.size, self.rng = size, rng
        self.kinds = {kind: [_load(path) for path in pictures_in(folder / kind)] for kind in KINDS}

    def crop(self, kind: str) -> np.ndarray:
        """A crop [size, size, 3] in [0, 1] of a random picture, at a random scale, mirrored half of the time."""
        image = self.kinds[kind][self.rng.integers(len(self.kinds[kind]))]
        side = min(*image.size, int(np.exp(self.rng.uniform(np.log(self.size), np.log(SHORTEST + 1)))))
        left, top = (int(self.rng.integers(length - side + 1)) for length in image.size)
        box = (left, top, left + side, top + side)
        pixels = np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box), np.float32) / 255
        return np.ascontiguousarray(pixels[:, ::-1] if self.rng.random() < 0.5 else pixels)


def _load(path: Path) -> Image.Image:
    """A picture, reduced to the shorter side that is kept."""
    image = Image.fromarray(to_uint8(load_image(path).pixels))
    factor = SHORTEST / min(image.size)
    if factor >= 1:
        return image
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def coarsened(image: np.ndarray) -> np.ndarray:
    """An image [H, W, 3] in [0, 1] that has lost its finest octave."""
    height, width = image.shape[:2]
    half = Image.fromarray(np.uint8(image * 255 + 0.5)).resize((width // 2, height // 2), Image.Resampling.BOX)
    return np.asarray(half.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255
