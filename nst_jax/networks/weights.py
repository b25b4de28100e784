"""A network's weights as data: arrays, what they expect of a picture, and where they come from. Knows no files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from nst_jax import layers
from nst_jax.errors import NSTError


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What a network expects: ``(range * image[..., order] - mean) / std`` for an RGB image in [0, 1].

    ``mean`` and ``std`` stand in the order of ``channel_order`` and in the units of ``range`` (1 or 255).
    """

    channel_order: str
    range: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


#: The original Oxford filters, and all that were ported from Caffe (Keras's too).
CAFFE = Preprocessing("BGR", 255.0, (103.939, 116.779, 123.68))
#: The filters that torchvision trained anew.
TORCHVISION = Preprocessing("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclasses.dataclass(frozen=True)
class Weights:
    """A network's arrays with what they expect and where they come from.

    ``arrays`` maps a convolution's name to ``{"kernel": float32 [3, 3, I, O], "bias": float32 [O]}``; ``sha256`` is
    the weights file's own (empty for weights that were never in a file).
    """

    network: str
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    preprocessing: Preprocessing
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sha256: str = ""


def check_arrays(network: str, arrays: Mapping[str, Mapping[str, np.ndarray]], where: str) -> None:
    """Raises NSTError unless ``arrays`` holds exactly the network's convolutions, each of its shape and finite.

    ``where`` names the file for the message. One message names everything that is missing, unexpected or misshapen.
    """
    rows = {row.name: row for row in layers.table(network) if row.kind == "conv"}
    problems = []
    if missing := [name for name in rows if name not in arrays]:
        problems.append(f"missing {' '.join(missing)}")
    if unexpected := [name for name in arrays if name not in rows]:
        problems.append(f"unexpected {' '.join(unexpected)}")
    for name, row in rows.items():
        if name not in arrays:
            continue
        expected = {"kernel": (3, 3, row.inputs, row.channels), "bias": (row.channels,)}
        if row.stands_for:
            expected["map"] = (row.channels, row.stands_for)
        for part, shape in expected.items():
            array = arrays[name].get(part)
            if array is None:
                problems.append(f"{name} has no {part}")
            elif array.shape != shape:
                problems.append(f"{name} {part} is {list(array.shape)} where {list(shape)} is right")
            elif not np.isfinite(array).all():
                problems.append(f"{name} {part} holds values that are not finite")
    if problems:
        raise NSTError(f"{where} does not hold {network}: {'; '.join(problems)}")
