"""Whatever stands for a picture in a call of the library: a file, an open one, an array, a picture of Pillow's."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np
from PIL import Image

from nst_jax.errors import NSTError
from nst_jax.pictures import images
from nst_jax.pictures.by_pillow import of_pillow
from nst_jax.pictures.images import Picture
from nst_jax.pictures.kinds import reason
from nst_jax.pictures.samples import Origin, Samples, array_strips

Source: TypeAlias = str | os.PathLike[str] | np.ndarray | Picture | BinaryIO | Image.Image


def as_list(sources: Source | Sequence[Source]) -> list[Source]:
    """One source or several as a list. Raises NSTError for what is neither."""
    single = isinstance(sources, str | os.PathLike | Picture | Image.Image | bytes)
    if single or hasattr(sources, "read") or hasattr(sources, "__array__"):
        return [sources]  # type: ignore[list-item]
    try:
        return list(sources)  # type: ignore[arg-type]
    except TypeError:
        raise _no_picture(sources) from None


def as_picture(source: Source, longest_side: int, *, enlarge: bool, scale: float = 1.0) -> Picture:
    """A source as a ``Picture`` of the size wanted.

    Arrays are [H, W] or [H, W, 1 to 4]: grey, grey and alpha, RGB, RGB and alpha; uint8, uint16, or floats in [0, 1].
    Their sha256 is that of type, shape and values, with all floats taken for float32.

    Raises NSTError for an unusable one.
    """
    if isinstance(source, str | os.PathLike) or hasattr(source, "read"):
        return images.load_image(cast(BinaryIO, source), longest_side=longest_side, enlarge=enlarge, scale=scale)
    if isinstance(source, Picture):
        return _resized(source, longest_side, enlarge, scale)
    if isinstance(source, Image.Image):
        return _of_pillow(source, longest_side, enlarge, scale)
    return _of_array(_values(source), longest_side, enlarge, scale)


def _resized(source: Picture, longest_side: int, enlarge: bool, scale: float) -> Picture:
    """A picture at another size, with what is hidden filled in."""
    if source.alpha is not None:
        source = dataclasses.replace(source, pixels=images.fill_hidden(source.pixels, source.alpha))
    height, width = source.pixels.shape[:2]
    size = images.scaled_size(height, width, longest_side, enlarge=enlarge, scale=scale)
    if size == (height, width):
        return source
    alpha = None if source.alpha is None else images.resize(source.alpha, *size)
    return dataclasses.replace(source, pixels=images.resize(source.pixels, *size), alpha=alpha)


def _values(source: Any) -> np.ndarray:
    """An array's values, [H, W, C], as uint8, uint16 or float32."""
    try:
        values = np.asarray(source)
    except Exception as error:  # what an object does when it is asked for its values is its own affair
        raise NSTError(f"an array cannot be read ({reason(error)}): give one of NumPy's") from None
    if values.dtype.kind != "f" and values.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        if values.dtype == object or values.ndim == 0:
            raise _no_picture(source)
        raise NSTError(f"an image of type {values.dtype} is not possible: give uint8, uint16, or floats in [0, 1]")
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or not 1 <= values.shape[2] <= 4 or not values.size:
        raise NSTError(
            f"an image of shape {list(np.shape(source))} is not possible: give [height, width] or"
            " [height, width, channels], with 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha)"
        )
    if values.dtype.kind == "f":
        if not (values.min() >= 0 and values.max() <= 1):
            raise NSTError("an image has values outside [0, 1]: divide by 255, or clip")
        values = values.astype(np.float32)
    return np.ascontiguousarray(values)


def _of_array(values: np.ndarray, longest_side: int, enlarge: bool, scale: float) -> Picture:
    """A picture from the values of an array."""
    digest = hashlib.sha256(f"{values.dtype} {values.shape} ".encode() + values.tobytes()).hexdigest()
    height, width, channels = values.shape
    found = Samples(
        width,
        height,
        "grey" if channels < 3 else "rgb",
        array_strips(values),
        alpha=channels - 1 if channels in (2, 4) else None,
    )
    return images.picture_of(found, Path("array"), digest, longest_side, enlarge, scale)


def _of_pillow(image: Image.Image, longest_side: int, enlarge: bool, scale: float) -> Picture:
    """A picture of Pillow's, turned upright and through its profile, as its file would be."""
    name = Path(str(getattr(image, "filename", "") or "picture"))
    if not image.width or not image.height:
        raise NSTError(f"{name} has no pixels: give a picture with something in it")
    found = of_pillow(image, Origin(name, io.BytesIO(), "picture", b""))
    told = f"{image.mode} {image.size} ".encode() + image.tobytes()
    return images.picture_of(found, name, hashlib.sha256(told).hexdigest(), longest_side, enlarge, scale)


def _no_picture(source: Any) -> NSTError:
    return NSTError(
        f"a {type(source).__name__} is no picture: give a path, an open file, an array, or a picture of Pillow's"
    )
