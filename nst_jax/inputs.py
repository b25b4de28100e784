"""The pictures that go into a run: the photograph and the paintings at their sizes, the scales, the start."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import images, layers
from nst_jax.config import STARTS, Config
from nst_jax.errors import NSTError
from nst_jax.images import Picture

Source = str | os.PathLike[str] | np.ndarray | Picture


def load_pictures(
    content: Source | None, style: Source | Sequence[Source], config: Config
) -> tuple[Picture | None, list[Picture]]:
    """The photograph at the size of the result, and the paintings at theirs, all with their aspect ratios.

    For a result that tiles, the photograph is made to tile, at a size that ``pooled_evenly`` gives.

    Raises NSTError for a picture that cannot be read, is too small for the network's deepest layer, or is missing.
    """
    styles = [style] if isinstance(style, str | os.PathLike | np.ndarray | Picture) else list(style)
    if not styles and (config.style_layers or content is None):
        raise NSTError("no style picture is given: give one at least")
    if content is None and config.content_layers:
        raise NSTError("no content picture is given: give one, or no content layers for a texture")
    photograph = None if content is None else as_picture(content, config.size, enlarge=True)
    style_size = config.style_size or config.size
    paintings = [as_picture(one, style_size, enlarge=False) for one in styles]
    sizes = [(picture.path, *picture.pixels.shape[:2]) for picture in (photograph, *paintings) if picture]
    least = layers.smallest_side(config.network, {**config.content_layer_weights, **config.style_layer_weights})
    for name, height, width in [*sizes, ("the result", *full_size(photograph, paintings, config))]:
        if min(height, width) < least:
            raise NSTError(
                f"{name} is {width} x {height} pixels at this size; the layers in use need {least} on the"
                " shorter side: give a larger --size, a larger picture or less deep layers"
            )
    if config.tileable:
        return fitted_to_tile(photograph, paintings, config)
    return photograph, paintings


def fitted_to_tile(
    photograph: Picture | None, paintings: list[Picture], config: Config
) -> tuple[Picture | None, list[Picture]]:
    """The pictures of a result that tiles: the photograph periodic, at the result's size, and a note on that size."""
    first = photograph or paintings[0]
    wanted, size = images.fit_size(*first.size[::-1], config.size), full_size(photograph, paintings, config)
    if size != wanted:
        least = layers.smallest_side(config.network, {**config.content_layer_weights, **config.style_layer_weights})
        note = (
            f"made {size[1]} x {size[0]} pixels, not {wanted[1]} x {wanted[0]}: to tile, sides are multiples of {least}"
        )
        first = dataclasses.replace(first, notes=(*first.notes, note))
    if photograph is None:
        return None, [first, *paintings[1:]]
    alpha = None if first.alpha is None else images.resize(first.alpha, *size)
    return dataclasses.replace(
        first, pixels=images.periodic(images.resize(first.pixels, *size)), alpha=alpha
    ), paintings


def as_picture(source: Source, longest_side: int, *, enlarge: bool) -> Picture:
    """A file, array or ``Picture`` as a ``Picture`` of the size wanted. Raises NSTError for an unusable one."""
    if isinstance(source, str | os.PathLike):
        return images.load_image(source, longest_side=longest_side, enlarge=enlarge)
    if isinstance(source, Picture):
        pixels, origin = source.pixels, source
    else:
        pixels = np.asarray(source, np.float32)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise NSTError(f"an image of shape {list(pixels.shape)} is not RGB: give [height, width, 3]")
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise NSTError("an image has values outside [0, 1]: divide by 255, or clip")
        origin = Picture(pixels, None, Path("array"), "", (pixels.shape[1], pixels.shape[0]))
    height, width = pixels.shape[:2]
    size = images.fit_size(height, width, longest_side)
    if size == (height, width) or (max(size) > max(height, width) and not enlarge):
        return origin
    alpha = None if origin.alpha is None else images.resize(origin.alpha, *size)
    return dataclasses.replace(origin, pixels=images.resize(pixels, *size), alpha=alpha)


def full_size(photograph: Picture | None, paintings: Sequence[Picture], config: Config) -> tuple[int, int]:
    """(height, width) of the result: of the aspect ratio of the photograph, or without one, of the first painting."""
    height, width = (photograph or paintings[0]).pixels.shape[:2]
    return pooled_evenly(images.fit_size(height, width, config.size), config)


def pooled_evenly(size: tuple[int, int], config: Config) -> tuple[int, int]:
    """``size``, or for a result that tiles the nearest one of which no pooling drops a row or a column.

    A row that a pooling drops would be missing at the seam.
    """
    if not config.tileable:
        return size
    least = layers.smallest_side(config.network, {**config.content_layer_weights, **config.style_layer_weights})
    height, width = (max(least, (side + least // 2) // least * least) for side in size)
    return height, width


def scale_sizes(full: tuple[int, int], config: Config) -> list[tuple[int, int]]:
    """(height, width) of each scale, coarse to fine, each twice the one before; the last is ``full``.

    Scales at which the network's deepest layer would keep fewer than 2 × 2 positions are left out.
    """
    taps = {**config.content_layer_weights, **config.style_layer_weights}
    least = 2 * layers.smallest_side(config.network, taps)
    sizes = [full]
    for octave in range(1, config.scales):
        size = pooled_evenly(images.fit_size(*full, max(1, round(max(full) / 2**octave))), config)
        if min(size) < least:
            break
        sizes.insert(0, size)
    return sizes


def step_counts(sizes: Sequence[tuple[int, int]], config: Config) -> list[int]:
    """The steps at each of the scales."""
    return [config.coarse_steps] * (len(sizes) - 1) + [config.steps]


def start_picture(config: Config) -> Picture | None:
    """The picture of the file from which the run starts, or None. Raises NSTError for one that cannot be read."""
    if config.init in STARTS:
        return None
    if not Path(config.init).exists():
        raise NSTError(f"no start image {config.init!r}: give {', '.join(STARTS)} or a picture's file")
    return images.load_image(config.init)


def start_image(
    photograph: Picture | None,
    paintings: Sequence[Picture],
    start: Picture | None,
    size: tuple[int, int],
    config: Config,
) -> np.ndarray:
    """The image from which the run starts, float32 RGB in [0, 1], [H, W, 3]: (1 − s) start + s noise.

    The start is the photograph, a painting, gray (0.5), noise, or ``start``, the file's picture; the noise is uniform
    in [0, 1], and s is ``config.init_noise``. A painting or a file's picture is cut about its middle to the
    photograph's aspect ratio, and for a result that tiles made periodic.
    """
    share, image = config.init_noise, _start(photograph, paintings, start, size, config)
    return (1 - share) * image + share * noise(size, config.seed) if share else image


def noise(size: tuple[int, int], seed: int) -> np.ndarray:
    """Uniform noise in [0, 1], float32 [H, W, 3]."""
    return np.random.default_rng(seed).uniform(size=(*size, 3)).astype(np.float32)


def _start(
    photograph: Picture | None,
    paintings: Sequence[Picture],
    start: Picture | None,
    size: tuple[int, int],
    config: Config,
) -> np.ndarray:
    """``start_image`` before noise is mixed in."""
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
    return images.periodic(image) if config.tileable else image


def cover(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W, 3] resized and cut about its middle to [height, width, 3], without stretching it."""
    factor = max(height / pixels.shape[0], width / pixels.shape[1])
    tall, wide = max(height, round(pixels.shape[0] * factor)), max(width, round(pixels.shape[1] * factor))
    top, left = (tall - height) // 2, (wide - width) // 2
    return images.resize(pixels, tall, wide)[top : top + height, left : left + width]


def painting_at(painting: Picture, size: tuple[int, int], config: Config) -> jax.Array:
    """A painting where the result has ``size``: reduced as the result is, but never below what the layers need."""
    height, width = painting.pixels.shape[:2]
    least = layers.smallest_side(config.network, {**config.content_layer_weights, **config.style_layer_weights})
    shrink = max(min(1, max(size) / config.size), least / min(height, width))
    return jnp.asarray(images.resize(painting.pixels, round(height * shrink), round(width * shrink)))


def resized(image: np.ndarray, height: int, width: int, tileable: bool = False) -> np.ndarray:
    """[H, W, 3] or [lanes, H, W, 3] with another height and width; one that tiles, if ``tileable``, still does."""
    resize = images.resize_tile if tileable else images.resize
    if image.ndim == 3:
        return resize(image, height, width)
    return np.stack([resize(one, height, width) for one in image])


def seamless(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] or [lanes, H, W, 3] that tile, each without a seam that is steeper than its inside."""
    return images.even_seam(image) if image.ndim == 3 else np.stack([images.even_seam(one) for one in image])


def roles_of(
    photograph: Picture | None, paintings: Sequence[Picture], start: Picture | None
) -> list[tuple[str, Picture]]:
    """Each input with its role: "content", "style" or "init"."""
    pictures = [("content", photograph), *(("style", painting) for painting in paintings), ("init", start)]
    return [(role, picture) for role, picture in pictures if picture is not None]


def inputs_of(
    photograph: Picture | None, paintings: Sequence[Picture], start: Picture | None
) -> list[dict[str, object]]:
    """Role, path, sha256 and size (width, height) of the file of each input."""
    return [
        {"role": role, "path": str(picture.path), "sha256": picture.sha256, "size": list(picture.size)}
        for role, picture in roles_of(photograph, paintings, start)
    ]


def notes_of(photograph: Picture | None, paintings: Sequence[Picture], start: Picture | None) -> list[str]:
    """What was wrong with each input but could be passed over."""
    return [
        f"{picture.path}: {note}" for _, picture in roles_of(photograph, paintings, start) for note in picture.notes
    ]
