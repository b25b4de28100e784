"""What every reader of a picture file gives: its samples, strip by strip, and what they stand for; and where from."""

from __future__ import annotations

import dataclasses
import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from nst_jax.errors import NSTError
from nst_jax.pictures.kinds import translated
from nst_jax.pictures.srgb import Encoding, Space

#: Of a picture. A header can claim any number, and looking through so many takes an hour; what is less is refused only
#: where it does not fit into the memory.
MAX_PIXELS, MAX_SIDE = 100_000_000_000, 10_000_000
STRIP = 2**20  # pixels at a time
#: Rows → the picture's samples from the top down, so many rows at a time: uint8, uint16, or float32 in [0, 1].
Strips = Callable[[int], Iterator[np.ndarray]]

# Warnings of libraries never go to a bare terminal. pyvips hands libvips's on to logging, and fails where they are not
# UTF-8, which it tells the terminal: its handler is taken away, and libvips told not to warn.
logging.getLogger("tifffile").addHandler(logging.NullHandler())
os.environ.setdefault("VIPS_WARNING", "0")
import pyvips  # noqa: E402 (after the variable)

pyvips._remove_log_handler()
pyvips.cache_set_max(0)  # what it remembers of its operations would keep whole pictures alive


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a picture comes from: its name for errors, the open file, what kind that is, and its first bytes."""

    path: Path
    file: BinaryIO
    kind: str
    head: bytes


@dataclasses.dataclass
class Samples:
    """A picture whose header has been read.

    Attributes:
      width, height: as its samples lie, before it is turned upright.
      space: what its first 1, 3 or 4 channels are.
      strips: its samples, [rows, W, C].
      alpha: the channel that is alpha, or None.
      premultiplied: whether colour was multiplied by alpha.
      profile: an ICC profile.
      encoding: what the samples stand for, where no profile says so and it is not sRGB.
      orientation: that of EXIF, 1 to 8.
      notes: what the user may want to know, one line each.
      working: bytes that the decoder itself needs, beside its strips.
      scale: by how much the decoder has reduced the picture already (width and height are what it gives).
      whole: width and height before that.
      why: what makes ``working`` large, for an error.
    """

    width: int
    height: int
    space: Space
    strips: Strips
    alpha: int | None = None
    premultiplied: bool = False
    profile: bytes | None = None
    encoding: Encoding | None = None
    orientation: int = 1
    notes: list[str] = dataclasses.field(default_factory=list)
    working: int = 0
    scale: int = 1
    whole: tuple[int, int] = (0, 0)
    why: str = ""

    def __post_init__(self) -> None:
        self.whole = self.whole if any(self.whole) else (self.width, self.height)


def check_size(path: Path, width: int, height: int) -> None:
    """NSTError for a picture of no pixels, or of too many; libvips does not bear hearing of a size beyond its own."""
    if width < 1 or height < 1:
        raise NSTError(f"{path} is damaged or cut off (it has no pixels): copy or download it again")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise NSTError(
            f"{path} claims {width} x {height} pixels: at most {MAX_PIXELS:,} can be read, and {MAX_SIDE:,} a side"
        )


def exif_orientation(exif: bytes | None) -> int:
    """1 to 8 from an EXIF block; 1 where there is none or it is broken. XMP is not asked: libvips and ImageMagick do
    not either, and the two disagree in files that some program has turned."""
    try:
        found = Image.Exif()
        found.load(exif or b"")
        return int(found.get(274, 1))
    except Exception:  # a broken EXIF block is no reason to refuse a picture
        return 1


def first_of(count: int, what: str, notes: list[str]) -> None:
    """Notes that a file has more than the picture that is read."""
    if count > 1:
        notes.append(f"it is the first of {count} {what}; the others are not used")


def vips_image(origin: Origin, **options: Any) -> pyvips.Image:
    """A file's header as libvips reads it, to be decoded from the top down. Raises pyvips.Error."""
    origin.file.seek(0)
    if isinstance(origin.file, io.BytesIO):
        source = pyvips.Source.new_from_memory(origin.file.getvalue())
    else:
        source = pyvips.Source.new_from_descriptor(origin.file.fileno())
    return pyvips.Image.new_from_source(source, "", access="sequential", fail_on="error", **options)


def vips_field(image: pyvips.Image, name: str, default: Any = None) -> Any:
    """Something from a file's header, where it is there."""
    return image.get(name) if image.get_typeof(name) else default


def vips_strips(origin: Origin, white: float | None, image: pyvips.Image, again: Callable[[], pyvips.Image]) -> Strips:
    """The samples of ``image``, and where they are asked for once more, those of ``again()``.

    ``white`` is their largest value; with None they are given as they are.
    """
    fresh = [image]
    dtype = np.dtype(
        {"uchar": "u1", "char": "i1", "ushort": "u2", "short": "i2", "uint": "u4", "int": "i4", "float": "f4"}[
            image.format
        ]
    )

    def strips(rows: int) -> Iterator[np.ndarray]:
        with translated(origin.path, origin.kind):
            now = fresh.pop() if fresh else again()
            region = pyvips.Region.new(now)
        for top in range(0, now.height, rows):
            count = min(rows, now.height - top)
            with translated(origin.path, origin.kind):
                data = region.fetch(0, top, now.width, count)
            values = np.frombuffer(data, dtype).reshape(count, now.width, now.bands)
            yield values if white is None else normal(values, white)

    return strips


def normal(values: np.ndarray, white: float) -> np.ndarray:
    """Samples as uint8 or uint16 where they fill their type, else float32 in [0, 1]; negative ones are black."""
    if values.dtype in (np.uint8, np.uint16) and white == np.iinfo(values.dtype).max:
        return values
    share: np.ndarray = np.clip(values.astype(np.float32) / np.float32(white), 0, 1)
    return share


def array_strips(array: np.ndarray) -> Strips:
    """Those of a whole picture in memory, [H, W, C]."""
    return lambda rows: (array[top : top + rows] for top in range(0, len(array), rows))


def regrouped(bands: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """Bands of any height as strips of ``rows`` rows; the last may have less."""
    waiting: list[np.ndarray] = []
    for band in bands:
        waiting.append(band)
        while sum(map(len, waiting)) >= rows:
            joined = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            yield joined[:rows]
            waiting = [joined[rows:]] if len(joined) > rows else []
    if waiting:
        yield np.concatenate(waiting)


def deep_white(least: float, most: float, dtype: np.dtype[Any], origin: Origin) -> float:
    """The value of white among values of 32 bits from ``least`` to ``most``. NSTError where floats are no picture."""
    if dtype.kind == "f":
        if not (np.isfinite([least, most]).all() and most <= 16):
            raise NSTError(f"{origin.path} has float values up to {most:g}: they should lie between 0 and 1")
        return 1.0
    return 65535.0 if most <= 65535 else float(np.iinfo(dtype).max)


def of_vips(origin: Origin, image: Any, white: int, notes: list[str]) -> Samples:
    """A PNG's or AVIF's picture of 1 to 4 channels."""
    return Samples(
        image.width,
        image.height,
        "grey" if image.bands < 3 else "rgb",
        vips_strips(origin, white, image, lambda: vips_image(origin)),
        alpha=image.bands - 1 if image.bands in (2, 4) else None,
        orientation=vips_field(image, "orientation", 1),
        notes=notes,
    )
