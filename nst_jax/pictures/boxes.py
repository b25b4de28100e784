"""Files made of boxes: AVIF by libvips, HEIC by libheif, JPEG 2000 by Pillow, or with more than 8 bits by OpenJPEG."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np

from nst_jax.pictures.by_pillow import read_pillow
from nst_jax.pictures.kinds import translated
from nst_jax.pictures.samples import (
    Origin,
    Samples,
    array_strips,
    first_of,
    normal,
    of_vips,
    vips_field,
    vips_image,
)
from nst_jax.pictures.srgb import Encoding, encoding_of


def read_avif(origin: Origin, most: int) -> Samples:
    """An AVIF with all its bits; the format's own turns are made by its decoder. ``most`` is not used."""
    notes: list[str] = []
    with translated(origin.path, origin.kind):
        image = vips_image(origin)
        bits = vips_field(image, "bits-per-sample", 8)
        first_of(vips_field(image, "n-pages", 1), "frames", notes)
    found = of_vips(origin, image, _white(bits), notes)
    found.orientation = 1
    found.profile, found.encoding = _boxed_profile(origin.head, b"colrprof"), _nclx(origin, notes)
    found.working, found.why = 16 * image.width * image.height, "AVIF has to be decoded whole"
    return found


def _white(bits: int) -> int:
    """The largest value of samples of 8 to 16 bits that are shifted to the top of their type."""
    return 255 if bits <= 8 else (2**bits - 1) << (16 - bits)


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
            whole = np.asarray(image).reshape(height, width, -1)
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
        working=16 * width * height,
        why="HEIC has to be decoded whole",
    )


def read_jpeg_2000(origin: Origin, most: int) -> Samples:
    """A JPEG 2000: of 8 bits by Pillow, which gets those of more wrong; ``most`` is not used."""
    found = read_pillow(origin, most)
    found.profile = found.profile or _boxed_profile(origin.head, b"colr\2")
    at = origin.head.find(b"\xff\x51")  # the picture's size, and the bits of its channels less one
    count = int.from_bytes(origin.head[at + 38 : at + 40], "big")
    depths = [1 + (depth & 127) for depth in origin.head[at + 40 : at + 40 + 3 * count : 3]]
    if max(depths, default=8) <= 8:
        return found

    def strips(rows: int) -> Iterator[np.ndarray]:
        with translated(origin.path, origin.kind):
            if len(set(depths)) > 1 or depths[0] > 16 or count > 4:
                raise NotImplementedError(f"channels of {depths} bits")
            origin.file.seek(0)
            whole = imagecodecs.jpeg2k_decode(origin.file.read()).reshape(found.height, found.width, count)
        for strip in array_strips(whole)(rows):
            yield normal(strip, 2 ** depths[0] - 1)

    found.strips, found.space = strips, "grey" if count < 3 else "rgb"
    found.alpha = count - 1 if count in (2, 4) else None
    return found


def _nclx(origin: Origin, notes: list[str]) -> Encoding | None:
    """What an AVIF's or HEIC's ``colr`` box of code points says of its colours."""
    at = origin.head.find(b"colrnclx")
    primaries, transfer = (int.from_bytes(origin.head[from_ : from_ + 2], "big") for from_ in (at + 8, at + 10))
    return encoding_of(primaries, transfer, notes) if at >= 0 else None


def _boxed_profile(head: bytes, mark: bytes) -> bytes | None:
    """The ICC profile in the ``colr`` box of a JPEG 2000 or AVIF."""
    at = head.find(mark)
    if at < 4:
        return None
    start = at + (7 if mark == b"colr\2" else 8)
    return head[start : at - 4 + int.from_bytes(head[at - 4 : at], "big")]
