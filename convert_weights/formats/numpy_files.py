"""NumPy's files: ``.npz`` with one array a name, and the ``vgg19.npy`` of tensorflow-vgg, a pickled dict.

``vgg16_weights.npz`` (names conv1_1_W, conv1_1_b) holds the Oxford filters for RGB pictures; tensorflow-vgg's
``{"conv1_1": [kernel, bias], …}`` for BGR. Both are HWIO. ``conv1_1/kernel`` and ``conv1_1/bias``, the project's own
names, may hold either family.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np

from convert_weights import pickles
from convert_weights.layer_names import Arrays, Found, by_paper_names
from convert_weights.preprocessings import CAFFE_RGB
from nst_jax.errors import NSTError
from nst_jax.networks.weights import CAFFE

NAME = "NumPy"
_NPY = b"\x93NUMPY"
_UNDERSCORED = re.compile(r"(\w+)_([Wb])")
_SLASHED = re.compile(r"(\w+)/(kernel|bias)")
_DENSE = re.compile(r"fc\d")
_PARTS = {"W": "kernel", "b": "bias", "kernel": "kernel", "bias": "bias"}


def matches(path: Path, head: bytes) -> bool:
    """An .npy file, or a zip archive of them."""
    if head.startswith(_NPY):
        return True
    if not head.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return path.suffix.lower() == ".npz"


def read(path: Path, network: str | None) -> Found:
    """Passes over fully connected layers. Raises NSTError for a damaged file or one that asks for more than arrays."""
    with open(path, "rb") as file:
        pickled = file.read(len(_NPY)) == _NPY
    return _read_npy(path, network) if pickled else _read_npz(path, network)


def _read_npy(path: Path, network: str | None) -> Found:
    with open(path, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _, _, dtype = header(file)
        except Exception as error:  # whatever damaged bytes lead to
            raise NSTError(f"{path} is truncated or damaged: fetch it again") from error
        if not dtype.hasobject:
            raise NSTError(f"{path} holds one array: give an .npy file with a dict of layers, as vgg19.npy has")
        content = pickles.load(file, pickles.numpy_names(), path)
    layers = content.value if isinstance(content, pickles.Array) else content
    if not isinstance(layers, dict):
        raise NSTError(f"{path} holds no dict of layers: give an .npy file like vgg19.npy of tensorflow-vgg")
    arrays: Arrays = {}
    for name, pair in layers.items():
        if _DENSE.fullmatch(str(name)):
            continue
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(p, pickles.Array) for p in pair)):
            raise NSTError(f"{path}: {name} is no pair of kernel and bias: give an .npy file like vgg19.npy")
        arrays[str(name)] = {"kernel": pair[0].value, "bias": pair[1].value}
    network, arrays = by_paper_names(arrays, network, path)
    return Found(network, arrays, CAFFE, "tensorflow-vgg keeps Caffe's")


def _read_npz(path: Path, network: str | None) -> Found:
    arrays: Arrays = {}
    underscored = False
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:  # np.load would leave it open
            for name in archive.files:
                match = _SLASHED.fullmatch(name) or _UNDERSCORED.fullmatch(name)
                if match and not _DENSE.fullmatch(match[1]):
                    arrays.setdefault(match[1], {})[_PARTS[match[2]]] = archive[name]
                    underscored |= match[2] in "Wb"
                elif not match:
                    arrays[name] = {}
    except Exception as error:  # whatever damaged bytes lead to
        raise NSTError(f"{path} is truncated, damaged or holds more than arrays: fetch it again") from error
    network, arrays = by_paper_names(arrays, network, path)
    if underscored:
        return Found(network, arrays, CAFFE_RGB, "the names are those of vgg16_weights.npz, which is for RGB pictures")
    return Found(network, arrays, None)
