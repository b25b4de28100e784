"""A picture file as strips of sRGB, at its own size or reduced to one near the size wanted.

A large file is never in memory as a whole where its format allows that. Whatever is wrong with a file becomes one
:class:`~nst_jax.errors.NSTError`. ``images`` is the door; nothing else should need this module.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from nst_jax.errors import NSTError
from nst_jax.limits import free_bytes
from nst_jax.pictures.boxes import read_avif, read_heic, read_jpeg_2000
from nst_jax.pictures.by_pillow import read_pillow
from nst_jax.pictures.kinds import READABLE_NAMES, kind_of, reason, unreadable
from nst_jax.pictures.plain import read_bmp, read_qoi
from nst_jax.pictures.png import read_png
from nst_jax.pictures.raw import read_raw
from nst_jax.pictures.samples import STRIP, Origin, Samples, check_size
from nst_jax.pictures.srgb import converter, unit
from nst_jax.pictures.tiff import read_tiff

#: Bytes of a file of a kind that its decoder takes into memory; of the others there is no limit.
MAX_FILE_BYTES = 2 << 30
FROM_THE_FILE = ("PNG", "TIFF", "JPEG")
WHOLE = 2**25  # a picture of up to so many pixels is decoded at its own size
GAP = 4  # a larger one is reduced by averaging to this many times the size wanted or more, and from there by Lanczos
WIDEST = 4 * STRIP  # pixels that are averaged at a time, at most
READERS: dict[str, Callable[[Origin, int], Samples]] = {
    "PNG": read_png, "TIFF": read_tiff, "BMP": read_bmp, "AVIF": read_avif, "HEIC": read_heic, "QOI": read_qoi,
    "JPEG 2000": read_jpeg_2000, "camera raw": read_raw,
}  # fmt: skip
# EXIF orientation → (turns of np.rot90, then flipped left to right)
_ORIENTATIONS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


class Decoding(NamedTuple):
    """A picture that is being decoded.

    Attributes:
      size: (height, width) of what comes, as it lies in the file.
      box: where in that the picture lies: left, top, right, bottom.
      turns, mirrored: by how many quarters it is turned to the left to be upright, and whether then flipped.
      strips: its rows from the top down: colour, float32 [rows, W, 1 or 3], and alpha, [rows, W], or None.
    """

    size: tuple[int, int]
    box: tuple[float, float, float, float]
    turns: int
    mirrored: bool
    strips: Iterator[tuple[np.ndarray, np.ndarray | None]]


@contextlib.contextmanager
def opened(path: Path, file: BinaryIO | None = None) -> Iterator[tuple[Origin, str]]:
    """A picture's file, and the sha256 of its bytes: ``file`` read from where it stands, or the one at ``path``.

    Raises NSTError for what is no file, cannot be read, or is of a kind that is not read.
    """
    with _file_at(path) if file is None else contextlib.nullcontext(_in_memory(path, file)) as stream:
        try:
            digest = hashlib.file_digest(cast(io.BytesIO, stream), "sha256").hexdigest()
            stream.seek(0)
            head = stream.read(65536)
        except OSError as error:
            raise NSTError(f"{path} cannot be read: {reason(error)}") from None
        kind, is_read = kind_of(head)
        if not is_read:
            raise unreadable(path, kind)
        if kind not in FROM_THE_FILE and (length := stream.seek(0, io.SEEK_END)) > MAX_FILE_BYTES:
            raise _too_long(path, length, kind)
        yield Origin(path, stream, kind, head), digest


@contextlib.contextmanager
def _file_at(path: Path) -> Iterator[BinaryIO]:
    """An ordinary file with something in it, open."""
    try:
        if path.is_dir():
            raise NSTError(f"{path} is a directory: name a picture in it ({READABLE_NAMES})")
        if path.exists() and not path.is_file():
            raise NSTError(f"{path} is no ordinary file: name a picture ({READABLE_NAMES})")
        if not path.stat().st_size:
            raise _empty(path)
        stream = open(path, "rb")  # noqa: SIM115 (closed below)
    except FileNotFoundError:
        raise NSTError(f"{path} does not exist: check the spelling of the path") from None
    except PermissionError:
        raise NSTError(f"{path} cannot be read: its permissions forbid it; allow reading (chmod +r) first") from None
    except OSError as error:
        raise NSTError(f"{path} cannot be read: {reason(error)}") from None
    except ValueError as error:
        if isinstance(error, NSTError):
            raise
        raise NSTError(f"{str(path)!r} is no path: {reason(error)}") from None
    with stream:
        yield stream


def _in_memory(path: Path, file: BinaryIO) -> io.BytesIO:
    """What is left to read of an open file."""
    try:
        data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError, TypeError) as error:
        raise NSTError(f"{path} cannot be read: {reason(error)}") from None
    if not isinstance(data, bytes):
        raise NSTError(f"{path} is open as text: open it in binary mode ('rb')")
    if not data:
        raise _empty(path)
    if len(data) > MAX_FILE_BYTES:
        raise _too_long(path, len(data), "picture")
    return io.BytesIO(data)


def _empty(path: Path) -> NSTError:
    return NSTError(f"{path} is empty (0 bytes): copy or download the picture again")


def _too_long(path: Path, length: int, kind: str) -> NSTError:
    return NSTError(
        f"{path} has {length / 1e9:.1f} GB, and of such a {kind} file at most 2 GB can be read: give the name of a"
        f" {', '.join(FROM_THE_FILE[:-1])} or {FROM_THE_FILE[-1]} file, which may be larger"
    )


def displayed_size(origin: Origin) -> tuple[int, int]:
    """(height, width) of a file's picture as it is displayed, by its header. Raises NSTError."""
    found = _header(origin)
    width, height = found.whole
    return (width, height) if _ORIENTATIONS.get(found.orientation, (0, False))[0] % 2 else (height, width)


def _header(origin: Origin) -> Samples:
    """The header of a picture, and how many pixels it has, checked. Raises NSTError."""
    found = READERS.get(origin.kind, read_pillow)(origin, 1)
    check_size(origin.path, found.width, found.height)
    return found


def samples_of(origin: Origin, longest_side: int | None = None) -> Samples:
    """The header of a picture, checked: how many pixels, and whether there is memory to decode them.

    Raises NSTError.
    """
    reader = READERS.get(origin.kind, read_pillow)
    found = _header(origin)
    width, height = found.width, found.height
    reduction = _reduction(height, width, longest_side)
    if reduction > 1 and origin.kind == "JPEG":
        found = reader(origin, reduction)
    check_room(origin.path, found, reduction, longest_side)
    return found


def check_room(path: Path, found: Samples, reduction: int, longest_side: int | None) -> None:
    """NSTError where a picture takes more memory than there is."""
    (width, height), free = found.whole, free_bytes()
    share = min(1, (longest_side or max(width, height)) / max(width, height))
    shown = width * height * share**2
    # across it has the size wanted already while it comes, down not yet; see ``resampling.Resampled``
    held = width * share * max(height * share, height / reduction if share < 1 else 0)
    strip = max(STRIP, found.width * reduction)
    # alpha; what is turned is copied
    values = (3 if found.alpha is None else 4) * held + (6 if found.alpha is not None else 0) * shown
    values += 3 * shown if found.orientation in _ORIENTATIONS and share < 1 else 0
    needed = int(found.working + 4 * values + 60 * strip)
    if needed > free:
        why = f": {found.why}" if found.why and found.working > needed / 4 else ""
        raise NSTError(
            f"{path} has {width} x {height} pixels and takes about {needed / 2**30:.1f} GiB of memory to read,"
            f" {free / 2**30:.1f} GiB are free{why}; save a smaller one"
        )


def _reduction(height: int, width: int, longest_side: int | None) -> int:
    """By what whole number a picture is reduced while it is decoded."""
    if longest_side is None or height * width <= WHOLE:
        return 1
    return max(1, min(max(height, width) // (GAP * longest_side), WIDEST // width))


def decoding(found: Samples, longest_side: int | None = None) -> Decoding:
    """What a reader has found, to be decoded; where it is large, to ``GAP`` times ``longest_side`` or more.

    The strips raise NSTError where the file is damaged.
    """
    width, height = found.whole
    reduction = max(1, _reduction(height, width, longest_side) // found.scale)
    return Decoding(
        (-(-found.height // reduction), -(-found.width // reduction)),
        (0.0, 0.0, width / found.scale / reduction, height / found.scale / reduction),
        *_ORIENTATIONS.get(found.orientation, (0, False)),
        _strips(found, reduction),
    )


def _strips(found: Samples, reduction: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """``Decoding.strips``; before the first one comes, ``found.notes`` has what is to be said of its colours."""
    to_srgb = converter(found.space, found.profile, found.encoding, found.notes)
    rows = max(1, STRIP // found.width // reduction) * reduction
    for strip in found.strips(rows):
        colour, alpha = _srgb(strip, found, to_srgb)
        colour, alpha = unit(colour), None if alpha is None else unit(alpha)
        yield (colour, alpha) if reduction == 1 else _averaged(colour, alpha, reduction)


def _srgb(
    strip: np.ndarray, found: Samples, to_srgb: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray | None]:
    """The sRGB colour, [rows, W, 1 or 3], and the alpha, [rows, W], of a strip of samples."""
    colour = strip[..., : {"grey": 1, "rgb": 3, "cmyk": 4}[found.space]]
    if found.alpha is None:
        return to_srgb(colour), None
    alpha = strip[..., found.alpha]
    if found.premultiplied:
        visible = unit(alpha)[..., None]
        colour = np.clip(unit(colour) / np.where(visible > 0, visible, 1), 0, 1)
    return to_srgb(colour), alpha


def _averaged(colour: np.ndarray, alpha: np.ndarray | None, reduction: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The means of squares of ``reduction`` pixels, colour weighted by alpha.

    Those at the right and at the bottom may be less than a square.
    """
    if alpha is None:
        return _means(colour, reduction), None
    weight = alpha[..., None]
    shown, visible = _means(colour * weight, reduction), _means(weight, reduction)
    return shown / np.where(visible > 0, visible, 1), visible[..., 0]


def _means(planes: np.ndarray, reduction: int) -> np.ndarray:
    """[H, W, C] → the means of its squares, [⌈H / reduction⌉, ⌈W / reduction⌉, C]."""
    height, width = planes.shape[:2]
    down, across = np.arange(0, height, reduction), np.arange(0, width, reduction)
    sums = np.add.reduceat(np.add.reduceat(planes, down, axis=0), across, axis=1)
    counts = np.diff(down, append=height)[:, None] * np.diff(across, append=width)
    means: np.ndarray = sums / counts[..., None].astype(np.float32)
    return means
