"""State dicts as ``torch.save`` writes them, read without torch.

Two forms. Since torch 1.6 a zip archive: ``NAME/data.pkl`` is the pickled dict, ``NAME/data/KEY`` a storage's bytes.
Before, pickles one after the other: a magic number, a protocol number, the writer's sizes and byte order, the dict, the
storages' keys; then for each key its count of elements (8 bytes) and its bytes. In both a tensor is
``torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)`` and a storage a persistent id.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convert_weights import pickles
from convert_weights.formats import torch_names
from convert_weights.layer_names import Found
from nst_jax.errors import NSTError

NAME = "torch state dict"
_MAGIC = 0x1950A86A20F9469CFC6C
_ZIP = b"PK\x03\x04"
_STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "<u2",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _StorageType:
    name: str


@dataclasses.dataclass(frozen=True)
class _Storage:
    kind: _StorageType
    key: str
    start: int = 0  # elements; an old torch could store a view of another storage


@dataclasses.dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def matches(path: Path, head: bytes) -> bool:
    """A zip archive, a pickle of protocol 2 or later, or the tar of the first versions of torch."""
    return head.startswith(_ZIP) or (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05") or _is_tar(head)


def read(path: Path, network: str | None) -> Found:
    """Reads the convolutions' tensors only. Raises NSTError for a file that is damaged or asks for more than arrays."""
    with open(path, "rb") as file:
        head = file.read(512)
    if _is_tar(head):
        raise NSTError(f"{path} has the tar form of torch before 0.1.10: load and save it again with a newer torch")
    return _read_zip(path, network) if head.startswith(_ZIP) else _read_legacy(path, network)


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _read_zip(path: Path, network: str | None) -> Found:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(members) != 1:
                raise NSTError(f"{path} is a zip archive but neither torch's nor NumPy's: give the weights file itself")
            folder = members[0].removesuffix("data.pkl")
            if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
                raise NSTError(f"{path} was written on a big-endian machine: save it again on a little-endian one")
            with archive.open(members[0]) as file:
                state = pickles.load(file, _names(), path, _storage)
            return _found(state, lambda storage: archive.read(f"{folder}data/{storage.key}"), network, path)
    except NSTError:
        raise
    except Exception as error:  # whatever damaged bytes lead to
        raise NSTError(f"{path} is truncated or damaged: fetch it again") from error


def _read_legacy(path: Path, network: str | None) -> Found:
    with open(path, "rb") as file:
        if pickles.load(file, _names(), path) != _MAGIC:
            raise NSTError(f"{path} is a pickle but not of torch.save: give a state dict that torch saved")
        pickles.load(file, _names(), path)  # the protocol
        machine = pickles.load(file, _names(), path)
        if isinstance(machine, dict) and not machine.get("little_endian", True):
            raise NSTError(f"{path} was written on a big-endian machine: save it again on a little-endian one")
        kinds: dict[str, _StorageType] = {}

        def storage(pid: Any) -> _Storage:
            made = _storage(pid)
            kinds[made.key] = made.kind
            return made

        state = pickles.load(file, _names(), path, storage)
        keys = pickles.load(file, _names(), path)
        size = path.stat().st_size
        places: dict[str, tuple[int, int]] = {}
        for key in keys if isinstance(keys, list) else []:
            count = int.from_bytes(file.read(8), "little")
            length = count * np.dtype(_STORAGES[kinds[key].name]).itemsize if key in kinds else 0
            places[key] = begin, length = file.tell(), length
            if begin + length > size:
                raise NSTError(f"{path} is truncated or damaged: fetch it again")
            file.seek(length, 1)

        def data(storage: _Storage) -> bytes:
            if storage.key not in places:
                raise NSTError(f"{path} is truncated or damaged: fetch it again")
            begin, length = places[storage.key]
            file.seek(begin)
            return file.read(length)

        return _found(state, data, network, path)


def _names() -> dict[str, Any]:
    """What a state dict's pickle may name, made anew for each pickle."""

    def tensor(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Tensor:
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
    return _Storage(pid[1], str(pid[2]), int(view[1]) if view else 0)


def _found(state: Any, data: Callable[[_Storage], bytes], network: str | None, path: Path) -> Found:
    """The state dict's convolutions, each read from its storage."""
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise NSTError(f"{path} holds no state dict: save model.state_dict() with torch and give that")

    def tensor(name: str) -> np.ndarray:
        entry = state[name]
        if not isinstance(entry, _Tensor) or not isinstance(entry.storage, _Storage):
            raise NSTError(f"{path}: {name} is no tensor: give a state dict")
        kind = entry.storage.kind.name
        try:
            array = _strided(np.frombuffer(data(entry.storage), _STORAGES[kind]), entry)
        except (ValueError, TypeError) as error:
            raise NSTError(f"{path} is truncated or damaged at {name}: fetch it again") from error
        return torch_names.from_bfloat16(array) if kind == "BFloat16Storage" else array

    return torch_names.found(list(state), tensor, network, path)


def _strided(values: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """A tensor's elements from its storage's, copied. Raises ValueError where it would reach outside."""
    begin = tensor.storage.start + tensor.offset
    last = begin + sum((side - 1) * step for side, step in zip(tensor.size, tensor.stride, strict=True))
    if begin < 0 or last >= values.size or min((0, *tensor.size, *tensor.stride)) < 0:
        raise ValueError("outside the storage")
    if math.prod(tensor.size) > values.size:  # a stride of 0 could ask for any amount of memory
        raise ValueError("larger than the storage")
    strides = [step * values.itemsize for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(values[begin:], tensor.size, strides, writeable=False).copy()
