"""Weights files: one HDF5 file per network, with all that is needed to use it rightly.

Layout (format version 1). Root attributes: ``format`` ("nst_jax weights"), ``format_version``, ``network``,
``channel_order`` ("RGB" or "BGR"), ``range``, ``mean``, ``std`` (the preprocessing), and any further metadata as
strings (``source_file``, ``source_sha256``, ``source_format``, ``licence`` …). One group per convolution with the
float32 datasets ``kernel`` [3, 3, inputs, channels] (HWIO) and ``bias`` [channels].
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import platformdirs

from nst_jax import apart, layers
from nst_jax.errors import NSTError, named, printable
from nst_jax.files import is_there, replacing
from nst_jax.networks import hdf5
from nst_jax.networks.weights import (
    Preprocessing,
    Stored,
    Weights,
    check_arrays,
    check_preprocessing,
    check_shapes,
    read_array,
    read_arrays,
)
from nst_jax.options.kinds import converted
from nst_jax.ordinary import ordinary_bytes, ordinary_size

FORMAT = "nst_jax weights"
FORMAT_VERSION = 1
FOLDER_VARIABLE = "NST_JAX_WEIGHTS"
FOLDER_ADVICE = f"give {FOLDER_VARIABLE} a folder that can be read, or --weights a file"
#: No weights file is larger: VGG-19 has 1.15 GB, with its dense layers and in double precision.
MOST_BYTES = 2 << 30
#: The networks whose weights are part of the package, each with its file's SHA-256.
SHIPPED = {"slim": "7e4f84d32be3f26c7fb2bd98afe70c859678deb1a43558a9ce538387d4ef9be2"}


def file_sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_folder() -> Path:
    """The user's weights folder: ``$NST_JAX_WEIGHTS``, or ``weights`` in the platform's data folder.

    Raises NSTError for a user without a home folder who has not set it.
    """
    if override := os.environ.get(FOLDER_VARIABLE):
        return Path(override)
    try:
        return Path(platformdirs.user_data_dir("nst_jax", appauthor=False)) / "weights"
    except RuntimeError:
        raise NSTError(f"there is no home folder, which weights are in: {FOLDER_ADVICE}") from None


def weights_path(network: str) -> Path:
    """Where the weights of ``network`` are looked for in the user's weights folder, whether they exist or not."""
    return weights_folder() / f"{network}.h5"


def save_weights(path: str | os.PathLike[str], weights: Weights) -> None:
    """Checks ``weights`` and writes them to ``path``, by a temporary name, so that no half file is ever left there.

    Raises NSTError where the arrays do not fit the network's table or the file cannot be written.
    """
    path = Path(path)
    with np.errstate(over="ignore"):  # what is too large for float32 is not finite then
        arrays = {
            name: {part: np.asarray(array, np.float32) for part, array in parts.items()}
            for name, parts in weights.arrays.items()
        }
    check_arrays(weights.network, arrays, where=str(path))
    check_preprocessing(weights.preprocessing, where=str(path))
    write_arrays(path, weights.network, weights.preprocessing, arrays, weights.metadata)


def write_arrays(
    path: Path,
    network: str,
    preprocessing: Preprocessing,
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    metadata: Mapping[str, Any],
) -> None:
    """Writes a weights file of arrays as they are, in their own precision, and does not check them.

    It is made in memory first: libhdf5 ends the process where a disk is full. Raises NSTError where it cannot be
    written.
    """
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "network": network,
        **dataclasses.asdict(preprocessing),
    }
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for key, value in {**metadata, **header}.items():
            file.attrs[key] = printable(value) if isinstance(value, str) else value
        for name, parts in arrays.items():
            for part, array in parts.items():
                file.create_dataset(f"{name}/{part}", data=array)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content.getbuffer())
    except OSError as error:
        raise NSTError(f"cannot write weights to {path}: {error.strerror or error}") from error


def load_weights(path: str | os.PathLike[str], network: str | None = None) -> Weights:
    """Reads and checks a weights file of this project, in a process of its own: nobody has to trust the file.

    Args:
      path: the file.
      network: the name that it must hold, or None for whichever it holds.

    Raises NSTError, in one line, for a file that is missing, truncated, damaged in whatever way, of another kind, of a
    newer format version or of another network.
    """
    path = Path(converted("weights", path, Path))
    size = _size(path)
    with ThreadPoolExecutor(1) as others:  # while the process starts and looks at the headers
        reading = others.submit(_bytes_and_hash, path)
        rest, arrays = apart.call(_told, path, network, dict(layers.NETWORKS), path=path, size=size)
        data, sha256 = reading.result()
    arrays = dict(arrays)
    for key, (offset, shape) in rest["places"].items():
        end = offset + 4 * math.prod(shape)
        if not 0 <= offset <= end <= len(data):
            raise NSTError(_truncated(path))
        arrays[key] = np.frombuffer(data, "<f4", math.prod(shape), offset).reshape(shape)
    weights = received(rest["weights"] | {"sha256": sha256}, arrays)
    check_arrays(weights.network, weights.arrays, str(path))
    return weights


def _bytes_and_hash(path: Path) -> tuple[bytes, str]:
    data = ordinary_bytes(path, MOST_BYTES)
    return data, hashlib.sha256(data).hexdigest()


def _told(path: Path, network: str | None, networks: Mapping[str, tuple[layers.Layer, ...]]) -> apart.Told:
    """In a process of its own: what a file holds, without the arrays that stand in it as they are, but their places.

    ``networks`` are those that the caller's process knows.
    """
    layers.NETWORKS.update(networks)
    with open(path, "rb") as file:
        weights, stored = _looked_at(file, path, network)
        places, arrays = {}, {}
        for name, parts in stored.items():
            for part, one in parts.items():
                if one.offset is not None and one.dtype == np.dtype("<f4"):
                    places[f"{name}/{part}"] = one.offset, one.shape
                else:
                    arrays[f"{name}/{part}"] = read_array(one, f"{path}: {name} {part}")
    return {"weights": told(weights)[0], "places": places}, arrays


def told(weights: Weights) -> apart.Told:
    """Weights as a process of its own hands them back."""
    arrays = {f"{name}/{part}": array for name, parts in weights.arrays.items() for part, array in parts.items()}
    rest = {field.name: getattr(weights, field.name) for field in dataclasses.fields(weights)}
    return rest | {"arrays": None, "preprocessing": dataclasses.asdict(weights.preprocessing)}, arrays


def received(rest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Weights:
    """Weights from what ``told`` gave. Shapes are checked again: a process that met a damaged file may say anything."""
    nested: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        name, _, part = key.partition("/")
        nested.setdefault(name, {})[part] = array
    preprocessing = dict(rest["preprocessing"])
    preprocessing |= {name: tuple(preprocessing[name]) for name in ("mean", "std")}
    weights = Weights(**{**rest, "arrays": nested, "preprocessing": Preprocessing(**preprocessing)})
    check_shapes(weights.network, weights.arrays, "what was read")
    return weights


def _size(path: Path) -> int:
    """The size of a weights file. Raises NSTError for one that is missing, cannot be read, or is far too large."""
    try:
        return ordinary_size(path, MOST_BYTES)
    except FileNotFoundError:
        raise NSTError(f"no weights file at {path}") from None
    except IsADirectoryError:
        raise NSTError(f"{path} is a folder; give the weights file itself") from None
    except OSError as error:
        raise NSTError(f"cannot read the weights file {path}: {error.strerror or error}") from None


def read_weights(data: bytes, path: Path, network: str | None = None) -> Weights:
    """The weights in a file's bytes, read in this process; ``path`` names it in messages.

    What is in HDF5 of unknown origin can hang or crash the process: ``load_weights`` has one for it. Raises as that.
    """
    weights, stored = _looked_at(io.BytesIO(data), path, network)
    arrays = read_arrays(weights.network, stored, str(path))
    return dataclasses.replace(weights, arrays=arrays)


def _looked_at(file: IO[bytes], path: Path, network: str | None) -> tuple[Weights, dict[str, dict[str, Stored]]]:
    """Weights without their arrays, and what is stored of these, each of the right shape."""
    with hdf5.opened(file, _truncated(path)) as root:
        held = _network_of(root, path)
        if network is not None and held != network:
            raise NSTError(f"{path} holds the weights of {held}, not of {network}: give --network {held}")
        stored = {name: _stored(hdf5.member(root, name)) for name in hdf5.names(root)}
        order, span = hdf5.attribute(root, "channel_order"), float(hdf5.attribute(root, "range"))
        mean, std = ((float(r), float(g), float(b)) for r, g, b in (hdf5.attribute(root, x) for x in ("mean", "std")))
        preprocessing = Preprocessing(str(order), span, mean, std)
        attributes = {key: hdf5.attribute(root, key) for key in root.attrs}
    if held not in layers.NETWORKS:
        raise NSTError(f"{path} holds an unknown network, '{named(held)}': convert it anew, or upgrade nst_jax")
    check_preprocessing(preprocessing, str(path))
    check_shapes(held, stored, str(path))
    metadata = {key: value for key, value in attributes.items() if isinstance(value, str)}
    return Weights(held, {}, preprocessing, metadata), stored


def _truncated(path: Path) -> str:
    return f"{path} is truncated or no weights file: convert the original again with python -m convert_weights"


def _stored(group: h5py.Group | h5py.Dataset) -> dict[str, Stored]:
    """The arrays of a layer, by their parts; whole numbers count as the numbers that they stand for."""
    if not isinstance(group, h5py.Group):
        return {}
    return {part: hdf5.stored(hdf5.member(group, part)) for part in hdf5.names(group)}


def _network_of(file: h5py.File, path: Path) -> str:
    """The name of the network whose weights a file holds. Raises NSTError for a file that is none of ours."""
    if not is_own(file):
        raise NSTError(f"{path} is HDF5 but not of nst_jax: convert it with python -m convert_weights {path}")
    version = int(hdf5.attribute(file, "format_version"))
    if version < 1:
        raise NSTError(f"{path} is damaged: its format version is {version} where 1 or more is right")
    if version > FORMAT_VERSION:
        raise NSTError(
            f"{path} has format version {version}, newer than {FORMAT_VERSION}, the last one that this nst_jax"
            " reads: upgrade nst_jax or convert the weights again"
        )
    return str(hdf5.attribute(file, "network"))


def is_own(file: h5py.File) -> bool:
    """Whether a file says that it is of this project."""
    return "format" in file.attrs and bool(np.all(hdf5.attribute(file, "format") == FORMAT))


def find_weights(network: str) -> Weights:
    """The weights of ``network``: from the package for those that it ships, else from the user's weights folder.

    Raises NSTError that names the command which puts them there, where they are not, and where a shipped file is not
    the one that was shipped.
    """
    network = converted("network", network, str)
    layers.table(network)
    if network in SHIPPED:
        path = Path(__file__).parents[1] / "data" / f"{network}.h5"
        _size(path)
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != SHIPPED[network]:
            raise NSTError(f"the weights of {network} in this package are damaged: install nst_jax again")
        weights = read_weights(data, path, network)  # known to the last bit, so no process is needed
        return dataclasses.replace(weights, sha256=SHIPPED[network])
    path = weights_path(network)
    if not is_there(path, FOLDER_ADVICE):
        raise NSTError(
            f"no weights for {network} in {path.parent}: get them with python -m convert_weights --download {network},"
            " or convert a file that you have with python -m convert_weights FILE"
        )
    return load_weights(path, network)


def choose_weights(network: str = "auto", file: str | os.PathLike[str] | None = None) -> Weights:
    """The weights of ``network``, from ``file`` if one is given.

    "auto" is whatever ``file`` holds; without one it is VGG-19 if its weights are in the user's weights folder, else
    ``slim``, which ships with the package. Nothing is ever downloaded.
    """
    if file is not None:
        return load_weights(file, None if network == "auto" else network)
    return find_weights(network_in_use(network))


def network_in_use(network: str = "auto", file: str | os.PathLike[str] | None = None) -> str:
    """The name of the network whose weights ``choose_weights`` gives."""
    if network != "auto":
        return network
    if file is not None:
        return load_weights(file).network
    try:
        path = weights_path("vgg19")
    except NSTError:  # a user without a home folder has none
        return "slim"
    return "vgg19" if is_there(path, FOLDER_ADVICE) else "slim"
