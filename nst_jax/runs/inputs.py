"""The pictures that go into a run: the photograph and the paintings at their sizes and in their colours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax import layers
from nst_jax.errors import NSTError
from nst_jax.options.config import Complete
from nst_jax.pictures import colors, images, tileable
from nst_jax.pictures.images import Picture
from nst_jax.pictures.masks import Masks
from nst_jax.pictures.sources import Source, as_list, as_picture
from nst_jax.pictures.transport import in_colors_of
from nst_jax.runs import scales


class Pictures(NamedTuple):
    """All that goes into a run.

    Attributes:
      photograph: at the size of the result, or None.
      paintings: at their sizes, in the colours that they are to have.
      start: the picture of the file to start from, or None.
      palette: the picture whose colours the paintings were given, or None.
      masks: where in the pictures what counts, or None for everywhere alike.
      toned: the photograph in the paintings' colours, as far as ``Config.tone`` says, [H, W, 3]; or None where
        nothing asks for it.
    """

    photograph: Picture | None
    paintings: list[Picture]
    start: Picture | None = None
    palette: Picture | None = None
    masks: Masks | None = None
    toned: np.ndarray | None = None


def load_pictures(
    content: Source | None, style: Source | Sequence[Source], config: Complete
) -> tuple[Picture | None, list[Picture]]:
    """The photograph at the size of the result, and the paintings at theirs, all with their aspect ratios.

    For a result that tiles, the photograph is made to tile, at a size that ``scales.pooled_evenly`` gives.

    Raises NSTError for a picture that cannot be read, is too small for the network's deepest layer, or is missing.
    """
    styles = as_list(style)
    if not styles and (config.style_layers or content is None):
        raise NSTError("no style picture is given: give one at least")
    if content is None and config.content_layers:
        raise NSTError("no content picture is given: give one, or no content layers for a texture")
    photograph = None if content is None else as_picture(content, config.size, enlarge=True)
    factors = config.style_scale * (len(styles) if len(config.style_scale) == 1 else 1)
    paintings = [load_painting(one, scale, config) for one, scale in zip(styles, factors, strict=True)]
    sizes = [(picture.path, *picture.pixels.shape[:2]) for picture in (photograph, *paintings) if picture]
    least = layers.smallest_side(config.network, config.taps)
    for name, height, width in [*sizes, ("the result", *scales.full_size(photograph, paintings, config))]:
        if min(height, width) < least:
            raise NSTError(
                f"{name} is {width} x {height} pixels at this size; the layers in use need {least} on the shorter"
                f" side: give a larger {scales.advice(photograph, paintings, config)}, a larger"
                " picture or less deep layers"
            )
    if config.tileable:
        return fitted_to_tile(photograph, paintings, config)
    return photograph, paintings


def fitted_to_tile(
    photograph: Picture | None, paintings: list[Picture], config: Complete
) -> tuple[Picture | None, list[Picture]]:
    """The pictures of a result that tiles: the photograph periodic, at the result's size, and a note on that size."""
    first = photograph or paintings[0]
    wanted, size = images.fit_size(*first.size[::-1], config.size), scales.full_size(photograph, paintings, config)
    if size != wanted:
        least = layers.smallest_side(config.network, config.taps)
        note = (
            f"made {size[1]} x {size[0]} pixels, not {wanted[1]} x {wanted[0]}: to tile, sides are multiples of {least}"
        )
        first = dataclasses.replace(first, notes=(*first.notes, note))
    if photograph is None:
        return None, [first, *paintings[1:]]
    alpha = None if first.alpha is None else images.resize(first.alpha, *size)
    return dataclasses.replace(
        first, pixels=tileable.periodic(images.resize(first.pixels, *size)), alpha=alpha
    ), paintings


def load_painting(source: Source, scale: float, config: Complete) -> Picture:
    """A painting at its size where the result has its full one, with a note where ``scale`` makes it enlarge it."""
    painting = as_picture(source, config.style_size or config.size, enlarge=False, scale=scale)
    shown = max(painting.pixels.shape[:2])
    if scale <= 1 or shown <= max(painting.size):
        return painting
    note = f"enlarged from {max(painting.size)} to {shown} pixels for --style-scale {scale:g}"
    return dataclasses.replace(painting, notes=(*painting.notes, note))


def palette_picture(config: Complete) -> Picture | None:
    """The picture whose colours the paintings are given, or None. Raises NSTError for one that cannot be read."""
    return None if config.palette is None else as_picture(config.palette, config.size, enlarge=False)


def recolored(
    paintings: Sequence[Picture], photograph: Picture | None, palette: Picture | None, config: Complete
) -> list[Picture]:
    """The paintings with the colours of the palette, or without one, of the photograph, as ``keep_colors`` tells.

    What leaves [0, 1] by that is clipped. Raises NSTError where there are no colours to take, or nothing to give them
    to.
    """
    if config.keep_colors == "none":
        return list(paintings)
    method, target = config.keep_colors, palette or photograph
    if target is None:
        advice = "" if method == "luminance" else " or a --palette"
        raise NSTError(f"--keep-colors {method} is for the colours of a content picture: give one{advice}")
    if not paintings and method != "luminance":
        raise NSTError(f"--keep-colors {method} changes the style pictures, and there are none: give one")
    matched = [colors.match(one.pixels, target.pixels, method, one.alpha, target.alpha) for one in paintings]
    return [
        dataclasses.replace(painting, pixels=np.clip(pixels, 0, 1).astype(np.float32))
        for painting, pixels in zip(paintings, matched, strict=True)
    ]


def toned(
    photograph: Picture | None, paintings: Sequence[Picture], given: Masks | None, config: Complete
) -> np.ndarray | None:
    """The photograph, as the run sees it, in the colours of the paintings, [H, W, 3]; None where nothing asks for it.

    Of several paintings the colours are mixed as ``style_blend`` says; each region of the masks takes its painting's.
    What is in no region keeps its own. Raises NSTError where there is no photograph or no painting.
    """
    if photograph is None or not paintings:
        if config.init == "palette":
            missing, start = ("content", "noise") if photograph is None else ("style", "content")
            raise NSTError(
                f"--init palette gives a photograph a painting's colours, and there is no {missing} picture:"
                f" give one, or --init {start}"
            )
        return None
    if not config.needs_toned:
        return None
    pixels, sources = photograph.pixels, [painting.pixels for painting in paintings]
    if given is None:
        weights = [painting.alpha for painting in paintings]
        return in_colors_of(pixels, sources, config.style_blend or None, photograph.alpha, weights, config.tileable)
    mixed, shares = np.zeros_like(pixels), given.regions
    if given.visible is not None:  # what is half transparent is painted as other pixels are
        shares = shares / np.maximum(given.visible, np.finfo(np.float32).tiny)
    for number, (region, share) in enumerate(zip(given.regions, shares, strict=True)):
        apart = len(given.regions) > 1 and len(paintings) > 1
        chosen = range(len(paintings))[number : number + 1] if apart else range(len(paintings))
        parts = [given.parts[each][0 if apart else min(number, len(given.parts[each]) - 1)] for each in chosen]
        blend = None if apart else config.style_blend or None
        there = in_colors_of(pixels, [sources[each] for each in chosen], blend, region, parts, config.tileable)
        mixed += share[..., None] * there
    found: np.ndarray = mixed + (1 - shares.sum(0))[..., None] * pixels
    return found


def painting_at(painting: Picture, size: tuple[int, int], config: Complete) -> jax.Array:
    """A painting where the result has ``size``."""
    return jnp.asarray(images.resize(painting.pixels, *painting_size(painting, size, config)))


def painting_size(painting: Picture, size: tuple[int, int], config: Complete) -> tuple[int, int]:
    """(height, width) of a painting where the result has ``size``: reduced as that is, but never below what the layers
    need."""
    height, width = painting.pixels.shape[:2]
    least = layers.smallest_side(config.network, config.taps)
    shrink = max(min(1, max(size) / config.size), least / min(height, width))
    return round(height * shrink), round(width * shrink)
