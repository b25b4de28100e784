"""TIFF: tifffile says what a file holds, libvips decodes it in strips, and tifffile decodes what libvips cannot.

Pillow is not asked: it gets samples wrong without an error (planar 16 bits, big-endian compressed 16 bits, colour maps
of 8 bits, an orientation of type BYTE), and its copy of libtiff prints to the terminal.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile

from nst_jax.pictures.kinds import translated
from nst_jax.pictures.raw import read_raw
from nst_jax.pictures.samples import (
    Origin,
    Samples,
    Strips,
    check_size,
    deep_white,
    first_of,
    normal,
    regrouped,
    vips_image,
    vips_strips,
)
from nst_jax.pictures.srgb import lab_to_srgb, unit

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR, LAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
MOST_PAGES = 64  # that are counted
#: What tifffile says of a page.
WHOLE_NUMBERS = (
    "imagewidth", "imagelength", "imagedepth", "tilewidth", "tilelength", "rowsperstrip", "samplesperpixel",
    "photometric", "compression", "planarconfig", "predictor", "fillorder", "subfiletype", "sampleformat",
)  # fmt: skip
COLOUR_FILTER, LINEAR_RAW = 32803, 34892
#: Compressions that libvips has: none, CCITT, LZW, JPEG, Deflate, PackBits, WebP.
BY_VIPS = (1, 2, 3, 4, 5, 7, 8, 32946, 32773, 50001)
ASSOCIATED, UNASSOCIATED = 1, 2
FLOAT, SIGNED, COMPLEX = 3, 2, (5, 6)


def read_tiff(origin: Origin, most: int) -> Samples:
    """The first whole page of a TIFF or BigTIFF; a camera raw goes on to its own reader. ``most`` is not used."""
    notes: list[str] = []
    with translated(origin.path, origin.kind):
        origin.file.seek(0)
        tiff = tifffile.TiffFile(origin.file)
        pages = [tiff.pages[0]]
        raw = _is_raw(pages[0])
        with contextlib.suppress(Exception):  # a later page may be damaged
            while not raw and len(pages) < MOST_PAGES:
                pages.append(tiff.pages[len(pages)])
        number = next((at for at, page in enumerate(pages) if not _reduced(page)), 0)
        count = sum(not _reduced(page) for page in pages)
        first_of(count, "pages or more" if len(pages) == MOST_PAGES else "pages", notes)
        page: Any = pages[number]
        tags = {tag.code: tag.value for tag in page.tags}
        for name in WHOLE_NUMBERS:  # in a damaged file they may be anything
            setattr(page, name, int(getattr(page, name)))
        photometric, channels, bits = page.photometric, page.samplesperpixel, page.bitspersample
        depth = 0 if isinstance(bits, tuple) else int(bits)
    if raw:
        return read_raw(Origin(origin.path, origin.file, "camera raw", origin.head), most)
    colours = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, SEPARATED: 4, YCBCR: 3, LAB: 3, ICCLAB: 3}
    with translated(origin.path, origin.kind):
        if photometric not in colours or not 1 <= depth <= 64 or page.sampleformat in COMPLEX or page.imagedepth > 1:
            raise NotImplementedError(f"photometric {photometric}, {bits} bits, sample format {page.sampleformat}")
        if channels < colours[photometric]:
            raise ValueError(f"{channels} channels for a picture that needs {colours[photometric]}")
    check_size(origin.path, page.imagewidth, page.imagelength)
    if photometric in (LAB, ICCLAB) or not _by_vips(page, depth, channels):
        strips, alone = _by_tifffile(origin, page, photometric, depth), True
        colour = 3 if photometric == PALETTE else colours[photometric]
    else:
        with translated(origin.path, origin.kind):
            image = vips_image(origin, page=number, unlimited=True)
        colour = image.bands - (channels - 1) if photometric == PALETTE else colours[photometric]
        strips, alone = _through_vips(origin, image, number), False
        if photometric == YCBCR and image.bands == 3 and page.compression != 7:  # libvips hands them on as they are
            strips = _rgb_of_ycbcr(strips, tags)
    alpha, premultiplied = _alpha(page, photometric, channels, colours[photometric])
    premultiplied &= alone  # libvips divides by alpha itself
    profile, orientation = tags.get(34675), tags.get(274, 1)
    if isinstance(orientation, bytes):  # of TIFF's type BYTE
        orientation = int.from_bytes(orientation)
    with translated(origin.path, origin.kind):
        band = _band(page)[0] * page.imagewidth * channels * max(8, depth)
    return Samples(
        page.imagewidth,
        page.imagelength,
        "cmyk" if photometric == SEPARATED else "rgb" if colour == 3 else "grey",
        strips,
        alpha=None if alpha is None else colour + alpha,
        premultiplied=premultiplied,
        profile=profile if isinstance(profile, bytes) and photometric not in (LAB, ICCLAB) else None,
        orientation=orientation if isinstance(orientation, int) else 1,
        notes=notes,
        working=band // 2 if alone else 0,
        why="its strips are large, and are decoded one by one",
    )


def _is_raw(page: Any) -> bool:
    """Whether a first page is a camera raw's: a DNG, a colour filter's samples, or a thumbnail before a SubIFD."""
    return (
        50706 in page.tags
        or int(page.photometric) in (COLOUR_FILTER, LINEAR_RAW)
        or (_reduced(page) and 330 in page.tags)
    )


def _reduced(page: Any) -> bool:
    """Whether a page is a thumbnail or a mask of another."""
    return bool(page.subfiletype & 5)


def _by_vips(page: Any, depth: int, channels: int) -> bool:
    """Whether libvips decodes a page, and rightly."""
    if page.compression not in BY_VIPS or (page.planarconfig == 2 and channels > 1):
        return False
    if page.sampleformat == FLOAT:
        return depth == 32 and ASSOCIATED not in page.extrasamples
    return depth in (8, 16, 32) or (depth in (1, 2, 4) and channels == 1)


def _through_vips(origin: Origin, image: Any, number: int) -> Strips:
    """A page's strips by libvips; those of 32 bits are gone through twice, first for the largest value."""

    def again() -> Any:
        return vips_image(origin, page=number, unlimited=True)

    whites = {"uchar": 255, "char": 127, "ushort": 65535, "short": 32767}
    if image.format in whites:
        return vips_strips(origin, whites[image.format], image, again)
    with translated(origin.path, origin.kind):
        if image.format not in ("uint", "int", "float"):
            raise NotImplementedError(f"samples of the type {image.format}")
    extremes = [(strip.min(), strip.max()) for strip in vips_strips(origin, None, image, again)(256)]
    least, most = (np.array(column) for column in zip(*extremes, strict=True))
    dtype = np.dtype({"uint": "u4", "int": "i4", "float": "f4"}[image.format])
    white = deep_white(float(least.min()), float(most.max()), dtype, origin)
    return vips_strips(origin, white, again(), again)


def _rgb_of_ycbcr(strips: Strips, tags: dict[int, Any]) -> Strips:
    """RGB from luma and chroma, float32, as the TIFF's tags for them have it."""
    black = np.array([0.0, 128, 128])
    white, shares = np.array([255.0] * 3), np.array([0.299, 0.587, 0.114])
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
        if 529 in tags:
            shares = np.array(tags[529][::2]) / np.array(tags[529][1::2])
        if 532 in tags:
            given = (np.array(tags[532][::2]) / np.array(tags[532][1::2])).reshape(3, 2)
            black, white = given[:, 0], given[:, 1]

    def converted(rows: int) -> Iterator[np.ndarray]:
        for strip in strips(rows):
            scale = np.array([255, 127, 127]) / np.where(white > black, white - black, 1)
            luma, blue, red = np.moveaxis((unit(strip) * 255 - black) * scale / 255, -1, 0)
            r, b = luma + 2 * (1 - shares[0]) * red, luma + 2 * (1 - shares[2]) * blue
            g = (luma - shares[0] * r - shares[2] * b) / shares[1]
            yield np.clip(np.stack([r, g, b], axis=-1), 0, 1).astype(np.float32)

    return converted


def _by_tifffile(origin: Origin, page: Any, photometric: int, depth: int) -> Strips:
    """A page's strips by tifffile, a band of the file's own strips or tiles after the other.

    Those of floats and of 32 bits are gone through twice, first for the largest value.
    """

    def strips(rows: int) -> Iterator[np.ndarray]:
        with translated(origin.path, origin.kind):
            if photometric == YCBCR:
                raise NotImplementedError(f"YCbCr of {depth} bits in compression {page.compression}")
        white = 2.0 ** (depth - (page.sampleformat == SIGNED)) - 1
        if page.sampleformat == FLOAT or depth == 32:
            extremes = [(band.min(), band.max()) for band in _bands(origin, page)]
            least, most = (np.array(column) for column in zip(*extremes, strict=True))
            white = deep_white(float(least.min()), float(most.max()), np.dtype(page.dtype), origin)
        bands = (_colours(origin, band, page, photometric, depth, white) for band in _bands(origin, page))
        yield from regrouped(bands, rows)

    return strips


def _band(page: Any) -> tuple[int, int]:
    """How many rows and columns a strip or tile has."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    if page.is_memmappable:
        return min(256, page.imagelength), page.imagewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _bands(origin: Origin, page: Any) -> Iterator[np.ndarray]:
    """A page's values as tifffile gives them, [rows, W, C], from the top down."""
    with translated(origin.path, origin.kind):
        high, wide = _band(page)
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        down, across = -(-page.imagelength // high), -(-page.imagewidth // wide)
        flat = page.is_memmappable and not page.is_tiled
    for row in range(down):
        with translated(origin.path, origin.kind):
            rows = min(high, page.imagelength - row * high)
            band = np.zeros((rows, page.imagewidth, page.samplesperpixel), page.dtype)
            parts = np.split(band, planes, axis=-1)
            for plane, column in itertools.product(range(planes), range(across)):
                place = parts[plane][:, column * wide : (column + 1) * wide]
                if flat:
                    place[:] = _uncompressed(origin, page, plane, row * high, place.shape)
                else:  # tiles may reach beyond the picture
                    part = _segment(origin, page, (plane * down + row) * across + column)
                    place[:] = 0 if part is None else part[: place.shape[0], : place.shape[1]]
        yield band


def _uncompressed(origin: Origin, page: Any, plane: int, top: int, shape: tuple[int, ...]) -> np.ndarray:
    """Rows of a page, or of one of its planes, that lies in the file as it is."""
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    row = shape[1] * shape[2] * dtype.itemsize
    origin.file.seek(page.dataoffsets[0] + (plane * page.imagelength + top) * row)
    data = origin.file.read(shape[0] * row)
    return np.frombuffer(data, dtype).reshape(shape)


def _segment(origin: Origin, page: Any, index: int) -> np.ndarray | None:
    """A strip or tile decoded, [rows, columns, channels]; None where the file leaves it out."""
    origin.file.seek(page.dataoffsets[index])
    data = origin.file.read(page.databytecounts[index])
    tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.compression in (6, 7) else {}
    values, _, _ = page.decode(data or None, index, **tables)
    return None if values is None else values[0]


def _colours(origin: Origin, band: np.ndarray, page: Any, photometric: int, depth: int, white: float) -> np.ndarray:
    """Values [rows, W, C] as tifffile gives them → uint8, uint16, or float32 in [0, 1]."""
    if photometric in (LAB, ICCLAB):
        return _lab(origin, band, photometric, depth)
    if photometric == PALETTE:
        table = np.asarray(page.colormap).T  # [values, 3]
        with translated(origin.path, origin.kind):
            seen = table[band[..., 0]]
        seen = (seen if table.max() < 256 else seen >> 8).astype(np.uint8)
        return np.concatenate([seen, band[..., 1:].astype(np.uint8)], axis=-1)
    values = normal(band, white)
    if photometric == WHITE_IS_ZERO:
        largest = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
        values = np.concatenate([largest - values[..., :1], values[..., 1:]], axis=-1)
    return values


def _lab(origin: Origin, whole: np.ndarray, photometric: int, depth: int) -> np.ndarray:
    """CIE Lab (a*, b* signed) or ICC Lab (a*, b* with an offset), 8 or 16 bits, → sRGB; alpha is left behind."""
    with translated(origin.path, origin.kind):
        if depth not in (8, 16) or whole.dtype.kind == "f":
            raise NotImplementedError(f"Lab of {depth} bits")
    unsigned = whole[..., :3].view(f"u{depth // 8}")
    light = unsigned[..., 0] * (100 / (255 if depth == 8 else 65535 if photometric == LAB else 65280))
    signed, step = photometric == LAB, 1 if depth == 8 else 256
    ab = unsigned[..., 1:].view(f"i{depth // 8}") / step if signed else unsigned[..., 1:] / step - 128
    return lab_to_srgb(np.concatenate([light[..., None], ab], axis=-1).astype(np.float32))


def _alpha(page: Any, photometric: int, channels: int, colours: int) -> tuple[int | None, bool]:
    """Which of a page's further channels is alpha, and whether colour was multiplied by it.

    A single one that nothing tells of is taken for alpha, as libtiff does; one that is said to be something
    unspecified is not.
    """
    if channels == colours or photometric in (LAB, ICCLAB):
        return None, False
    told = [int(one) for one in page.extrasamples]
    if not told:
        return (0, False) if channels == colours + 1 else (None, False)
    at = next((number for number, one in enumerate(told) if one in (ASSOCIATED, UNASSOCIATED)), None)
    return at, at is not None and told[at] == ASSOCIATED
