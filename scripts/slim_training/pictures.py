"""The pictures that the student is taught with: photographs and paintings, and random crops of them."""

from __future__ import annotations

import concurrent.futures
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.halves import CHOOSE_CONTENT, CHOOSE_STYLE
from nst_jax.errors import NSTError
from nst_jax.options.folders import pictures_in
from nst_jax.pictures.images import load_image, to_uint8
from slim_training.options import LARGEST

#: The folders of pictures: photographs, those that are content often, paintings.
KINDS = ("train", "content", "style")
#: The contents and paintings that may be taught with: results are judged on the others.
TAUGHT = {"content": CHOOSE_CONTENT, "style": CHOOSE_STYLE}


class Pictures:
    """The pictures of the folders ``KINDS`` in memory, and random square crops of them.

    Attributes:
      size: of the crops, in pixels.
      kinds: the pictures of each folder; of contents and paintings only those of ``TAUGHT``.
    """

    def __init__(self, folder: Path, size: int):
        """Reads the pictures. Raises NSTError for a folder that is missing or empty, or a file that is no picture."""
        self.size = size
        with concurrent.futures.ThreadPoolExecutor() as pool:
            self.kinds = {kind: list(pool.map(_load, taught(folder / kind))) for kind in KINDS}

    def crop(self, kind: str, rng: np.random.Generator) -> np.ndarray:
        """A crop [size, size, 3] in [0, 1] of a random picture, at a random scale, mirrored half of the time."""
        image = self.kinds[kind][rng.integers(len(self.kinds[kind]))]
        side = min(*image.size, int(np.exp(rng.uniform(np.log(self.size), np.log(LARGEST + 1)))))
        left, top = (int(rng.integers(length - side + 1)) for length in image.size)
        box = (left, top, left + side, top + side)
        pixels = np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box), np.float32) / 255
        return np.ascontiguousarray(pixels[:, ::-1] if rng.random() < 0.5 else pixels)


def taught(folder: Path) -> list[Path]:
    """The pictures of a folder that may be taught with: all, but of contents and paintings those of the first half.

    Raises NSTError for a folder that is missing, or has none.
    """
    paths = pictures_in(folder)
    if folder.name not in TAUGHT:
        return paths
    found = [path for path in paths if path.stem in TAUGHT[folder.name]]
    if not found:
        raise NSTError(f"{folder} has no picture of the half to train on: see benchmarks/halves.py")
    return found


def _load(path: Path) -> Image.Image:
    """A picture, reduced to the shorter side that is kept."""
    image = Image.fromarray(to_uint8(load_image(path).pixels))
    factor = LARGEST / min(image.size)
    if factor >= 1:
        return image
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)
