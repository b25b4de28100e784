"""Pictures that tile: resized around their border, made periodic, their seams evened out. NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nst_jax.pictures.images import resize

LANCZOS = 3  # the filter ends so many pixels, of the coarser picture, from its middle


def resize_tile(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """``resize`` of a picture that tiles, [H, W(, C)]: what lies beyond a border is what lies behind the other one.

    The same as resizing a plane full of such tiles and cutting one out.
    """
    pixels = np.asarray(pixels, np.float32)
    around = [_around(*sides) for sides in zip(pixels.shape, (height, width), strict=False)]
    pads = [(rows, rows) for rows, _ in around] + [(0, 0)] * (pixels.ndim - 2)
    (_, top), (_, left) = around
    larger = resize(np.pad(pixels, pads, "wrap"), height + 2 * top, width + 2 * left)
    return larger[top : top + height, left : left + width]


def _around(old: int, new: int) -> tuple[int, int]:
    """How many rows Lanczos needs around ``old`` of them to make ``new``, and how many those become: a whole number."""
    step = math.gcd(old, new)
    repeats = math.ceil((LANCZOS * max(1, old / new) + 1) / (old // step))
    return repeats * (old // step), repeats * (new // step)


def periodic(pixels: np.ndarray, axes: Sequence[int] = (0, 1)) -> np.ndarray:
    """[H, W, C] in [0, 1] → float32 [H, W, C] in [0, 1] that tiles along ``axes``: the picture less its jumps there.

    The periodic part of Moisan's decomposition (J. Math. Imaging Vis. 40, 2011): what is taken away is the smoothest
    plane with such jumps across the border, Δs = v, where v is nonzero along the border alone. Of a picture that tiles
    already little is taken.
    """
    pixels = np.asarray(pixels, np.float64)
    height, width = pixels.shape[:2]
    jumps = np.zeros_like(pixels)
    for axis in axes:
        planes, jump = np.moveaxis(pixels, axis, 0), np.moveaxis(jumps, axis, 0)
        jump[0] += planes[-1] - planes[0]
        jump[-1] += planes[0] - planes[-1]
    down, across = (2 * np.cos(2 * np.pi * np.arange(count) / count) for count in (height, width))
    laplacian = down[:, None] + across[: width // 2 + 1] - 4
    laplacian[0, 0] = 1  # the mean stays: there the jumps sum to 0
    smooth = np.fft.irfft2(np.fft.rfft2(jumps, axes=(0, 1)) / laplacian[..., None], (height, width), axes=(0, 1))
    return np.clip(pixels - smooth, 0, 1).astype(np.float32)


def even_seam(pixels: np.ndarray) -> np.ndarray:
    """[H, W, C] in [0, 1] whose seam, where it is tiled, is no steeper on average than the inside, along both axes.

    A picture that tiles has a seam like any other line in it, and half of all lines are steeper than the average.
    Where the seam is one of them, the picture is made ``periodic`` once more, in eighths, as far as it takes; else it
    stays as it is.
    """
    for axis in (0, 1):
        even = periodic(pixels, [axis])
        parts = (pixels + np.float32(eighths / 8) * (even - pixels) for eighths in range(8))
        pixels = next((part for part in parts if not _steep(part, axis)), even)
    return pixels


def _steep(pixels: np.ndarray, axis: int) -> bool:
    """Whether the first and the last plane along an axis differ more, on average, than neighbours inside do."""
    seam = pixels.take(0, axis) - pixels.take(-1, axis)
    return bool(np.abs(seam).mean() > np.abs(np.diff(pixels, axis=axis)).mean())
