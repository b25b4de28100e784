"""What a process of its own may do: each as a function that ``nst_jax.apart.call`` can find."""

import ctypes
import os
import sys
import time

import numpy as np

from nst_jax.errors import NSTError


def give(*arguments):
    return {"arguments": list(arguments), "jax": "jax" in sys.modules}, {"x": np.arange(6.0).reshape(2, 3)}


def print_more():
    print("some library's line")
    os.write(1, b"another\n")
    os.write(2, b"and a third\n")
    return {"x": 1}, {}


def refuse():
    raise NSTError("this one\nis refused")


def fail():
    raise KeyError("nobody has foreseen this")


def take_memory():
    return {"size": len(bytearray(3 << 30))}, {}


def work_for_ever():
    while True:
        pass


def sleep_for_ever():
    time.sleep(1000)


def crash():
    ctypes.string_at(0)


def leave():
    os._exit(0)


def write(path):
    with open(path, "wb") as file:
        file.write(b"x")
    return {}, {}


def open_for_ever():
    """Text without an end, to the place where the answer is awaited."""
    for number in range(3, 10):
        try:
            while True:
                os.write(number, b"[" * 65536)
        except OSError:
            continue
    return {}, {}
