"""Files to float arrays and back: orientation, colour profiles, alpha, bit depth, sizes.

A picture inside the library is float32, RGB, sRGB-encoded, [0, 1], shape [H, W, 3]. Whatever is wrong with a file
becomes one :class:`~nst_jax.errors.NSTError`; no exception of Pillow's gets out of here. Its warnings are Python's
warnings, which a thread cannot silence for itself alone: whoever calls decides (the commands do not show them).
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import numbers
import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from nst_jax.choices import check_kind
from nst_jax.errors import NSTError
from nst_jax.files import replacing
from nst_jax.limits import free_bytes
from nst_jax.pictures.by_pillow import description
from nst_jax.pictures.decoding import STRIP, Decoded, decode, opened, samples_of
from nst_jax.pictures.kinds import reason
from nst_jax.pictures.srgb import unit

WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
MAX_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # the formats' own limits
MAX_EXIF_TEXT = 60_000  # a JPEG's EXIF segment ends at 64 KiB
READING = 40  # bytes a pixel that making a picture of its size takes
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
    wanted = None if longest_side is None else max(1, math.ceil(_side(longest_side) * scale))
    with opened(name, file) as (origin, digest):
        found = decode(origin, wanted)
    return picture_of(found, name, digest, longest_side, enlarge, scale)


def picture_of(
    found: Decoded, path: Path, digest: str, longest_side: int | None, enlarge: bool, scale: float
) -> Picture:
    """What was decoded, as a ``Picture`` at the size that ``load_image`` is asked for. Raises NSTError as that does."""
    colour, alpha = found.colour, found.alpha
    size = found.size
    if longest_side is not None:
        size = scaled_size(*found.size, longest_side, enlarge=enlarge, scale=scale)
    if alpha is not None and alpha.min() == (1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max):
        alpha = None
    if alpha is not None and alpha.max() == 0:
        raise NSTError(f"{path} is wholly transparent: remove its alpha channel or use a picture with something in it")
    weight = None if alpha is None else unit(alpha)
    planes = []
    for channel in range(colour.shape[2]):  # one at a time: a large picture is never float as a whole
        plane = unit(colour[..., channel])
        planes.append(_resample(plane if weight is None else plane * weight, *size, found.box))
    pixels = np.stack(planes * (3 // len(planes)), axis=-1)
    if weight is not None:
        weight = np.clip(_resample(weight, *size, found.box), 0, 1)
        pixels /= np.where(weight < HIDDEN, 1, weight)[..., None]
        pixels = fill_hidden(pixels, weight)
    pixels = np.clip(pixels, 0, 1)
    return Picture(pixels, weight, path, digest, (found.size[1], found.size[0]), found.notes)


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
    mean = np.average(pixels.reshape(-1, 3), axis=0, weights=np.where(hidden, 0, alpha).ravel())
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


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W, C] or [H, W] in [0, 1] → float32 [height, width(, C)] in [0, 1]: antialiased Lanczos, in float."""
    pixels = np.asarray(pixels, np.float32)
    if pixels.ndim == 2:
        plane: np.ndarray = np.clip(_resample(pixels, height, width), 0, 1)
        return plane
    return np.stack([resize(pixels[..., channel], height, width) for channel in range(pixels.shape[-1])], axis=-1)


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """[...] in [0, 1] → uint8, clipped and rounded to nearest; ValueError where a value is NaN or infinite."""
    pixels = np.asarray(pixels)
    if not np.isfinite(pixels).all():
        raise ValueError("the picture has values that are not finite")
    steps: np.ndarray = np.floor(np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
    return steps


def _floats(name: str, values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as an array of numbers. NSTError for what is none, such as whole numbers up to 255, or NaN."""
    values = np.asarray(values)
    if values.dtype.kind not in "fiub":
        raise NSTError(f"{name} are of type {values.dtype}: give floats in [0, 1]")
    if values.dtype.kind in "iu" and values.size and values.max() > 1:
        raise NSTError(f"{name} are whole numbers up to {values.max()}: give floats in [0, 1], here divided by 255")
    if not np.isfinite(values).all():
        raise NSTError(f"{name} have values that are not finite")
    return values


def check_output(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> None:
    """Before a run: can a picture be written to ``path``?

    Args:
        path: the file to write; its extension tells the format. It may exist, and is then replaced by a save.
        size: (height, width) of the picture, where known; WebP and JPEG have a largest side.

    Raises:
        NSTError: unknown extension, a directory, a missing or write-protected folder, a side beyond the format's.
    """
    path = Path(path)
    format_name = WRITABLE.get(path.suffix.lower())
    try:
        target = Path(os.path.realpath(path))
        is_directory, has_folder = target.is_dir(), target.parent.is_dir()
    except (OSError, ValueError) as error:
        raise NSTError(f"cannot write {str(path)!r}: {reason(error)}") from None
    if is_directory:
        raise NSTError(f"output {path} is a directory: name a file in it, such as {path / 'result.png'}")
    if format_name is None:
        known = ", ".join(WRITABLE)
        raise NSTError(f"output {path} has no extension that tells the format: use one of {known}")
    if not has_folder:
        raise NSTError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise NSTError(f"cannot write {path}: the folder {path.parent} is not writable; choose another one")
    if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
        raise NSTError(f"cannot write {path}: it exists and is write-protected or no ordinary file; use another name")
    if size is not None and max(size) > MAX_SIDE.get(format_name, max(size)):
        raise NSTError(
            f"cannot write {path}: its format holds {MAX_SIDE[format_name]} pixels a side; use .png or .tiff"
        )


def save_image(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    alpha: np.ndarray | None = None,
    metadata: Mapping[str, str] | None = None,
    quality: int = 95,
) -> None:
    """Write an 8-bit sRGB picture whose format is told by the extension: PNG, JPEG, WebP or TIFF.

    The file is complete or not there: it is written under a temporary name in the same folder, then moved. The same
    arguments give the same bytes. An sRGB profile is embedded.

    Args:
        path: where to; an existing file is replaced, and a symbolic link is followed.
        pixels: [H, W, 3] in [0, 1] (clipped), not premultiplied.
        alpha: [H, W] in [0, 1] or None. PNG, WebP and TIFF keep it; a JPEG has none and is composited on white.
        metadata: strings, which :func:`read_metadata` gives back. PNG text chunks, or else one JSON object in the EXIF
            field ImageDescription (there at most ``MAX_EXIF_TEXT`` bytes).
        quality: 1 to 100, for JPEG (never with reduced colour resolution) and WebP.

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
    check_output(path, pixels.shape[:2])
    target = Path(os.path.realpath(path))
    encoded = _encode(WRITABLE[target.suffix.lower()], pixels, alpha, dict(metadata), int(quality))
    try:
        with replacing(target) as temporary, open(temporary, "xb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NSTError(f"cannot write {path}: {reason(error)}") from None


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


def _resample(
    plane: np.ndarray, height: int, width: int, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """float32 [H, W] → [height, width] by Lanczos; may overshoot [0, 1]. ``box`` is what is seen of it."""
    if plane.shape == (height, width) and box in (None, (0, 0, width, height)):
        return plane
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box))


def _encode(
    format_name: str, pixels: np.ndarray, alpha: np.ndarray | None, metadata: dict[str, str], quality: int
) -> bytes:
    """A whole picture file in memory."""
    pixels = np.asarray(pixels, np.float32)
    if alpha is not None:
        alpha = np.clip(np.asarray(alpha, np.float32), 0, 1)[..., None]
        both = [pixels * alpha + (1 - alpha)] if format_name == "JPEG" else [pixels, alpha]
        pixels = np.concatenate(both, axis=-1)
    im = Image.fromarray(to_uint8(pixels))
    options: dict[str, Any] = {"icc_profile": _srgb_profile()}
    if format_name == "PNG":
        options["pnginfo"] = info = PngInfo()
        for key, value in metadata.items():
            info.add_text(key, value.encode("utf-8", "backslashreplace").decode())
    elif metadata:
        text = json.dumps(metadata)
        if len(text) > MAX_EXIF_TEXT:
            raise NSTError(f"{len(text)} bytes of metadata do not fit into {format_name}: save as .png")
        exif = Image.Exif()
        exif[270] = text
        options["exif"] = exif
    if format_name == "JPEG":
        options |= {"quality": quality, "subsampling": 0, "optimize": True}
    elif format_name == "WEBP":
        options |= {"quality": quality, "exact": True}
    elif format_name == "TIFF":
        options |= {"compression": "tiff_adobe_deflate"}
    buffer = io.BytesIO()
    im.save(buffer, format_name, **options)
    return buffer.getvalue()


def _srgb_profile() -> bytes:
    """An sRGB ICC profile, without the date that would make every file differ."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes((7, 208, 0, 1, 0, 1)) + bytes(6) + profile[36:]
