"""State dicts as ``torch.save`` writes them, read without torch.

Two forms. Since torch 1.6 a zip archive: ``NAME/data.pkl`` is the pickled dict, ``NAME/data/KEY`` a storage's bytes.
Before, pickles one after the other: a magic number, a protocol number, the writer's sizes and byte order, the dict, the
storages' keys; then for each key its count of elements (8 bytes) and its bytes. In both a tensor is
``torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)`` and a storage a persistent id.
"""

from __future__ import annotations

import collections
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convert_weights import archives, pickles
from convert_weights.formats import torch_names
from convert_weights.layer_names import Found
from nst_jax.errors import NSTError, named
from nst_jax.networks.weights import Stored

NAME = "torch state dict"
_MAGIC = 0x1950A86A20F9469CFC6C
#: Bytes of the pickle of a state dict, sides of a tensor, elements that one reaches over, and any of its numbers.
_LONGEST_PICKLE, _MOST_SIDES, _LONGEST_SPAN, _LARGEST = 16 << 20, 8, 1 << 27, 1 << 62
_STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "<u2",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip


# These are tuples so that a pickle cannot change one, once it is made.


class _StorageType(NamedTuple):
    name: str


class _Storage(NamedTuple):
    kind: str
    key: str
    start: int = 0  # elements; an old torch could store a view of another storage


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def matches(path: Path, data: bytes) -> bool:
    """A zip archive, a pickle of protocol 2 or later, or the tar of the first versions of torch."""
    pickled = data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return data.startswith(archives.SIGNATURE) or pickled or _is_tar(data)


def read(path: Path, data: bytes, network: str | None) -> Found:
    """The convolutions' tensors. Raises NSTError, and others, for a damaged file or one that asks for more."""
    if _is_tar(data):
        raise NSTError(f"{path} has the tar form of torch before 0.1.10: load and save it again with a newer torch")
    return (_read_zip if data.startswith(archives.SIGNATURE) else _read_legacy)(path, data, network)


def _is_tar(data: bytes) -> bool:
    return data[257:262] == b"ustar"


def _read_zip(path: Path, data: bytes, network: str | None) -> Found:
    archive = archives.opened(data)
    members = [name for name in archive if name.endswith("/data.pkl")]
    if len(members) != 1:
        raise NSTError(f"{path} is a zip archive but neither torch's nor NumPy's: give the weights file itself")
    folder = members[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive and archive.read(f"{folder}byteorder", 0, 16) != b"little":
        raise NSTError(f"{path} was written on a big-endian machine: save it again on a little-endian one")
    pickled = io.BytesIO(archive.read(members[0], 0, _LONGEST_PICKLE))
    state = pickles.load(pickled, _names(), path, _storage)

    def part(storage: _Storage, begin: int, length: int) -> bytes:
        return archive.read(f"{folder}data/{storage.key}", begin, length)

    return _found(state, part, network, path)


def _read_legacy(path: Path, data: bytes, network: str | None) -> Found:
    file = io.BytesIO(data)
    if pickles.load(file, _names(), path) != _MAGIC:
        raise NSTError(f"{path} is a pickle but not of torch.save: give a state dict that torch saved")
    pickles.load(file, _names(), path)  # the protocol
    machine = pickles.load(file, _names(), path)
    if isinstance(machine, dict) and not machine.get("little_endian", True):
        raise NSTError(f"{path} was written on a big-endian machine: save it again on a little-endian one")
    kinds: dict[str, str] = {}

    def storage(pid: Any) -> _Storage:
        made = _storage(pid)
        kinds[made.key] = made.kind
        return made

    state = pickles.load(file, _names(), path, storage)
    keys = pickles.load(file, _names(), path)
    places: dict[str, int] = {}
    for key in keys if isinstance(keys, list) else []:
        count = int.from_bytes(file.read(8), "little")
        places[key] = file.tell()
        file.seek(count * np.dtype(_STORAGES[kinds[key]]).itemsize if key in kinds else 0, 1)
        if file.tell() > len(data):
            raise EOFError("a storage ends behind the file")

    def part(storage: _Storage, begin: int, length: int) -> bytes:
        begin += places[storage.key]
        return data[begin : begin + length]

    return _found(state, part, network, path)


def _names() -> dict[str, Any]:
    """What a state dict's pickle may name, made anew for each pickle."""

    def tensor(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Tensor:
        numbers = (offset, *size, *stride)
        if not isinstance(storage, _Storage) or len(size) > _MOST_SIDES or len(size) != len(stride):
            raise pickle.UnpicklingError("a tensor of a strange kind")
        if not all(type(one) is int and 0 <= one < _LARGEST for one in numbers):
            raise pickle.UnpicklingError("a tensor of strange numbers")
        return _Tensor(storage, offset, tuple(size), tuple(stride))

    def parameter(data: _Tensor, *_: Any) -> _Tensor:
        return data

    return {
        "collections.OrderedDict": collections.OrderedDict,
        "torch._utils._rebuild_tensor": tensor,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_parameter": parameter,
        **{f"torch.{name}": _StorageType(name) for name in _STORAGES},
    }


def _storage(pid: Any) -> _Storage:
    """A storage from its persistent id: ("storage", type, key, device, count[, None or (view key, offset, count)])."""
    if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage" and isinstance(pid[1], _StorageType)):
        raise pickle.UnpicklingError("an unknown persistent id")
    view = pid[5] if len(pid) == 6 else None
    start = view[1] if view else 0
    if type(start) is not int or not isinstance(pid[2], str | int):
        raise pickle.UnpicklingError("a storage of a strange kind")
    return _Storage(pid[1].name, str(pid[2]), start)


def _found(state: Any, part: Callable[[_Storage, int, int], bytes], network: str | None, path: Path) -> Found:
    """The state dict's convolutions; ``part`` gives so many bytes of a storage from one on."""
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise NSTError(f"{path} holds no state dict: save model.state_dict() with torch and give that")

    def tensor(name: str) -> Stored:
        entry = state[name]
        if not isinstance(entry, _Tensor):
            raise NSTError(f"{path}: {named(name)} is no tensor: give a state dict")
        dtype = np.dtype(_STORAGES[entry.storage.kind])

        def read() -> np.ndarray:
            begin = entry.storage.start + entry.offset
            span = 1 + sum((side - 1) * step for side, step in zip(entry.size, entry.stride, strict=True))
            if not 0 < span <= _LONGEST_SPAN:
                raise ValueError("a tensor that reaches too far")
            values = np.frombuffer(part(entry.storage, begin * dtype.itemsize, span * dtype.itemsize), dtype)
            if values.size < span:
                raise ValueError("outside the storage")
            strides = [step * dtype.itemsize for step in entry.stride]
            array = np.lib.stride_tricks.as_strided(values, entry.size, strides, writeable=False).copy()
            return torch_names.from_bfloat16(array) if entry.storage.kind == "BFloat16Storage" else array

        return Stored(entry.size, np.dtype("f4") if entry.storage.kind == "BFloat16Storage" else dtype, read)

    return torch_names.found(list(state), tensor, network, path)
