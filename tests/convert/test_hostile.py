"""Files that mean harm: each is refused in one line, in little memory and time, and nothing is written or run.

``FILES`` are read all in one process under ``fuzz_weights``' limits; ``ROWS``, and what ends such a process, by the
command itself.
"""

import io
import json
import pickle
import re
import struct
import zipfile
import zlib

import fuzz_weights
import h5py
import numpy as np
import pytest
from torch_support import MAGIC, PROTOCOL

from convert_weights.cli import main
from nst_jax import apart

DAMAGED = "is truncated or damaged"
HEAD = b"".join(pickle.dumps(value, 2) for value in (MAGIC, PROTOCOL, {"little_endian": True}))
KIBI, GIBI = 1 << 10, 1 << 30


# ---------------------------------------------------------------- pickles


def legacy(body, tail=b"\x80\x02]."):
    return HEAD + body + tail


def zipped(body, **data):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", body)
        for key, content in data.items():
            archive.writestr(f"archive/data/{key[1:]}", content)
    return packed.getvalue()


def npy(body):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    return file.getvalue() + body


PICKLES = {
    "os.system": b"cos\nsystem\n(S'touch PWNED'\ntR.",
    "posix.system, by the stack": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0btouch PWNED\x85R.",
    "eval": b"c__builtin__\neval\n(S'1'\ntR.",
    "getattr": b"cbuiltins\ngetattr\n(cbuiltins\nobject\nS'__subclasses__'\ntR.",
    "torch.load": b"ctorch\nload\n(S'/etc/passwd'\ntR.",
    "numpy.load": b"cnumpy\nload\n(S'/etc/passwd'\ntR.",
    "numpy.fromfile": b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR.",
    "an inner name": b"\x80\x04\x8c\x0bcollections\x8c\x20OrderedDict.__init__.__globals__\x93.",
    "a name of a kilometre": b"c" + b"long" * 5000 + b"\nname\n.",
    "a name that escapes": b"c\x1b[31mred\nname\n.",
    "an extension's code": b"\x80\x02\x82\x01.",
    "an instance": b"(S'x'\nios\nsystem\n.",
    "an object": b"(cos\nsystem\nS'x'\no.",
    "a new object": b"\x80\x02cos\nsystem\n)\x81.",
    "a place of memory at 2^28": b"\x80\x02Nr" + struct.pack("<I", 2**28 - 1) + b".",
    "a place of memory at 2^31": b"\x80\x02Nr" + struct.pack("<I", 2**31 - 1) + b".",
    "a place of memory, as text": b"\x80\x02Np4000000000\n.",
    "bytes of a terabyte": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",
    "a bytearray of gigabytes": b"\x80\x05\x96" + struct.pack("<Q", 8 * GIBI) + b"abc.",
    "a text of gigabytes": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "a text of gigabytes, in 8 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 8 * GIBI) + b"abc.",
    "a frame of gigabytes": b"\x80\x04\x95" + struct.pack("<Q", 8 * GIBI) + b"abc.",
    "a list in a list": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "a tuple in a tuple": b"\x80\x02)" + b"\x85" * 200_000 + b".",
    "a key of nested tuples": b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.",
    "a key of tuples within the steps": b"\x80\x02})" + b"\x85" * 50_000 + b"K\x01s.",
    "a set of frozen sets": b"\x80\x04" + b"(" * 50_000 + b"\x91" * 50_000 + b".",
    "a key that cannot be hashed": b"\x80\x02}]K\x01s.",
    "laughs by the billion": b"\x80\x02]q\x00"
    + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(60))
    + b".",
    "steps without an end": b"\x80\x02(" + b"N" * 300_000 + b"t.",
    "the top of the stack again and again": b"\x80\x02(N" + b"2" * 300_000 + b"t.",
    "a whole number of a megabyte": b"\x80\x02\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b".",
    "a whole number of digits": b"I" + b"9" * 100_000 + b"\n.",
    "a persistent id of text": b"\x80\x02X\x03\0\0\0abcQ.",
    "a persistent id in text": b"Pabc\n.",
    "a list that holds itself": b"\x80\x02]q\x00h\x00a.",
    "an ordered dict that is changed": b"\x80\x02ccollections\nOrderedDict\n)R}X\x04\0\0\0keysK\x01sb.",
    "its class changed": b"\x80\x02ccollections\nOrderedDict\nN}X\x04\0\0\0keysK\x01s\x86b.",
    "no end": b"\x80\x02}",
    "nothing": b"\x80\x02.",
    "the stack popped empty": b"\x80\x02000.",
    "a mark without a stack": b"\x80\x02t.",
}
STORAGE = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\4NtQ"
STORED = b"\x80\2]X\1\0\0\x000a." + struct.pack("<q", 4) + bytes(16)


def tensor(size, stride, offset=b"K\0", storage=STORAGE, name=b"features.0.weight"):
    """A state dict with one tensor, from opcodes."""
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + size + stride + b"\x89}tR"
    return b"\x80\2}X" + struct.pack("<I", len(name)) + name + made + b"s."


ONE, HUGE = b"K\1\x85", b"\x8a\x0a" + b"\xff" * 9 + b"\x7f"
TENSORS = {
    "sides of text": tensor(b"X\2\0\0\0ab", b"X\2\0\0\0cd"),
    "a side that is no whole number": tensor(b"G\x3f\xf0\0\0\0\0\0\0\x85", ONE),
    "a side of truth": tensor(b"\x88\x85", ONE),
    "a stride of 80 bits": tensor(b"K\1K\1\x86", HUGE + b"K\1\x86"),
    "an offset of text": tensor(b"K\2\x85", ONE, b"X\1\0\0\0a"),
    "an offset of None": tensor(b"K\2\x85", ONE, b"N"),
    "70 sides": tensor(b"(" + b"K\1" * 70 + b"t", b"(" + b"K\1" * 70 + b"t"),
    "fewer strides than sides": tensor(b"K\1K\1\x86", ONE),
    "a view of text": tensor(b"K\2\x85", ONE, storage=STORAGE.replace(b"NtQ", b"X\1\0\0\0atQ")),
    "a storage that is a list": tensor(b"K\2\x85", ONE, storage=STORAGE.replace(b"X\1\0\0\x000X\3", b"]X\3")),
    "a storage's name changed": tensor(
        b"K\2\x85", ONE, storage=STORAGE.replace(b"FloatStorage\n", b"FloatStorage\n}X\4\0\0\0nameX\1\0\0\0Xsb")
    ),
    "a tensor in place of a storage": tensor(b"K\2\x85", ONE, storage=tensor(b"K\2\x85", ONE)[25:-2]),
    "no tensor": b"\x80\2}X\x11\0\0\0features.0.weightK\1s.",
    "a tensor in place of a dict": b"\x80\2" + tensor(b"K\2\x85", ONE)[25:-2] + b".",
}


# ---------------------------------------------------------------- safetensors


def safetensors(header, data=bytes(4), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape="[1]", offsets="[0,4]", kind='"F32"', name="features.0.weight"):
    return f'{{"{name}":{{"dtype":{kind},"shape":{shape},"data_offsets":{offsets}}}}}'.encode()


TWO = {
    name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in ("features.0.weight", "features.0.bias")
}
HEADERS = {
    "a side of Infinity": safetensors(entry("[Infinity]")),
    "a side of NaN": safetensors(entry("[NaN]")),
    "an end of 1e999": safetensors(entry(offsets="[0,1e999]")),
    "sides of thousands of digits": safetensors(entry(f"[{','.join(['9' * 4000] * 700)}]")),
    "sides as text": safetensors(entry('"11"')),
    "a side of truth": safetensors(entry("[true]")),
    "70 sides": safetensors(entry(f"[{','.join('1' * 70)}]")),
    "places that overlap": safetensors(TWO),
    "a place that is left out": safetensors(entry(offsets="[4,8]"), bytes(8)),
    "data behind all places": safetensors(entry(), bytes(400)),
    "a dtype that is a list": safetensors(entry(kind='["F32"]')),
    "an index of thousands of digits": safetensors(entry(name=f"features.{'9' * 5000}.weight")),
    "an index in Arabic digits": safetensors(entry(name="features.\u0661.weight")),
    "a name of half a character": safetensors(entry(name=r"features\ud800\u001b[31m\n")),
    "a header longer than the file": safetensors(b"{}", length=9_999_999),
    "a header of 2^62 bytes": safetensors(b"{}", length=1 << 62),
    "brackets in brackets": safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "no object": safetensors(b'{"a":1}'),
    "no UTF-8": safetensors(b'{"a\xff":1}'),
    "thousands of names": safetensors(
        {f"n{i}\u202e": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}, b""
    ),
}


# ---------------------------------------------------------------- zip


def bomb(name, head, size=GIBI // 4):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        member.write(head)
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return packed.getvalue()


def npy_header(shape, descr="<f4"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **(arrays or {"conv1_1_W": np.ones((3, 3, 3, 4), "f4")}))
    return file.getvalue()


def central(data, offset, value, local=None):
    """An archive with a byte of its last central entry, and one of its first member's own header, changed."""
    data = bytearray(data)
    data[data.rindex(b"PK\1\2") + offset] = value
    if local is not None:
        data[data.index(b"PK\3\4") + local] = value
    return bytes(data)


def lying_size(data, size):
    """An archive whose last central entry tells another size."""
    at = data.rindex(b"PK\1\2") + 24
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


ARCHIVES = {
    "an npz that needs version 25": central(npz(), 6, 255),
    "a pth that needs version 25": central(zipped(b"\x80\2}."), 6, 255),
    "an npz that is encrypted": central(npz(), 8, 1, 6),
    "an npz packed by method 99": central(npz(), 10, 99, 8),
    "an npz whose member is larger by its own account": lying_size(npz(), 0xFFFFFFF0),
    "an npz whose member is smaller": lying_size(npz(), 100),
    "an npz in zip64 without its sizes": lying_size(npz(), 0xFFFFFFFF),
    "an npz of text": zipped(b"").replace(b"archive/data.pkl", b"conv1_1_Wabc.npy"),
    "an npz of objects": npz(conv1_1_W=np.array([{}], object)),
    "an npz of fields": npz(conv1_1_W=np.ones(3, [("a", "f4"), ("b", "i4")])),
    "an npz of text arrays": npz(conv1_1_W=np.full((3, 3, 3, 4), "x")),
    "an npz of whole numbers": npz(conv1_1_W=np.ones((3, 3, 3, 4), "i4")),
    "an npz with negative sides": bomb("conv1_1_W.npy", npy_header((-1, -4)), 0),
    "an npz with sides of 2^62": bomb("conv1_1_W.npy", npy_header((2**62, 2**62)), 0),
    "an npz that unpacks to more": bomb("conv1_1_W.npy", npy_header((GIBI // 16,))),
    "an npz that unpacks to more than its array": bomb("conv1_1_W.npy", npy_header((3, 3, 3, 4))),
    "a pth whose storage unpacks to more": zipped(
        tensor(b"(K\4K\3K\3K\3t", b"(K\x1bK\x09K\3K\1t"), _0=bytes(GIBI // 4)
    ),
    "a pth whose pickle unpacks to more": bomb("a/data.pkl", b"\x80\x04\x8e" + struct.pack("<Q", GIBI // 4)),
    "a pth whose pickle is elsewhere": zipped(b"\x80\2}.").replace(b"data.pkl", b"data.xxx"),
    "a zip's first bytes": b"PK\3\4",
    "a zip of no members": npz().replace(b"PK\1\2", b"PK\1\3"),
}


# ---------------------------------------------------------------- MATLAB


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind, sides, name, *content):
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(sides)}i", *sides))
    return element(14, head + element(1, name) + b"".join(content))


def mat(*elements):
    return b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack("<H", 0x100) + b"IM" + b"".join(elements)


def packed(data):
    data = zlib.compress(data, 9)
    return struct.pack("<II", 15, len(data)) + data


def nested(depth):
    inner = matrix(6, (1, 1), b"", element(9, bytes(8)))
    for _ in range(depth):
        inner = matrix(1, (1, 1), b"", inner)
    return matrix(1, (1, 1), b"layers", inner)


def layer(filters):
    """A cell of one layer, conv1_1, whose filters are as given."""
    name = matrix(4, (1, 7), b"", element(16, b"conv1_1"))
    bias = matrix(7, (1, 4), b"", element(7, bytes(16)))
    fields = element(5, struct.pack("<i", 8)) + element(1, b"name\0\0\0\0filters\0biases\0\0")
    return matrix(1, (1, 1), b"layers", matrix(2, (1, 1), b"", fields, name, filters, bias))


MATS = {
    "a variable that unpacks to more": mat(packed(matrix(6, (1 << 27, 1), b"layers", element(2, bytes(1 << 27))))),
    "one that is not wanted and unpacks to more": mat(packed(matrix(6, (1, 1), b"other", element(2, bytes(1 << 27))))),
    "many that unpack": mat(*[packed(matrix(6, (1, 1), b"other", element(2, bytes(1 << 26))))] * 3),
    "filters stored as bytes, of another shape": mat(layer(matrix(6, (1 << 24, 3), b"", element(2, bytes(3 << 24))))),
    "filters of fewer numbers": mat(layer(matrix(7, (3, 3, 3, 4), b"", element(7, bytes(16))))),
    "cells in cells": mat(nested(3000)),
    "a cell of 2^62": mat(matrix(1, (2**31 - 1, 2**31 - 1), b"layers")),
    "a struct of 2^62": mat(
        matrix(2, (2**31 - 1, 2**31 - 1), b"layers", element(5, struct.pack("<i", 8)), element(1, b""))
    ),
    "fields of no length": mat(matrix(2, (1, 1), b"layers", element(5, bytes(4)), element(1, b"abc"))),
    "negative sides": mat(matrix(6, (-1, -1), b"layers", element(9, bytes(8)))),
    "a number for the layers": mat(matrix(6, (1, 1), b"layers", element(9, bytes(8)))),
    "text for the layers": mat(matrix(4, (1, 3), b"layers", element(16, b"abc"))),
    "a million of elements": mat(matrix(1, (1, 1_000_000), b"layers", struct.pack("<II", 14, 0) * 1_000_000)),
    "an element behind the file": mat(struct.pack("<II", 14, 0xFFFFFFFF)),
    "an average of gigabytes": mat(
        matrix(2, (1, 1), b"normalization", element(5, struct.pack("<i", 13)), element(1, b"averageImage\0"),
               matrix(6, (30_000, 1, 3), b"", element(2, bytes(90_000)))),
        layer(matrix(7, (3, 3, 3, 4), b"", element(7, bytes(432)))),
    ),
}  # fmt: skip


# ---------------------------------------------------------------- HDF5


def hdf5(make):
    """A file's bytes as ``make(file)`` leaves it."""
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        make(file)
    return data.getvalue()


def keras(make=lambda group: group.create_dataset("w:0", (3, 3, 3, 4), "f4"), names=("w:0", "b:0")):
    """Keras's layout with one layer, whose kernel ``make`` makes in its group."""

    def write(file):
        file.attrs["layer_names"] = ["block1_conv1"]
        group = file.create_group("block1_conv1")
        group.attrs["weight_names"] = list(names)
        group.create_dataset("b:0", (4,), "f4")
        make(group)

    return hdf5(write)


def own(change=None, **attributes):
    """The project's layout with one layer, or what ``change(file)`` makes of it."""
    told = {"format": "nst_jax weights", "format_version": 1, "network": "vgg16", "channel_order": "RGB", "range": 1.0}
    told |= {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]} | attributes

    def write(file):
        for name, value in told.items():
            if value is not None:
                file.attrs[name] = value
        if change:
            change(file)
        else:
            file["conv1_1/kernel"], file["conv1_1/bias"] = np.ones((3, 3, 3, 4), "f4"), np.ones(4, "f4")

    return hdf5(write)


def virtual(group):
    layout = h5py.VirtualLayout((3, 3, 3, 4), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 3, 3, 4))
    group.create_virtual_dataset("w:0", layout)


def packed_dataset(shape, **options):
    return lambda group: group.create_dataset("w:0", shape, "f4", compression="gzip", **options)


def linked(file):
    file.attrs["layer_names"] = ["block1_conv1"]
    file["block1_conv1"] = h5py.SoftLink("/block1_conv1")


def scaled(file):
    file["conv1_1/kernel"] = np.ones((3, 3, 3, 4), "i1")
    file["conv1_1/kernel"].attrs["scale"] = np.ones((5, 3, 3, 3, 4), "f4")


H5 = {
    "a kernel of gigabytes that are nowhere": keras(
        lambda group: group.create_dataset("w:0", (3, 3, 64, 2_000_000), "f4", chunks=True)
    ),
    "a kernel of terabytes": keras(
        lambda group: group.create_dataset("w:0", (3, 3, 1 << 20, 1 << 22), "f4", chunks=(1, 1, 64, 64))
    ),
    "a part larger than the whole": keras(packed_dataset((3, 3, 3, 4), maxshape=(None,) * 4, chunks=(64, 64, 64, 64))),
    "a link to itself": hdf5(linked),
    "a link into another file": keras(lambda group: group.__setitem__("w:0", h5py.ExternalLink("/etc/passwd", "/"))),
    "a soft link": keras(lambda group: group.__setitem__("w:0", h5py.SoftLink("/block1_conv1/b:0"))),
    "numbers of another file": keras(
        lambda group: group.create_dataset("w:0", (3, 3, 3, 4), "u1", external=[("/etc/passwd", 0, 108)])
    ),
    "a virtual dataset": keras(virtual),
    "a group for a kernel": keras(lambda group: group.create_group("w:0")),
    "references for a kernel": keras(lambda group: group.create_dataset("w:0", (3, 3, 3, 4), h5py.ref_dtype)),
    "texts for a kernel": keras(lambda group: group.create_dataset("w:0", (3, 3, 3, 4), h5py.string_dtype())),
    "complex numbers for a kernel": keras(lambda group: group.create_dataset("w:0", (3, 3, 3, 4), "c8")),
    "no space for a kernel": keras(lambda group: group.create_dataset("w:0", data=h5py.Empty("f4"))),
    "a path upwards": keras(names=("../../w:0", "b:0")),
    "a path of nothing": keras(names=("", "b:0")),
    "a number for the names": hdf5(lambda file: file.attrs.__setitem__("layer_names", 5)),
    "numbers for the names": hdf5(lambda file: file.attrs.__setitem__("layer_names", np.arange(3))),
    "nothing for the names": hdf5(lambda file: file.attrs.__setitem__("layer_names", h5py.Empty("S4"))),
    "names of no UTF-8": hdf5(lambda file: file.attrs.__setitem__("layer_names", np.array([b"\xff\xfe"], "S"))),
    "names by the ten thousand": hdf5(lambda file: file.attrs.__setitem__("layer_names", np.full(16_000, b"a", "S4"))),
    "HDF5's first bytes": b"\x89HDF\r\n\x1a\n",
    "own: a kernel of gigabytes": own(
        lambda file: file.create_dataset("conv1_1/kernel", (3, 3, 64, 100_000_000), "f4", chunks=True)
    ),
    "own: a scale of another shape": own(scaled),
    "own: a layer that is numbers": own(lambda file: file.create_dataset("conv1_1", data=np.ones(3))),
    "own: a layer that is a link": own(lambda file: file.__setitem__("conv1_1", h5py.SoftLink("/"))),
    "own: a part that no layer has": own(
        lambda file: file.create_dataset("conv1_1/more", (1 << 30,), "f4", chunks=True)
    ),
    "own: layers by the thousand": own(lambda file: [file.create_group(f"layer{i}") for i in range(2000)]),
    "own: a deviation of 0": own(std=[1.0, 0.0, 1.0]),
    "own: a deviation below 0": own(std=[1.0, -1.0, 1.0]),
    "own: a deviation of NaN": own(std=[1.0, np.nan, 1.0]),
    "own: a deviation beyond single precision": own(std=[1.0, 1.0, 1e300]),
    "own: a deviation that is 0 in single precision": own(std=[1.0, 1.0, 1e-300]),
    "own: a mean of infinity": own(mean=[0.0, np.inf, 0.0]),
    "own: a range of 0": own(range=0.0),
    "own: a range below 0": own(range=-1.0),
    "own: a range of NaN": own(range=np.nan),
    "own: two means": own(mean=[1.0, 2.0]),
    "own: a mean of megabytes": own(mean=np.zeros(8000)),
    "own: no network": own(network=None),
    "own: a number for a network": own(network=7),
    "own: a network that escapes": own(network="\x1b[31m" * 100),
    "own: a version of text": own(format_version="x"),
    "own: a version below 1": own(format_version=-5),
    "own: a version to come": own(format_version=99),
    "own: an order that there is not": own(channel_order="GBR"),
    "own: an order of a kilometre": own(channel_order="long" * 10_000),
}


def wrapped():
    """All files by name."""
    made = {}
    for name, body in PICKLES.items():
        kinds = {"raw": body, "legacy": legacy(body), "zip": zipped(body), "npy": npy(body)}
        made |= {f"{name}, {kind}": data for kind, data in kinds.items() if kind != "raw" or body[:1] == b"\x80"}
    for name, body in TENSORS.items():
        made |= {f"{name}, legacy": legacy(body, STORED), f"{name}, zip": zipped(body, _0=bytes(16))}
    made["storages' keys that are lists"] = legacy(b"\x80\x02}.", b"\x80\2]]a.")
    made["storages' keys that are None"] = legacy(b"\x80\x02}.", b"N.")
    made["a storage of 2^63"] = legacy(tensor(b"K\2\x85", ONE), STORED[:-24] + struct.pack("<q", -1) + bytes(16))
    for kind in (HEADERS, ARCHIVES, MATS, H5):
        assert not made.keys() & kind.keys() - {"a side of truth", "70 sides"}
        made |= {f"{name}{' ' if name in made else ''}": data for name, data in kind.items()}
    return made


FILES = wrapped()
#: What some are told, of those that have more to say than that they are damaged.
TOLD = {
    "os.system, zip": "is refused: it asks for os.system, which no weights file needs",
    "an inner name, legacy": r"asks for collections.OrderedDict.__init__.__globals__",
    "a name that escapes, npy": r"asks for \\x1b\[31mred.name,",
    "a name of half a character": r"holds no layers of VGG.*features\\ud800\\x1b\[31m\\n",
    "a kernel of terabytes": r"conv1_1 kernel is \[3, 3, 1048576, 4194304\] where",
    "an npz that unpacks to more": r"conv1_1 kernel is \[67108864\] where",
    "an npz of whole numbers": "does not hold|int32",
    "own: a deviation of 0": "is damaged: its std is 1, 0, 1 where finite numbers above 0 are right",
    "own: a mean of infinity": "is damaged: its mean is 0, inf, 0 where finite numbers are right",
    "own: a range of NaN": "is damaged: its range is nan where",
    "own: a version below 1": "is damaged: its format version is -5 where 1 or more is right",
    "own: a part that no layer has": "conv1_1 has the unexpected part more",
    "own: a network that escapes": r"holds an unknown network, '\\x1b\[31m",
    "thousands of names": r"n0\\u202e",
}


@pytest.fixture(scope="module")
def outcomes():
    """What comes of each file: all are read by one process, or by another one after it where one ends that."""
    names = sorted(FILES)
    return {names[number]: (kind, text) for number, kind, text in fuzz_weights.outcomes(FILES, 0, len(FILES), None)}


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_means_harm_is_refused_in_one_line(outcomes, name):
    kind, text = outcomes[name]
    assert kind == "refused", text
    assert re.search(TOLD.get(name, "^w[ :]"), text)


# ---------------------------------------------------------------- by the command


def heap():
    """A list of texts whose heap has a wrong size: libhdf5 reads it for ever."""
    data = bytearray(hdf5(lambda file: file.attrs.__setitem__("layer_names", ["block1_conv1", "block1_conv2"])))
    data[data.index(b"GCOL") + 24] = 255
    return bytes(data)


ROWS = {
    "zipversion.pth": (ARCHIVES["a pth that needs version 25"], DAMAGED),
    "objectpair.npy": (
        npy(pickle.dumps(np.array({"conv1_1": [np.array([1, "a"], object)] * 2}, object), 2)),
        "conv1_1 is no pair of kernel and bias",
    ),
    "infinity.safetensors": (HEADERS["a side of Infinity"], DAMAGED),
    "hugeshape.safetensors": (HEADERS["sides of thousands of digits"], DAMAGED),
    "keys_unhashable.pth": (FILES["storages' keys that are lists"], DAMAGED),
    "storage_renamed.pth": (FILES["a storage's name changed, legacy"], DAMAGED),
    "nested_key.pth": (PICKLES["a key of nested tuples"], DAMAGED),
    "memo_4gib.pth": (PICKLES["a place of memory at 2^28"], DAMAGED),
    "sparse_4gb.h5": (H5["a kernel of gigabytes that are nowhere"], "conv1_1 kernel is .3, 3, 64, 2000000. where"),
    "heap.h5": (heap(), "is damaged: reading it takes more than 1 seconds"),
    "bomb.npz": (ARCHIVES["an npz that unpacks to more"], "conv1_1 kernel is .67108864. where"),
    "bomb.pth": (ARCHIVES["a pth whose storage unpacks to more"], "does not hold vgg"),
    "picklebomb.pth": (ARCHIVES["a pth whose pickle unpacks to more"], DAMAGED),
    "bomb.mat": (MATS["a variable that unpacks to more"], DAMAGED),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_command_says_one_line_and_writes_nothing(tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr(apart, "_MEMORY", 400 << 20)
    monkeypatch.setattr(apart, "_SECONDS", 1)
    data, message = ROWS[name]
    (tmp_path / name).write_bytes(data)
    assert main([str(tmp_path / name), "--output", str(tmp_path / "out.h5")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert re.search(message, said.err)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_same_by_the_files_that_are_kept(shared, tmp_path, capsys, monkeypatch):
    """Those of the list, as they were found."""
    monkeypatch.setattr(apart, "_SECONDS", 1)
    cases = [
        path for path in sorted((shared / "cases").glob("*")) if path.suffix in (".pth", ".npy", ".h5", ".safetensors")
    ]
    assert len(cases) >= 10
    for path in cases:
        assert main([str(path), "--output", str(tmp_path / "out.h5")]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
