"""What a reader finds in a file, and the ways from a file's layer names to the paper's."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from nst_jax import layers
from nst_jax.errors import NSTError, named
from nst_jax.networks.weights import Preprocessing, Stored

#: The networks that a file's layers are compared with.
NETWORKS = ("vgg19", "vgg16")
Arrays = dict[str, dict[str, Stored]]


@dataclasses.dataclass(frozen=True)
class Found:
    """One file's contents under the paper's names, as its headers tell them: nothing has been read but these.

    Shapes are checked in one place, then what is right is read (``nst_jax.networks.weights.read_arrays``).

    Attributes:
      network: "vgg19" or "vgg16".
      arrays: ``{"conv1_1": {"kernel": HWIO, "bias": [O]}, …}``, of any dtype, each with how it is read.
      preprocessing: what the format prescribes, or None where the file alone does not tell.
      reason: how that is known, for the user to read.
      metadata: what the file itself says of its origin.
    """

    network: str
    arrays: Arrays
    preprocessing: Preprocessing | None
    reason: str = ""
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)


def convolutions(network: str) -> list[str]:
    """The names of a network's convolutions, in order."""
    return [row.name for row in layers.table(network) if row.kind == "conv"]


def feature_indices(network: str) -> dict[int, str]:
    """torchvision's numbers of the convolutions: its ``features`` counts convolutions, rectifiers and poolings."""
    numbers, index = {}, 0
    for row in layers.table(network):
        if row.kind == "conv":
            numbers[index] = row.name
        index += 2 if row.kind == "conv" else 1
    return numbers


def closest_network(found: Collection[str | int], tables: Mapping[str, Collection[str | int]], where: object) -> str:
    """The network whose layers fit ``found`` best: most present, fewest missing.

    Raises NSTError where no layer of any network is there.
    """
    if not any(set(table) & set(found) for table in tables.values()):
        some = ", ".join(named(name) for name in list(found)[:3]) or "nothing"
        raise NSTError(f"{where} holds no layers of VGG-16 or VGG-19 (it holds {some}): give a file of VGG weights")
    return max(tables, key=lambda name: 2 * len(set(tables[name]) & set(found)) - len(tables[name]))


def by_paper_names(arrays: Arrays, network: str | None, where: object) -> tuple[str, Arrays]:
    """For files that already use the paper's names: the network (``network``, or the closest) and the arrays."""
    return network or closest_network(arrays, {name: convolutions(name) for name in NETWORKS}, where), arrays
