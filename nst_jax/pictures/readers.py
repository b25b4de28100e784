"""The readers of all kinds of picture file but TIFF and BMP: by libvips in strips (PNG, AVIF), by Pillow (most others).

Each takes an open file and how far the picture may be reduced, and gives :class:`Samples`.
"""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile

from nst_jax.errors import NSTError
from nst_jax.pictures.kinds import EXTRAS, translated, without_extra
from nst_jax.pictures.samples import (
    Origin,
    Samples,
    array_strips,
    exif_orientation,
    first_of,
    normal,
    vips_field,
    vips_image,
    vips_strips,
)
from nst_jax.pictures.srgb import BT709, Encoding, encoding_of

#: Pillow's names of the formats that it reads here, by ours.
PILLOW = {
    "JPEG": "JPEG", "WebP": "WEBP", "BMP": "BMP", "GIF": "GIF", "JPEG 2000": "JPEG2000", "Photoshop": "PSD",
    "TGA": "TGA", "QOI": "QOI", "ICO": "ICO", "PPM": "PPM", "JPEG XL": "JXL",
}  # fmt: skip
MAX_PROFILE = 2**24  # bytes
#: Bytes a pixel that decoders take for themselves, beside the picture that they give.
DECODERS = {"WebP": 8, "JPEG 2000": 16, "JPEG XL": 24, "AVIF": 16, "HEIC": 16}


def read_png(origin: Origin, most: int) -> Samples:
    """A PNG, in strips; where it is interlaced, whole. ``most`` is not used."""
    notes: list[str] = []
    interlaced, profile, encoding = _png_header(origin, notes)
    with translated(origin.path, origin.kind):
        image = vips_image(origin)
    found = _of_vips(origin, image, 65535 if image.format == "ushort" else 255, notes)
    found.profile, found.encoding = profile, encoding
    if interlaced:
        found.working, found.why = (
            image.width * image.height * image.bands * (2 if image.format == "ushort" else 1),
            ("it is interlaced, and so has to be decoded whole"),
        )
    return found


def read_avif(origin: Origin, most: int) -> Samples:
    """An AVIF with all its bits; the format's own turns are made by its decoder. ``most`` is not used."""
    notes: list[str] = []
    with translated(origin.path, origin.kind):
        image = vips_image(origin)
        bits = vips_field(image, "bits-per-sample", 8)
        first_of(vips_field(image, "n-pages", 1), "frames", notes)
    found = _of_vips(origin, image, _white(bits), notes)
    found.orientation = 1
    found.profile, found.encoding = _boxed_profile(origin.head, b"colrprof"), _nclx(origin, notes)
    found.working, found.why = DECODERS["AVIF"] * image.width * image.height, "AVIF has to be decoded whole"
    return found


def _white(bits: int) -> int:
    """The largest value of samples of 8 to 16 bits that are shifted to the top of their type."""
    return 255 if bits <= 8 else (2**bits - 1) << (16 - bits)


def _of_vips(origin: Origin, image: Any, white: int, notes: list[str]) -> Samples:
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


def read_heic(origin: Origin, most: int) -> Samples:
    """A HEIC's main picture, with all its bits, turned upright by its decoder. ``most`` is not used."""
    notes: list[str] = []
    with translated(origin.path, origin.kind):
        import pillow_heif

        origin.file.seek(0)
        heif = pillow_heif.open_heif(origin.file, convert_hdr_to_8bit=False)
        image = heif[heif.primary_index]
        width, height = image.size
        told: dict[str, Any] = dict(image.info)
        bits, mode = int(told.get("bit_depth", 8)), image.mode.split(";")[0]
    if len(heif) > 1:
        notes.append(f"it is the main one of {len(heif)} pictures; the others are not used")

    def strips(rows: int) -> Iterator[np.ndarray]:
        with translated(origin.path, origin.kind):
            whole = np.asarray(image)
        whole = whole.reshape(height, width, -1)
        for strip in array_strips(whole)(rows):
            yield normal(strip, _white(bits))

    return Samples(
        width,
        height,
        "grey" if mode in ("L", "LA", "La") else "rgb",
        strips,
        alpha=len(mode) - 1 if mode.endswith(("A", "a")) else None,
        premultiplied=mode.endswith("a"),
        profile=told.get("icc_profile"),
        encoding=_nclx(origin, notes),
        notes=notes,
        working=DECODERS["HEIC"] * width * height,
        why="HEIC has to be decoded whole",
    )


def _nclx(origin: Origin, notes: list[str]) -> Encoding | None:
    """What an AVIF's or HEIC's ``colr`` box of code points says of its colours."""
    at = origin.head.find(b"colrnclx")
    primaries, transfer = (int.from_bytes(origin.head[from_ : from_ + 2], "big") for from_ in (at + 8, at + 10))
    return encoding_of(primaries, transfer, notes) if at >= 0 else None


def _png_header(origin: Origin, notes: list[str]) -> tuple[bool, bytes | None, Encoding | None]:
    """Whether a PNG is interlaced, its profile, or else what its samples stand for; notes on frames and HDR.

    What counts is cICP, then a profile, then sRGB, then gAMA and cHRM, as the PNG specification has it.
    """
    chunks: dict[bytes, bytes] = {}
    origin.file.seek(8)
    while len(start := origin.file.read(8)) == 8 and start[4:] not in (b"IDAT", b"IEND"):
        length = int.from_bytes(start[:4], "big")
        if start[4:] in (b"IHDR", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"acTL") and length <= MAX_PROFILE:
            chunks.setdefault(start[4:], origin.file.read(length))
        else:
            origin.file.seek(length, io.SEEK_CUR)
        origin.file.seek(4, io.SEEK_CUR)
    if len(frames := chunks.get(b"acTL", b"")) == 8:
        first_of(int.from_bytes(frames[:4], "big"), "frames", notes)
    interlaced = chunks.get(b"IHDR", b"")[12:13] == b"\1"
    if len(codes := chunks.get(b"cICP", b"")) == 4:
        return interlaced, None, encoding_of(codes[0], codes[1], notes)
    if b"iCCP" in chunks:
        _, _, packed = chunks[b"iCCP"].partition(b"\0")
        with contextlib.suppress(zlib.error):
            return interlaced, zlib.decompressobj().decompress(packed[1:], MAX_PROFILE), None
        notes.append("its colour profile cannot be used (it cannot be unpacked); taken without it")
        return interlaced, None, None
    gamma, corners = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    if b"sRGB" in chunks or len(gamma) != 4 or not any(gamma):
        return interlaced, None, None
    exponent = 100_000 / int.from_bytes(gamma, "big")
    primaries = BT709
    if len(corners) == 32:
        values = [value / 100_000 for value in struct.unpack(">8I", corners)]
        primaries = (*values[2:], *values[:2])
    like_srgb = np.allclose(primaries, BT709, atol=2e-3)
    if abs(exponent - 2.2) < 0.05 and like_srgb:  # what programs write for sRGB
        return interlaced, None, None
    if not (0.2 <= exponent <= 10 and _is_triangle(primaries)):
        notes.append("its gAMA or cHRM cannot be meant; taken as sRGB")
        return interlaced, None, None
    return interlaced, None, Encoding(BT709 if like_srgb else primaries, exponent)


def _is_triangle(primaries: tuple[float, ...]) -> bool:
    """Whether these can be primaries with their white."""
    points = np.array(primaries).reshape(4, 2)
    if not ((points > 1e-3) & (points < 1)).all():
        return False
    return bool(abs(np.linalg.det(np.column_stack([points[:3], np.ones(3)]))) > 1e-3)


def read_pillow(origin: Origin, most: int) -> Samples:
    """Any of ``PILLOW``'s formats, decoded whole; a JPEG reduced by its decoder where ``most`` allows it."""
    if origin.kind in EXTRAS:
        with contextlib.suppress(ImportError):
            import pillow_jxl  # noqa: F401 (registers itself with Pillow)
    Image.init()
    if PILLOW[origin.kind] not in Image.OPEN:
        raise without_extra(origin.path, origin.kind)
    with translated(origin.path, origin.kind):
        origin.file.seek(0)
        image = Image.OPEN[PILLOW[origin.kind]][0](origin.file, "")
        if image.mode in ("1", "L", "P") and min(image.size) < 1:
            raise ValueError("it has no pixels")
    width = image.width
    working, why = _pillow_memory(origin, image)
    if origin.kind == "JPEG" and most > 1:
        image.draft(None, (-(-image.width // most), -(-image.height // most)))
    found = of_pillow(image, origin)
    found.scale = max(1, round(width / image.width))
    found.working, found.why = working + 4 * image.width * image.height, why
    if origin.kind in ("GIF", "WebP"):
        with translated(origin.path, origin.kind):
            first_of(getattr(image, "n_frames", 1), "frames", found.notes)
    if origin.kind == "JPEG 2000" and not found.profile:
        found.profile = _boxed_profile(origin.head, b"colr\2")
    return found


def _pillow_memory(origin: Origin, image: ImageFile.ImageFile) -> tuple[int, str]:
    """Bytes that the decoder of a picture takes beside the picture, and why if they are many."""
    pixels = image.width * image.height
    if origin.kind == "JPEG" and image.info.get("progressive"):
        layers: Any = getattr(image, "layer", [])
        most = [max((layer[at] for layer in layers), default=1) for at in (1, 2)]
        share = sum(layer[1] * layer[2] for layer in layers) / (most[0] * most[1]) if layers else 3
        return round(2 * pixels * share), "it is a progressive JPEG, which has to be decoded whole"
    return DECODERS.get(origin.kind, 0) * pixels, f"{origin.kind} has to be decoded whole"


def of_pillow(image: Image.Image, origin: Origin) -> Samples:
    """A picture of Pillow's, which need not have been decoded yet."""
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.mode == "CMYK" or image.mode == "F" or image.mode.startswith("I"):
        mode = image.mode
    elif origin.kind == "TGA" and origin.head[16] == 32 and not origin.head[17] & 15:
        mode = "RGB"  # its fourth channel is no alpha
    elif image.has_transparency_data:
        mode += "A"

    def strips(rows: int) -> Iterator[np.ndarray]:
        with translated(origin.path, origin.kind):
            image.load()
            whole = _from_lab(image) if image.mode == "LAB" else image
            deep = _deep_white(image, origin) if mode[0] in "FI" else 0
        for top in range(0, image.height, rows):
            with translated(origin.path, origin.kind):
                part = whole.crop((0, top, image.width, min(image.height, top + rows)))
                if not deep:
                    part = part.convert(mode)
            strip = np.asarray(part).reshape(part.height, part.width, -1)
            yield np.clip(strip / np.float32(deep), 0, 1).astype(np.float32) if deep else strip

    return Samples(
        image.width,
        image.height,
        "cmyk" if mode == "CMYK" else "rgb" if mode.startswith("RGB") else "grey",
        strips,
        alpha=len(mode) - 1 if mode.endswith("A") else None,
        profile=None if image.mode == "LAB" else image.info.get("icc_profile"),
        orientation=exif_orientation(image.info.get("exif")),
    )


def _deep_white(image: Image.Image, origin: Origin) -> float:
    """The value of white in a grey picture of more than 8 bits. 32-bit whole numbers have no agreed one: 65535 if no
    value is larger, else the type's largest."""
    if image.mode.startswith("I;16"):
        return 65535.0
    values = np.asarray(image)
    return deep_white(float(values.min()), float(values.max()), values.dtype, origin)


def deep_white(least: float, most: float, dtype: np.dtype[Any], origin: Origin) -> float:
    """The value of white among values of 32 bits from ``least`` to ``most``. NSTError where floats are no picture."""
    if dtype.kind == "f":
        if not (np.isfinite([least, most]).all() and most <= 16):
            raise NSTError(f"{origin.path} has float values up to {most:g}: they should lie between 0 and 1")
        return 1.0
    return 65535.0 if most <= 65535 else float(np.iinfo(dtype).max)


def _from_lab(image: Image.Image) -> Image.Image:
    """Pillow's LAB as RGB."""
    spaces = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(*spaces, inMode="LAB", outMode="RGB")) or image


def _boxed_profile(head: bytes, mark: bytes) -> bytes | None:
    """The ICC profile in the ``colr`` box of a JPEG 2000 or AVIF."""
    at = head.find(mark)
    if at < 4:
        return None
    start = at + (7 if mark == b"colr\2" else 8)
    return head[start : at - 4 + int.from_bytes(head[at - 4 : at], "big")]


def description(origin: Origin) -> str | dict[str, str]:
    """What a file's writer says in words: a PNG's texts, or the EXIF field ImageDescription; "" for nothing."""
    if origin.kind not in PILLOW and origin.kind not in ("PNG", "TIFF"):
        return ""
    Image.init()
    with contextlib.suppress(Exception):  # pixels were read well; what Pillow thinks of the words does not matter
        origin.file.seek(0)
        image = Image.OPEN[PILLOW.get(origin.kind, origin.kind)][0](origin.file, "")
        texts = getattr(image, "text", None) if origin.kind == "PNG" else None
        if isinstance(texts, dict):
            return {str(key): str(value) for key, value in texts.items()}
        return str(image.getexif().get(270, ""))
    return ""


def read_raw(origin: Origin, most: int) -> Samples:
    """A camera raw, developed by LibRaw with the camera's white balance. ``most`` is not used."""
    try:
        import rawpy
    except ImportError:
        raise without_extra(origin.path, origin.kind) from None
    with translated(origin.path, origin.kind):
        origin.file.seek(0)
        raw = rawpy.imread(origin.file)
        width, height = raw.sizes.iwidth, raw.sizes.iheight
        if raw.sizes.flip & 4:
            width, height = height, width

    def strips(rows: int) -> Iterator[np.ndarray]:
        with translated(origin.path, origin.kind):
            whole = raw.postprocess(use_camera_wb=True, output_bps=16)
        if whole.shape[:2] != (height, width):
            raise NSTError(f"{origin.path} cannot be developed: its size is not what its header says")
        yield from array_strips(whole)(rows)

    return Samples(
        width, height, "rgb", strips, working=24 * width * height, why="a camera raw has to be developed whole"
    )
