"""Damaged weights files by the thousand: ``python tests/fuzz_weights.py --count 50000``; the tests take 2,000.

Small files of every format, changed at random by a seed, are read by the code that a process of its own runs
(``convert_weights.convert.convert_bytes``), a batch in each process, under the limits of ``nst_jax.apart``. Each one is
read, or refused in one line; or libhdf5 hangs or crashes, which is what the process is for. Everything else is a fault.
"""

import argparse
import collections
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
from convert_support import (
    make_arrays,
    tensorflow_vgg,
    torchvision_state,
    write_keras,
    write_mat,
    write_object_npy,
    write_safetensors,
)
from torch_support import write_legacy, write_zip

from convert_weights.convert import convert_bytes
from nst_jax import apart, layers
from nst_jax.errors import NSTError
from nst_jax.networks.weights import CAFFE, Weights
from nst_jax.networks.weights_file import save_weights

#: What may come of a file; the last one may not.
OUTCOMES = ("read", "refused", "memory", "ended", "fault")
#: Bytes of memory of a process beyond which a file is refused, and seconds for each. The product gives more.
MEMORY, SECONDS = 400 << 20, 2
BATCH = 500


def narrow():
    """Networks of a few channels in place of the real ones, so that most of a file is its headers."""
    for name, counts in {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}.items():
        layers.NETWORKS[name] = layers._vgg(counts, (4, 3, 2, 3, 2))


def seeds(folder):
    """Whole files by their names, as bytes."""
    arrays = make_arrays("vgg16")
    state = torchvision_state(arrays, "vgg16")
    slashed = {f"{name}/{part}": array for name, parts in arrays.items() for part, array in parts.items()}
    write_keras(folder / "keras.h5", arrays, top=True)
    write_keras(folder / "keras-bytes.h5", arrays, as_bytes=True, group="model_weights")
    save_weights(folder / "own.h5", Weights("vgg16", arrays, CAFFE, {"licence": "x"}))
    _pack(folder / "own.h5", folder / "packed.h5")
    write_safetensors(folder / "names.safetensors", state)
    write_zip(folder / "zip.pth", state)
    write_legacy(folder / "legacy.pth", state)
    write_mat(folder / "old.mat", arrays, "old")
    write_mat(folder / "new.mat", arrays, "new", compressed=True)
    np.savez(folder / "plain.npz", **slashed)
    np.savez_compressed(folder / "packed.npz", **slashed)
    for protocol in (2, 4):
        write_object_npy(folder / f"pickle{protocol}.npy", tensorflow_vgg(arrays), protocol)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _pack(path, other):
    """A copy of a file of HDF5 with its datasets in packed parts, as halves and with scales."""
    with h5py.File(path) as before, h5py.File(other, "w") as after:
        after.attrs.update(before.attrs)
        for name, group in before.items():
            for part, dataset in group.items():
                options = {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True}
                made = after.create_dataset(f"{name}/{part}", data=dataset[()].astype("f2"), **options)
                made.attrs["scale"] = np.float32(1)


INTERESTING = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1]


def changed(data, generator):
    """The bytes with one to six changes."""
    data = bytearray(data)
    for _ in range(generator.choice([1, 1, 1, 2, 3, 6])):
        if len(data) < 16:
            break
        where = generator.integers(3)  # anywhere, or where most headers are
        at = int(
            generator.integers(
                *[(0, len(data)), (0, min(len(data), 2048)), (max(0, len(data) - 2048), len(data))][where]
            )
        )
        length = int(generator.choice([1, 2, 4, 8, 16, 200]))
        kind = generator.integers(8)
        if kind == 0:
            data[at] ^= 1 << int(generator.integers(8))
        elif kind == 1:
            data[at] = int(generator.choice([0, 1, 0x7F, 0x80, 0xFF]))
        elif kind == 2:
            size = int(generator.choice([2, 4, 8]))
            number = INTERESTING[generator.integers(len(INTERESTING))] % 2 ** (8 * size)
            data[at : at + size] = number.to_bytes(size, str(generator.choice(["little", "big"])))
        elif kind == 3:
            data[at : at + length] = generator.bytes(length)
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = data[at : at + length] * int(generator.choice([1, 2, 50]))
        elif kind == 6:
            other = int(generator.integers(len(data)))
            data[at : at + length] = data[other : other + length]
        else:
            del data[at:]
    return bytes(data)


def mutation(files, number, seed):
    """The mutation of this number: (name of the file that it comes from, bytes). It follows from the seed.

    But for the dates that archives hold, it is always the same.

    Without a seed (None) it is the file itself.
    """
    name = sorted(files)[number % len(files)]
    data = files[name]
    if seed is None:
        return name, data
    generator = np.random.default_rng([seed, number])
    inside = generator.random() < 0.5  # what is packed is changed before it is packed, or nothing but checksums fail
    if data.startswith(b"PK") and inside:
        return name, _inside_zip(data, generator)
    if name == "new.mat" and inside:
        return name, _inside_mat(data, generator)
    return name, changed(data, generator)


def _inside_zip(data, generator):
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(packed, "w") as after:
        names = before.namelist()
        wanted = next((name for name in names if name.endswith("data.pkl")), names[generator.integers(len(names))])
        for name in names:
            content = before.read(name)
            after.writestr(name, changed(content, generator) if name == wanted else content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _inside_mat(data, generator):
    size = int.from_bytes(data[132:136], "little")
    inner = zlib.compress(changed(zlib.decompress(data[136 : 136 + size]), generator))
    return data[:132] + len(inner).to_bytes(4, "little") + inner + data[136 + size :]


def outcome(data):
    """What comes of a file's bytes: one of ``OUTCOMES`` and what is told of it."""
    try:
        convert_bytes(Path("w"), data)
    except NSTError as error:
        text = str(error)
        return ("refused", text) if text.isprintable() and len(text) <= 2000 else ("fault", repr(text[:200]))
    except MemoryError:
        return "memory", ""
    except BaseException as error:
        return "fault", f"{type(error).__name__}: {error}"
    return "read", ""


def batch(request):
    """In a process of its own: reads the mutations asked for, and tells each one's outcome in a line."""
    begin, end, seed, files = pickle.load(request)
    narrow()
    apart.limit(MEMORY, 10**6)
    for number in range(begin, end):
        data = mutation(files, number, seed)[1]
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process, wherever that is
        kind, text = outcome(data)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps([number, kind, text]), flush=True)


def outcomes(files, begin, end, seed):
    """(number, outcome, text) of each mutation; one that ends its process is "ended"."""
    while begin < end:
        stop = min(end, begin + BATCH)
        process = subprocess.run(
            [sys.executable, __file__, "--batch"],
            input=pickle.dumps((begin, stop, seed, files)),
            capture_output=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for line in process.stdout.splitlines():
            number, kind, text = json.loads(line)
            begin = number + 1
            yield number, kind, text
        if begin < stop:
            if process.returncode > 0:
                raise RuntimeError(process.stderr.decode())
            yield begin, "ended", f"signal {-process.returncode}"
            begin += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--begin", type=int, default=0)
    parser.add_argument("--seed", type=int, default=19)
    options = parser.parse_args()
    if options.batch:
        batch(sys.stdin.buffer)
        return
    narrow()
    with tempfile.TemporaryDirectory() as folder:
        files = seeds(Path(folder))
    names, began = sorted(files), time.monotonic()
    counts = {name: collections.Counter() for name in names}
    for number, kind, text in outcomes(files, options.begin, options.begin + options.count, options.seed):
        counts[names[number % len(names)]][kind] += 1
        if kind in ("fault", "ended"):
            print(f"{number} {names[number % len(names)]}: {kind} {text}", flush=True)
    print("| file | bytes |", " | ".join(OUTCOMES), "|")
    for name, count in counts.items():
        print(f"| {name} | {len(files[name]):,} |", " | ".join(str(count[kind]) for kind in OUTCOMES), "|")
    total = sum(counts.values(), collections.Counter())
    print("| all | |", " | ".join(str(total[kind]) for kind in OUTCOMES), "|")
    print(f"{options.count} in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
