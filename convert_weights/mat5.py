"""MATLAB files of level 5: numbers, text, cells and structs.

Written here because SciPy's reader ends the whole process (a segmentation fault) on some damaged files. The format is
MathWorks' "MAT-File Format": a header of 128 bytes, then elements, each a tag (type, bytes) and its data, padded to 8
bytes; a tag may hold up to 4 bytes of data itself; a compressed element holds another one.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

_MATRIX, _COMPRESSED, _UTF8 = 14, 15, 16
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_COMPLEX = 0x0800
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
#: Of one variable, unpacked: so many bytes, or so many times those that are packed. Filters hardly pack at all.
_MOST_BYTES, _MOST_TIMES = 64 << 20, 8
#: Elements of a file. MatConvNet's VGG-19 has 2,000.
_MOST_ELEMENTS = 100_000


@dataclasses.dataclass(frozen=True)
class Numbers:
    """An array as its header tells it: its MATLAB class, its sides [rows, columns, …], and what is stored."""

    shape: tuple[int, ...]
    dtype: np.dtype
    stored: np.ndarray

    def read(self) -> np.ndarray:
        """The numbers. Raises ValueError where there are not as many as the header tells."""
        if self.stored.size != math.prod(self.shape):  # not after the numbers have become wider
            raise ValueError("more or fewer numbers than the sides tell")
        return self.stored.astype(self.dtype).reshape(self.shape, order="F")


def load(data: bytes, wanted: Collection[str]) -> dict[str, Any]:
    """The variables of a file that are named in ``wanted``.

    Numbers become ``Numbers``, text a str, a cell a list (in column order), a struct a dict (an array of structs a list
    of dicts), and everything else None. Raises ValueError, or what NumPy and zlib raise, for a file that is damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("no byte order")
    reader = _Reader(order)
    variables = {}
    for kind, payload in reader.elements(memoryview(data)[128:]):
        if kind == _COMPRESSED:
            most = max(_MOST_BYTES, _MOST_TIMES * len(payload))
            unpacked = zlib.decompressobj().decompress(payload, most + 1)
            if len(unpacked) > most:
                raise ValueError("it unpacks to more than numbers do")
            kind, payload = next(reader.elements(memoryview(unpacked)))
        if kind == _MATRIX:
            name, value = reader.matrix(payload, wanted)
            if name in wanted:
                variables[name] = value
    return variables


class _Reader:
    def __init__(self, order: str) -> None:
        self.order = order
        self.count = 0

    def words(self, data: memoryview) -> list[int]:
        """32-bit whole numbers."""
        return [int(word) for word in np.frombuffer(data, f"{self.order}i4")]

    def elements(self, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """The elements in ``data``: each one's type and data."""
        at = 0
        while at + 8 <= len(data):
            kind, size = np.frombuffer(data[at : at + 8], f"{self.order}u4").tolist()
            if kind >> 16:  # the short form
                kind, size, begin, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            else:
                begin = at + 8
                after = begin + size if kind == _COMPRESSED else begin + (size + 7) // 8 * 8
            self.count += 1
            if self.count > _MOST_ELEMENTS:
                raise ValueError("too many elements")
            if begin + size > len(data):
                raise ValueError("an element ends behind the file")
            yield kind, data[begin : begin + size]
            at = after

    def matrix(self, data: memoryview, wanted: Collection[str] | None = None) -> tuple[str, Any]:
        """A matrix element's name and value; the value is None where the name is not ``wanted``."""
        if not len(data):
            return "", None
        parts = self.elements(data)
        flags = self.words(next(parts)[1])[0]
        kind = flags & 0xFF
        if flags & _COMPLEX or kind not in (_CELL, _STRUCT, _CHAR, *_NUMBERS):
            return "", None
        shape = self.words(next(parts)[1])
        name = bytes(next(parts)[1]).decode("latin1")
        if wanted is not None and name not in wanted:
            return name, None
        if kind == _CELL:
            return name, self.matrices(parts, math.prod(shape))
        if kind == _STRUCT:
            return name, self.structs(parts, math.prod(shape))
        stored, payload = next(parts)
        if kind == _CHAR:
            return name, bytes(payload).decode("utf-8" if stored == _UTF8 else "latin1").replace("\0", "")
        values = np.frombuffer(payload, self.order + _TYPES[stored])
        return name, Numbers(tuple(shape), np.dtype(_NUMBERS[kind]), values)

    def matrices(self, parts: Iterator[tuple[int, memoryview]], count: int) -> list[Any]:
        """The values of the next ``count`` matrix elements."""
        values = [self.matrix(payload)[1] for _, (_, payload) in zip(range(count), parts, strict=False)]
        if len(values) < count:
            raise ValueError("a cell or struct ends too early")
        return values

    def structs(self, parts: Iterator[tuple[int, memoryview]], count: int) -> dict[str, Any] | list[dict[str, Any]]:
        """A struct, or an array of them: the fields' common length, their names, then each struct's values."""
        length = self.words(next(parts)[1])[0]
        text = bytes(next(parts)[1]).decode("latin1")
        names = [text[at : at + length].rstrip("\0") for at in range(0, len(text), length)]
        if not names:
            return {}
        made = [dict(zip(names, self.matrices(parts, len(names)), strict=True)) for _ in range(count)]
        return made[0] if count == 1 else made
