"""The project's own files: read again, for instance to be normalised or given a new place."""

from __future__ import annotations

import io
from pathlib import Path

from convert_weights.layer_names import Found
from nst_jax.errors import NSTError
from nst_jax.networks import hdf5
from nst_jax.networks.weights import held
from nst_jax.networks.weights_file import FORMAT, is_own, read_weights

NAME = FORMAT


def matches(path: Path, data: bytes) -> bool:
    """HDF5 whose root says that it is the project's."""
    if not data.startswith(hdf5.SIGNATURE):
        return False
    try:
        with hdf5.opened(io.BytesIO(data), "damaged") as file:
            return is_own(file)
    except NSTError:
        return False


def read(path: Path, data: bytes, network: str | None) -> Found:
    """The file as it is. Raises NSTError as ``load_weights`` does."""
    weights = read_weights(data, path, network)
    arrays = {name: {part: held(array) for part, array in parts.items()} for name, parts in weights.arrays.items()}
    return Found(weights.network, arrays, weights.preprocessing, "as it stands in the file", weights.metadata)
