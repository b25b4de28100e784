"""torch's two forms of a state dict, written here by hand as torch.save writes them."""

import pickle
import struct
import zipfile

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
KINDS = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage", "<i8": "LongStorage"}


class Name(str):
    """A global, "module name"."""


class Call(tuple):
    """A callable's name and its arguments."""


class Persistent(tuple):
    """What torch gives as a persistent id."""


def opcodes(value) -> bytes:
    """A value's pickle opcodes of protocol 2."""
    if isinstance(value, Name):
        return b"c" + value.replace(" ", "\n").encode() + b"\n"
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if value is None:
        return b"N"
    if isinstance(value, Call):
        return opcodes(value[0]) + opcodes(tuple(value[1:])) + b"R"
    if isinstance(value, Persistent):
        return opcodes(tuple(value)) + b"Q"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(opcodes, value)) + b"t"
    assert isinstance(value, dict), value
    items = b"".join(opcodes(key) + opcodes(item) for key, item in value.items())
    return opcodes(Call([Name("collections OrderedDict")])) + b"(" + items + b"u"


def pickled(value) -> bytes:
    return b"\x80\x02" + opcodes(value) + b"."


class Storages:
    """Gives each array a storage, as torch does, and keeps the bytes."""

    def __init__(self, legacy: bool, rebuild="_rebuild_tensor_v2", view=None):
        self.legacy, self.rebuild, self.view, self.data = legacy, rebuild, view, {}

    def tensor(self, array) -> Call:
        key = str(len(self.data))
        flat = np.ascontiguousarray(array)
        self.data[key] = flat.ravel()
        storage = ("storage", Name(f"torch {KINDS[flat.dtype.str]}"), key, "cpu", flat.size)
        if self.legacy:
            storage = (*storage, self.view)
        stride = tuple(step // flat.itemsize for step in flat.strides)
        tail = (False, {}) if self.rebuild.endswith("v2") else ()
        return Call((Name(f"torch._utils {self.rebuild}"), Persistent(storage), 0, flat.shape, stride, *tail))

    def __call__(self, state) -> dict:
        return {name: self.tensor(array) if isinstance(array, np.ndarray) else array for name, array in state.items()}


def write_zip(path, state, byteorder=b"little"):
    storages = Storages(legacy=False)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(storages(state)))
        archive.writestr("archive/byteorder", byteorder)
        for key, data in storages.data.items():
            archive.writestr(f"archive/data/{key}", data.tobytes())
        archive.writestr("archive/version", b"3\n")


def write_legacy(path, state, little_endian=True, **options):
    storages = Storages(legacy=True, **options)
    sizes = {
        "protocol_version": PROTOCOL,
        "little_endian": little_endian,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    with open(path, "wb") as file:
        for value in (MAGIC, PROTOCOL, sizes):
            pickle.dump(value, file, protocol=2)
        file.write(pickled(storages(state)))
        pickle.dump(sorted(storages.data), file, protocol=2)
        for key in sorted(storages.data):
            file.write(struct.pack("<q", storages.data[key].size) + storages.data[key].tobytes())
