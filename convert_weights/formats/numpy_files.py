"""NumPy's files: ``.npz`` with one array a name, and the ``vgg19.npy`` of tensorflow-vgg, a pickled dict.

``vgg16_weights.npz`` (names conv1_1_W, conv1_1_b) holds the Oxford filters for RGB pictures; tensorflow-vgg's
``{"conv1_1": [kernel, bias], …}`` for BGR. Both are HWIO. ``conv1_1/kernel`` and ``conv1_1/bias``, the project's own
names, may hold either family.
"""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from convert_weights import archives, pickles
from convert_weights.layer_names import Arrays, Found, by_paper_names
from convert_weights.preprocessings import CAFFE_RGB
from nst_jax.errors import NSTError, named
from nst_jax.networks.weights import CAFFE, Stored, held

NAME = "NumPy"
_NPY = b"\x93NUMPY"
_UNDERSCORED = re.compile(r"(\w+)_([Wb])")
_SLASHED = re.compile(r"(\w+)/(kernel|bias)")
_DENSE = re.compile(r"fc\d")
_LONGEST_HEADER = 20_000  # NumPy reads no longer ones
_PARTS = {"W": "kernel", "b": "bias", "kernel": "kernel", "bias": "bias"}


def matches(path: Path, data: bytes) -> bool:
    """An .npy file, or a zip archive of them."""
    if data.startswith(_NPY):
        return True
    if not data.startswith(archives.SIGNATURE):
        return False
    try:
        return all(name.endswith(".npy") for name in archives.opened(data))
    except archives.DAMAGED:
        return path.suffix.lower() == ".npz"


def read(path: Path, data: bytes, network: str | None) -> Found:
    """Passes over fully connected layers. Raises NSTError for a damaged file or one that asks for more than arrays."""
    return (_read_npy if data.startswith(_NPY) else _read_npz)(path, data, network)


def _read_npy(path: Path, data: bytes, network: str | None) -> Found:
    file = io.BytesIO(data)
    _, _, dtype = _header(file)
    if not dtype.hasobject:
        raise NSTError(f"{path} holds one array: give an .npy file with a dict of layers, as vgg19.npy has")
    content = pickles.load(file, pickles.numpy_names(), path)
    layers = content.value if isinstance(content, pickles.Array) else content
    if not isinstance(layers, dict):
        raise NSTError(f"{path} holds no dict of layers: give an .npy file like vgg19.npy of tensorflow-vgg")
    arrays: Arrays = {}
    for name, pair in layers.items():
        if not isinstance(name, str):
            raise NSTError(f"{path} holds a dict of something else: give an .npy file like vgg19.npy")
        if _DENSE.fullmatch(name):
            continue
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_numbers, pair))):
            raise NSTError(f"{path}: {named(name)} is no pair of kernel and bias: give an .npy file like vgg19.npy")
        arrays[name] = {"kernel": held(pair[0].value), "bias": held(pair[1].value)}
    network, arrays = by_paper_names(arrays, network, path)
    return Found(network, arrays, CAFFE, "tensorflow-vgg keeps Caffe's")


def _is_numbers(value: Any) -> bool:
    return isinstance(value, pickles.Array) and isinstance(value.value, np.ndarray)


def _read_npz(path: Path, data: bytes, network: str | None) -> Found:
    arrays: Arrays = {}
    underscored = False
    try:
        archive = archives.opened(data)
        for member in archive:
            name = member.removesuffix(".npy")
            match = _SLASHED.fullmatch(name) or _UNDERSCORED.fullmatch(name)
            if match and not _DENSE.fullmatch(match[1]):
                arrays.setdefault(match[1], {})[_PARTS[match[2]]] = _stored(archive, member)
                underscored |= match[2] in "Wb"
            elif not match:
                arrays[name] = {}
    except Exception as error:  # whatever damaged bytes lead to
        raise NSTError(f"{path} is truncated, damaged or holds more than arrays: fetch it again") from error
    network, arrays = by_paper_names(arrays, network, path)
    if underscored:
        return Found(network, arrays, CAFFE_RGB, "the names are those of vgg16_weights.npz, which is for RGB pictures")
    return Found(network, arrays, None)


def _stored(archive: archives.Archive, member: str) -> Stored:
    """An array of an archive by its own header. Raises ValueError and others where the archive's does not agree."""
    file = io.BytesIO(archive.read(member, 0, _LONGEST_HEADER))
    shape, fortran, dtype = _header(file)
    begin, length = file.tell(), math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min((0, *shape)) < 0 or archive.size(member) != begin + length:
        raise ValueError("more or less than an array of numbers")

    def read() -> np.ndarray:
        return np.frombuffer(archive.read(member, begin, length), dtype).reshape(shape, order="F" if fortran else "C")

    return Stored(shape, dtype, read)


def _header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is in Fortran's order, and dtype; the file is left at the data."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)
