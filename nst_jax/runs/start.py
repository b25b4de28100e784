"""The image from which a run starts."""

from __future__ import annotations

import numpy as np

from nst_jax.choices import STARTS
from nst_jax.errors import NSTError
from nst_jax.files import is_there
from nst_jax.options.config import Config
from nst_jax.pictures import images, tileable
from nst_jax.pictures.images import Picture
from nst_jax.pictures.masks import FINER
from nst_jax.runs.finish import as_painted, resized
from nst_jax.runs.inputs import Pictures


def start_picture(config: Config) -> Picture | None:
    """The picture of the file from which the run starts, or None. Raises NSTError for one that cannot be read."""
    if config.init in STARTS:
        return None
    if not is_there(config.init):
        raise NSTError(f"no start image {config.init!r}: give {', '.join(STARTS)} or a picture's file")
    return images.load_image(config.init, longest_side=FINER * config.size)


def start_image(pictures: Pictures, size: tuple[int, int], config: Config) -> np.ndarray:
    """The image from which the run starts, float32 RGB in [0, 1], [H, W, 3]: (1 − s) start + s noise.

    The start is the photograph, in its own or in the paintings' colours, a painting, gray (0.5), noise, or the picture
    of a file, ``pictures.start``. The noise is uniform in [0, 1], and s is ``config.init_noise``. A painting or the
    picture of a file is cut about its middle to the photograph's aspect ratio, and for a result that tiles made
    periodic.
    """
    share, image = config.init_noise, _start(pictures, size, config)
    return as_painted((1 - share) * image + share * noise(size, config.seed) if share else image, config)


def noise(size: tuple[int, int], seed: int) -> np.ndarray:
    """Uniform noise in [0, 1], float32 [H, W, 3]."""
    return np.random.default_rng(seed).uniform(size=(*size, 3)).astype(np.float32)


def _start(pictures: Pictures, size: tuple[int, int], config: Config) -> np.ndarray:
    """``start_image`` before noise is mixed in."""
    photograph, paintings, start = pictures[:3]
    if start is None and config.init == "palette" and pictures.toned is not None:
        return resized(pictures.toned, *size, config.tileable)
    if start is None and config.init == "noise":
        return noise(size, config.seed)
    if start is None and config.init == "gray":
        return np.full((*size, 3), 0.5, np.float32)
    if start is None and config.init == "content":
        if photograph is None:
            raise NSTError("there is no content picture to start from: choose --init noise")
        return resized(photograph.pixels, *size, config.tileable)
    if start is None and not paintings:
        raise NSTError("there is no style picture to start from: choose --init noise or content")
    image = cover((start or paintings[0]).pixels, *size)
    return tileable.periodic(image) if config.tileable else image


def cover(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W, 3] resized and cut about its middle to [height, width, 3], without stretching it."""
    factor = max(height / pixels.shape[0], width / pixels.shape[1])
    tall, wide = max(height, round(pixels.shape[0] * factor)), max(width, round(pixels.shape[1] * factor))
    top, left = (tall - height) // 2, (wide - width) // 2
    return images.resize(pixels, tall, wide)[top : top + height, left : left + width]
