""".safetensors files with the names of torchvision or timm.

The format: the header's length (8 bytes, little-endian), the header (JSON: name → dtype, shape, data_offsets), data.
https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from convert_weights.formats import torch_names
from convert_weights.layer_names import Found
from nst_jax.errors import NSTError, named
from nst_jax.networks.weights import Stored

NAME = "safetensors"
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_LONGEST_HEADER = 10_000_000
_MOST_SIDES, _LARGEST = 8, 1 << 62


def matches(path: Path, data: bytes) -> bool:
    """A length, then a brace."""
    return len(data) > 8 and data[8:9] == b"{" and 2 <= int.from_bytes(data[:8], "little") <= _LONGEST_HEADER


def read(path: Path, data: bytes, network: str | None) -> Found:
    """The convolutions' tensors. Raises ValueError, and others, for a header that does not fit the file."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    spans = {name: _span(entry) for name, entry in header.items()}
    ends = [0, *(end for _, end in sorted((begin, end) for _, _, begin, end in spans.values()))]
    if sorted(begin for _, _, begin, _ in spans.values()) != ends[:-1] or start + ends[-1] != len(data):
        raise ValueError("tensors overlap, or leave something out")

    def tensor(name: str) -> Stored:
        dtype, shape, begin, end = spans[name]
        if dtype not in _DTYPES:
            raise NSTError(f"{path}: {named(name)} is {named(dtype)}: give weights in floating point")
        if end - begin != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
            raise ValueError("a tensor of another size than its place")
        array = np.frombuffer(data[start + begin : start + end], _DTYPES[dtype]).reshape(shape)
        kind = np.dtype(np.float32) if dtype == "BF16" else array.dtype
        return Stored(shape, kind, lambda: torch_names.from_bfloat16(array) if dtype == "BF16" else array)

    return torch_names.found(spans, tensor, network, path)


def _span(entry: dict[str, Any]) -> tuple[str, tuple[int, ...], int, int]:
    """dtype, shape, begin and end of a header's entry. Raises ValueError for numbers that cannot be."""
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    numbers = (begin, end, *shape)
    if len(shape) > _MOST_SIDES or not all(type(one) is int and 0 <= one < _LARGEST for one in numbers) or begin > end:
        raise ValueError("no place and no shape")
    return str(entry["dtype"]), shape, begin, end
