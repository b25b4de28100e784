"""HDF5 with its headers looked at first: nothing is read that is larger than it may be, or that lies elsewhere.

h5py follows links into other files and other folders, allocates what a header asks for, and lets libhdf5 see whatever
the file holds. Here a name is a hard link or an error, and attributes and datasets are ordinary and small enough.
Libhdf5 itself can hang and crash on a damaged file all the same: ``nst_jax.apart`` is for that.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import IO, Any

import h5py
import numpy as np

from nst_jax.errors import NSTError
from nst_jax.networks.weights import Stored

SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Elements of an attribute, which are names and a few numbers.
_MOST_ELEMENTS = 10_000
#: Bytes of a compressed part of a dataset, once unpacked, beyond those of the whole.
_CHUNK = 1 << 20
_MOST_LINKS = 1_000


@contextlib.contextmanager
def opened(file: IO[bytes], damaged: str) -> Iterator[h5py.File]:
    """HDF5 in an open file. Whatever is wrong with it in the block is an NSTError with the message ``damaged``.

    What is ``stored`` in it can be read after the block, too, as long as ``file`` is open.
    """
    try:
        yield h5py.File(file, "r")
    except (NSTError, MemoryError):
        raise
    except Exception as error:  # whatever h5py makes of damaged bytes
        raise NSTError(damaged) from error


def names(group: h5py.Group) -> list[str]:
    """The names in a group. Raises ValueError for more than a network has."""
    if len(group) > _MOST_LINKS:
        raise ValueError("too many links")
    return list(group)


def member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """What a name, or a path of names, leads to within the file. Raises KeyError and TypeError for anything else."""
    for part in name.strip("/").split("/"):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise TypeError("a link to somewhere else")
        group = group[part]
    return group


def attribute(holder: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute's value. Raises KeyError where there is none, ValueError for one that is large."""
    if math.prod(holder.attrs.get_id(name).shape or ()) > _MOST_ELEMENTS:
        raise ValueError("a large attribute")
    return holder.attrs[name]


def texts(holder: h5py.Group | h5py.Dataset, name: str) -> list[str]:
    """An attribute that is a list of names, stored as text or bytes."""
    return [one.decode() if isinstance(one, bytes) else str(one) for one in np.ravel(attribute(holder, name)).tolist()]


def stored(dataset: h5py.Group | h5py.Dataset) -> Stored:
    """A dataset as its header tells it; whole numbers and halves may have an attribute ``scale``, which multiplies.

    Raises TypeError or ValueError for what is no plain dataset of numbers within this file.
    """
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiu" or dataset.dtype.itemsize > 8:
        raise TypeError("no dataset of numbers")
    made = dataset.id.get_create_plist()
    if dataset.is_virtual or made.get_external_count() or dataset.shape is None:
        raise ValueError("the numbers of a dataset are elsewhere")
    size = dataset.dtype.itemsize
    if dataset.chunks and math.prod(dataset.chunks) * size > _CHUNK + 2 * math.prod(dataset.shape) * size:
        raise ValueError("a part that is larger than the whole")
    if "scale" not in dataset.attrs:
        return Stored(dataset.shape, dataset.dtype, lambda: np.asarray(dataset[()]), dataset.id.get_offset())
    scale = np.asarray(attribute(dataset, "scale"), np.float32)
    if np.broadcast_shapes(scale.shape, dataset.shape) != dataset.shape:
        raise ValueError("a scale of another shape")
    return Stored(dataset.shape, np.dtype(np.float32), lambda: np.asarray(dataset[()], np.float32) * scale)
