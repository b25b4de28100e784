"""Masks: which region of the picture takes which painting, what of a painting counts, what stays as it was.

They are read and checked once, at the size of their pictures, and carried to every scale and to every layer's grid:
there they are the guides of Gatys et al. 2017 (*Controlling Perceptual Factors in Neural Style Transfer*), see
``runs.goals``.
A mask inside the library is float32, [H, W], 0 (outside) to 1 (inside).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageColor

from nst_jax import layers
from nst_jax.errors import NSTError
from nst_jax.options.config import Config
from nst_jax.pictures import images
from nst_jax.pictures.images import Picture

#: A pixel belongs to the nearest of the colours of ``--mask-colors``, if it is not further from it than this in RGB,
#: in [0, 1]; black and a primary colour are 1 apart, black and the dark "green" of the names a half.
NEAR = 0.4
#: A mask's sides may be off its picture's aspect ratio by this part, or by one pixel.
ASPECT = 0.02
#: A mask whose brightest value is less is perhaps one of 0 and 1, not of 0 and 255.
DIM = 0.25
#: The channels of a grey picture never differ by so much.
COLOURED = 0.25
#: What is darker than this everywhere would be black in a file.
BLACK = 0.5 / 255
#: A mask, or a start image, that is this many times as large as what it is for is reduced as it is read.
FINER = 4
#: Of a painting's region, this part must be left when it draws back from its border.
LEFT = 0.25


class Masks(NamedTuple):
    """All that masks and transparency say of a run. There are R regions, the whole picture where none are named.

    Attributes:
      regions: of the picture, less what is hidden, [R, H, W]; where they overlap, they share. What is frozen is painted
        like all the rest, and replaced in the end: so it neither draws what is beside it nor changes its style.
      parts: of each painting, less what is hidden, what each region takes: [R, h, w] of a single painting or for a
        single region, else [1, h, w], painting r being that of region r.
      visible: the photograph's alpha, [H, W], or None where it is opaque.
      frozen: where the photograph is kept, hidden pixels and what ``--freeze`` names, [H, W], and its pixels,
        [H, W, 3]; None for nowhere.
      files: each mask's file, without its pixels, with its role: "content mask", "style mask" or "freeze".
    """

    regions: np.ndarray
    parts: list[np.ndarray]
    visible: np.ndarray | None
    frozen: tuple[np.ndarray, np.ndarray] | None
    files: list[tuple[str, Picture]]

    def keep(self, image: np.ndarray) -> np.ndarray:
        """An image of any size, [H, W, 3] or [lanes, H, W, 3], with what is frozen in it as the photograph has it."""
        if self.frozen is None:
            return image
        where, photograph = frozen_at(*self.frozen, image.shape[-3:-1])
        kept: np.ndarray = where[..., None] * photograph + (1 - where[..., None]) * image
        return kept


def needed(config: Config, photograph: Picture | None, paintings: Sequence[Picture]) -> bool:
    """Whether a run has masks or transparent pictures; without them nothing here is used."""
    pictures = [picture for picture in (photograph, *paintings) if picture is not None]
    named = config.content_mask or config.style_mask or config.freeze
    return bool(named) or any(picture.alpha is not None for picture in pictures)


def load(config: Config, photograph: Picture | None, paintings: Sequence[Picture], size: tuple[int, int]) -> Masks:
    """Reads and checks the masks that ``config`` names, for a result of (height, width) ``size``.

    Raises NSTError for masks that cannot be read, do not fit their pictures, are too few or too many, or leave nothing.
    """
    count = len(config.mask_colors or config.content_mask)
    check_counts(config, count, len(paintings))
    files: list[tuple[str, Picture]] = []

    def read(
        role: str,
        path: Path,
        picture: Picture,
        size: tuple[int, int],
        colours: Sequence[str] = (),
        own: int | None = None,
    ) -> np.ndarray:
        """A mask's file at a size: one plane, or one for each colour, or for that of its ``own`` number."""
        mask = images.load_image(path, longest_side=FINER * max(size))
        told = dataclasses.replace(mask, notes=(*mask.notes, *(() if colours else doubts(mask.pixels))))
        files.append((role, dataclasses.replace(told, pixels=np.zeros((0, 0, 3), np.float32), alpha=None)))
        return planes_of(mask, picture, size, colours, own)

    whole = photograph or paintings[0]
    regions = [read("content mask", path, whole, size, config.mask_colors) for path in config.content_mask]
    given: list[list[np.ndarray]] = [[] for _ in paintings]
    for turn, path in enumerate(config.style_mask):
        number = turn % len(paintings)  # all are of a single painting
        picture = paintings[number]
        own = number if count > 1 and len(paintings) > 1 else None  # the region whose painting it is
        given[number] += [*read("style mask", path, picture, picture.pixels.shape[:2], config.mask_colors, own)]

    visible = photograph.alpha if photograph else None
    frozen = np.zeros(size, np.float32) if visible is None else (visible < BLACK).astype(np.float32)
    if config.freeze:
        if photograph is None:
            raise NSTError("--freeze keeps pixels of the content, and there is no content picture: leave it out")
        frozen = np.maximum(frozen, read("freeze", config.freeze, photograph, size)[0])
    share = np.concatenate(regions) if regions else np.ones((1, *size), np.float32)
    share = share / np.maximum(1, share.sum(axis=0)) * (1 if visible is None else visible)
    for number, region in enumerate(share, start=1):
        if (region * (1 - frozen)).max() < BLACK:
            where = f" of region {number}" if count > 1 else ""
            raise NSTError(f"nothing is left to paint{where}: all of it is frozen or transparent")
    kept = (frozen, photograph.pixels) if photograph and frozen.any() else None
    return Masks(share, parts_of(paintings, given, max(1, count)), visible, kept, files)


def parts_of(paintings: Sequence[Picture], given: Sequence[list[np.ndarray]], regions: int) -> list[np.ndarray]:
    """``Masks.parts`` from the masks of each painting, none where all of it counts."""
    apart = regions > 1 and len(paintings) > 1
    parts = []
    for painting, planes in zip(paintings, given, strict=True):
        planes = planes or [np.ones(painting.pixels.shape[:2], np.float32)] * (1 if apart else regions)
        parts.append(np.stack(planes) * (1 if painting.alpha is None else painting.alpha))
        if min(part.max() for part in parts[-1]) < BLACK:
            raise NSTError(f"nothing is left of {painting.path}: its masks take only what is transparent")
    return parts


def parts_at(given: Masks | None, paintings: Sequence[Any]) -> list[np.ndarray | None]:
    """How much each pixel of the ``paintings``, [h, w, 3] each, counts in any region, [h, w]; None for all alike."""
    if given is None:
        return [None] * len(paintings)
    counted = [np.minimum(1, planes.sum(axis=0)) for planes in given.parts]
    return [mask_at(one, *painting.shape[:2]) for one, painting in zip(counted, paintings, strict=True)]


def check_counts(config: Config, regions: int, paintings: int) -> None:
    """Raises NSTError unless the masks are as many as the regions and paintings need."""
    if regions > 1 and paintings not in (0, 1, regions):
        raise NSTError(
            f"{regions} regions of the content and {paintings} style pictures: give {regions} of them, or one"
        )
    if regions > 1 and paintings > 1 and config.style_blend:
        raise NSTError("--style-blend mixes style pictures, and here each has a region of its own: leave it out")
    wanted = paintings if config.mask_colors else max(regions, paintings)
    found = len(config.style_mask)
    if found and (found != wanted or not paintings):
        raise NSTError(
            f"{found} --style-mask for {paintings} style pictures and {regions or 'no'} regions of the content:"
            f" give {wanted if paintings else 0}"
        )


def planes_of(
    mask: Picture, picture: Picture, size: tuple[int, int], colours: Sequence[str] = (), own: int | None = None
) -> np.ndarray:
    """A mask of ``picture`` as regions at (height, width) ``size``, [1, H, W], or of each of ``colours``, [R, H, W].

    Of the colours with an ``own`` number only that one's region is taken, [1, H, W]. Grey counts as it is: white is 1.
    A pixel belongs to the nearest colour, if it is within ``NEAR``, and else to no region. Transparent pixels belong to
    none. Raises NSTError for a mask of another aspect ratio than its picture's, and for a region without a pixel.
    """
    (width, height), (across, down) = mask.size, picture.size
    if abs(width * down / across - height) > max(1, ASPECT * height):
        raise NSTError(
            f"{mask.path} is {width} x {height} pixels and {picture.path}, which it masks, {across} x {down}: give a"
            " mask of the same aspect ratio"
        )
    if colours:
        names = [f"no pixel near {colour}" for colour in colours]
        distances = np.stack([np.linalg.norm(mask.pixels - rgb(colour), axis=-1) for colour in colours])
        nearest = np.where(distances.min(axis=0) < NEAR, distances.argmin(axis=0), -1)
        planes = [(nearest == number).astype(np.float32) for number in range(len(colours))]
        if own is not None:
            names, planes = names[own : own + 1], planes[own : own + 1]
    else:
        names, planes = ["no white"], [mask.pixels.mean(axis=-1)]
    if mask.alpha is not None:
        planes = [plane * mask.alpha for plane in planes]
    for name, plane in zip(names, planes, strict=True):
        if plane.max() < BLACK:
            raise NSTError(f"{mask.path} has {name}, so that nothing is inside: draw the region")
    return np.stack([mask_at(plane, *size) for plane in planes])


def doubts(pixels: np.ndarray) -> list[str]:
    """What of a grey mask, [H, W, 3], is perhaps not as it was meant, one line each."""
    notes = []
    brightest = float(pixels.mean(axis=-1).max())
    if brightest < DIM:
        notes.append(
            f"its brightest value is {255 * brightest:.0f} of 255, so that it hardly counts: white (255) is inside"
        )
    if float(np.ptp(pixels, axis=-1).max()) > COLOURED:
        notes.append("it has colours, which count as grey: give --mask-colors for a region of each colour")
    return notes


def rgb(colour: str) -> np.ndarray:
    """A colour's name or #rrggbb as RGB in [0, 1], [3]. Raises NSTError for an unknown one."""
    try:
        return np.array(ImageColor.getrgb(colour)[:3], np.float32) / 255
    except ValueError:
        raise NSTError(f"--mask-colors has {colour!r}: write a name such as red, or #ff0000") from None


def mask_at(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask [H, W] at another size: antialiased, and without overshoot, so that what is white stays so."""
    if plane.shape == (height, width):
        return plane
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def frozen_at(frozen: np.ndarray, photograph: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """``Masks.frozen`` at another (height, width)."""
    return mask_at(frozen, *size), images.resize(photograph, *size)


def guides(planes: Sequence[np.ndarray], network: str, taps: Iterable[str]) -> dict[str, np.ndarray]:
    """T_r of masks [H, W] at each layer, [R, H', W'], scaled to a largest value of 1, which no Gram matrix notices."""
    grids = {tap: np.stack([carried(plane, network, tap) for plane in planes]) for tap in taps}
    return {tap: grid / grid.max(axis=(1, 2), keepdims=True) for tap, grid in grids.items()}


def carried(plane: np.ndarray, network: str, tap: str) -> np.ndarray:
    """A mask on a layer's grid: the mean over the pixels that each position stands for, as the network pools."""
    for row, (height, width) in layers.walk(layers.until(network, [tap]), *plane.shape):
        if row.kind == "pool":
            pooled = plane[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
            # a region in the last row or column alone, which an odd size drops, stays at the border
            plane = pooled if pooled.any() else mask_at(plane, height, width)
    return plane


def withdrawn(grid: np.ndarray) -> np.ndarray:
    """A mask drawn back from its border by one position, where that leaves ``LEFT`` of it.

    Responses at the border see what is outside. Beyond the picture's own border lies nothing to draw back from.
    """
    core = np.pad(grid, 1, mode="edge")
    for axis in (0, 1):
        core = np.lib.stride_tricks.sliding_window_view(core, 3, axis=axis).min(axis=-1)
    return core if core.sum() >= LEFT * grid.sum() else grid
