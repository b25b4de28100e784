"""Small picture files made by hand: PNG, TIFF, and colour profiles."""

import struct
import zlib

import numpy as np


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG from its unfiltered samples; colour types: 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""
    stride = len(rows) // height if height else 0
    filtered = b"".join(b"\0" + rows[y * stride : (y + 1) * stride] for y in range(height if rows else 0))
    return png_of(struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0), filtered, *chunks)


def png_of(header: bytes, filtered: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG from its header and its filtered rows."""
    body = b"".join(chunk(*extra) for extra in chunks)
    data = chunk(b"IDAT", zlib.compress(filtered))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + data + chunk(b"IEND", b"")


def png_of_samples(samples: np.ndarray, depth: int, colour_type: int, interlaced: bool, *chunks: tuple[bytes, bytes]):
    """A PNG from whole numbers, [H, W, C], packed into ``depth`` bits, interlaced by Adam7 if asked."""
    height, width = samples.shape[:2]
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    filtered = b""
    for y, x, down, across in passes:
        for row in samples[y::down, x::across]:
            filtered += b"\0" + packed(row, depth) if row.size else b""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    return png_of(header, filtered, *chunks)


def packed(row: np.ndarray, depth: int) -> bytes:
    """Whole numbers as bits, most significant first, up to a whole byte."""
    bits = (row.reshape(-1, 1).astype(np.int64) >> np.arange(depth)[::-1]) & 1
    return np.packbits(bits.astype(np.uint8).ravel()).tobytes()


def tiff(samples: np.ndarray, photometric: int, sample_format: int = 1, deflate: bool = False, bits: int = 0) -> bytes:
    """A TIFF from [H, W] or [H, W, C]; its byte order is that of ``samples``."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    data = zlib.compress(samples.tobytes()) if deflate else samples.tobytes()
    tags = {338: (3, [2])} if channels == 4 and photometric == 2 else {}  # unassociated alpha
    tags |= {259: (3, [8 if deflate else 1]), 339: (3, [sample_format] * channels)}
    bits = bits or samples.dtype.itemsize * 8
    order = ">" if samples.dtype.byteorder == ">" else "<"
    return tiff_of(data, width, height, [bits] * channels, photometric, tags, order)


def tiff_of(
    data: bytes,
    width: int,
    height: int,
    bits: list[int],
    photometric: int,
    tags: dict[int, tuple[int, list[int]]] | None = None,
    order: str = "<",
    big: bool = False,
) -> bytes:
    """A TIFF or BigTIFF of one strip; further tags are (type, values)."""
    entries = {
        256: (4, [width]), 257: (4, [height]), 258: (3, bits), 259: (3, [1]), 262: (3, [photometric]),
        273: (4, [16 if big else 8]), 277: (3, [len(bits)]), 278: (4, [height]), 279: (4, [len(data)]),
    } | (tags or {})  # fmt: skip
    data += b"\0" * (len(data) % 2)
    word, count, room = ("Q", "Q", 8) if big else ("I", "H", 4)
    at = (16 if big else 8) + len(data)
    after = at + struct.calcsize(order + count + word) + (12 + 8 * big) * len(entries)
    directory, tail = struct.pack(order + count, len(entries)), b""
    for tag, (kind, values) in sorted(entries.items()):
        value = struct.pack(f"{order}{len(values)}{ {1: 'B', 3: 'H', 4: 'I'}[kind] }", *values)
        if len(value) > room:
            tail, value = tail + value, struct.pack(order + word, after + len(tail))
        directory += struct.pack(order + "HH" + word, tag, kind, len(values)) + value.ljust(room, b"\0")
    mark = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "H", 43 if big else 42)
    mark += struct.pack(order + "HH", 8, 0) if big else b""
    return mark + struct.pack(order + word, at) + data + directory + struct.pack(order + word, 0) + tail


def rgb_profile(gamma: float = 1.0, swapped: bool = False) -> bytes:
    """A matrix ICC profile with sRGB's primaries (red and green swapped, if asked) and one gamma."""
    primaries = {"r": (0.43607, 0.22249, 0.01392), "g": (0.38515, 0.71687, 0.09708), "b": (0.14307, 0.06061, 0.71410)}
    if swapped:
        primaries["r"], primaries["g"] = primaries["g"], primaries["r"]

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    tags |= {name.encode() + b"XYZ": xyz(value) for name, value in primaries.items()}
    tags |= {name.encode() + b"TRC": curve for name in primaries}
    return _profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in (0.9642, 1.0, 0.8249))
    return _profile(b"GRAY", {b"wtpt": white, b"kTRC": curve})


def cmyk_profile() -> bytes:
    """A CMYK profile (lut8, PCS Lab) in which ink 1 alone decides: cyan makes the picture lighter, not darker."""
    grid = 2
    table = bytearray()
    for index in range(grid**4):
        cyan = index // grid**3
        table += bytes((255 * cyan, 128, 128))
    identity = bytes(range(256))
    lut = b"mft1\0\0\0\0" + struct.pack(">BBBB", 4, 3, grid, 0)
    lut += b"".join(struct.pack(">i", 65536 if i in (0, 4, 8) else 0) for i in range(9))
    lut += identity * 4 + bytes(table) + identity * 3
    white = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in (0.9642, 1.0, 0.8249))
    return _profile(b"CMYK", {b"wtpt": white, b"A2B0": lut}, kind=b"prtr", pcs=b"Lab ")


def _profile(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", pcs: bytes = b"XYZ ") -> bytes:
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": description, b"cprt": b"text\0\0\0\0none\0", **tags}
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += b"\0" * (-len(value) % 4)
        table += name + struct.pack(">II", start + len(data), len(value))
        data += value
    body = table + data
    date = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"none", 0x02100000, kind, space, pcs) + date + b"acsp"
    header += bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + body
