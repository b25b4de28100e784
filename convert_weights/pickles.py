"""Reading pickles that can build arrays and nothing else.

A pickle is a program that may call anything that it can name. Here every name is looked up in a short list of
stand-ins; a name that is not on it is refused, with the name in the message. The stand-ins take the numbers down and
build nothing but plain arrays. Before it runs, the program is read through: it has so many steps and places of memory
and no more, and no string that is longer than the file.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nst_jax.errors import NSTError, named

#: Steps of a pickle, and the highest place of its memory. VGG-19's state dict has 3,000 and 600.
_MOST_STEPS = _HIGHEST_PLACE = 100_000
#: Tuples (and frozen sets), and with it how deeply they are nested: hashing those nested 100,000 deep ends the process.
_MOST_TUPLES = 5_000
_MOST_SIDES = 8

#: What is made of a persistent id.
Persistent = Callable[[Any], Any] | None


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, names: Mapping[str, Any], persistent: Persistent, where: object) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote bytes as text
        self._names, self._persistent, self._where = names, persistent, where

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self._names:
            raise NSTError(
                f"{self._where} is refused: it asks for {named(f'{module}.{name}')}, which no weights file"
                " needs; only arrays are read from pickles"
            )
        return self._names[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise pickle.UnpicklingError("a persistent id")
        return self._persistent(pid)


def _check(file: io.BytesIO) -> None:
    """Reads a pickle through without running it. Raises ValueError for what ends too early or is beyond its budget."""
    tuples = 0
    for steps, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        tuples += opcode.name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
        place = int(argument or 0) if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") else 0
        if steps > _MOST_STEPS or tuples > _MOST_TUPLES or place > _HIGHEST_PLACE:
            raise ValueError("beyond what a pickle of arrays takes")


def load(file: io.BytesIO, names: Mapping[str, Any], where: object, persistent: Persistent = None) -> Any:
    """One pickle from an open file.

    Args:
      file: positioned at the pickle; left behind its end.
      names: from "module.name" to what the pickle gets for it.
      where: the file's name, for messages.
      persistent: from a persistent id to its object (torch's storages).

    Raises NSTError for a pickle that asks for any other name, and whatever a damaged one leads to.
    """
    begin = file.tell()
    _check(file)
    file.seek(begin)
    return _ArrayUnpickler(file, names, persistent, where).load()


class Dtype:
    """Stands for ``numpy.dtype``: one that holds floating-point numbers, or objects."""

    def __init__(self, text: str, *_: Any) -> None:
        self.text, self.order = text, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class Array:
    """Stands for ``numpy.ndarray``: takes the state that a pickled array sets."""

    def __init__(self, *_: Any) -> None:
        self.value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if len(shape) > _MOST_SIDES:
            raise pickle.UnpicklingError("too many sides")
        if dtype.text.startswith("O"):
            self.value = data[0] if shape == () else data
            return
        if dtype.text not in ("f2", "f4", "f8"):
            raise pickle.UnpicklingError(f"an array of {dtype.text}")
        data = data.encode("latin1") if isinstance(data, str) else data
        order = dtype.order if dtype.order in "<>" else "="
        self.value = np.frombuffer(data, order + dtype.text).reshape(shape, order="F" if fortran else "C")


def numpy_names() -> dict[str, Any]:
    """The names that pickled NumPy arrays need, old (``core``) and new (``_core``)."""

    def encode(text: str, encoding: str) -> bytes:
        """Python 3's way to write bytes in protocol 2; ``encoding`` is always latin1."""
        return text.encode("latin1")

    modules = ("numpy.core.multiarray", "numpy._core.multiarray")
    names: dict[str, Any] = {f"{module}._reconstruct": Array for module in modules}
    return names | {"numpy.ndarray": Array, "numpy.dtype": Dtype, "_codecs.encode": encode}
