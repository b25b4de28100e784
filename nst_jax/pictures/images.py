"""Files to float arrays and back: orientation, colour profiles, alpha, bit depth, sizes.

A picture inside the library is float32, RGB, sRGB-encoded, [0, 1], shape [H, W, 3]. Whatever is wrong with a file
becomes one :class:`~nst_jax.errors.NSTError`; no exception of Pillow's gets out of here. Its warnings are Python's
warnings, which a thread cannot silence for itself alone: whoever calls decides (the commands do not show them).
"""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import operator
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nst_jax.choices import check_kind
from nst_jax.errors import NSTError
from nst_jax.files import replacing
from nst_jax.limits import free_bytes
from nst_jax.pictures.by_pillow import description
from nst_jax.pictures.decoding import decoding, opened, samples_of
from nst_jax.pictures.encoding import WRITABLE, check_output, to_levels, write_picture
from nst_jax.pictures.kinds import reason
from nst_jax.pictures.resampling import Resampled
from nst_jax.pictures.resampling import resize as resize
from nst_jax.pictures.samples import STRIP, Samples

READING = 16  # bytes a pixel that making a picture of its size takes
HIDDEN = 1e-4  # less alpha than this is none


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """One picture as read from a file.

    Attributes:
        pixels: float32 [H, W, 3], RGB, sRGB, [0, 1], upright; not premultiplied by alpha.
        alpha: float32 [H, W], 0 (hidden) to 1 (opaque), or None where the whole picture is opaque.
        path: the file, as it was named.
        sha256: of the file's bytes, in hexadecimal.
        size: (width, height) in the file, as displayed, before any resizing.
        notes: what the user may want to know, one line each (for example a colour profile that could not be used).
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    path: Path
    sha256: str
    size: tuple[int, int]
    notes: tuple[str, ...] = ()


def load_image(
    path: str | os.PathLike[str] | BinaryIO,
    *,
    longest_side: int | None = None,
    enlarge: bool = False,
    scale: float = 1.0,
) -> Picture:
    """Read a picture file as sRGB: JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, HEIC and others (docs/reliability.md).

    Of several frames or pages it is the first, with a note. Resizing is done on sRGB values (as the peers and browsers
    do) with colour weighted by alpha, so that what is hidden does not bleed; pixels with alpha 0 get the mean visible
    colour, whatever they hid. A large picture is reduced by averaging while it is decoded, and from there by Lanczos.

    Args:
        path: the file, or one that is open for reading bytes.
        longest_side: pixels; the picture is reduced to it with its aspect ratio kept. None keeps the file's size.
        enlarge: also enlarge a picture that is smaller than ``longest_side``.
        scale: makes it so many times the size that it has by ``longest_side``.

    Raises:
        NSTError: a file that cannot be used or does not fit into memory, or a ``longest_side`` below 1 or beyond
            ``MAX_PIXELS``.
    """
    file = None if isinstance(path, str | os.PathLike) else path
    if file is not None and not hasattr(file, "read"):
        raise NSTError(f"a {type(path).__name__} is no file: give a path, or a file that is open for reading bytes")
    check_kind("scale", scale, numbers.Real, "a number above 0")
    if not 0 < scale < math.inf:
        raise NSTError(f"scale is {scale}: give a finite number above 0")
    name = Path(path if isinstance(path, str | os.PathLike) else str(getattr(path, "name", "file")))
    with opened(name, file) as (origin, digest):
        found = samples_of(origin, _wanted(longest_side, scale))
        return picture_of(found, name, digest, longest_side, enlarge, scale)


def picture_of(
    found: Samples, path: Path, digest: str, longest_side: int | None, enlarge: bool, scale: float
) -> Picture:
    """What a reader has found, as a ``Picture`` at the size that ``load_image`` is asked for. NSTError as there.

    It is never in memory but at that size; where it becomes less high by that, as high as it was.
    """
    coming = decoding(found, _wanted(longest_side, scale))
    size = found.whole if coming.turns % 2 else found.whole[::-1]  # (height, width) as displayed
    shown = size if longest_side is None else scaled_size(*size, longest_side, enlarge=enlarge, scale=scale)
    lying = shown[::-1] if coming.turns % 2 else shown
    colours = weights = None
    least, most = math.inf, 0.0
    for colour, alpha in coming.strips:
        if colours is None:
            place = (coming.box, coming.turns, coming.mirrored)
            colours = Resampled(coming.size, lying, colour.shape[2], *place)
            weights = None if alpha is None else Resampled(coming.size, lying, 1, *place)
        if alpha is not None and weights is not None:
            least, most = min(least, float(alpha.min())), max(most, float(alpha.max()))
            weights.add(alpha[..., None])
            colour = colour * alpha[..., None]
        colours.add(colour)
    assert colours is not None, "a picture has a pixel"
    if weights is not None and most == 0:
        raise NSTError(f"{path} is wholly transparent: remove its alpha channel or use a picture with something in it")
    pixels, weight = colours.done(), None
    if weights is not None and least < 1:
        weight = weights.done()[..., 0]
        np.clip(weight, 0, 1, out=weight)
        pixels /= np.where(weight < HIDDEN, 1, weight)[..., None]
        pixels = fill_hidden(pixels, weight)
    np.clip(pixels, 0, 1, out=pixels)
    pixels = pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)
    return Picture(pixels, weight, path, digest, (size[1], size[0]), tuple(found.notes))


def _wanted(longest_side: int | None, scale: float) -> int | None:
    """The longest side of what is made of a picture, in pixels; None for its own size."""
    return None if longest_side is None else max(1, math.ceil(_side(longest_side) * scale))


def scaled_size(height: int, width: int, longest_side: int, *, enlarge: bool, scale: float = 1.0) -> tuple[int, int]:
    """(height, width) of a picture reduced to ``longest_side``, or with ``enlarge`` enlarged to it, and that times
    ``scale``. Raises NSTError as ``fit_size`` does."""
    kept = _side(longest_side) > max(height, width) and not enlarge  # whatever else would be too large
    size = (height, width) if kept else fit_size(height, width, longest_side)
    return size if scale == 1 else fit_size(height, width, max(1, round(max(size) * scale)))


def fill_hidden(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """[H, W, 3] with the mean visible colour wherever alpha, [H, W], is 0. NSTError where it is so everywhere."""
    hidden = alpha < HIDDEN
    if hidden.all():
        raise NSTError("a picture is wholly transparent: use one with something in it")
    if not hidden.any():
        return pixels
    visible = np.where(hidden, 0, alpha)
    mean = np.einsum("hwc,hw->c", pixels, visible, dtype=np.float64) / visible.sum(dtype=np.float64)
    return np.where(hidden[..., None], mean.astype(pixels.dtype), pixels)


def fit_size(height: int, width: int, longest_side: int) -> tuple[int, int]:
    """(height, width) of the same aspect ratio whose longest side is ``longest_side``; each at least 1.

    Raises:
        NSTError: ``longest_side`` is no whole number of at least 1, or the result surely does not fit into the memory.
    """
    side, longest = _side(longest_side), max(height, width)
    fitted = tuple(max(1, (2 * n * side + longest) // (2 * longest)) for n in (height, width))  # rounds half up
    needed, free = READING * fitted[0] * fitted[1], free_bytes()
    if needed > free:
        raise NSTError(
            f"size {side} gives {fitted[1]} x {fitted[0]} pixels, which take {needed / 2**30:.1f} GiB of memory before"
            f" any work, and {free / 2**30:.1f} are free: give a smaller size"
        )
    return fitted[0], fitted[1]


def _side(longest_side: int) -> int:
    """A whole number of pixels, at least 1; NSTError for anything else."""
    try:
        side = operator.index(longest_side)
    except TypeError:
        side = 0
    if side < 1:
        raise NSTError(f"size {longest_side!r} is not possible: use a whole number of pixels, at least 1")
    return side


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """[...] in [0, 1] → uint8, see ``encoding.to_levels``."""
    return to_levels(pixels)


def _floats(name: str, values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as an array of numbers. NSTError for what is none, such as whole numbers up to 255, or NaN."""
    values = np.asarray(values)
    if values.dtype.kind not in "fiub":
        raise NSTError(f"{name} are of type {values.dtype}: give floats in [0, 1]")
    if values.dtype.kind in "iu" and values.size and values.max() > 1:
        raise NSTError(f"{name} are whole numbers up to {values.max()}: give floats in [0, 1], here divided by 255")
    if values.size and not np.isfinite([values.min(), values.max()]).all():  # one that is no number is both
        raise NSTError(f"{name} have values that are not finite")
    return values


def save_image(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    alpha: np.ndarray | None = None,
    metadata: Mapping[str, str] | None = None,
    quality: int = 95,
    depth: int = 8,
) -> None:
    """Write an sRGB picture whose format is told by the extension: PNG, JPEG, WebP or TIFF.

    The file is complete or not there: it is written under a temporary name in the same folder, then moved. The same
    arguments give the same bytes. An sRGB profile is embedded. PNG and TIFF are written in strips, and take next to no
    memory beside the arrays; a TIFF of more than 4 GB is a BigTIFF.

    Args:
        path: where to; an existing file is replaced, and a symbolic link is followed.
        pixels: [H, W, 3] in [0, 1] (clipped), not premultiplied.
        alpha: [H, W] in [0, 1] or None. PNG, WebP and TIFF keep it; a JPEG has none and is composited on white.
        metadata: strings, which :func:`read_metadata` gives back. PNG text chunks, or else one JSON object in the EXIF
            field ImageDescription (there at most ``MAX_EXIF_TEXT`` bytes).
        quality: 1 to 100, for JPEG (never with reduced colour resolution) and WebP.
        depth: bits of a channel: 8, or 16 in PNG and TIFF.

    Raises:
        NSTError: as :func:`check_output`, and when the disk is full or the metadata too long.
    """
    check_kind("path", path, str | os.PathLike, "a file's name")
    pixels = _floats("pixels", pixels)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise NSTError(f"pixels must be [H, W, 3], not {list(pixels.shape)}")
    if alpha is not None and np.shape(alpha) != pixels.shape[:2]:
        raise NSTError(f"alpha must be {list(pixels.shape[:2])} as the pixels are, not {list(np.shape(alpha))}")
    alpha = None if alpha is None else _floats("alpha", alpha)
    check_kind("quality", quality, numbers.Integral, "a whole number from 1 to 100")
    if not 1 <= quality <= 100:
        raise NSTError(f"quality {quality} is not possible: use 1 to 100")
    metadata = {} if metadata is None else metadata
    check_kind("metadata", metadata, Mapping, "strings by their names")
    for name, text in metadata.items():
        if not (isinstance(name, str) and name.isascii() and name.isprintable() and 0 < len(name) < 80):
            raise NSTError(f"metadata has {name!r}: give names of up to 79 letters, digits and signs of ASCII")
        check_kind(f"metadata's {name}", text, str, "a string")
    check_output(path, pixels.shape[:2], depth)
    target = Path(os.path.realpath(path))
    format_name = WRITABLE[Path(path).suffix.lower()]  # by its own name, whatever a link leads to
    try:
        with replacing(target) as temporary, open(temporary, "x+b") as file:
            write_picture(file, format_name, pixels, alpha, metadata, int(quality), depth)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NSTError(f"cannot write {path}: {reason(error)}") from None


def rows_of(path: str | os.PathLike[str], depth: int = 8) -> Iterator[np.ndarray]:
    """A file's picture from the top down, as it lies there and in so many bits: [rows, W, 4], with alpha. NSTError."""
    with opened(Path(path)) as (origin, _):
        for colour, alpha in decoding(samples_of(origin)).strips:
            rows = np.ones((*colour.shape[:2], 4), np.float32)
            rows[..., :3] = colour
            rows[..., 3] = 1 if alpha is None else alpha
            yield to_levels(rows, depth)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata that :func:`save_image` wrote; empty where there is none; NSTError where the file is no picture."""
    with opened(Path(path)) as (origin, _):
        found = samples_of(origin)
        for _strip in found.strips(STRIP // found.width + 1):  # a file that is cut off is none
            pass
        told = description(origin)
    if isinstance(told, dict):
        return told
    try:
        fields = json.loads(told)
    except ValueError:
        return {}
    return {key: str(value) for key, value in fields.items()} if isinstance(fields, dict) else {}
