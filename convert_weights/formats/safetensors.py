""".safetensors files with the names of torchvision or timm.

The format: the header's length (8 bytes, little-endian), the header (JSON: name → dtype, shape, data_offsets), data.
https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from convert_weights.formats import torch_names
from convert_weights.layer_names import Found
from nst_jax.errors import NSTError

NAME = "safetensors"
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_LONGEST_HEADER = 100_000_000


def matches(path: Path, head: bytes) -> bool:
    """A length, then a brace."""
    return len(head) > 8 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _LONGEST_HEADER


def read(path: Path, network: str | None) -> Found:
    """Reads the convolutions' tensors only. Raises NSTError for a truncated file or a header that does not fit it."""
    damaged = NSTError(f"{path} is truncated or damaged: fetch it again")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start, size = 8 + length, os.fstat(file.fileno()).st_size
        if start > size:
            raise damaged
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            spans = {name: _span(entry) for name, entry in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise damaged from error
        if any(start + end > size for _, _, _, end in spans.values()):
            raise damaged

        def tensor(name: str) -> np.ndarray:
            dtype, shape, begin, end = spans[name]
            if dtype not in _DTYPES:
                raise NSTError(f"{path}: {name} is {dtype}: give weights in floating point")
            if end - begin != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
                raise damaged
            file.seek(start + begin)
            array = np.frombuffer(file.read(end - begin), _DTYPES[dtype]).reshape(shape)
            return torch_names.from_bfloat16(array) if dtype == "BF16" else array

        return torch_names.found(spans, tensor, network, path)


def _span(entry: dict[str, Any]) -> tuple[str, tuple[int, ...], int, int]:
    """dtype, shape, begin and end of a header's entry. Raises ValueError for numbers that cannot be."""
    begin, end = map(int, entry["data_offsets"])
    shape = tuple(map(int, entry["shape"]))
    if not 0 <= begin <= end or any(side < 0 for side in shape):
        raise ValueError
    return str(entry["dtype"]), shape, begin, end
