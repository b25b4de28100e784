"""PNG, by libvips in strips; what its header says of colour is read here."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np

from nst_jax.pictures.kinds import translated
from nst_jax.pictures.samples import Origin, Samples, check_size, first_of, of_vips, vips_image
from nst_jax.pictures.srgb import BT709, Encoding, encoding_of

MAX_PROFILE = 2**24  # bytes


def read_png(origin: Origin, most: int) -> Samples:
    """A PNG, in strips; where it is interlaced, whole. ``most`` is not used."""
    notes: list[str] = []
    interlaced, profile, encoding = _png_header(origin, notes)
    with translated(origin.path, origin.kind):
        image = vips_image(origin)
    found = of_vips(origin, image, 65535 if image.format == "ushort" else 255, notes)
    found.profile, found.encoding = profile, encoding
    if interlaced:
        found.working = image.width * image.height * image.bands * (2 if image.format == "ushort" else 1)
        found.why = "it is interlaced, and so has to be decoded whole"
    return found


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
    header = chunks.get(b"IHDR", b"").ljust(13, b"\0")
    check_size(origin.path, *struct.unpack(">2I", header[:8]))
    interlaced = header[12] == 1
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
