"""From a file of any known format to checked weights of the project."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from convert_weights import preprocessings
from convert_weights.registry import detect
from nst_jax.errors import NSTError
from nst_jax.networks.weights import Weights, check_arrays
from nst_jax.networks.weights_file import file_sha256


def convert(
    path: str | os.PathLike[str], network: str | None = None, preprocessing: str | None = None
) -> tuple[Weights, str]:
    """Reads a weights file of any known format.

    Args:
      path: the file.
      network: "vgg19" or "vgg16" where the user says which it is; None tells it from the layers.
      preprocessing: "caffe" or "torchvision" to override what the file tells; None to keep that.

    Returns the weights, with their source in ``metadata``, and one sentence that says which preprocessing was taken and
    why. Raises NSTError for a file that is missing, damaged, of no known format, or not of the network.
    """
    path = Path(path)
    kind = detect(path)
    found = kind.read(path, network)
    arrays = {
        name: {part: _float32(array, f"{path}: {name} {part}") for part, array in parts.items()}
        for name, parts in found.arrays.items()
    }
    check_arrays(found.network, arrays, where=str(path))
    sha256 = file_sha256(path)
    if preprocessing is not None:
        chosen, reason = preprocessings.PREPROCESSINGS[preprocessing], "as given with --preprocessing"
    elif found.preprocessing is not None:
        chosen, reason = found.preprocessing, found.reason
    else:
        chosen, reason = preprocessings.decide(arrays, sha256, path)
    metadata = {
        "source_file": path.name,
        "source_sha256": sha256,
        "source_format": kind.NAME,
        **found.metadata,
        "preprocessing_reason": reason,
    }
    if credit := preprocessings.credit(arrays):
        metadata["licence"] = credit
    return Weights(
        found.network, arrays, chosen, metadata
    ), f"preprocessing {preprocessings.describe(chosen)}: {reason}"


def _float32(array: np.ndarray, where: str) -> np.ndarray:
    """As contiguous float32; NSTError for anything but floating-point numbers."""
    if array.dtype.kind != "f":
        raise NSTError(f"{where} holds {array.dtype} where floating-point numbers are right")
    with np.errstate(over="ignore"):  # an infinity is reported by the check of the values
        return np.ascontiguousarray(array, np.float32)
