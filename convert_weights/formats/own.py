"""The project's own files, so that weights that are converted already can be normalised or given a new place."""

from __future__ import annotations

from pathlib import Path

import h5py

from convert_weights.formats.keras import DAMAGED, SIGNATURE
from convert_weights.layer_names import Found
from nst_jax.errors import NSTError
from nst_jax.networks.weights_file import FORMAT, load_weights

NAME = FORMAT


def matches(path: Path, head: bytes) -> bool:
    """HDF5 whose root says that it is the project's."""
    if not head.startswith(SIGNATURE):
        return False
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FORMAT)
    except DAMAGED:
        return False


def read(path: Path, network: str | None) -> Found:
    """The file as it is. Raises NSTError as ``load_weights`` does."""
    try:
        weights = load_weights(path, network)
    except NSTError:
        raise
    except DAMAGED as error:
        raise NSTError(f"{path} is truncated or damaged: convert the original again") from error
    arrays = {name: dict(parts) for name, parts in weights.arrays.items()}
    return Found(weights.network, arrays, weights.preprocessing, "as it stands in the file", weights.metadata)
