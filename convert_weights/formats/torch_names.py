"""What torch's formats share: the names of a state dict's tensors, and OIHW to HWIO."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from convert_weights.layer_names import NETWORKS, Arrays, Found, by_paper_names, closest_network, feature_indices
from nst_jax.errors import NSTError
from nst_jax.networks.weights import CAFFE, TORCHVISION, Stored

_FEATURE = re.compile(r"features\.(\d{1,4})\.(weight|bias)", re.ASCII)  # torchvision, timm, neural-style-pt
_PAPER = re.compile(r"(conv\d_\d)\.(weight|bias)")  # Gatys
_TIMM = ("pre_logits.", "head.")
_DENSE = re.compile(r"(classifier|pre_logits|head|fc\d)\..*")
_PARTS = {"weight": "kernel", "bias": "bias"}


def found(names: Collection[str], tensor: Callable[[str], Stored], network: str | None, path: Path) -> Found:
    """Sorts a state dict by its names alone; ``tensor`` is asked for those that are wanted.

    Args:
      names: the state dict's keys.
      tensor: from a key to what is stored there, convolutions OIHW.
      network: what the user says that it is, or None.
      path: for messages.

    Fully connected layers are passed over; anything else unknown is kept under its own name, for the check to report.
    Raises NSTError for a network with batch normalisation.
    """
    if any(name.endswith("running_mean") for name in names):
        raise NSTError(f"{path} is a network with batch normalisation (vgg19_bn or the like): give one without")
    numbers = {int(match[1]) for name in names if (match := _FEATURE.fullmatch(name))}
    indices = {name: feature_indices(name) for name in NETWORKS}
    if numbers:
        network = network or closest_network(numbers, indices, path)
    arrays: Arrays = {}
    for name in names:
        if match := _FEATURE.fullmatch(name) if numbers else _PAPER.fullmatch(name):
            paper = indices[network].get(int(match[1]), f"features.{match[1]}") if numbers and network else match[1]
            arrays.setdefault(paper, {})[_PARTS[match[2]]] = _hwio(tensor(name))
        elif not _DENSE.fullmatch(name):
            arrays[name] = {}
    network, arrays = by_paper_names(arrays, network, path)
    if not numbers:
        return Found(network, arrays, CAFFE, "the names are those of Gatys's vgg_conv.pth, which keeps Caffe's")
    if any(name.startswith(_TIMM) for name in names):
        return Found(network, arrays, TORCHVISION, "timm's names; timm's VGG are torchvision's")
    return Found(network, arrays, None)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """bfloat16 is the upper half of float32: uint16 [...] → float32 [...]."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _hwio(stored: Stored) -> Stored:
    if len(stored.shape) != 4:
        return stored
    out, into, height, width = stored.shape
    return Stored((height, width, into, out), stored.dtype, lambda: stored.read().transpose(2, 3, 1, 0))
