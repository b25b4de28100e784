"""Weights files: one HDF5 file per network, with all that is needed to use it rightly.

Layout (format version 1). Root attributes: ``format`` ("nst_jax weights"), ``format_version``, ``network``,
``channel_order`` ("RGB" or "BGR"), ``range``, ``mean``, ``std`` (the preprocessing), and any further metadata as
strings (``source_file``, ``source_sha256``, ``source_format``, ``licence`` …). One group per convolution with the
float32 datasets ``kernel`` [3, 3, inputs, channels] (HWIO) and ``bias`` [channels].
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import platformdirs

from nst_jax.errors import NSTError
from nst_jax.files import is_there, replacing
from nst_jax.networks.weights import Preprocessing, Weights, check_arrays

FORMAT = "nst_jax weights"
FORMAT_VERSION = 1
FOLDER_VARIABLE = "NST_JAX_WEIGHTS"
#: The networks whose weights are part of the package, each with its file's SHA-256.
SHIPPED = {"slim": "af77c95667cb6580098d6e88841f4ea549d85a4020575999c69f7f881cf4a67f"}


def file_sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_folder() -> Path:
    """The user's weights folder: ``$NST_JAX_WEIGHTS``, or ``weights`` in the platform's data folder."""
    override = os.environ.get(FOLDER_VARIABLE)
    return Path(override) if override else Path(platformdirs.user_data_dir("nst_jax", appauthor=False)) / "weights"


def weights_path(network: str) -> Path:
    """Where the weights of ``network`` are looked for in the user's weights folder, whether they exist or not."""
    return weights_folder() / f"{network}.h5"


def save_weights(path: str | os.PathLike[str], weights: Weights) -> None:
    """Checks ``weights`` and writes them to ``path``, by a temporary name, so that no half file is ever left there.

    Raises NSTError where the arrays do not fit the network's table or the file cannot be written.
    """
    path = Path(path)
    check_arrays(weights.network, weights.arrays, where=str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            preprocessing = dataclasses.asdict(weights.preprocessing)
            known = {"format": FORMAT, "format_version": FORMAT_VERSION, "network": weights.network, **preprocessing}
            for key, value in {**weights.metadata, **known}.items():
                file.attrs[key] = value
            for name, parts in weights.arrays.items():
                for part, array in parts.items():
                    file.create_dataset(f"{name}/{part}", data=np.asarray(array, np.float32))
    except OSError as error:
        raise NSTError(f"cannot write weights to {path}: {error.strerror or error}") from error


def load_weights(path: str | os.PathLike[str], network: str | None = None) -> Weights:
    """Reads and checks a weights file of this project.

    Args:
      path: the file.
      network: the name that it must hold, or None for whichever it holds.

    Raises NSTError, in one line, for a file that is missing, truncated, of another kind, of a newer format version or
    of another network.
    """
    path = Path(path)
    with _opened(path) as (file, data):
        held = _network_of(file, path)
        if network is not None and held != network:
            raise NSTError(f"{path} holds the weights of {held}, not of {network}: give --network {held}")
        attributes = dict(file.attrs)
        arrays = {name: {part: _values(group[part]) for part in group} for name, group in file.items()}
        mean, std = ((float(r), float(g), float(b)) for r, g, b in (attributes["mean"], attributes["std"]))
        preprocessing = Preprocessing(str(attributes["channel_order"]), float(attributes["range"]), mean, std)
        if preprocessing.channel_order not in ("RGB", "BGR"):
            raise NSTError(f"{path} has the channel order {preprocessing.channel_order!r}: RGB or BGR is right")
    check_arrays(held, arrays, where=str(path))
    metadata = {key: str(value) for key, value in attributes.items() if isinstance(value, str)}
    return Weights(held, arrays, preprocessing, metadata, hashlib.sha256(data.getbuffer()).hexdigest())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[h5py.File, io.BytesIO]]:
    """A weights file, read once, and its bytes; whatever is wrong with it in the block is an NSTError."""
    if not path.exists():
        raise NSTError(f"no weights file at {path}")
    if path.is_dir():
        raise NSTError(f"{path} is a folder; give the weights file itself")
    try:
        data = io.BytesIO(path.read_bytes())
        with h5py.File(data, "r") as file:
            yield file, data
    except NSTError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise NSTError(
            f"{path} is truncated or no weights file: convert the original again with python -m convert_weights"
        ) from error


def _network_of(file: h5py.File, path: Path) -> str:
    """The name of the network whose weights a file holds. Raises NSTError for a file that is none of ours."""
    if file.attrs.get("format") != FORMAT:
        raise NSTError(f"{path} is HDF5 but not of nst_jax: convert it with python -m convert_weights {path}")
    version = int(file.attrs["format_version"])
    if version > FORMAT_VERSION:
        raise NSTError(
            f"{path} has format version {version}, newer than {FORMAT_VERSION}, the last one that this nst_jax"
            " reads: upgrade nst_jax or convert the weights again"
        )
    return str(file.attrs["network"])


def _values(dataset: h5py.Dataset) -> np.ndarray:
    """A dataset as float32, whatever it is stored as; whole numbers are multiplied by its attribute ``scale``."""
    return np.asarray(dataset[()], np.float32) * np.asarray(dataset.attrs.get("scale", 1), np.float32)


def find_weights(network: str) -> Weights:
    """The weights of ``network``: from the package for those that it ships, else from the user's weights folder.

    Raises NSTError that names the command which puts them there, where they are not, and where a shipped file is not
    the one that was shipped.
    """
    if network in SHIPPED:
        weights = load_weights(Path(__file__).parents[1] / "data" / f"{network}.h5", network)
        if weights.sha256 != SHIPPED[network]:
            raise NSTError(f"the weights of {network} in this package are damaged: install nst_jax again")
        return weights
    path = weights_path(network)
    if not is_there(path):
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
        with _opened(Path(file)) as (held, _):
            return _network_of(held, Path(file))
    return "vgg19" if is_there(weights_path("vgg19")) else "slim"
