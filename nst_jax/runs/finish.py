"""What a run sees of its pictures, and what is made of what it gives: resized, coloured, without a seam."""

from __future__ import annotations

import dataclasses

import numpy as np

from nst_jax.options.config import Config
from nst_jax.pictures import colors, images
from nst_jax.pictures import tileable as tiles
from nst_jax.pictures.images import Picture
from nst_jax.pictures.transport import with_detail


def as_painted(pixels: np.ndarray, config: Config) -> np.ndarray:
    """A photograph or start as the run sees it: grey where luminance alone is painted."""
    return colors.grey(pixels) if config.keep_colors == "luminance" else pixels


def painted(photograph: Picture | None, config: Config) -> Picture | None:
    """The photograph as the run sees it, see ``as_painted``."""
    return photograph and dataclasses.replace(photograph, pixels=as_painted(photograph.pixels, config))


def finished(image: np.ndarray, photograph: Picture | None, config: Config) -> np.ndarray:
    """What a run made, [..., H, W, 3], as it is given out: with the photograph's chroma where luminance was painted."""
    if config.keep_colors != "luminance" or photograph is None:
        return image
    return colors.with_chroma(image, images.resize(photograph.pixels, *image.shape[-3:-1]))


def resized(image: np.ndarray, height: int, width: int, tileable: bool = False) -> np.ndarray:
    """[H, W, 3] or [lanes, H, W, 3] with another height and width; one that tiles, if ``tileable``, still does."""
    resize = tiles.resize_tile if tileable else images.resize
    if image.ndim == 3:
        return resize(image, height, width)
    return np.stack([resize(one, height, width) for one in image])


def enlarged(
    image: np.ndarray,
    size: tuple[int, int],
    config: Config,
    toned: np.ndarray | None,
    share: float | np.ndarray,
) -> np.ndarray:
    """[H, W, 3] or [lanes, H, W, 3] at another (height, width), with the photograph's detail given back.

    x ← up(x) + s (m − up(down(m))). Here m is ``toned``, the photograph in the paintings' colours at the result's size,
    one for all lanes or one each, and s is ``share``, likewise: a number, or [lanes, 1, 1, 1]. What the coarser size
    could not hold is the photograph's, and need not be invented.
    """
    before = image.shape[-3], image.shape[-2]
    if before == size:
        return image
    larger = resized(image, *size, config.tileable)
    if toned is None or not config.detail or before[0] > size[0]:
        return larger
    picture = resized(toned, *size, config.tileable)
    coarse = resized(resized(picture, *before, config.tileable), *size, config.tileable)
    return with_detail(larger, picture, coarse, share)


def seamless(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] or [lanes, H, W, 3] that tile, each without a seam that is steeper than its inside."""
    return tiles.even_seam(image) if image.ndim == 3 else np.stack([tiles.even_seam(one) for one in image])
