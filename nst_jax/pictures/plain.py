"""BMPs whose bits are told by masks, of which Pillow knows some and no alpha of 1 bit; QOI, for which it is slow."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np

from nst_jax.pictures.by_pillow import read_pillow
from nst_jax.pictures.kinds import translated
from nst_jax.pictures.samples import Origin, Samples, array_strips


def read_bmp(origin: Origin, most: int) -> Samples:
    """A BMP; ``most`` is not used."""
    head = origin.head
    depth, compression = (int.from_bytes(head[at : at + size], "little") for at, size in ((28, 2), (30, 4)))
    size = int.from_bytes(head[14:18], "little")
    if size < 40 or depth not in (16, 32) or compression not in (3, 6) or len(head) < 70:
        return read_pillow(origin, most)
    masks = list(struct.unpack("<4I", head[54:70]))
    if size < 56 and compression == 3:
        masks[3] = 0  # BITMAPINFOHEADER has three masks after it
    width, height = struct.unpack("<2i", head[18:26])
    start, stride = int.from_bytes(head[10:14], "little"), (width * depth // 8 + 3) // 4 * 4
    with translated(origin.path, origin.kind):
        if width <= 0 or height == 0 or not all(masks[:3]):
            raise ValueError("its header has no width, height or masks")
        shifts = [(mask & -mask).bit_length() - 1 for mask in masks]
        if any(mask and (mask >> shift) & ((mask >> shift) + 1) for mask, shift in zip(masks, shifts, strict=True)):
            raise NotImplementedError("masks with gaps")
    used = list(zip(masks, shifts, strict=True))[: 4 if masks[3] else 3]

    def strips(rows: int) -> Iterator[np.ndarray]:
        for top in range(0, abs(height), rows):
            count = min(rows, abs(height) - top)
            with translated(origin.path, origin.kind):
                origin.file.seek(start + stride * (top if height < 0 else height - top - count))
                data = origin.file.read(stride * count)
                if len(data) < stride * count:
                    raise EOFError("its rows end too soon")
            values = np.frombuffer(data, np.uint8).reshape(count, stride)[:, : width * depth // 8]
            words = np.ascontiguousarray(values).view(f"<u{depth // 8}")[:: 1 if height < 0 else -1]
            channels = [((words & mask) >> shift) / np.float32(mask >> shift) for mask, shift in used]
            yield np.stack(channels, axis=-1).astype(np.float32)

    return Samples(width, abs(height), "rgb", strips, alpha=3 if masks[3] else None)


def read_qoi(origin: Origin, most: int) -> Samples:
    """A QOI; ``most`` is not used."""
    with translated(origin.path, origin.kind):
        width, height, channels = struct.unpack(">IIB", origin.head[4:13])
        if channels not in (3, 4):
            raise ValueError(f"it says that it has {channels} channels")
        length = origin.file.seek(0, io.SEEK_END)

    def strips(rows: int) -> Iterator[np.ndarray]:
        with translated(origin.path, origin.kind):
            origin.file.seek(0)
            whole = imagecodecs.qoi_decode(origin.file.read()).reshape(height, width, channels)
        yield from array_strips(whole)(rows)

    return Samples(
        width,
        height,
        "rgb",
        strips,
        alpha=3 if channels == 4 else None,
        working=2 * channels * width * height + length,
        why="QOI has to be decoded whole",
    )
