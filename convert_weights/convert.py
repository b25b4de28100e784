"""From a file of any known format to checked weights of the project."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from convert_weights import preprocessings
from convert_weights.registry import checked_size, detect
from nst_jax import apart, layers
from nst_jax.choices import check_choice
from nst_jax.errors import NSTError, printable
from nst_jax.networks.weights import Weights, check_preprocessing, read_arrays
from nst_jax.networks.weights_file import FORMAT, MOST_BYTES, received, told
from nst_jax.options.kinds import converted
from nst_jax.ordinary import ordinary_bytes


def convert(
    path: str | os.PathLike[str], network: str | None = None, preprocessing: str | None = None
) -> tuple[Weights, str]:
    """Reads a weights file of any known format, in a process of its own: nobody has to trust the file.

    Args:
      path: the file.
      network: "vgg19" or "vgg16" where the user says which it is; None tells it from the layers.
      preprocessing: "caffe" or "torchvision" to override what the file tells; None to keep that.

    Returns the weights, with their source in ``metadata``, and one sentence that says which preprocessing was taken and
    why. Raises NSTError for a file that is missing, damaged in whatever way, of no known format, or not of the network.
    """
    path = Path(converted("weights", path, Path))
    size = checked_size(path)
    rest, arrays = apart.call(_told, path, network, preprocessing, dict(layers.NETWORKS), path=path, size=size)
    return received(rest["weights"], arrays), rest["decision"]


def _told(
    path: Path, network: str | None, preprocessing: str | None, networks: Mapping[str, tuple[layers.Layer, ...]]
) -> apart.Told:
    """In a process of its own: what ``convert`` gives. ``networks`` are those that the caller's process knows."""
    layers.NETWORKS.update(networks)
    weights, decision = convert_bytes(path, ordinary_bytes(path, MOST_BYTES), network, preprocessing)
    rest, arrays = told(weights)
    return {"weights": rest, "decision": decision}, arrays


def convert_bytes(
    path: Path, data: bytes, network: str | None = None, preprocessing: str | None = None
) -> tuple[Weights, str]:
    """``convert`` of a file's bytes in this process, which libhdf5 can hang or crash. Headers come first."""
    if preprocessing is not None:
        check_choice("preprocessing", preprocessing, tuple(preprocessings.PREPROCESSINGS))
    kind = detect(path, data)
    try:
        found = kind.read(path, data, network)
    except (NSTError, MemoryError):
        raise
    except Exception as error:  # whatever damaged bytes lead to
        raise NSTError(f"{path} is truncated or damaged: fetch it again") from error
    arrays = read_arrays(found.network, found.arrays, where=str(path))
    sha256 = hashlib.sha256(data).hexdigest()
    if preprocessing is not None:
        chosen, reason = preprocessings.PREPROCESSINGS[preprocessing], "as given with --preprocessing"
    elif found.preprocessing is not None and (kind.NAME == FORMAT or preprocessings.suits(arrays, found.preprocessing)):
        chosen, reason = found.preprocessing, found.reason
    else:
        chosen, reason = preprocessings.decide(arrays, sha256, path)
    check_preprocessing(chosen, where=str(path))
    metadata = {
        "source_file": printable(path.name),
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
